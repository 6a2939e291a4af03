"""Average precision."""

from __future__ import annotations

import math

import numpy as np

from monitor.metrics.intervals import Z
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

    Sum over thresholds of precision x gain in recall, each cell of the score histogram a threshold. In
    [0, 1]; 1 means perfect ranking, the share of positives (``detail``) is chance. One class only is
    ``single_class``. Interval: logit with the number of positives as sample size.

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
    value = area(scores.counts)
    detail = {"chance": positives / scores.n}
    if value >= 1:
        return Outcome(1.0, n=scores.n, detail=detail)
    logit, half = math.log(value / (1 - value)), Z / math.sqrt(positives * value * (1 - value))
    bounds = [1 / (1 + math.exp(-x)) for x in (logit - half, logit + half)]
    return Outcome(value, "ok", bounds[0], bounds[1], scores.n, detail=detail)


def area(counts: IntArray) -> float:
    """Return the average precision of int64[2, cells]: negatives above positives, scores ascending."""
    positives, rows = counts[1, ::-1], counts.sum(0)[::-1]
    held = rows > 0
    found, above = np.cumsum(positives[held]), np.cumsum(rows[held])
    return float((positives[held] * (found / above)).sum() / found[-1])
