"""Jensen-Shannon distance."""

from __future__ import annotations

import math

import numpy as np

from monitor.metrics.chance import root_limit_of
from monitor.metrics.columns import ColumnPair
from monitor.metrics.registry import Outcome, metric
from monitor.summaries import FloatArray, IntArray


def distances(reference: IntArray, current: IntArray) -> FloatArray:
    """Return the distance along the last axis of two arrays of bin counts.

    >>> float(distances(np.array([1, 1, 0]), np.array([0, 0, 2])))
    1.0
    """
    p, q = (side / side.sum(-1, keepdims=True) for side in (reference, current))
    found: FloatArray = np.sqrt(np.clip(_divergence(p, q).sum(-1), 0.0, 1.0))
    return found


def _bits(p: FloatArray, middle: FloatArray) -> FloatArray:
    p, middle = np.broadcast_arrays(p, middle)
    ratio = np.divide(p, middle, out=np.ones_like(middle), where=p > 0)
    return np.asarray(p * np.log2(ratio))


@metric(
    "js_distance",
    check="drift",
    subject="column",
    applies={"numeric", "categorical"},
    unit="square root of bits",
    needs_reference=True,
    critical=root_limit_of,
    statistic=distances,
)
def js_distance(pair: ColumnPair) -> Outcome:
    """Jensen-Shannon distance between the binned distributions.

    sqrt of (KL(p, h) + KL(q, h)) / 2 with h = (p + q) / 2, logarithms to base 2, over the frozen bins of
    ``psi`` (missing values are a bin), without smoothing: it needs none. A metric in [0, 1]; 0 means equal
    shares, 1 no overlap. ``detail`` has the ``critical`` value that drift-free windows pass with
    probability alpha, made as ``psi_critical`` is.

    Examples
    --------
    >>> from monitor.metrics.examples import words
    >>> js_distance(words("aabb", "abab")).value, js_distance(words("aa", "zz")).value
    (0.0, 1.0)

    References
    ----------
    Endres, Schindelin (2003), A new metric for probability distributions, IEEE Trans. Inf. Theory 49.
    """
    moments = pair.chances.moments(_divergence, 1 / (8 * math.log(2)))
    return pair.beside_chance(float(distances(*pair.binned)), moments, root=True)


def _divergence(p: FloatArray, q: FloatArray) -> FloatArray:
    """Return each bin's part of the divergence, in bits."""
    middle = (p + q) / 2
    parts: FloatArray = (_bits(p, middle) + _bits(q, middle)) / 2
    return parts
