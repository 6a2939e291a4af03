"""Logarithmic loss."""

from __future__ import annotations

import math

from monitor.metrics.intervals import normal
from monitor.metrics.registry import Outcome, metric
from monitor.metrics.tasks import TaskData


@metric(
    "log_loss",
    check="performance",
    subject="task",
    applies={"binary", "multiclass"},
    unit="nats",
    high=math.inf,
    needs_labels=True,
)
def log_loss(data: TaskData) -> Outcome:
    """Mean surprise at the truth, given the predicted probabilities (cross-entropy).

    Mean of -ln p(true class), probabilities clipped to [2.2e-16, 1 - 2.2e-16] as scikit-learn does. 0 means
    certain and right; ln 2 = 0.69 is a coin. Scores outside [0, 1], or a true class without scores, are
    ``not_applicable``. Interval: central limit theorem over rows.

    Examples
    --------
    >>> from monitor.metrics.examples import classified
    >>> round(log_loss(classified("10", "11", [0.5, 0.5])).value, 4)
    0.6931

    References
    ----------
    Good (1952), Rational decisions, J. Royal Stat. Soc. B 14.
    """
    reason = data.no_probabilities()
    if reason:
        return Outcome.none("not_applicable", reason, n=data.labelled)
    if data.task == "binary":
        losses = data.scores[data.positive].log_loss
        total = losses[0].merge(losses[1])
    else:
        first, *rest = (data.scores[name].log_loss[1] for name in sorted(data.scores))
        total = first
        for part in rest:
            total = total.merge(part)
    return Outcome(total.mean, "ok", *normal(total.mean, total.standard_error, low=0.0), total.n)
