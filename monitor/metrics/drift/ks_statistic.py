"""Two-sample Kolmogorov-Smirnov statistic."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from monitor.metrics.columns import ColumnPair
from monitor.metrics.registry import Measured, Outcome, metric
from monitor.summaries import FloatArray, IntArray
from monitor.summaries.numeric import NumericSummary


def limit(measured: Measured, alpha: float) -> float | None:
    """Return the critical value from an answer's sizes; None where they are missing."""
    if not measured.n or not measured.n_reference:
        return None
    return critical(effective_size(measured.n, measured.n_reference), alpha)


def distances(reference: IntArray, current: IntArray) -> FloatArray:
    """Return the distance along the last axis of two arrays of counts in the cells of a numeric column."""
    below = (np.cumsum(side, axis=-1) for side in (reference, current))
    p, q = (side / side[..., -1:] for side in below)
    found: FloatArray = np.abs(p - q).max(-1)
    return found


@metric(
    "ks_statistic",
    check="drift",
    subject="column",
    applies={"numeric"},
    unit="ratio",
    needs_reference=True,
    critical=limit,
    statistic=distances,
)
def ks_statistic(pair: ColumnPair) -> Outcome:
    """Largest distance between the two cumulative distributions (Kolmogorov-Smirnov).

    sup over x of |F(x) - G(x)|, taken just below and at each cut point of the reference, so ties are
    right. Exact when the reference has at most 1,024 distinct values, else at most about 1/1,023 too
    small. In [0, 1]; 0 means the same distribution, 1 no overlap. Missing values are left out. ``detail``
    has the ``critical`` value that drift-free windows stay below with probability 1 - alpha.

    Examples
    --------
    >>> from monitor.metrics.examples import numbers
    >>> ks_statistic(numbers([1, 2, 3, 4], [3, 4, 5, 6])).value
    0.5

    References
    ----------
    Hodges (1958), The significance probability of the Smirnov two-sample test, Arkiv for Matematik 3.
    """
    sides = pair.numeric()
    if sides is None:
        return Outcome.none("insufficient_samples", "one side has only missing values", n=pair.n)
    reference, current = sides
    highest = critical(effective_size(current.n, reference.n), pair.alpha)
    return Outcome(
        distance(reference, current), n=current.n, n_reference=reference.n, detail={"critical": highest}
    )


def distance(reference: NumericSummary, current: NumericSummary) -> float:
    """Return the largest difference of the cumulative shares over all cell boundaries."""
    return float(distances(reference.cells, current.cells))


def effective_size(n: int, m: int) -> int:
    """Return n·m / (n + m), rounded half to even as scipy does, and at least 1."""
    return max(round(float(n) * float(m) / (float(n) + float(m))), 1)


@lru_cache(maxsize=4096)
def critical(size: int, alpha: float) -> float:
    """Return the 1 - alpha quantile of the two-sided statistic at an effective sample size."""
    from scipy.stats import kstwo

    return float(kstwo.isf(alpha, size))
