"""Brier score."""

from __future__ import annotations

from monitor.metrics.intervals import normal
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
    certain and right, 0.25 a coin. Scores outside [0, 1] are ``not_applicable``. Interval: central limit
    theorem over rows; multiclass: conservative, the classes' standard errors added up.

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
    names = [data.positive] if data.task == "binary" else sorted(data.scores)
    parts = [data.scores[name].brier[0].merge(data.scores[name].brier[1]) for name in names]
    value, error = sum(part.mean for part in parts), sum(part.standard_error for part in parts)
    high = 1.0 if data.task == "binary" else 2.0
    return Outcome(value, "ok", *normal(value, error, 0.0, high), parts[0].n)
