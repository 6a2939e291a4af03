"""How far the window's attributions are from the reference's, by size."""

from __future__ import annotations

import numpy as np

from monitor.metrics.attributions import TASKS, AttributionData, Sides, shares
from monitor.metrics.intervals import LEVEL, Interval
from monitor.metrics.registry import Outcome, metric
from monitor.summaries import FloatArray


@metric(
    "attribution_distance",
    check="explain",
    subject="explanation",
    applies=TASKS,
    unit="ratio",
    needs_reference=True,
)
def attribution_distance(data: AttributionData) -> Outcome:
    """Half the L1 distance between the features' attribution shares in the window and in the reference.

    The share of attribution that would have to move between features to make both alike (total variation).
    In [0, 1]; 0 means the same shares, 1 that no feature matters on both sides. Sees changes of size that
    leave the order as it is. Sampling noise alone makes it a little more than 0, and the interval allows for
    that: it reaches as far to both sides as the shares get away from themselves in 95 % of draws, with the
    rows of both sides resampled. By the triangle inequality the truth is no farther; it is a little wide.

    Examples
    --------
    >>> from monitor.metrics.examples import attributed
    >>> attribution_distance(attributed({"a": [3.0], "b": [1.0]}, {"a": [1.0], "b": [1.0]})).value
    0.25

    References
    ----------
    Levin, Peres (2017), Markov Chains and Mixing Times, 2nd ed., section 4.1.
    """
    return data.against_reference(half_l1, _interval)


def _interval(value: float, sides: Sides, draws: Sides) -> Interval:
    moved = shares(draws[1]) - shares(draws[0]) - (shares(sides[1]) - shares(sides[0]))
    noise = np.abs(moved).sum(axis=-1) / 2
    found = noise[np.isfinite(noise)]
    if 2 * len(found) < len(noise):
        return None, None
    reach = float(np.quantile(found, LEVEL))
    return max(value - reach, 0.0), min(value + reach, 1.0)


def half_l1(reference: FloatArray, current: FloatArray) -> FloatArray:
    """Return half the sum over the last axis of the absolute differences of shares."""
    distance: FloatArray = np.abs(shares(current) - shares(reference)).sum(axis=-1) / 2
    return distance
