"""Jensen-Shannon distance."""

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
    return None if squared is None else math.sqrt(squared / (8 * math.log(2)))


@metric(
    "js_distance",
    check="drift",
    subject="column",
    applies={"numeric", "categorical"},
    unit="square root of bits",
    needs_reference=True,
    critical=limit_of,
)
def js_distance(pair: ColumnPair) -> Outcome:
    """Jensen-Shannon distance between the binned distributions.

    sqrt of (KL(p, h) + KL(q, h)) / 2 with h = (p + q) / 2, logarithms to base 2, over the frozen bins of
    ``psi`` (missing values are a bin), without smoothing: it needs none. A metric in [0, 1]; 0 means equal
    shares, 1 no overlap. ``detail`` has the ``critical`` value at alpha, sqrt(psi_critical / (8 ln 2)).

    Examples
    --------
    >>> from monitor.metrics.examples import words
    >>> js_distance(words("aabb", "abab")).value, js_distance(words("aa", "zz")).value
    (0.0, 1.0)

    References
    ----------
    Endres, Schindelin (2003), A new metric for probability distributions, IEEE Trans. Inf. Theory 49.
    """
    highest = math.sqrt(critical(*pair.binned, pair.alpha) / (8 * math.log(2)))
    bins = int((pair.binned[0] + pair.binned[1] > 0).sum())
    return pair.outcome(distance(*pair.binned), critical=highest, bins=bins)


def distance(reference: IntArray, current: IntArray) -> float:
    """Return the distance of two rows of bin counts (int64[B] each)."""
    p, q = reference / reference.sum(), current / current.sum()
    middle = (p + q) / 2
    divergence = (_information(p, middle) + _information(q, middle)) / 2
    return math.sqrt(min(max(divergence, 0.0), 1.0))


def _information(p: FloatArray, middle: FloatArray) -> float:
    held = p > 0
    return float((p[held] * np.log2(p[held] / middle[held])).sum())
