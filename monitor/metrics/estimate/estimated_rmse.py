"""Estimated root mean squared error."""

from __future__ import annotations

import math

from monitor.metrics.estimates import EstimateData
from monitor.metrics.registry import Outcome, metric


@metric(
    "estimated_rmse",
    check="estimate",
    subject="estimate",
    applies={"regression"},
    unit="label",
    high=math.inf,
)
def estimated_rmse(data: EstimateData) -> Outcome:
    """Root mean squared error expected without labels (DLE); not valid under concept drift.

    Root of the mean of the squared error that a model of the error expects of the window's rows: a random
    forest of the reference's errors on its numeric, categorical and boolean features and the prediction,
    asked of at most 5,000 rows of the window (those of the smallest hash of their event id). 0 means all
    right. Interval: where the realised value of the window lies, by the central limit theorem over the
    spread of errors around what is expected of them, of drawing the sample, and of what the forest learnt
    from so many rows. Under concept drift the estimate is wrong.

    Examples
    --------
    >>> from monitor.metrics.examples import expected_errors
    >>> estimated_rmse(expected_errors([3.0, 3.0])).value
    3.0

    References
    ----------
    NannyML documentation, How it works: Direct Loss Estimation (DLE).
    """
    return data.error(1, math.sqrt)
