"""How well a classifier tells the window's rows from the reference's."""

from __future__ import annotations

from typing import Any

import numpy as np

from monitor.metrics.registry import Outcome, metric
from monitor.metrics.samples import SamplePair
from monitor.summaries import FloatArray

FOLDS = 5
LEAST_ROWS = 25  # of either side: five a fold
NAMED = 5  # features
Z = 1.959964
SHARED = 1 / FOLDS + 1 / (FOLDS - 1)  # not 1 / FOLDS: the folds' models have most of their rows in common


@metric(
    "domain_classifier_auc",
    check="drift",
    subject="sample",
    applies={"features", "embedding"},
    unit="ratio",
    needs_reference=True,
)
def domain_classifier_auc(pair: SamplePair) -> Outcome:
    """ROC AUC of a classifier that tells the window's rows from the reference's, cross-validated.

    Boosted trees learn on four fifths of at most 5,000 rows a side and are judged on the rest; the mean of
    the five AUCs. It sees what no single column shows: changed relations between features. 0.5 means the same
    distribution, 1 no overlap; chance puts drift-free windows on either side of 0.5. The 95 % interval is
    DeLong's for a fold, widened for their overlap by Nadeau and Bengio's rule (a little wide: it holds 0.5 in
    97 % of drift-free windows). When it lies above 0.5, ``detail.top_features`` says how much AUC is lost
    when a feature is shuffled.

    Examples
    --------
    >>> from monitor.metrics.examples import rows
    >>> round(domain_classifier_auc(rows({"age": range(100)}, {"age": range(200, 300)})).value, 2)
    1.0

    References
    ----------
    Lopez-Paz, Oquab (2017), Revisiting classifier two-sample tests, ICLR; DeLong, DeLong, Clarke-Pearson
    (1988), Comparing the areas under two or more correlated ROC curves, Biometrics 44; Nadeau, Bengio (2003),
    Inference for the generalization error, Machine Learning 52.
    """
    if min(pair.n, pair.n_reference) < LEAST_ROWS:
        reason = f"fewer than {LEAST_ROWS} rows in the window or in the reference's sample"
        return Outcome.none("insufficient_samples", reason, n=pair.n, n_reference=pair.n_reference)
    rng = pair.rng("domain_classifier_auc")
    blocks = pair.tree_columns
    x = np.hstack([np.vstack(sides) for sides in blocks.values()])
    truth = np.repeat([False, True], [pair.n_reference, pair.n])
    fold = np.concatenate([rng.permutation(m) % FOLDS for m in (pair.n_reference, pair.n)])
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1, "openmp"):  # for so few rows threads cost more than they save, if others run
        value, half, top = _judged(x, truth, blocks, fold, rng)
    detail = {"top_features": top} if top else {}
    bounds = max(value - half, 0.0), min(value + half, 1.0)
    return Outcome(value, "ok", *bounds, n=pair.n, n_reference=pair.n_reference, detail=detail)


def auc(scores: FloatArray, truth: np.ndarray[Any, np.dtype[np.bool_]]) -> tuple[float, float]:
    """Return the ROC AUC of some scores and DeLong's variance of it.

    >>> auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))[0]
    0.75
    """
    ordered = [np.sort(scores[truth]), np.sort(scores[~truth])]

    def beaten(side: FloatArray, others: FloatArray) -> FloatArray:
        """Return for each score the share of the others below it, ties half."""
        below = np.searchsorted(others, side, "left") + np.searchsorted(others, side, "right")
        share: FloatArray = below / (2 * len(others))
        return share

    wins, losses = beaten(ordered[0], ordered[1]), beaten(ordered[1], ordered[0])
    variance = wins.var(ddof=1) / len(wins) + losses.var(ddof=1) / len(losses)
    return float(wins.mean()), float(variance)


def _fitted(x: FloatArray, truth: np.ndarray[Any, np.dtype[np.bool_]]) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=30, max_leaf_nodes=8, learning_rate=0.2, max_bins=63, early_stopping=False, random_state=0
    ).fit(np.where(np.isnan(x).all(axis=0), 0.0, x), truth)  # a column without any value stops it


def _judged(
    x: FloatArray,
    truth: np.ndarray[Any, np.dtype[np.bool_]],
    blocks: dict[str, tuple[FloatArray, FloatArray]],
    fold: np.ndarray[Any, np.dtype[np.int64]],
    rng: np.random.Generator,
) -> tuple[float, float, dict[str, float]]:
    """Return the mean AUC over the folds, half its interval's width, and the features it rests on."""
    models = [_fitted(x[fold != k], truth[fold != k]) for k in range(FOLDS)]
    tests = [(x[fold == k], truth[fold == k]) for k in range(FOLDS)]
    found = np.array([auc(m.decision_function(a), t) for m, (a, t) in zip(models, tests, strict=True)])
    value, half = float(found[:, 0].mean()), Z * float(np.sqrt(found[:, 1].mean() * SHARED))
    return value, half, _losses(models, tests, value, blocks, rng) if value - half > 0.5 else {}


def _losses(
    models: list[Any],
    tests: list[tuple[FloatArray, Any]],
    whole: float,
    blocks: dict[str, tuple[FloatArray, FloatArray]],
    rng: np.random.Generator,
) -> dict[str, float]:
    """Return the features whose shuffling costs the most AUC, the first five, with what it costs."""
    losses, start = {}, 0
    for name, (left, _) in blocks.items():
        columns = slice(start, start := start + left.shape[1])
        left_over = []
        for model, (x, truth) in zip(models, tests, strict=True):
            shuffled = x.copy()
            shuffled[:, columns] = rng.permutation(x[:, columns])
            left_over.append(auc(model.decision_function(shuffled), truth)[0])
        losses[name] = round(whole - float(np.mean(left_over)), 6)
    ranked = sorted(losses.items(), key=lambda item: (-item[1], item[0]))
    return {name: loss for name, loss in ranked[:NAMED] if loss > 0}
