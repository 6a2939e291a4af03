"""Performance estimated without labels: NannyML's published formulas on raw rows, and simulated windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

from monitor.metrics import Outcome, TaskData, find
from monitor.metrics.estimates import EstimateData, ExpectedErrors
from monitor.metrics.examples import expected, expected_errors, regressed
from monitor.summaries.calibration import Calibrator

CLASSIFICATION = ("accuracy", "precision", "recall", "f1", "roc_auc")
REALISED = {
    "accuracy": accuracy_score,
    "precision": precision_score,
    "recall": recall_score,
    "f1": f1_score,
}


def ask(name: str, data: EstimateData) -> Outcome:
    return find(name)(data)


def texts(flags: Sequence[bool] | np.ndarray) -> list[str]:
    return ["1" if flag else "0" for flag in flags]


def by_hand(p: np.ndarray, scores: np.ndarray, chosen: np.ndarray) -> dict[str, float]:
    """Return the estimates by the published formulas, row by row: expected cells, and pairs for the area."""
    tp = sum(float(a) for a, c in zip(p, chosen, strict=True) if c)
    fp = sum(1 - float(a) for a, c in zip(p, chosen, strict=True) if c)
    fn = sum(float(a) for a, c in zip(p, chosen, strict=True) if not c)
    tn = sum(1 - float(a) for a, c in zip(p, chosen, strict=True) if not c)
    wins = (scores[:, None] > scores) + 0.5 * (scores[:, None] == scores)
    return {
        "accuracy": (tp + tn) / len(p),
        "precision": tp / (tp + fp),
        "recall": tp / (tp + fn),
        "f1": tp / (tp + 0.5 * (fp + fn)),
        "roc_auc": float((p[:, None] * (1 - p) * wins).sum() / (p.sum() * (1 - p).sum())),
    }


@pytest.mark.parametrize("seed", range(4))
def test_estimates_are_the_published_formulas_on_isotonically_calibrated_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    known = np.round(rng.beta(2, 3, 3000), 3)
    truth = rng.random(3000) < known**2  # badly calibrated
    scores = np.round(rng.beta(1, 1 + seed, 800), 3)
    chosen = (scores > 0.5) ^ (rng.random(800) < 0.05)  # decided by more than the score
    calibrator = Calibrator.fit(known, truth)
    assert calibrator.calibrated
    isotonic = IsotonicRegression(out_of_bounds="clip").fit(known, truth)
    hand = by_hand(isotonic.predict(scores), scores, chosen)
    data = expected(texts(chosen), scores.tolist(), calibrator=calibrator)
    found = {name: ask(f"estimated_{name}", data).value for name in CLASSIFICATION}
    assert found == pytest.approx(hand, abs=1e-7)


def test_continuous_scores_give_the_same_cells_and_nearly_the_same_area() -> None:
    rng = np.random.default_rng(9)
    known = rng.random(2000)
    calibrator = Calibrator.fit(known, rng.random(2000) < np.sqrt(known))
    scores = rng.random(700)
    p = np.interp(scores, calibrator.knots, calibrator.probabilities)
    hand = by_hand(p, scores, scores > 0.4)
    data = expected(texts(scores > 0.4), scores.tolist(), calibrator=calibrator)
    for name in CLASSIFICATION:
        near = 1e-4 if name == "roc_auc" else 1e-8
        assert ask(f"estimated_{name}", data).value == pytest.approx(hand[name], abs=near)


def realised(name: str, truth: np.ndarray, chosen: np.ndarray, scores: np.ndarray) -> float:
    if name == "roc_auc":
        return float(roc_auc_score(truth, scores))
    return float(REALISED[name](truth, chosen))


@pytest.mark.slow
@pytest.mark.parametrize("rows", [300, 2000])
def test_the_realised_value_lies_in_the_interval_of_95_of_100_windows(rows: int) -> None:
    rng, windows = np.random.default_rng(rows), 600
    inside = dict.fromkeys(CLASSIFICATION, 0)
    for seed in range(windows):
        scores = rng.beta(1.2, 2.0, rows)
        truth, chosen = rng.random(rows) < scores, scores > 0.5
        data = expected(texts(chosen), scores.tolist(), seed=seed)
        for name in CLASSIFICATION:
            outcome = ask(f"estimated_{name}", data)
            assert outcome.lower is not None and outcome.upper is not None and outcome.value is not None
            assert outcome.lower <= outcome.value <= outcome.upper
            inside[name] += outcome.lower <= realised(name, truth, chosen, scores) <= outcome.upper
    assert all(0.93 <= n / windows <= 0.97 for n in inside.values()), inside


def test_a_small_reference_gives_intervals_wide_enough_for_its_own_error() -> None:
    rng, inside, windows = np.random.default_rng(12), 0, 100
    for seed in range(windows):
        known, scores = rng.beta(2, 3, 1000), rng.beta(2, 3, 5000)
        calibrator = Calibrator.fit(known, rng.random(1000) < known**2)
        truth, chosen = rng.random(5000) < scores**2, scores > 0.6
        data = expected(texts(chosen), scores.tolist(), calibrator=calibrator, seed=seed)
        outcome = ask("estimated_accuracy", data)
        inside += outcome.lower <= accuracy_score(truth, chosen) <= outcome.upper
    assert inside >= 85  # 95 but for the fit to its own rows; with the draws of labels alone it is below 60


@pytest.mark.slow
def test_the_estimate_is_unbiased_for_the_accuracy_that_labels_give() -> None:
    rng = np.random.default_rng(3)
    differences = []
    for _ in range(400):
        scores = rng.random(400)
        truth, chosen = rng.random(400) < scores, scores > 0.3
        value = ask("estimated_accuracy", expected(texts(chosen), scores.tolist())).value
        differences.append(value - accuracy_score(truth, chosen))
    mean, error = np.mean(differences), np.std(differences) / 20
    assert abs(mean) < 4 * error


def test_a_covariate_shift_moves_the_estimate_to_where_labels_move_it() -> None:
    rng = np.random.default_rng(4)
    known = rng.beta(2, 5, 20_000)
    calibrator = Calibrator.fit(known, rng.random(20_000) < 0.5 * known + 0.25)
    scores = rng.beta(5, 5, 20_000)  # another distribution, the same truth behind each score
    truth = rng.random(20_000) < 0.5 * scores + 0.25
    value = ask(
        "estimated_accuracy", expected(texts(scores > 0.5), scores.tolist(), calibrator=calibrator)
    ).value
    assert value == pytest.approx(accuracy_score(truth, scores > 0.5), abs=0.015)


def test_the_estimation_error_is_estimated_minus_realised_and_holds_zero_without_concept_drift() -> None:
    rng, inside = np.random.default_rng(5), 0
    for seed in range(200):
        scores = rng.random(500)
        truth, chosen = rng.random(500) < scores, scores > 0.5
        data = expected(texts(chosen), scores.tolist(), texts(truth), seed=seed)
        outcome = ask("estimation_error_accuracy", data)
        estimate = ask("estimated_accuracy", data).value
        assert outcome.value == pytest.approx(estimate - accuracy_score(truth, chosen), abs=1e-12)
        inside += outcome.lower <= 0 <= outcome.upper
    assert 0.90 <= inside / 200 <= 0.99


def test_concept_drift_shows_in_the_estimation_error_and_not_in_the_estimate() -> None:
    rng = np.random.default_rng(6)
    scores = rng.random(2000)
    chosen, truth = scores > 0.5, rng.random(2000) < 0.5  # the score no longer means anything
    data = expected(texts(chosen), scores.tolist(), texts(truth))
    assert ask("estimated_accuracy", data).value == pytest.approx(0.75, abs=0.02)
    outcome = ask("estimation_error_accuracy", data)
    assert outcome.lower is not None and outcome.lower > 0.15


def test_with_half_of_the_labels_the_interval_of_the_error_is_wider() -> None:
    rng = np.random.default_rng(7)
    scores = rng.random(1000)
    truth = texts(rng.random(1000) < scores)
    half = [label if i % 2 else None for i, label in enumerate(truth)]
    widths = []
    for labels in (truth, half):
        outcome = ask("estimation_error_f1", expected(texts(scores > 0.5), scores.tolist(), labels))
        widths.append(outcome.upper - outcome.lower)
    assert widths[1] / widths[0] == pytest.approx(np.sqrt(2), rel=1e-9)


@pytest.mark.parametrize(
    "predictions, scores, metric, state",
    [
        ("00", [0.1, 0.2], "estimated_precision", "single_class"),
        ("00", [0.0, 0.0], "estimated_recall", "single_class"),
        ("00", [0.0, 0.0], "estimated_f1", "single_class"),
        ("11", [1.0, 1.0], "estimated_roc_auc", "single_class"),
        ("10", [1.2, 0.2], "estimated_accuracy", "not_applicable"),
        ("", [], "estimated_accuracy", "insufficient_samples"),
        ("10", [0.9, 0.2], "estimated_mae", "not_applicable"),
        ("10", [0.9, 0.2], "estimation_error_accuracy", "no_labels"),
    ],
)
def test_what_cannot_be_estimated_says_why(
    predictions: str, scores: list[float], metric: str, state: str
) -> None:
    outcome = ask(metric, expected(predictions, scores))
    assert (outcome.value, outcome.state) == (None, state)
    assert outcome.detail["reason"]


def test_without_anything_learnt_there_is_no_reference() -> None:
    data = EstimateData("binary", np.random.default_rng(0))
    assert ask("estimated_accuracy", data).state == "no_reference"


def test_certain_scores_give_certain_estimates() -> None:
    data = expected("1100", [1.0, 1.0, 0.0, 0.0])
    for name in ("accuracy", "precision", "recall", "f1", "roc_auc"):
        assert ask(f"estimated_{name}", data).value == 1.0
    accuracy = ask("estimated_accuracy", data)
    assert (accuracy.lower, accuracy.upper) == (1.0, 1.0)


def test_the_order_in_which_estimates_are_asked_changes_no_interval() -> None:
    rng = np.random.default_rng(8)
    scores = rng.random(300).tolist()
    first, second = (expected(texts(np.array(scores) > 0.5), scores, seed=1) for _ in range(2))
    alone = ask("estimated_f1", first)
    ask("estimated_accuracy", second)
    assert ask("estimated_f1", second) == alone


@pytest.mark.parametrize("name", ["mae", "rmse"])
def test_the_realised_error_lies_in_the_interval_of_95_of_100_windows(name: str) -> None:
    rng, inside, windows, rows, k = np.random.default_rng(2), 0, 600, 2000, 500
    for seed in range(windows):
        spread = rng.uniform(0.5, 2.0, rows)
        errors = rng.normal(0, spread)
        moments = np.stack([spread * np.sqrt(2 / np.pi), spread**2], axis=1)  # of the normal distribution
        sample = moments[rng.choice(rows, k, replace=False)]
        data = EstimateData(
            "regression", np.random.default_rng(seed), errors=ExpectedErrors(sample, rows, 2.0, 9)
        )
        outcome = ask(f"estimated_{name}", data)
        truth = np.abs(errors).mean() if name == "mae" else np.sqrt(np.square(errors).mean())
        inside += outcome.lower <= truth <= outcome.upper
    assert 0.93 <= inside / windows <= 0.97


def test_errors_known_exactly_are_estimated_exactly() -> None:
    data = expected_errors([1.0, 3.0])
    assert ask("estimated_mae", data).value == 2.0
    assert ask("estimated_rmse", data).value == pytest.approx(np.sqrt(5))


def test_the_regression_error_is_compared_with_the_realised_one() -> None:
    expectation = ExpectedErrors(np.array([[2.0, 5.0]] * 3), 3, 2.0, 100)
    truth: TaskData = regressed([1, 2, 3], [2, 3, 4])
    data = EstimateData("regression", np.random.default_rng(0), errors=expectation, realised=truth)
    assert ask("estimation_error_mae", data).value == pytest.approx(2.0 - 1.0)
    assert ask("estimation_error_rmse", data).value == pytest.approx(np.sqrt(5) - 1)
    assert ask("estimation_error_mae", data).detail["realised"] == 1.0


def test_every_estimate_warns_of_concept_drift_in_its_help() -> None:
    for name in (*CLASSIFICATION, "mae", "rmse"):
        assert "not valid under concept drift" in find(f"estimated_{name}").help
        assert "concept drift" in find(f"estimation_error_{name}").help
