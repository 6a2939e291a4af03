"""L-infinity distance of two categorical distributions."""

from __future__ import annotations

import numpy as np

from monitor.metrics.columns import ColumnPair
from monitor.metrics.registry import Outcome, metric
from monitor.summaries import FloatArray, IntArray


def largest(reference: IntArray, current: IntArray) -> FloatArray:
    """Return the largest change of a share along the last axis of two arrays of bin counts."""
    p, q = (side / side.sum(-1, keepdims=True) for side in (reference, current))
    found: FloatArray = np.abs(q - p).max(-1)
    return found


@metric(
    "l_infinity",
    check="drift",
    subject="column",
    applies={"categorical"},
    unit="ratio",
    needs_reference=True,
    statistic=largest,
)
def l_infinity(pair: ColumnPair) -> Outcome:
    """Largest change of any one category's share.

    max over the frozen bins of |q - p|, *never seen before* and *missing* being bins. In [0, 1]; 0 means
    equal shares, 1 that all rows moved. ``detail`` names the category.

    Examples
    --------
    >>> from monitor.metrics.examples import words
    >>> l_infinity(words("aabb", "aaab")).value
    0.25

    References
    ----------
    Breck et al. (2019), Data validation for machine learning, MLSys.
    """
    p, q = (side / side.sum() for side in pair.binned)
    change = np.abs(q - p)
    return pair.outcome(float(change.max()), category=pair.bin_labels[int(change.argmax())])
