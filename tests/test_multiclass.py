"""Scores by class from logged events to metrics: equal to scikit-learn on the raw rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from in_process import FEEDBACK, PREDICTIONS, SMALL, InProcess, feedback, prediction
from sklearn.metrics import log_loss, roc_auc_score

from monitor.engine import duckdb as engine
from monitor.store.results import read_results
from monitor.types import ChecksSpec, ModelSpec, Result

CLASSES = ("high", "it's", "low")  # a quote must survive the SQL
SPEC = replace(SMALL, task="multiclass", positive_class="high", checks=ChecksSpec(performance=True))


def draw(rows: int, seed: int, decimals: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities float64[rows, 3] and the index of the truth; some are certain."""
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet([2.0, 1.0, 0.7], rows)
    truth = np.array([rng.choice(3, p=row) for row in scores])
    scores = np.round(scores, decimals)
    scores[:, 2] = np.round(1 - scores[:, 0] - scores[:, 1], decimals)
    return np.clip(scores, 0, 1), truth


def ran(
    scores: np.ndarray, truth: np.ndarray, *, unlabelled: int = 0, spec: ModelSpec = SPEC, **extra: object
) -> InProcess:
    """Land these rows in one window, all labelled but the first ``unlabelled``, and evaluate it."""
    monitor = InProcess(spec)
    events = []
    for i, row in enumerate(scores):
        by_class = {c: float(p) for c, p in zip(CLASSES, row, strict=True) if np.isfinite(p)}
        best = max(by_class, key=by_class.__getitem__)
        events.append(prediction(f"e{i}", i % 60, prediction=best, scores=by_class, **extra))
    labels = [feedback(f"e{i}", CLASSES[k]) for i, k in enumerate(truth)][unlabelled:]
    monitor.land({PREDICTIONS: events, FEEDBACK: labels})
    monitor.turn()
    return monitor


def result(monitor: InProcess, metric: str) -> Result:
    found = [r for r in read_results(monitor.cursor) if r.metric == metric and not r.segment]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("seed", range(3))
def test_metrics_of_scores_are_those_of_scikit_learn_on_the_labelled_rows(seed: int) -> None:
    scores, truth = draw(1200, seed)
    monitor = ran(scores, truth, unlabelled=200)
    labelled, known = scores[200:], truth[200:]
    area = roc_auc_score(known, labelled, multi_class="ovr", average="macro")
    assert monitor.value("roc_auc") == pytest.approx(area, abs=1e-12)
    assert monitor.value("log_loss") == pytest.approx(log_loss(known, labelled, labels=[0, 1, 2]), rel=1e-12)
    squares = np.square(labelled - np.eye(3)[known]).sum(1)
    assert monitor.value("brier_score") == pytest.approx(squares.mean(), rel=1e-12)


def test_each_class_has_its_area_against_the_rest() -> None:
    scores, truth = draw(500, 5)
    detail = result(ran(scores, truth), "roc_auc").detail["per_class"]
    expected = {c: roc_auc_score(truth == k, scores[:, k]) for k, c in enumerate(CLASSES)}
    assert detail == pytest.approx(expected, abs=1e-12)


def test_continuous_scores_are_ranked_to_a_ten_thousandth() -> None:
    scores, truth = draw(2000, 6, decimals=12)
    area = roc_auc_score(truth, scores, multi_class="ovr", average="macro")
    assert result(ran(scores, truth), "roc_auc").value == pytest.approx(area, abs=1e-4)


def test_a_window_cut_into_panes_has_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, truth = draw(600, 7)
    whole = ran(scores, truth)
    monkeypatch.setattr(engine, "PANE_ROWS", 100)
    cut = ran(scores, truth)
    for metric in ("roc_auc", "log_loss", "brier_score"):
        assert cut.value(metric) == pytest.approx(whole.value(metric), rel=1e-12)


def test_a_true_class_without_a_score_leaves_ranking_but_no_probabilities() -> None:
    scores, truth = draw(400, 8)
    scores[truth == 2, 2] = np.nan  # these rows do not log the score of what was true
    monitor = ran(scores, truth)
    assert result(monitor, "log_loss").state == "not_applicable"
    assert "true class" in str(result(monitor, "log_loss").detail["reason"])
    assert result(monitor, "roc_auc").state == "ok"


def test_scores_beyond_one_are_no_probabilities() -> None:
    scores, truth = draw(300, 9)
    monitor = ran(scores * 1.5, truth)
    assert result(monitor, "brier_score").state == "not_applicable"


def test_without_scores_there_is_no_metric_of_scores_and_the_rest_goes_on() -> None:
    monitor = InProcess(SPEC)
    events = [prediction(f"e{i}", prediction="low") for i in range(50)]
    monitor.land({PREDICTIONS: events, FEEDBACK: [feedback(f"e{i}", "low") for i in range(50)]})
    monitor.turn()
    assert result(monitor, "log_loss").state == "not_applicable"
    assert monitor.value("accuracy") == 1.0


def test_each_segment_has_the_scores_of_its_own_rows() -> None:
    scores, truth = draw(400, 10)
    spec = replace(SPEC, segments=("plan",))
    monitor = InProcess(spec)
    plans = ["gold" if i % 3 else "basic" for i in range(400)]
    events = [
        prediction(
            f"e{i}", prediction="low", scores=dict(zip(CLASSES, map(float, scores[i]), strict=True)),
            features={"age": 1, "plan": plans[i]},
        )
        for i in range(400)
    ]  # fmt: skip
    labels = [feedback(f"e{i}", CLASSES[k]) for i, k in enumerate(truth)]
    monitor.land({PREDICTIONS: events, FEEDBACK: labels})
    monitor.turn()
    for plan in ("gold", "basic"):
        held = np.array(plans) == plan
        (found,) = [
            r.value for r in read_results(monitor.cursor)
            if r.metric == "log_loss" and r.segment == f"plan={plan}"
        ]  # fmt: skip
        assert found == pytest.approx(log_loss(truth[held], scores[held], labels=[0, 1, 2]), rel=1e-12)


def test_the_order_of_arrival_changes_no_bit() -> None:
    scores, truth = draw(200, 11)
    monitors = [ran(scores, truth), InProcess(SPEC)]
    events = [
        prediction(f"e{i}", i % 60, prediction=CLASSES[int(scores[i].argmax())],
                   scores={c: float(p) for c, p in zip(CLASSES, scores[i], strict=True)})
        for i in range(200)
    ]  # fmt: skip
    labels = [feedback(f"e{i}", CLASSES[k]) for i, k in enumerate(truth)]
    monitors[1].land({PREDICTIONS: events[::-1], FEEDBACK: labels[::-1]})
    monitors[1].turn()
    for metric in ("roc_auc", "log_loss", "brier_score"):
        assert monitors[0].value(metric) == monitors[1].value(metric)
