"""Hellinger distance."""

from __future__ import annotations

import numpy as np

from monitor.metrics.chance import root_limit_of
from monitor.metrics.columns import ColumnPair
from monitor.metrics.registry import Outcome, metric
from monitor.summaries import FloatArray, IntArray


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
    critical=root_limit_of,
    statistic=distances,
)
def hellinger(pair: ColumnPair) -> Outcome:
    """Hellinger distance between the binned distributions.

    sqrt(1/2 x sum of (sqrt p - sqrt q)²) over the frozen bins of ``psi``, without smoothing. A metric in
    [0, 1]; 0 means equal shares, 1 no overlap. ``detail`` has the ``critical`` value that
    drift-free windows pass with probability alpha, made as ``psi_critical`` is.

    Examples
    --------
    >>> from monitor.metrics.examples import words
    >>> hellinger(words("aabb", "abab")).value, hellinger(words("aa", "zz")).value
    (0.0, 1.0)

    References
    ----------
    Hellinger (1909), Neue Begruendung der Theorie quadratischer Formen, J. reine angew. Math. 136.
    """
    moments = pair.chances.moments(lambda p, q: np.square(np.sqrt(q) - np.sqrt(p)) / 2, 1 / 8)
    return pair.beside_chance(float(distances(*pair.binned)), moments, root=True)
