"""The loop of retraining: what counts, what is put on record, and how the version that answers does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from in_process import FEEDBACK, PREDICTIONS, SMALL, InProcess, feedback, prediction
from streams import HOUR_US, START_US

from monitor.cycle import Cycle
from monitor.notices import Delivery, Notices
from monitor.retraining import look, retrain_history
from monitor.rules.loop import Request, follow
from monitor.rules.retrain import RetrainRule, RetrainState
from monitor.rules.rule import AlertRule
from monitor.rules.state import AlertState
from monitor.types import Result, Window

RULE = RetrainRule("credit", "inaccurate", ("pipeline",), cooldown_us=0)
ALERT = AlertRule(name="inaccurate", metric="accuracy", below=0.8, min_samples=1)


def monitored(path: Path | None = None, rule: RetrainRule = RULE) -> InProcess:
    """Return a model whose retraining is asked for when it is right in less than four cases of five."""
    world = InProcess(path=path)
    one = world.cycle.monitored
    told = Notices({"pipeline": Delivery(("pipeline",))})
    world.cycle = Cycle(world.store, world.cursor, replace(one, alerts=(ALERT,), retrain=rule, notices=told))
    return world


def hour(world: InProcess, number: int, right: dict[str, int], of: int = 10) -> None:
    """Land predictions of each version in an hour, with labels; ``right[version]`` of them are right."""
    predictions, labels = [], []
    for version, hits in right.items():
        for i in range(of):
            name = f"{number}-{version}-{i}"
            predictions.append(prediction(name, 60 * number + 10, version=version))
            labels.append(feedback(name, "1" if i < hits else "0", 60 * number + 20))
    world.land({PREDICTIONS: predictions, FEEDBACK: labels})
    world.turn(START_US + (number + 1) * HOUR_US)


def history(world: InProcess) -> dict[str, list[dict[str, object]]]:
    return retrain_history(world.store.cursor(), {"credit": world.cycle.monitored.model}, None, 100)


def test_a_new_version_answers_and_is_held_against_the_old_one() -> None:
    world = monitored()
    hour(world, 0, {"1": 9})
    hour(world, 1, {"1": 6})
    [asked] = history(world)["requests"]
    assert (asked["versions"], asked["before"]["accuracy"], asked["answered_by"]) == (("1",), 0.6, None)
    hour(world, 2, {"1": 6})
    hour(world, 3, {"1": 5, "2": 8})  # both serve: the old one of the same hour counts
    hour(world, 4, {"2": 9})  # alone: what the old one was when it was asked for
    [answered] = history(world)["requests"]
    assert answered["answered_by"] == "2"
    assert answered["answered"] == "2025-06-01T03:00:00Z"
    accuracies = [
        (c["window_start"][11:13], c["old"], c["new"], c["side_by_side"])
        for c in answered["compared"]
        if c["metric"] == "accuracy"
    ]
    assert accuracies == [("03", 0.5, 0.8, True), ("04", 0.6, 0.9, False)]
    gain = answered["gains"]["accuracy"]
    assert (round(gain["mean_gain"], 9), gain["windows"]) == (0.3, 2)
    assert world.rows("SELECT count(*) FROM outbox") == [(1,)]


def test_a_corrected_label_restates_the_comparison() -> None:
    world = monitored()
    hour(world, 0, {"1": 6})
    hour(world, 1, {"2": 9})
    world.land({FEEDBACK: [feedback(f"1-2-{i}", "0", 130) for i in range(5)]})
    world.turn(START_US + 3 * HOUR_US)
    asked, _ = history(world)["requests"]  # and the corrected hour asks again
    [accuracy] = [c for c in asked["compared"] if c["metric"] == "accuracy"]
    assert (accuracy["old"], accuracy["new"]) == (0.6, 0.4)


def test_an_older_window_that_comes_late_answers_nothing() -> None:
    world = monitored()
    hour(world, 1, {"1": 6})
    late = [prediction(f"late-{i}", 10, version="0") for i in range(10)]
    world.land({PREDICTIONS: late, FEEDBACK: [feedback(f"late-{i}", "1", 20) for i in range(10)]})
    world.turn(START_US + 2 * HOUR_US)
    [asked] = history(world)["requests"]
    assert asked["answered_by"] is None


def test_every_change_of_verdict_is_on_record_once_and_survives_a_restart(tmp_path: Path) -> None:
    world = monitored(tmp_path / "s.duckdb")
    for number, hits in enumerate([9, 6, 6, 9, 9]):
        hour(world, number, {"1": hits})
    expected = ["requested", "standing", "calm"]
    assert [row["outcome"] for row in history(world)["verdicts"]] == expected
    world.store.close()
    again = monitored(tmp_path / "s.duckdb")
    again.turn(START_US + 6 * HOUR_US)
    assert [row["outcome"] for row in history(again)["verdicts"]] == expected
    assert again.cycle.retrain.last_id == history(again)["requests"][0]["id"]


def test_a_dry_run_is_on_record_and_tells_nobody() -> None:
    world = monitored(rule=RetrainRule("credit", "inaccurate", ("pipeline",), dry_run=True))
    hour(world, 0, {"1": 6})
    found = history(world)
    assert [(row["outcome"], bool(row["id"])) for row in found["verdicts"]] == [("dry_run", True)]
    assert found["requests"] == []
    assert world.rows("SELECT count(*) FROM outbox") == [(0,)]


def firing(metric: str, feature: str) -> AlertState:
    return AlertState("drift", ("credit", "*", metric, feature, "", "", ""), phase="firing")


def outcome(states: list[AlertState], shares: dict[str, float]) -> str:
    rule = RetrainRule("credit", "drift", ("pipeline",), min_attribution=0.05)
    window = Window(START_US, START_US + HOUR_US)
    _, verdict = look(
        rule, RetrainState(), states,
        silences=(), shares=shares, window=window, transitions=(), at_us=START_US,
    )  # fmt: skip
    return verdict.outcome


def test_drift_of_what_the_model_does_not_lean_on_asks_for_nothing() -> None:
    shares = {"age": 0.6, "zip": 0.01, "bio": 0.01}
    assert outcome([firing("psi", "zip")], shares) == "discounted"
    assert outcome([firing("psi", "bio.length")], shares) == "discounted"
    assert outcome([firing("psi", "zip"), firing("psi", "age")], shares) == "requested"
    assert outcome([firing("psi", "unexplained")], shares) == "requested"
    assert outcome([firing("psi", "zip")], {}) == "requested"  # nothing is known: nothing is left out
    assert outcome([firing("missing_ratio", "zip")], shares) == "requested"  # no drift: a fault of the data


def test_lists_are_compared_at_each_cutoff() -> None:
    windows = Window(0, HOUR_US), Window(HOUR_US, 2 * HOUR_US)
    asked = Request("msg_1", "shop", 5, windows[0], ("worse",), ("1",), {"ndcg@5": 0.4, "mae": 3.0})
    rows = [
        Result("shop", "*", windows[1], name, "ok", value) for name, value in (("ndcg@5", 0.5), ("mae", 2.0))
    ]
    answered = follow(asked, windows[1], ["2"], [*rows, Result("shop", "*", windows[1], "psi", "ok", 9.0)])
    assert {name: (round(gain, 9), n) for name, (gain, n) in answered.gains().items()} == {
        "ndcg@5": (0.1, 1),
        "mae": (1.0, 1),  # less is better
    }


def test_a_request_survives_its_json_form() -> None:
    world = monitored()
    hour(world, 0, {"1": 6})
    hour(world, 1, {"2": 9})
    [(body,)] = world.rows("SELECT body FROM retrain_requests")
    request = Request.from_json(json.loads(body))
    assert request.compared
    assert Request.from_json(json.loads(json.dumps(request.to_json()))) == request
    assert SMALL.name == request.model
