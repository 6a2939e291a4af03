"""How far the window's attributions are from the reference's, by size."""

from __future__ import annotations

import numpy as np

from monitor.metrics.attributions import TASKS, AttributionData, Sides, shares
from monitor.metrics.intervals import FAR, TAIL, Interval, edge
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
    that: it holds the distances at which a test, by draws of the rows of both sides, does not reject this
    value. Where nothing has changed it holds 0 in more than 95 % of windows.

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
    """Return the distances at which a test does not reject this value, along the line of the gaps seen."""
    gaps = shares(sides[1]) - shares(sides[0])
    moved = shares(draws[1]) - shares(draws[0]) - gaps
    noise = moved[np.isfinite(moved).all(axis=-1)]
    if 2 * len(noise) < len(moved):
        return None, None
    away = gaps / value if value else np.zeros_like(gaps)

    def drawn(candidate: float) -> FloatArray:
        return np.asarray(np.abs(candidate * away + noise).sum(axis=-1) / 2)

    lower = edge(lambda x: bool((drawn(x) >= value).mean() >= TAIL), 0.0, value)
    if not value:
        return lower, min(float(np.quantile(drawn(0.0), 1 - TAIL)), 1.0)
    most = min(value + FAR * float(drawn(0.0).std()), 1.0)
    return lower, edge(lambda x: bool((drawn(x) <= value).mean() >= TAIL), most, value)


def half_l1(reference: FloatArray, current: FloatArray) -> FloatArray:
    """Return half the sum over the last axis of the absolute differences of shares."""
    distance: FloatArray = np.abs(shares(current) - shares(reference)).sum(axis=-1) / 2
    return distance
