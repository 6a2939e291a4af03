"""In which direction each feature moves the predictions."""

from __future__ import annotations

import math

from monitor.metrics.attributions import TASKS, AttributionData
from monitor.metrics.registry import Outcome, metric


@metric(
    "attribution_mean",
    check="explain",
    subject="attribution",
    applies=TASKS,
    unit="units of the explained score",
    low=-math.inf,
    high=math.inf,
)
def attribution_mean(data: AttributionData) -> dict[str, Outcome]:
    """Mean signed attribution of the feature: where it pushes the predictions on average.

    Mean over rows, in the units of what was explained; above 0 the feature raises the score against what the
    explainer takes as its base. 0 means no push on average, which is not the same as no effect. Of several
    classes only by class, with the class as ``group``: what one gains another loses. The interval resamples
    rows.

    Examples
    --------
    >>> from monitor.metrics.examples import attributed
    >>> attribution_mean(attributed({"age": [0.25, -0.75]}))["age"].value
    -0.25

    References
    ----------
    Lundberg, Lee (2017), A unified approach to interpreting model predictions, NeurIPS 30.
    """
    if data.pooled:
        return {}
    return data.by_feature(lambda means: means, data.mean_draws, data.current.mean[0])
