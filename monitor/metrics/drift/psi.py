"""Population stability index."""

from __future__ import annotations

import math

import numpy as np

from monitor.metrics.chance import limit_of
from monitor.metrics.columns import ColumnPair
from monitor.metrics.drift.psi_critical import PSEUDOCOUNT, chance
from monitor.metrics.registry import Outcome, metric
from monitor.summaries import FloatArray, IntArray


def index(reference: IntArray, current: IntArray) -> float:
    """Return the index of two rows of bin counts (int64[B] each).

    >>> index(np.array([50, 50]), np.array([50, 50]))
    0.0
    >>> round(index(np.array([90, 10]), np.array([50, 50])), 3)
    0.853
    """
    return float(indices(reference, current))


def indices(reference: IntArray, current: IntArray) -> FloatArray:
    """Return the index along the last axis of two arrays of bin counts."""
    held = reference + current > 0
    p, q = (np.where(held, side + PSEUDOCOUNT, 0.0) for side in (reference, current))
    p, q = p / p.sum(-1, keepdims=True), q / q.sum(-1, keepdims=True)
    ratio = np.divide(q, p, out=np.ones_like(p), where=held)
    found: FloatArray = ((q - p) * np.log(ratio)).sum(-1)
    return found


@metric(
    "psi",
    check="drift",
    subject="column",
    applies={"numeric", "categorical"},
    unit="nats",
    high=math.inf,
    needs_reference=True,
    critical=limit_of,
    statistic=indices,
)
def psi(pair: ColumnPair) -> Outcome:
    """Population stability index of the window against the reference.

    sum over the frozen bins of (q - p) ln(q / p), with p and q the shares of the reference's and the
    window's rows, missing ones included. Both sides are smoothed by half a row a bin and renormalised, so an
    empty bin costs what half a row would, not infinity; a bin that is empty on *both* sides is no bin. 0
    means equal shares; there is no upper limit. Rules of thumb: 0.1 moderate, 0.2 large, but only beyond
    ``critical`` (in ``detail``, and exported as ``psi_critical``): small windows reach 0.1 by chance.

    Examples
    --------
    >>> from monitor.metrics.examples import numbers
    >>> psi(numbers([1, 2, 3, 4], [1, 2, 3, 4], bins=2)).value
    0.0
    >>> round(psi(numbers([1, 2, 3, 4], [3, 3, 4, 4], bins=2)).value, 2)
    0.88

    References
    ----------
    Yurdakul, Naranjo (2020), Statistical properties of the population stability index, J. Risk Model
    Validation 14.
    """
    return pair.beside_chance(index(*pair.binned), chance(pair))
