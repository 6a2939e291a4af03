"""Wasserstein distance in units of the reference's spread."""

from __future__ import annotations

import math

import numpy as np

from monitor.metrics.columns import ColumnPair
from monitor.metrics.registry import Outcome, metric
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

    Integral of |F(x) - G(x)| over x, divided by the reference's standard deviation (divisor n). Between two
    cut points both distributions are taken as straight lines; at cut points and beyond the reference's
    range it is exact. 0 means the same distribution; a shift by one standard deviation gives 1. A constant
    reference is ``not_applicable``. Missing values are left out.

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
    at, before = np.abs(gaps[1:-2:2]), np.abs(gaps[2:-1:2])
    total = at + before
    crossing = gaps[1:-2:2] * gaps[2:-1:2] < 0
    # the area under |a straight line|: a trapezium, or two triangles where it crosses zero
    with np.errstate(over="ignore", invalid="ignore"):
        height = np.where(crossing, (at**2 + before**2) / np.where(total > 0, total, 1.0), total) / 2
        inside = (np.diff(reference.cuts) * height).sum()
        outside = np.abs(reference.tails / reference.n - current.tails / current.n).sum()
    return float(inside + outside)
