"""Average precision."""

from __future__ import annotations

import math

import numpy as np

from monitor.metrics.intervals import logit_t
from monitor.metrics.registry import Outcome, metric
from monitor.metrics.tasks import TaskData
from monitor.summaries import IntArray


@metric(
    "average_precision",
    check="performance",
    subject="task",
    applies={"binary"},
    unit="ratio",
    needs_labels=True,
)
def average_precision(data: TaskData) -> Outcome:
    """Precision averaged over recall as the threshold falls (area under the precision-recall curve).

    Sum over thresholds of precision x gain in recall, each cell of the score histogram a threshold. In [0,
    1]; 1 means perfect ranking, the share of positives (``detail``) is chance. One class only is
    ``single_class``. Interval: Student's t on the logit scale, with the standard error of the rows'
    influence, around the value without its bias.

    Examples
    --------
    >>> from monitor.metrics.examples import classified
    >>> average_precision(classified("1010", "1111", [0.9, 0.8, 0.3, 0.1])).value == (1 + 2 / 3) / 2
    True

    References
    ----------
    Boyd, Eng, Page (2013), Area under the precision-recall curve: point estimates and confidence intervals,
    ECML PKDD.
    """
    scores = data.score_of_positive()
    if scores is None:
        return Outcome.none("not_applicable", "no labelled row has a score", n=data.labelled)
    negatives, positives = (int(side) for side in scores.counts.sum(1))
    if not positives or not negatives:
        return Outcome.none("single_class", "all scored labels are of one class", n=scores.n)
    value, error, bias = area(scores.counts)
    lower, upper = logit_t(value - bias, error, min(positives, negatives) - 1)
    if lower is not None and upper is not None:
        lower, upper = min(lower, value), max(upper, value)
    return Outcome(value, "ok", lower, upper, scores.n, detail={"chance": positives / scores.n})


def area(counts: IntArray) -> tuple[float, float, float]:
    """Return average precision, standard error and bias of int64[2, cells]: negatives, positives; ascending.

    The error is that of the influence of one row: a positive adds its own precision and raises that of every
    threshold below it, any row lowers it by being selected there. The bias is what a positive adds to the
    precision at its own threshold by being there.
    """
    held = counts.sum(0) > 0
    positives, rows = counts[1, held].astype(np.float64), counts.sum(0)[held].astype(np.float64)
    n, m = rows.sum(), positives.sum()
    found, selected = (np.cumsum(side[::-1])[::-1] for side in (positives, rows))
    value = float((positives * (found / selected)).sum() / m)
    raised = np.cumsum(positives / selected)
    lowered = np.cumsum(positives * found / selected**2)
    of_positive = (found / selected + raised - lowered - value) * (n / m)
    of_negative = -lowered * (n / m)
    variance = (positives * of_positive**2 + (rows - positives) * of_negative**2).sum() / n
    bias = float((positives * (1 - found / selected) / selected).sum() / m)
    return value, math.sqrt(variance / n), bias
