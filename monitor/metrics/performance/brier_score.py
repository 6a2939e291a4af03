"""Brier score."""

from __future__ import annotations

import math

import numpy as np

from monitor.metrics.intervals import Interval, skewed, skewness
from monitor.metrics.registry import Outcome, metric
from monitor.metrics.tasks import TaskData


@metric(
    "brier_score",
    check="performance",
    subject="task",
    applies={"binary", "multiclass"},
    unit="squared probability",
    high=2.0,
    needs_labels=True,
)
def brier_score(data: TaskData) -> Outcome:
    """Mean squared difference between predicted probability and what happened.

    Mean of (score - truth)²; multiclass: summed over the classes. In [0, 1] (multiclass [0, 2]); 0 means
    certain and right, 0.25 a coin. Scores outside [0, 1] are ``not_applicable``. Interval: Student's t,
    corrected for skewness (from the score histogram; multiclass: spread and skewness from at most 5,000
    rows).

    Examples
    --------
    >>> from monitor.metrics.examples import classified
    >>> brier_score(classified("10", "11", [0.5, 0.5])).value
    0.25

    References
    ----------
    Brier (1950), Verification of forecasts expressed in terms of probability, Monthly Weather Review 78.
    """
    reason = data.no_probabilities()
    if reason:
        return Outcome.none("not_applicable", reason, n=data.labelled)
    if data.task == "binary":
        scores = data.scores[data.positive]
        total, means = scores.brier[0].merge(scores.brier[1]), scores.mean_scores
        skew = skewness(np.concatenate([means**2, (1 - means) ** 2]), scores.counts.ravel())
        return Outcome(
            total.mean, "ok", *_within(total.mean, total.standard_error, skew, total.n, 1.0), total.n
        )
    parts = [data.scores[name].brier[0].merge(data.scores[name].brier[1]) for name in sorted(data.scores)]
    value, error, skew = sum(part.mean for part in parts), sum(part.standard_error for part in parts), 0.0
    if data.sample is not None:
        scores_by_class, truth = data.sample
        hits = truth[:, None] == np.arange(scores_by_class.shape[1])
        rows = np.square(np.nan_to_num(scores_by_class) - hits).sum(1)
        error = float(rows.std()) / math.sqrt(parts[0].n)
        skew = skewness(rows, np.ones(len(rows), dtype=np.int64))
    return Outcome(value, "ok", *_within(value, error, skew, parts[0].n, 2.0), parts[0].n)


def _within(value: float, error: float, skew: float, n: int, high: float) -> Interval:
    lower, upper = skewed(value, error, skew, n)
    return (lower, upper) if lower is None or upper is None else (max(lower, 0.0), min(upper, high))
