"""Area under the ROC curve."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from monitor.metrics.intervals import Interval, logit_t, wilson
from monitor.metrics.registry import Outcome, metric
from monitor.metrics.tasks import TaskData
from monitor.summaries import FloatArray, IntArray
from monitor.summaries.scores import ScoreSummary


@metric(
    "roc_auc",
    check="performance",
    subject="task",
    applies={"binary", "multiclass"},
    unit="ratio",
    needs_labels=True,
)
def roc_auc(data: TaskData) -> Outcome:
    """Probability that a positive row scores above a negative one (area under the ROC curve).

    P(score of positive > score of negative) + half of P(equal), from the score histogram: exact for scores
    on its edges, within 1e-6 for continuous ones; multiclass: mean over classes of one against the rest.
    In [0, 1]; 1 means perfect ranking, 0.5 chance. One class only is ``single_class``. Interval: DeLong's
    variance on the histogram, on the logit scale (at 0 and 1, Wilson's of the smaller class's size);
    multiclass: with the correlation of the classes' areas from at most 5,000 rows.

    Examples
    --------
    >>> from monitor.metrics.examples import classified
    >>> roc_auc(classified("1100", "1111", [0.9, 0.5, 0.5, 0.1])).value
    0.875

    References
    ----------
    DeLong, DeLong, Clarke-Pearson (1988), Comparing the areas under two or more correlated ROC curves,
    Biometrics 44.
    """
    names = [data.positive] if data.task == "binary" else sorted(data.scores)
    held = {name: data.scores[name] for name in names if name in data.scores and data.scores[name].n}
    if not held:
        return Outcome.none("not_applicable", "no labelled row has a score", n=data.labelled)
    n = max(scores.n for scores in held.values())
    parts = {name: area(scores.counts) for name, scores in held.items() if scores.counts.sum(1).all()}
    if not parts:
        return Outcome.none("single_class", "all scored labels are of one class", n=n)
    value = sum(auc for auc, _ in parts.values()) / len(parts)
    error = _together(data, parts)
    smaller = min(int(held[name].counts.sum(1).min()) for name in parts)
    detail = {"per_class": {name: auc for name, (auc, _) in parts.items()}} if data.task != "binary" else {}
    return Outcome(value, "ok", *_interval(value, error, smaller), n, detail=detail)


def area(counts: IntArray) -> tuple[float, float]:
    """Return the area and its standard error from int64[2, cells]: negatives above positives.

    >>> area(np.array([[2, 1, 0], [0, 1, 2]]))[0]  # of 9 pairs 8 are in order, 1 is a tie
    0.9444444444444444
    """
    negatives, positives = counts
    n, m = int(negatives.sum()), int(positives.sum())
    below = (np.cumsum(negatives) - negatives / 2) / n  # of a positive in this cell: negatives it beats
    above = 1 - (np.cumsum(positives) - positives / 2) / m  # of a negative: positives that beat it
    auc = float((positives * (2 * np.cumsum(negatives) - negatives)).sum()) / (2 * n * m)
    variance = sum(
        float((weights * np.square(placement - auc)).sum()) / (size - 1) / size if size > 1 else math.inf
        for weights, placement, size in ((positives, below, m), (negatives, above, n))
    )
    return auc, math.sqrt(variance)


def _together(data: TaskData, parts: Mapping[str, tuple[float, float]]) -> float:
    """Return the standard error of the mean of the areas; the largest there may be without a sample."""
    errors = np.array([error for _, error in parts.values()])
    if len(parts) == 1 or data.sample is None or not np.isfinite(errors).all():
        return float(errors.mean())
    names = sorted(data.scores)
    columns = [
        _influence(data.scores[name], data.sample[0][:, place], data.sample[1] == place)
        for place, name in ((names.index(name), name) for name in parts)
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.nan_to_num(np.corrcoef(np.stack(columns)))
    np.fill_diagonal(correlation, 1.0)
    return math.sqrt(max(float(errors @ correlation @ errors), 0.0)) / len(parts)


def _influence(summary: ScoreSummary, scores: FloatArray, truth: npt.NDArray[np.bool_]) -> FloatArray:
    """Return how far each row moves the area of its class, float64[k]; 0 of a row without a score."""
    negatives, positives = summary.counts
    n, m = int(negatives.sum()), int(positives.sum())
    below = (np.cumsum(negatives) - negatives / 2) / n
    above = 1 - (np.cumsum(positives) - positives / 2) / m
    auc = float(positives @ below) / m
    known = np.where(np.isnan(scores), 0.0, scores)
    left, right = (np.searchsorted(summary.edges, known, side) for side in ("left", "right"))
    cell = left + right
    moved = np.where(truth, (below[cell] - auc) * (n + m) / m, (above[cell] - auc) * (n + m) / n)
    return np.where(np.isnan(scores), 0.0, moved)


def _interval(auc: float, error: float, smaller: int) -> Interval:
    return wilson(round(auc) * smaller, smaller) if auc in (0.0, 1.0) else logit_t(auc, error, smaller - 1)
