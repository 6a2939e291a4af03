"""Area under the ROC curve."""

from __future__ import annotations

import math

import numpy as np

from monitor.metrics.intervals import Interval, logit_normal, wilson
from monitor.metrics.registry import Outcome, metric
from monitor.metrics.tasks import TaskData
from monitor.summaries import IntArray


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
    multiclass: conservative, standard errors averaged as if fully correlated.

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
    error = sum(se for _, se in parts.values()) / len(parts)
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


def _interval(auc: float, error: float, smaller: int) -> Interval:
    return wilson(round(auc) * smaller, smaller) if auc in (0.0, 1.0) else logit_normal(auc, error)
