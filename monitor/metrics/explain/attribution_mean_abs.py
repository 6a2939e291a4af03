"""How much each feature moves the predictions."""

from __future__ import annotations

import math

from monitor.metrics.attributions import TASKS, AttributionData
from monitor.metrics.registry import Outcome, metric


@metric(
    "attribution_mean_abs",
    check="explain",
    subject="attribution",
    applies=TASKS,
    unit="units of the explained score",
    high=math.inf,
)
def attribution_mean_abs(data: AttributionData) -> dict[str, Outcome]:
    """Mean absolute attribution of the feature: how much it moves the predictions.

    Mean over rows of |attribution|, in the units of what was explained (probability, log-odds, the target's);
    0 means that no prediction depends on the feature. Of several classes: over rows and classes, and by class
    with the class as ``group``. The interval resamples rows; ``detail.reference_value`` is the reference's.

    Examples
    --------
    >>> from monitor.metrics.examples import attributed
    >>> attribution_mean_abs(attributed({"age": [0.2, -0.4], "plan": [0.0, 0.1]}))["age"].value
    0.30000000000000004

    References
    ----------
    Lundberg, Lee (2017), A unified approach to interpreting model predictions, NeurIPS 30.
    """
    return data.by_feature(lambda means: means, data.magnitude_draws, data.magnitude)
