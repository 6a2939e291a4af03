"""Wasserstein distance in units of the reference's spread."""

from __future__ import annotations

import math

import numpy as np

from monitor.metrics.columns import ColumnPair
from monitor.metrics.registry import Outcome, metric
from monitor.summaries import FloatArray
from monitor.summaries.numeric import NumericSummary


@metric(
    "wasserstein",
    check="drift",
    subject="column",
    applies={"numeric"},
    unit="reference standard deviations",
    high=math.inf,
    needs_reference=True,
)
def wasserstein(pair: ColumnPair) -> Outcome:
    """How far values moved on average, in standard deviations of the reference (Wasserstein-1).

    Integral of |F(x) - G(x)| over x, divided by the reference's standard deviation (divisor n). The area
    between two cut points of the reference is exact unless F and G cross between them, where it is taken
    from straight lines; beyond the reference's range it is exact. 0 means the same distribution; a shift by
    one standard deviation gives 1. A constant reference is ``not_applicable``. Missing values are left out.

    Examples
    --------
    >>> from monitor.metrics.examples import numbers
    >>> wasserstein(numbers([-1, 1], [0, 2])).value  # all moved by 1, the standard deviation
    1.0

    References
    ----------
    Ramdas, Garcia Trillos, Cuturi (2017), On Wasserstein two-sample testing, Entropy 19.
    """
    sides = pair.numeric()
    if sides is None:
        return Outcome.none("insufficient_samples", "one side has only missing values", n=pair.n)
    reference, current = sides
    if not reference.moments.m2:
        reason = "the reference is constant: it has no spread to divide by"
        return Outcome.none("not_applicable", reason, n=current.n, n_reference=reference.n)
    value = distance(reference, current) / reference.moments.sd
    return Outcome(value, n=current.n, n_reference=reference.n)


def distance(reference: NumericSummary, current: NumericSummary) -> float:
    """Return the Wasserstein-1 distance in the column's own unit."""
    gaps = np.cumsum(reference.cells) / reference.n - np.cumsum(current.cells) / current.n
    after, before = gaps[1:-2:2], gaps[2:-1:2]  # just after a cut, just before the next
    width = np.diff(reference.cuts)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        signed = after * width + _rise(reference) - _rise(current)
        # where the sign changes in between: two triangles under a straight line
        crossed = width * (after**2 + before**2) / (np.abs(after) + np.abs(before)) / 2
        inside = np.where(after * before < 0, crossed, np.abs(signed)).sum()
        outside = np.abs(_beyond(reference) - _beyond(current)).sum()
    return float(inside + outside)


def _rise(side: NumericSummary) -> FloatArray:
    """Return each inner interval's mean distance from its values to its upper cut, over all rows."""
    counts = side.cells[2:-1:2]
    rise: FloatArray = (counts * side.cuts[1:] - side.sums[1:-1]) / side.n
    return rise


def _beyond(side: NumericSummary) -> FloatArray:
    """Return how far the rows below the first and above the last cut lie from it, over all rows."""
    below = side.cells[0] * side.cuts[0] - side.sums[0]
    above = side.sums[-1] - side.cells[-1] * side.cuts[-1]
    return np.array([below, above]) / side.n
