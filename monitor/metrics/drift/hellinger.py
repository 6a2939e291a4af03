"""Hellinger distance."""

from __future__ import annotations

import math

import numpy as np

from monitor.metrics.columns import ColumnPair
from monitor.metrics.drift.psi_critical import critical, limit
from monitor.metrics.registry import Measured, Outcome, metric
from monitor.summaries import FloatArray, IntArray


def limit_of(measured: Measured, alpha: float) -> float | None:
    """Return the critical value from an answer's sizes and its number of ``bins``."""
    squared = limit(measured, alpha)
    return None if squared is None else math.sqrt(squared / (8))


def distances(reference: IntArray, current: IntArray) -> FloatArray:
    """Return the distance along the last axis of two arrays of bin counts."""
    p, q = (np.sqrt(side / side.sum(-1, keepdims=True)) for side in (reference, current))
    found: FloatArray = np.sqrt(np.minimum(np.square(p - q).sum(-1) / 2, 1.0))
    return found


@metric(
    "hellinger",
    check="drift",
    subject="column",
    applies={"numeric", "categorical"},
    unit="distance",
    needs_reference=True,
    critical=limit_of,
    statistic=distances,
)
def hellinger(pair: ColumnPair) -> Outcome:
    """Hellinger distance between the binned distributions.

    sqrt(1/2 x sum of (sqrt p - sqrt q)²) over the frozen bins of ``psi``, without smoothing. A metric in
    [0, 1]; 0 means equal shares, 1 no overlap. ``detail`` has the ``critical`` value at alpha,
    sqrt(psi_critical / 8).

    Examples
    --------
    >>> from monitor.metrics.examples import words
    >>> hellinger(words("aabb", "abab")).value, hellinger(words("aa", "zz")).value
    (0.0, 1.0)

    References
    ----------
    Hellinger (1909), Neue Begruendung der Theorie quadratischer Formen, J. reine angew. Math. 136.
    """
    value = float(distances(*pair.binned))
    bins = int((pair.binned[0] + pair.binned[1] > 0).sum())
    return pair.outcome(value, critical=math.sqrt(critical(*pair.binned, pair.alpha) / 8), bins=bins)
