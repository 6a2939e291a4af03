"""How far apart the items of each list are, from the embeddings of the items."""

from __future__ import annotations

import numpy as np

from monitor.summaries import FloatArray, IntArray

LISTS_AT_ONCE = 1024


def mean_distances(codes: IntArray, lengths: IntArray, vectors: FloatArray) -> FloatArray:
    """Return the mean cosine distance over the pairs of items of each list, float64[n]; NaN below two items.

    From the sum of the m unit vectors of a list: the mean cosine over pairs is (|sum|² - m) / (m (m - 1)).

    Parameters
    ----------
    codes
        int64[sum of lengths]: rows of ``vectors``, list after list; -1 for an item that has none.
    lengths
        int64[n].
    vectors
        float64[items, d], each of length one or all zeros, which counts as none.

    >>> mean_distances(np.array([0, 1, 0, -1]), np.array([2, 2]), np.eye(2))
    array([ 1., nan])
    """
    held = (codes >= 0) & np.append(vectors.any(axis=1), False)[codes]
    ends = np.cumsum(lengths)
    distances = np.full(len(lengths), np.nan)
    for first in range(0, len(lengths), LISTS_AT_ONCE):
        some = slice(first, first + LISTS_AT_ONCE)
        starts, size = (ends - lengths)[some], lengths[some]
        total, m = np.zeros((len(size), vectors.shape[1])), np.zeros(len(size), np.int64)
        for position in range(int(size.max(initial=0))):  # one after the other: sums in a fixed order
            rows = np.flatnonzero(size > position)
            at = starts[rows] + position
            rows, at = rows[held[at]], at[held[at]]
            total[rows] += vectors[codes[at]]
            m[rows] += 1
        several = m > 1
        square, m = np.square(total[several]).sum(axis=1), m[several]
        distances[first + np.flatnonzero(several)] = np.clip(1 - (square - m) / (m * (m - 1)), 0.0, 2.0)
    return distances
