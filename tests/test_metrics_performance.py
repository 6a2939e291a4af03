"""Performance metrics against scikit-learn and hand-worked numbers, on the raw rows."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as skm

from monitor.metrics import Outcome, TaskData, find, metrics
from monitor.metrics.examples import classified, regressed
from monitor.metrics.performance import calibration_error, roc_auc

Oracle = Callable[[list[str], list[str]], float]
BINARY: dict[str, Oracle] = {
    "accuracy": skm.accuracy_score,
    "balanced_accuracy": skm.balanced_accuracy_score,
    "precision": lambda t, p: skm.precision_score(t, p, pos_label="1", zero_division=np.nan),
    "recall": lambda t, p: skm.recall_score(t, p, pos_label="1", zero_division=np.nan),
    "f1": lambda t, p: skm.f1_score(t, p, pos_label="1", zero_division=np.nan),
    "mcc": skm.matthews_corrcoef,
    "cohen_kappa": skm.cohen_kappa_score,
    "baseline_accuracy": lambda t, p: max(t.count(c) for c in t) / len(t),
}
MULTICLASS: dict[str, Oracle] = {
    **BINARY,
    "precision": lambda t, p: skm.precision_score(t, p, average="macro", zero_division=np.nan),
    "recall": lambda t, p: skm.recall_score(t, p, average="macro", zero_division=np.nan),
    "f1": lambda t, p: skm.f1_score(t, p, average="macro", zero_division=np.nan),
}
SCORED: dict[str, Callable[[Any, Any], float]] = {
    "roc_auc": skm.roc_auc_score,
    "average_precision": skm.average_precision_score,
    "log_loss": lambda t, s: skm.log_loss(t, s, labels=[0, 1]),
    "brier_score": skm.brier_score_loss,
}


def ask(name: str, data: TaskData) -> Outcome:
    return find(name)(data)


def single(truths: list[str], predictions: list[str]) -> bool:
    return len(set(truths)) < 2 or len(set(predictions)) < 2


def assert_like(name: str, data: TaskData, oracle: Oracle, truths: list[str], predictions: list[str]) -> None:
    """Compare with the oracle, which answers NaN (or 0 by decree) where the metric does not exist."""
    outcome = ask(name, data)
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore")
        expected = oracle(truths, predictions)
    if outcome.value is None:
        assert outcome.state == "single_class" and outcome.detail["reason"]
        undefined_by_decree = name in ("mcc", "balanced_accuracy", "cohen_kappa") and single(
            truths, predictions
        )
        assert math.isnan(expected) or undefined_by_decree
    else:
        assert outcome.value == pytest.approx(expected, abs=1e-12)
        assert outcome.n == len(truths)
        if outcome.lower is not None and outcome.upper is not None:
            assert find(name).low <= outcome.lower <= outcome.upper <= find(name).high


@pytest.mark.parametrize("name", BINARY)
@given(rows=st.lists(st.tuples(st.sampled_from("01"), st.sampled_from("01")), min_size=1, max_size=25))
@settings(max_examples=40, deadline=None)
def test_binary_metrics_equal_scikit_learn(name: str, rows: list[tuple[str, str]]) -> None:
    truths, predictions = [t for t, _ in rows], [p for _, p in rows]
    assert_like(name, classified(truths, predictions), BINARY[name], truths, predictions)


@pytest.mark.parametrize("name", MULTICLASS)
@given(rows=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abd")), min_size=1, max_size=25))
@settings(max_examples=40, deadline=None)
def test_multiclass_metrics_equal_scikit_learn(name: str, rows: list[tuple[str, str]]) -> None:
    truths, predictions = [t for t, _ in rows], [p for _, p in rows]
    data = classified(truths, predictions, task="multiclass")
    assert_like(name, data, MULTICLASS[name], truths, predictions)


def test_multiclass_detail_has_each_class_and_the_weighted_mean() -> None:
    rng = np.random.default_rng(0)
    truths, predictions = rng.choice(list("abc"), 200).tolist(), rng.choice(list("abc"), 200).tolist()
    detail = ask("f1", classified(truths, predictions, task="multiclass")).detail
    assert list(detail["per_class"].values()) == pytest.approx(
        skm.f1_score(truths, predictions, average=None)
    )
    assert detail["weighted"] == pytest.approx(skm.f1_score(truths, predictions, average="weighted"))


def test_what_does_not_exist_is_said_so_and_never_zero() -> None:
    never = classified("1100", "0000")
    assert (ask("precision", never).value, ask("precision", never).state) == (None, "single_class")
    assert ask("recall", never).value == 0.0
    nothing_positive = classified("0000", "0000")
    assert [ask(m, nothing_positive).state for m in ("precision", "recall", "f1")] == ["single_class"] * 3
    assert ask("accuracy", nothing_positive).value == 1.0
    assert ask("accuracy", classified([None, None], "10")).state == "no_labels"
    assert ask("accuracy", classified([], [])).state == "insufficient_samples"
    assert ask("mae", nothing_positive).state == "not_applicable"


def scored(seed: int, n: int, shape: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = {
        "spread": rng.random(n),
        "skewed": rng.beta(0.3, 30, size=n),
        "ties": rng.choice([0.0, 0.1, 0.5, 1.0], size=n),
    }[shape]
    truths = (rng.random(n) < 0.1 + 0.8 * scores).astype(int)
    truths[:2] = [0, 1]
    return scores, truths


@pytest.mark.parametrize("name", SCORED)
@pytest.mark.parametrize("shape", ["spread", "skewed", "ties"])
@pytest.mark.parametrize("n", [2, 50, 900])
def test_score_metrics_equal_scikit_learn(name: str, shape: str, n: int) -> None:
    scores, truths = scored(n, n, shape)
    outcome = ask(name, classified(truths.astype(str).tolist(), ["1"] * n, scores.tolist()))
    assert outcome.value == pytest.approx(SCORED[name](truths, scores), abs=1e-9)
    assert outcome.n == n


def test_auc_of_many_continuous_scores_is_within_a_millionth() -> None:
    scores, truths = scored(1, 100_000, "spread")
    data = classified(truths.astype(str).tolist(), ["1"] * len(truths), scores.tolist())
    assert ask("roc_auc", data).value == pytest.approx(skm.roc_auc_score(truths, scores), abs=1e-6)


def test_auc_error_is_that_of_delong_over_all_pairs() -> None:
    rng = np.random.default_rng(2)
    negatives, positives = rng.integers(0, 20, size=40), rng.integers(5, 25, size=30)
    counts = np.stack([np.bincount(side, minlength=25) for side in (negatives, positives)])
    wins = (positives[:, None] > negatives) + 0.5 * (positives[:, None] == negatives)
    variance = wins.mean(1).var(ddof=1) / 30 + wins.mean(0).var(ddof=1) / 40
    assert roc_auc.area(counts) == pytest.approx((wins.mean(), math.sqrt(variance)))


def test_scores_outside_the_unit_interval_rank_but_are_no_probabilities() -> None:
    data = classified("0101", "0101", [-5.0, 7.0, 0.5, 0.4])
    assert ask("roc_auc", data).value == 0.75
    for name in ("log_loss", "brier_score", "calibration_error"):
        assert ask(name, data).state == "not_applicable"


def test_one_class_has_a_log_loss_but_no_auc() -> None:
    data = classified("11", "11", [0.5, 0.5])
    assert ask("log_loss", data).value == pytest.approx(math.log(2))
    assert ask("roc_auc", data).state == ask("average_precision", data).state == "single_class"
    assert ask("roc_auc", classified("10", "11")).state == "not_applicable"


def test_certain_and_wrong_is_finite_as_in_scikit_learn() -> None:
    expected = skm.log_loss([1, 0], [0.0, 0.5])
    assert ask("log_loss", classified("10", "01", [0.0, 0.5])).value == pytest.approx(expected)


def test_multiclass_scores_equal_scikit_learn() -> None:
    rng = np.random.default_rng(4)
    scores = rng.dirichlet([1, 1, 1], size=400)
    truths = np.array([rng.choice(list("abc"), p=row) for row in scores])
    columns = {name: scores[:, i].tolist() for i, name in enumerate("abc")}
    data = classified(truths.tolist(), truths.tolist(), columns, task="multiclass")
    assert ask("log_loss", data).value == pytest.approx(skm.log_loss(truths, scores, labels=list("abc")))
    assert ask("brier_score", data).value == pytest.approx(skm.brier_score_loss(truths, scores))
    expected = skm.roc_auc_score(truths, scores, multi_class="ovr", labels=list("abc"))
    assert ask("roc_auc", data).value == pytest.approx(expected)
    del columns["c"]
    short = classified(truths.tolist(), truths.tolist(), columns, task="multiclass")
    assert ask("log_loss", short).state == "not_applicable"


def test_calibration_error_is_that_of_ten_equal_chunks_of_the_sorted_scores() -> None:
    rng = np.random.default_rng(5)
    scores = np.sort(rng.choice(4096, size=1000, replace=False) / 4096)
    truths = (rng.random(1000) < scores**2).astype(int)
    chunks = np.array_split(np.arange(1000), 10)
    expected = sum(abs(scores[c].mean() - truths[c].mean()) * len(c) / 1000 for c in chunks)
    outcome = ask("calibration_error", classified(truths.astype(str).tolist(), ["1"] * 1000, scores.tolist()))
    assert outcome.value == pytest.approx(expected, abs=1e-8)
    assert outcome.lower is not None and outcome.upper is not None
    assert 0 < outcome.lower < expected < outcome.upper


def test_equal_scores_share_a_calibration_bin() -> None:
    data = classified("1000", "1111", [0.4] * 4)
    counts, means = calibration_error.reliability(data.scores["1"])
    assert (counts.tolist(), means.tolist()) == ([[3], [1]], pytest.approx([0.4]))


@pytest.mark.parametrize("seed", range(3))
def test_regression_metrics_equal_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truths = rng.lognormal(1, 1, size=300)
    predictions = truths + rng.standard_cauchy(size=300)
    data = regressed(truths.tolist(), predictions.tolist(), center=2.0)
    oracles = {
        "mae": skm.mean_absolute_error(truths, predictions),
        "rmse": skm.root_mean_squared_error(truths, predictions),
        "mape": skm.mean_absolute_percentage_error(truths, predictions),
        "r2": skm.r2_score(truths, predictions),
        "mean_error": (predictions - truths).mean(),
        "baseline_rmse": skm.root_mean_squared_error(truths, np.full(300, 2.0)),
    }
    for name, expected in oracles.items():
        assert ask(name, data).value == pytest.approx(expected, rel=1e-9), name
    expected = skm.median_absolute_error(truths, predictions)
    assert ask("median_absolute_error", data).value == pytest.approx(expected, rel=0.03)


def test_r2_interval_is_the_delta_methods_of_the_logarithm_whatever_the_centre() -> None:
    rng = np.random.default_rng(6)
    truths = rng.normal(10, 2, size=500)
    predictions = truths + rng.normal(size=500)
    a, b = ((predictions - truths) ** 2).mean(), truths.var()
    influence = -((predictions - truths) ** 2 - a) / b + a * ((truths - truths.mean()) ** 2 - b) / b**2
    freedom = 2 * 500 / (stats.kurtosis((predictions - truths) ** 2, fisher=False) - 1)
    half = stats.t.ppf(0.975, freedom) * influence.std() / math.sqrt(500)
    assert 20 < freedom < 200
    for center in (0.0, 10.0):
        outcome = ask("r2", regressed(truths.tolist(), predictions.tolist(), center=center))
        assert outcome.lower == pytest.approx(1 - a / b * math.exp(half * b / a), rel=1e-4)


def test_regression_edge_cases_have_reasons() -> None:
    assert ask("r2", regressed([2, 2], [1, 3])).state == "single_class"
    outcome = ask("mape", regressed([0, 0], [1, 3]))
    assert (outcome.state, outcome.detail["zero_truths"]) == ("not_applicable", 2)
    assert ask("rmse", regressed([1], [4])).value == 3.0
    assert ask("rmse", regressed([1], [4])).lower is None
    assert ask("rmse", regressed([1e300], [-1e300])).state == "not_applicable"


def test_the_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    cells, covered = [0.3, 0.1, 0.15, 0.45], 0
    truth = 0.45 / (0.45 + 0.1)
    for seed in range(400):
        rows = rng.choice(4, size=250, p=cells)
        truths, predictions = ["0011"[i] for i in rows], ["0101"[i] for i in rows]
        outcome = ask("precision", classified(truths, predictions, seed=seed))
        assert outcome.lower is not None and outcome.upper is not None
        covered += outcome.lower <= truth <= outcome.upper
    assert 0.91 < covered / 400 < 0.985


def test_the_same_seed_gives_the_same_interval_whatever_was_asked_before() -> None:
    def fresh() -> TaskData:
        return classified("110100" * 9, "101100" * 9, [0.9, 0.2, 0.7, 0.6, 0.4, 0.1] * 9, seed=3)

    forward, backward = fresh(), fresh()
    entries = [m for m in metrics("performance", "task") if "binary" in m.applies]
    first = {m.name: m(forward) for m in entries}
    assert first == {m.name: m(backward) for m in reversed(entries)}
    assert first["accuracy"].lower is not None


def test_very_many_classes_have_a_value_and_no_interval() -> None:
    rng = np.random.default_rng(8)
    truths, predictions = (rng.integers(0, 200, size=8000).astype(str).tolist() for _ in range(2))
    outcome = ask("accuracy", classified(truths, predictions, task="multiclass"))
    assert outcome.value == skm.accuracy_score(truths, predictions)
    assert (outcome.lower, outcome.upper) == (None, None)


def test_label_coverage_counts_what_waits() -> None:
    outcome = ask("label_coverage", classified(["1", None, None, "0"], "1111"))
    assert (outcome.value, outcome.n) == (0.5, 4)
    assert ask("label_coverage", classified([None], "1")).value == 0.0
