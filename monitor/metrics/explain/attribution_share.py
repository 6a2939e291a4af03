"""Each feature's part in moving the predictions."""

from __future__ import annotations

from monitor.metrics.attributions import TASKS, AttributionData, shares
from monitor.metrics.registry import Outcome, metric


@metric("attribution_share", check="explain", subject="attribution", applies=TASKS, unit="ratio")
def attribution_share(data: AttributionData) -> dict[str, Outcome]:
    """Share of the feature in all attribution; over the features it sums to 1.

    ``attribution_mean_abs`` over its sum over features. In [0, 1]; 0 means that no prediction depends on the
    feature, 1 that all depend on nothing else. Needs no units, so that models can be compared. The interval
    resamples rows. ``detail.reference_value`` is the reference's own.

    Examples
    --------
    >>> from monitor.metrics.examples import attributed
    >>> attribution_share(attributed({"age": [0.5, -1.0], "plan": [0.0, 0.5]}))["age"].value
    0.75

    References
    ----------
    Lundberg, Lee (2017), A unified approach to interpreting model predictions, NeurIPS 30.
    """
    if data.n and data.magnitude[data.current.counts.sum(axis=(0, 1)) > 0].sum() == 0:
        reason = "every attribution is 0: there is nothing to have a share of"
        none = Outcome.none("not_applicable", reason, n=data.n, n_reference=data.n_reference)
        return dict.fromkeys(data.current.features, none)
    return data.by_feature(shares, data.magnitude_draws, data.magnitude)
