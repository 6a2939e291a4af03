"""Sums that do not depend on the order of the numbers, and the places of numbers among cut points, unsorted.

Sorting first would do for both, and takes three times as long. A sum is made of integers instead: each number
is cut into two of 32 bits, relative to the largest one, and integers add up the same in any order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from monitor.summaries import FloatArray, IntArray

CHUNK_ROWS = 1 << 15  # what stays in a processor's cache between one operation and the next
LIMB = 2.0**32
GRID = 1 << 16
GRID_ROWS = 1 << 15  # below it laying out the grid costs more than it saves


def chunks(values: FloatArray) -> Iterator[FloatArray]:
    """Cut an array into pieces that fit into the cache."""
    return (values[i : i + CHUNK_ROWS] for i in range(0, len(values), CHUNK_ROWS))


def scale_for(largest: float) -> float:
    """Return the power of two that brings numbers up to ``largest`` in size to at most 2**31.

    At most 2**1023, the largest there is: then what is below 2**-1055 is taken for 0.
    """
    return 2.0 ** min(31 - math.frexp(largest)[1], 1023)


def limbs(values: FloatArray, scale: float) -> tuple[FloatArray, FloatArray]:
    """Return each number times ``scale`` as whole numbers: of 1, and of 2**-32; what is below is dropped."""
    rest = values * scale
    high = np.rint(rest)
    rest -= high
    rest *= LIMB
    return high, np.rint(rest, out=rest)


def exact_total(pieces: Iterable[FloatArray], scale: float) -> int:
    """Return the sum of finite float64 in units of ``1 / (scale * 2**32)``; the same in any order.

    Each number counts to within 2**-64 of the largest. No piece may have more than 2**21 numbers.

    >>> exact_total([np.array([0.5, -0.25])], scale=4.0) == 2**32
    True
    """
    total = 0
    for piece in pieces:
        high, low = limbs(piece, scale)
        total += (int(high.sum()) << 32) + int(low.sum())
    return total


def placing(cuts: FloatArray, rows: int) -> Callable[[FloatArray], IntArray]:
    """Return what finds the first cut at or above each finite value: ``searchsorted``, faster for many rows.

    A grid of 65,536 cells is laid over the line, fine where the cuts are dense and coarser further out, by
    operations that keep the order whatever they round. Where a cell has one cut or none, a look-up and a
    comparison place a value; values in other cells are searched for.

    >>> placing(np.array([1.0, 2.0]), rows=3)(np.array([2.0, 9.0, 1.5])).tolist()
    [1, 2, 1]
    """
    unit = float(cuts[len(cuts) * 3 // 4] - cuts[len(cuts) // 4]) / 2 if len(cuts) else 0.0
    if rows < GRID_ROWS or not 0 < unit < math.inf:
        return lambda values: np.searchsorted(cuts, values)
    centre, ends = cuts[len(cuts) // 2], np.append(cuts, np.inf)
    held = np.bincount(_grid(cuts, centre, unit), minlength=GRID + 1)
    first, crowded = np.cumsum(held) - held, held > 1

    def place(values: FloatArray) -> IntArray:
        cell = _grid(values, centre, unit)
        at: IntArray = first.take(cell, mode="clip")
        at += values > ends.take(at, mode="clip")
        several = np.flatnonzero(crowded.take(cell, mode="clip"))
        at[several] = np.searchsorted(cuts, values[several])
        return at

    return place


def _grid(values: FloatArray, centre: float, unit: float) -> npt.NDArray[np.int32]:
    """Return the cell of each value, 0 to 65,536: u / (1 + |u|) of its distance u from the centre."""
    with np.errstate(over="ignore"):
        distance = (values - centre) / unit
    size = np.abs(distance)
    size += 1.0
    np.divide(1.0, size, out=size)
    np.subtract(1.0, size, out=size)  # u / (1 + u) as 1 - 1 / (1 + u): every step keeps the order
    np.copysign(size, distance, out=size)
    size += 1.0
    size *= GRID / 2
    return size.astype(np.int32)
