"""Estimates from a configured reference and landed events to stored results, with and without labels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from in_process import FEEDBACK, PREDICTIONS, SMALL, InProcess, feedback, prediction
from sklearn.ensemble import RandomForestRegressor
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import accuracy_score
from streams import HOUR_US, START_US

from monitor import config
from monitor.build import plan
from monitor.engine import duckdb as engine
from monitor.errors import ConfigError
from monitor.reference.build import build
from monitor.reference.learn import learn
from monitor.reference.profile import Reference, ReferenceFile
from monitor.store.results import read_results
from monitor.summaries.calibration import Calibrator
from monitor.summaries.error_model import ErrorModel
from monitor.types import ChecksSpec, Result

CHECKS = ChecksSpec(performance=True, estimate=True)
BINARY = replace(SMALL, checks=CHECKS)
REGRESSION = replace(BINARY, task="regression")


def credit(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    score = np.round(rng.beta(2, 2, rows), 3)
    return pd.DataFrame(
        {
            "age": rng.integers(18, 80, rows), "plan": rng.choice(["basic", "gold"], rows), "score": score,
            "prediction": (score > 0.5).astype(int).astype(str),
            "label": (rng.random(rows) < score**2).astype(int).astype(str),
        }
    )  # fmt: skip


def prices(rows: int, seed: int) -> pd.DataFrame:
    """Return a regression whose error is three times as large for plan gold and grows with age."""
    rng = np.random.default_rng(seed)
    age, plan = rng.uniform(20, 80, rows), rng.choice(["basic", "gold"], rows)
    truth = rng.normal(100, 30, rows)
    spread = np.where(plan == "gold", 3.0, 1.0) * age / 50
    return pd.DataFrame(
        {"age": age, "plan": plan, "prediction": truth + rng.normal(0, spread), "label": truth}
    )


def known(frame: pd.DataFrame, folder: Path, task: str) -> Reference:
    frame.to_parquet(folder / "reference.parquet")
    file = ReferenceFile(folder / "reference.parquet")
    with file.rows(replace(SMALL, task=task)) as query:  # type: ignore[arg-type]
        profile = build(query)
        return replace(profile, learned=learn(query, profile))


def land(monitor: InProcess, frame: pd.DataFrame, *, labels: bool, backwards: bool = False) -> None:
    rows = frame.to_dict("records")[:: -1 if backwards else 1]
    events, known_labels = [], []
    for row in rows:
        event_id = f"e{row['age']}-{row['prediction']}-{len(events)}"
        fields = {"prediction": row["prediction"], "features": {"age": row["age"], "plan": row["plan"]}}
        scored = {"score": row["score"]} if row.get("score") is not None else {}
        events.append(prediction(event_id, len(events) % 60, **fields, **scored))
        known_labels.append(feedback(event_id, row["label"]))
    monitor.land({PREDICTIONS: events, **({FEEDBACK: known_labels} if labels else {})})


def found(monitor: InProcess, metric: str) -> Result:
    (one,) = [r for r in read_results(monitor.cursor) if r.metric == metric]
    return one


def test_the_estimate_is_there_before_labels_and_the_error_after_them(tmp_path: Path) -> None:
    window = credit(400, 2)
    history = credit(4000, 1)
    monitor = InProcess(BINARY, reference=known(history, tmp_path, "binary"))
    land(monitor, window, labels=False)
    monitor.turn(START_US + HOUR_US)
    isotonic = IsotonicRegression(out_of_bounds="clip").fit(history["score"], history["label"] == "1")
    p, chosen = isotonic.predict(window["score"]), window["prediction"] == "1"
    by_hand = float(np.where(chosen, p, 1 - p).mean())
    first = found(monitor, "estimated_accuracy")
    assert first.value == pytest.approx(by_hand, abs=1e-8)
    assert (first.n, first.n_reference, first.detail["calibrated"]) == (400, 4000, True)
    assert found(monitor, "estimation_error_accuracy").state == "awaiting_labels"
    labels = [
        feedback(f"e{row.age}-{row.prediction}-{i}", row.label) for i, row in enumerate(window.itertuples())
    ]
    monitor.land({FEEDBACK: labels})
    monitor.turn(START_US + HOUR_US)
    assert found(monitor, "estimated_accuracy").value == first.value
    realised = accuracy_score(window["label"], window["prediction"])
    assert found(monitor, "accuracy").value == pytest.approx(realised)
    assert found(monitor, "estimation_error_accuracy").value == pytest.approx(by_hand - realised, abs=1e-8)


def test_expected_errors_of_a_regression_follow_the_inputs(tmp_path: Path) -> None:
    reference = known(prices(8000, 1), tmp_path, "regression")
    window = prices(3000, 2)
    window = window[(window["plan"] == "gold") | (window.index % 4 == 0)]  # gold, the hard ones, are more
    monitor = InProcess(REGRESSION, reference=reference)
    land(monitor, window, labels=True)
    monitor.turn()
    error = window["prediction"] - window["label"]
    usual = prices(8000, 1).eval("prediction - label").abs().mean()
    value = found(monitor, "estimated_mae").value
    assert value == pytest.approx(error.abs().mean(), rel=0.06)
    assert abs(usual / error.abs().mean() - 1) > 0.15  # what a constant guess would have been off by
    assert found(monitor, "estimated_rmse").value == pytest.approx(np.sqrt((error**2).mean()), rel=0.08)
    difference = found(monitor, "estimation_error_mae")
    assert difference.value == pytest.approx(value - error.abs().mean(), abs=1e-9)


def test_panes_and_the_order_of_arrival_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, window = known(credit(2000, 1), tmp_path, "binary"), credit(300, 3)
    answers = []
    for pane_rows in (1 << 20, 40):
        monkeypatch.setattr(engine, "PANE_ROWS", pane_rows)
        monitor = InProcess(BINARY, reference=reference)
        land(monitor, window, labels=False, backwards=pane_rows == 40)
        monitor.turn()
        answers.append([found(monitor, f"estimated_{name}") for name in ("accuracy", "f1", "roc_auc")])
    assert answers[0] == answers[1]


def test_rows_without_a_score_are_left_out_and_counted(tmp_path: Path) -> None:
    window = credit(200, 4).astype({"score": object})
    window.loc[:49, "score"] = None
    monitor = InProcess(BINARY, reference=known(credit(2000, 1), tmp_path, "binary"))
    land(monitor, window, labels=False)
    monitor.turn()
    one = found(monitor, "estimated_accuracy")
    assert (one.n, one.detail["unscored"]) == (150, 50)


def test_without_a_reference_estimates_say_so_and_performance_goes_on() -> None:
    monitor = InProcess(BINARY)
    land(monitor, credit(100, 5), labels=True)
    monitor.turn()
    assert found(monitor, "estimated_accuracy").state == "no_reference"
    assert found(monitor, "accuracy").state == "ok"


def test_estimates_alone_need_no_performance_check(tmp_path: Path) -> None:
    spec = replace(BINARY, checks=ChecksSpec(estimate=True))
    monitor = InProcess(spec, reference=known(credit(500, 1), tmp_path, "binary"), has_feedback=False)
    land(monitor, credit(100, 5), labels=False)
    monitor.turn()
    assert found(monitor, "estimated_roc_auc").state == "ok"
    assert found(monitor, "estimation_error_roc_auc").state == "no_labels"
    assert not [r for r in read_results(monitor.cursor) if r.metric == "accuracy"]


# ---- what is learnt ------------------------------------------------------------------------------------


def test_what_was_learnt_comes_back_from_the_store_bit_for_bit(tmp_path: Path) -> None:
    for frame, task in ((credit(900, 1), "binary"), (prices(900, 1), "regression")):
        first = known(frame, tmp_path, task).learned
        text = known(frame, tmp_path, task).to_json()
        again = Reference.from_json(text).learned
        assert first is not None and again is not None
        assert type(first) is type(again) and first.to_bytes() == again.to_bytes()
        assert json.loads(text)["learned"]


def test_the_order_of_the_reference_rows_changes_no_calibrator() -> None:
    rng = np.random.default_rng(1)
    scores = np.round(rng.random(999), 2)
    truths = rng.random(999) < scores**2
    assert Calibrator.fit(scores, truths).to_bytes() == Calibrator.fit(scores[::-1], truths[::-1]).to_bytes()


def test_calibrated_scores_are_mostly_left_as_they_are_and_others_are_not() -> None:
    kept = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        scores = rng.random(2000)
        kept += not Calibrator.fit(scores, rng.random(2000) < scores).calibrated
        assert Calibrator.fit(scores, rng.random(2000) < scores / 3).calibrated
    assert kept >= 5  # held-out errors of both are mere noise, so the choice may fall either way


@pytest.mark.parametrize(
    "scores, truths, words", [([0.1, 1.5], [0, 1], "outside"), ([0.1, 0.5], [1, 1], "one class")]
)
def test_what_no_calibrator_can_be_learnt_from_is_refused(
    scores: list[float], truths: list[int], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        Calibrator.fit(np.array(scores), np.array(truths, dtype=bool))


def test_the_stored_forest_answers_as_scikit_learn_does() -> None:
    rng = np.random.default_rng(3)
    columns = {"a": rng.normal(size=800), "b": rng.integers(0, 5, 800).astype(float)}
    errors = rng.normal(0, 1 + np.abs(columns["a"]))
    model = ErrorModel.fit(columns, errors)
    targets = np.stack([np.abs(errors), errors**2], axis=1)
    forest = RandomForestRegressor(20, max_depth=8, min_samples_leaf=20, random_state=0)
    forest.fit(np.stack(list(columns.values()), axis=1).astype(np.float32), targets / targets.std(0))
    fresh = {"a": rng.normal(size=300), "b": rng.integers(0, 9, 300).astype(float)}
    answer = forest.predict(np.stack(list(fresh.values()), axis=1).astype(np.float32)) * targets.std(0)
    np.testing.assert_allclose(ErrorModel.from_bytes(model.to_bytes())(fresh), answer, rtol=1e-10)


def test_missing_values_and_new_categories_get_an_ordinary_error() -> None:
    rng = np.random.default_rng(4)
    plan = rng.choice(np.array(["basic", "gold", None], dtype=object), 3000, p=[0.5, 0.4, 0.1])
    errors = rng.normal(0, np.where(plan == "gold", 3.0, 1.0))
    model = ErrorModel.fit({"plan": plan, "x": rng.normal(size=3000)}, errors)
    asked = {
        "plan": np.array(["gold", "basic", "new", None], dtype=object),
        "x": np.array([0.0, 0.0, np.nan, 0.0]),
    }
    gold, basic, new, missing = model(asked)[:, 0]
    usual = float(np.sqrt(2 / np.pi))  # of a standard normal; missing ones were like it in the reference
    assert gold == pytest.approx(3 * usual, rel=0.1)
    assert (basic, missing) == pytest.approx((usual, usual), rel=0.1)
    assert usual * 0.9 < new < gold
    assert np.isfinite(model(asked)).all()


def test_a_column_that_is_all_missing_is_no_obstacle() -> None:
    nothing = np.full(100, None, dtype=object)
    model = ErrorModel.fit({"plan": nothing, "x": np.full(100, np.nan)}, np.ones(100))
    later = {"plan": np.array(["a"], dtype=object), "x": np.array([1.0])}
    np.testing.assert_allclose(model(later), [[1.0, 1.0]])


# ---- configuration -------------------------------------------------------------------------------------

CONFIG = """
store: {{path: state.duckdb}}
sources: {{events: {{kind: memory}}}}
models:
  - name: credit
    task: {task}
    predictions: {{source: events, topic: p}}
    {reference}
    window: {{size: 1h}}
    checks: {{estimate: {{}}}}
"""


def problems(folder: Path, *, task: str = "binary", reference: str = "reference: {path: r.csv}") -> str:
    (folder / "c.yaml").write_text(CONFIG.format(task=task, reference=reference))
    with pytest.raises(ConfigError) as caught:
        plan(config.load(folder / "c.yaml"))
    return str(caught.value)


def test_estimates_need_a_labelled_reference_with_scores(tmp_path: Path) -> None:
    assert "needs a labelled reference" in problems(tmp_path, reference="")
    (tmp_path / "r.csv").write_text("age,score\n1,0.5\n")
    assert "no row has a label" in problems(tmp_path)
    (tmp_path / "r.csv").write_text("age,label\n1,1\n")
    assert "no row has a score" in problems(tmp_path)
    (tmp_path / "r.csv").write_text("age,label,score\n1,1,0.5\n2,1,0.6\n")
    assert "one class only" in problems(tmp_path)
    (tmp_path / "r.csv").write_text("age,label,score\n1,1,7\n2,0,0.6\n")
    assert "no probabilities" in problems(tmp_path)
    assert "only with binary and regression" in problems(tmp_path, task="multiclass")


def test_a_configured_estimate_is_planned_with_what_it_learnt(tmp_path: Path) -> None:
    credit(300, 1).to_csv(tmp_path / "r.csv", index=False)
    (tmp_path / "c.yaml").write_text(CONFIG.format(task="binary", reference="reference: {path: r.csv}"))
    the_plan = plan(config.load(tmp_path / "c.yaml"))
    reference = the_plan.references["credit"]
    assert the_plan.specs[0].checks.estimate
    assert reference is not None and isinstance(reference.learned, Calibrator)
