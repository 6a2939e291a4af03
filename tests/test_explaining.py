"""A model's explanations in the cycle: which rows it is asked about, when, and what its failures become."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from in_process import FEEDBACK, PREDICTIONS, SMALL, InProcess, feedback, prediction
from streams import START_US

from monitor.cycle import Cycle
from monitor.errors import ExplainError
from monitor.explain import Explained
from monitor.reference.profile import Reference
from monitor.store.explained import ExplainedRows, explained_windows, read_explained
from monitor.store.results import read_results
from monitor.types import ChecksSpec, Result

CHECKS = ChecksSpec(quality=True, performance=True, explain=True, explain_sample=200)
SPEC = replace(SMALL, checks=CHECKS, segments=("plan",))
END_US = START_US + 3_600_000_000
WEIGHTS = {"gold": 1.0, "tin": -2.0}


class Additive:
    """Explains ``2 * age + weight(plan)``, whose Shapley values against zero are its terms."""

    model_hash = key = "additive"

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.fails, self.most = "", 10**9

    def explain(self, rows: pa.Table, *, deadline_s: float) -> Explained:
        self.asked.append(rows.num_rows)
        if self.fails:
            raise ExplainError(self.fails)
        age = pc.fill_null(rows["age"], 0.0).to_numpy()
        plan = np.array([WEIGHTS.get(p, 0.0) for p in rows["plan"].to_pylist()])
        values = np.stack([2 * age, plan], axis=1)[: self.most, None, :]
        base = np.zeros((len(values), 1))
        return Explained(values, base, values.sum(axis=2), ("age", "plan"), ("1",))

    def close(self) -> None:
        pass


def reference() -> Reference:
    rows = pa.table({"age": [1.0, 3.0, None] * 20, "plan": ["gold", "tin", "tin"] * 20})
    return Reference("ref", 60, {}, sample=rows)


class Core(InProcess):
    """A model with an explainer, and events whose age counts them."""

    def __init__(self, explainer: Additive, spec: Any = SPEC, known: Reference | None = None) -> None:
        super().__init__(spec)
        one = replace(self.cycle.monitored, explainer=explainer, reference=known)
        self.cycle = Cycle(self.store, self.cursor, one)

    def events(self, n: int, start: int = 0, version: str = "1") -> None:
        some = [
            prediction(f"e{i}", i % 60, version=version,
                       features={"age": i / n, "plan": "gold" if i % 10 else "tin"})
            for i in range(start, start + n)
        ]  # fmt: skip
        self.land({PREDICTIONS: some})

    def of(self, metric: str, **labels: Any) -> list[Result]:
        wanted = {"version": "*", "segment": None} | labels
        return [
            r
            for r in read_results(self.cursor)
            if r.metric == metric and all(getattr(r, k) == v for k, v in wanted.items())
        ]


def smallest(core: InProcess, k: int, where: str = "true") -> tuple[float, float]:
    """Return the mean absolute attributions of the k rows with the smallest ids, from the stored rows."""
    rows = core.rows(f'SELECT "n:age", "c:plan" FROM predictions_1 WHERE {where} ORDER BY id LIMIT {k}')
    return float(np.mean([abs(2 * a) for a, _ in rows])), float(np.mean([abs(WEIGHTS[p]) for _, p in rows]))


def test_the_rows_with_the_smallest_hashes_are_explained_and_counted() -> None:
    explainer = Additive()
    core = Core(explainer, known=reference())
    core.events(1000)
    core.turn(END_US)
    age, plan = core.of("attribution_mean_abs", feature="age")[0], core.of("attribution_mean_abs")[1]
    assert (age.value, plan.value) == pytest.approx(smallest(core, 200))
    assert (age.n, age.n_reference) == (200, 60)
    shares = [r.value for r in core.of("attribution_share")]
    assert sum(shares) == pytest.approx(1)  # type: ignore[arg-type]
    known = np.array([np.mean([2, 6, 0]), np.mean([1, 2, 2])])
    live = np.array(smallest(core, 200))
    distance = core.of("attribution_distance")[0]
    assert distance.value == pytest.approx(np.abs(known / known.sum() - live / live.sum()).sum() / 2)
    assert core.of("attribution_ndcg")[0].state == "ok"


def test_a_slice_is_explained_by_its_own_smallest_hashes_however_rare_it_is() -> None:
    explainer = Additive()
    core = Core(explainer)
    core.events(1000)
    core.turn(END_US)
    rare, common = "\"c:plan\" = 'tin'", "\"c:plan\" = 'gold'"
    among = core.rows(
        f"SELECT count(*) FROM (SELECT * FROM predictions_1 ORDER BY id LIMIT 200) WHERE {common}"
    )[0][0]
    for where, name, k in ((rare, "plan=tin", 100), (common, "plan=gold", among)):
        found = core.of("attribution_mean_abs", segment=name)
        assert [r.value for r in found] == pytest.approx(smallest(core, k, where))
        assert found[0].n == k
    assert explainer.asked == [200 + 100 - (200 - among)]


def test_labels_do_not_have_a_window_explained_again_but_new_rows_do() -> None:
    explainer = Additive()
    core = Core(explainer, known=reference())
    core.events(300)
    core.turn(END_US)
    first = [r for m in ("attribution_share", "attribution_ndcg") for r in core.of(m)]
    requests = len(explainer.asked)
    core.land({FEEDBACK: [feedback(f"e{i}", "1") for i in range(300)]})
    core.turn(END_US + 1)
    assert core.of("accuracy")[0].state == "ok" and len(explainer.asked) == requests
    assert [r for m in ("attribution_share", "attribution_ndcg") for r in core.of(m)] == first
    core.events(10, start=300)
    core.turn(END_US + 2)
    assert len(explainer.asked) == requests + 1


def test_a_failure_is_the_state_of_every_explanation_metric_and_of_no_other() -> None:
    explainer = Additive()
    explainer.fails = "the model raised ValueError: no"
    core = Core(explainer, known=reference())
    core.events(50)
    core.turn(END_US)
    found = [r for r in read_results(core.cursor) if "attribution" in r.metric]
    assert {r.metric for r in found} == {
        "attribution_mean_abs", "attribution_mean", "attribution_share", "attribution_ndcg",
        "attribution_distance", "drifted_attribution_share",
    }  # fmt: skip
    assert {(r.state, r.detail["error"]) for r in found} == {("failed", explainer.fails)}
    assert {r.feature for r in found if r.metric == "attribution_share"} == {"age", "plan"}
    assert core.of("row_count")[0].value == 50
    assert read_explained(core.cursor, 1) is None


def test_a_reference_is_explained_once_and_remembered_over_a_restart() -> None:
    explainer = Additive()
    core = Core(explainer, known=reference())
    core.events(300)
    core.turn(END_US)
    assert len(explainer.asked) == 2 and explainer.asked[1] == 60
    again = Additive()
    core.cycle = Cycle(core.store, core.cursor, replace(core.cycle.monitored, explainer=again))
    core.events(5, start=300)
    core.turn(END_US + 1)
    assert len(again.asked) == 1 and 60 not in again.asked
    other = Additive()
    other.key = "another model"  # type: ignore[misc]
    core.cycle = Cycle(core.store, core.cursor, replace(core.cycle.monitored, explainer=other))
    core.events(5, start=305)
    core.turn(END_US + 2)
    assert other.asked[-1] == 60


def test_when_time_is_up_the_rows_that_were_explained_count() -> None:
    explainer = Additive()
    explainer.most = 50
    core = Core(explainer)
    core.events(500)
    core.turn(END_US)
    found = core.of("attribution_mean_abs")
    assert [r.value for r in found] == pytest.approx(smallest(core, 50))
    assert found[0].n == 50


def test_rows_of_the_newest_windows_are_kept_for_pictures() -> None:
    core = Core(Additive())
    core.events(300)
    core.turn(END_US)
    window, rows = read_explained(core.cursor, 1) or pytest.fail("nothing is kept")
    assert window == core.answers[0].window and rows.n == 200
    np.testing.assert_allclose(rows.attributions[:, 0, 0], 2 * rows.values["age"].to_numpy())
    again = ExplainedRows.from_bytes(rows.to_bytes())
    assert again.values.equals(rows.values) and again.features == ("age", "plan") and again.units == "margin"
    np.testing.assert_array_equal(again.attributions, rows.attributions)
    assert explained_windows(core.cursor, 1) == [window]


def test_kept_rows_are_bounded_in_number_and_in_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    many = ExplainedRows(
        pa.table({"a": np.arange(900.0)}), np.ones((900, 3, 200)), ("a",) * 200, ("x", "y", "z")
    )
    assert many.bounded().n == 200_000 // 600 == many.bounded().values.num_rows
    monkeypatch.setattr("monitor.store.explained.KEPT_WINDOWS", 2)
    core = Core(Additive())
    for hour in range(4):
        core.land({PREDICTIONS: [prediction(f"h{hour}", 60 * hour + 1)]})
    core.turn(END_US + 3 * 3_600_000_000)
    kept = explained_windows(core.cursor, 1)
    assert [w.start_us for w in kept] == [START_US + h * 3_600_000_000 for h in (3, 2)]


def test_a_window_of_a_model_without_its_explainer_says_so() -> None:
    core = InProcess(SPEC)
    core.land({PREDICTIONS: [prediction("e1", 1)]})
    core.turn(END_US)
    states = {r.state for r in read_results(core.cursor) if r.metric == "attribution_share"}
    assert states == {"failed"}
    assert json.dumps([dict(r.detail) for r in read_results(core.cursor)]).count("no explainer was given")
