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


def distances(reference: IntArray, current: IntArray) -> FloatArray:
    """Return the distance along the last axis of two arrays of bin counts.

    >>> float(distances(np.array([1, 1, 0]), np.array([0, 0, 2])))
    1.0
    """
    p, q = (side / side.sum(-1, keepdims=True) for side in (reference, current))
    middle = (p + q) / 2
    divergence = (_information(p, middle) + _information(q, middle)) / 2
    found: FloatArray = np.sqrt(np.clip(divergence, 0.0, 1.0))
    return found


def _information(p: FloatArray, middle: FloatArray) -> FloatArray:
    ratio = np.divide(p, middle, out=np.ones_like(middle), where=p > 0)
    found: FloatArray = (p * np.log2(ratio)).sum(-1)
    return found


@metric(
    "js_distance",
    check="drift",
    subject="column",
    applies={"numeric", "categorical"},
    unit="square root of bits",
    needs_reference=True,
    critical=limit_of,
    statistic=distances,
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
    return pair.outcome(float(distances(*pair.binned)), critical=highest, bins=bins)
