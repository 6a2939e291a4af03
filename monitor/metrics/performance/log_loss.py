"""Logarithmic loss."""

from __future__ import annotations

import math

import numpy as np

from monitor.metrics.intervals import skewed, skewness
from monitor.metrics.registry import Outcome, metric
from monitor.metrics.tasks import TaskData
from monitor.summaries.scores import EPSILON


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
    ``not_applicable``. Interval: Student's t, corrected for skewness (from the score histogram).

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
    names = [data.positive] if data.task == "binary" else sorted(data.scores)
    held = [data.scores[name] for name in names]
    parts = [part for scores in held for part in scores.log_loss[0 if data.task == "binary" else 1 :]]
    total = parts[0]
    for part in parts[1:]:
        total = total.merge(part)
    means = [np.clip(scores.mean_scores, EPSILON, 1 - EPSILON) for scores in held]
    losses, counts = [-np.log(m) for m in means], [scores.counts[1] for scores in held]
    if data.task == "binary":
        losses, counts = [*losses, -np.log1p(-means[0])], [*counts, held[0].counts[0]]
    skew = skewness(np.concatenate(losses), np.concatenate(counts))
    lower, upper = skewed(total.mean, total.standard_error, skew, total.n)
    return Outcome(total.mean, "ok", None if lower is None else max(lower, 0.0), upper, total.n)
