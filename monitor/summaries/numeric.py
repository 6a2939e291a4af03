"""The distribution of a numeric column as counts on frozen cut points."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Self, TypeVar

import numpy as np

from monitor.summaries import FloatArray, IntArray, pack, same_recipe, unpack
from monitor.summaries.exact import LIMB, chunks, limbs, placing, scale_for
from monitor.summaries.moments import Moments

CUT_LIMIT = 1024
LIFTING_THREADS = 2
LARGE_ROWS = 1 << 15  # below it handing a piece to a thread costs more than sorting it
K = TypeVar("K", bound=Hashable)


def ordered(values: FloatArray) -> FloatArray:
    """Return the values sorted, with one zero (``-0.0`` becomes ``0.0``) so that order of arrival is gone."""
    result: FloatArray = np.sort(np.asarray(values, dtype=np.float64))
    result += 0.0
    return result


def cuts_from(ordered_values: FloatArray, limit: int = CUT_LIMIT) -> FloatArray:
    """Choose frozen cut points from the reference's sorted values.

    All distinct values when there are at most ``limit`` of them, else ``limit`` order statistics at equal
    ranks (the minimum and the maximum among them), distinct. Between two neighbours lies at most about
    1/(limit - 1) of the reference.

    >>> cuts_from(np.array([1.0, 1.0, 2.0, 5.0]))
    array([1., 2., 5.])
    """
    n = len(ordered_values)
    if n == 0:
        return np.empty(0, dtype=np.float64)
    first = np.empty(n, dtype=bool)
    first[0] = True
    np.not_equal(ordered_values[1:], ordered_values[:-1], out=first[1:])
    if int(first.sum()) > limit:
        ranks = np.arange(limit, dtype=np.int64) * (n - 1) // (limit - 1)
        return np.unique(ordered_values[ranks])
    return ordered_values[first]


def count_cells(ordered_values: FloatArray, cuts: FloatArray) -> IntArray:
    """Count sorted values in the cells of ``cuts``: below c0, at c0, between c0 and c1, at c1, …, above.

    Returns int64[2K+1]: odd indices are the exact points, even ones the open intervals around them.

    >>> count_cells(np.array([0.0, 1.0, 1.0, 1.5, 9.0]), np.array([1.0, 2.0]))
    array([1, 2, 1, 0, 1])
    """
    bounds = np.zeros(2 * len(cuts) + 2, dtype=np.int64)
    bounds[1:-1:2] = np.searchsorted(ordered_values, cuts, side="left")
    bounds[2:-1:2] = np.searchsorted(ordered_values, cuts, side="right")
    bounds[-1] = len(ordered_values)
    return np.diff(bounds)


@dataclass(frozen=True, eq=False)
class NumericSummary:
    """A numeric column: counts on the reference's cut points, missing values and moments.

    Parameters
    ----------
    cuts
        float64[K], strictly increasing, frozen from the reference by :func:`cuts_from`.
    cells
        int64[2K+1], see :func:`count_cells`; non-missing rows.
    missing
        Rows without a (finite) value.
    moments
        Of the non-missing rows.
    sums
        float64[K+1]: sum of the values in each open interval (below the first cut, between cuts, above the
        last). With the counts they give areas under the distribution exactly, whatever lies between cuts.
    """

    cuts: FloatArray
    cells: IntArray
    missing: int
    moments: Moments
    sums: FloatArray

    @classmethod
    def zero(cls, cuts: FloatArray) -> Self:
        """Return the summary of no rows on these cut points."""
        return cls(cuts, np.zeros(2 * len(cuts) + 1, dtype=np.int64), 0, Moments(), np.zeros(len(cuts) + 1))

    @classmethod
    def lift(cls, values: FloatArray, *, cuts: FloatArray, missing: int = 0) -> Self:
        """Summarise finite values, in any order, and a number of missing ones.

        >>> NumericSummary.lift(np.array([2.0, 1.0]), cuts=np.array([1.0]), missing=3).n
        2
        """
        values = np.asarray(values, dtype=np.float64)
        if not len(values):
            return replace(cls.zero(cuts), missing=int(missing))
        scale = scale_for(float(max(-values.min(), values.max())))
        cells, high, low = _counted(values, cuts, scale)
        with np.errstate(over="ignore"):
            sums = (high[::2] + low[::2] / LIMB) / scale
        total = (int(high.sum()) << 32) + int(low.sum())
        return cls(cuts, cells, int(missing), Moments.lift(values, total=total), sums)

    @property
    def n(self) -> int:
        """Rows with a value."""
        return self.moments.n

    @property
    def rows(self) -> int:
        """Rows with and without a value."""
        return self.n + self.missing

    def merge(self, other: Self) -> Self:
        """Return the summary of both sets of rows."""
        same_recipe("cut points", self.cuts, other.cuts)
        return type(self)(
            self.cuts,
            self.cells + other.cells,
            self.missing + other.missing,
            self.moments.merge(other.moments),
            self.sums + other.sums,
        )

    def to_bytes(self) -> bytes:
        moments = self.moments.to_array()
        return pack(
            "numeric",
            {"missing": self.missing},
            cuts=self.cuts,
            cells=self.cells,
            moments=moments,
            sums=self.sums,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        header, arrays = unpack("numeric", data)
        moments = Moments.from_array(arrays["moments"])
        return cls(arrays["cuts"], arrays["cells"], header["missing"], moments, arrays["sums"])


def _counted(values: FloatArray, cuts: FloatArray, scale: float) -> tuple[IntArray, IntArray, IntArray]:
    """Return :func:`count_cells` of values in any order, and both limbs of the sum in each cell."""
    width, ends, place = 2 * len(cuts) + 1, np.append(cuts, np.inf), placing(cuts, len(values))
    cells, highs, lows = (np.zeros(width, dtype=np.int64) for _ in range(3))
    for piece in chunks(values):
        at = place(piece)
        cell = 2 * at
        cell += ends.take(at, mode="clip") == piece
        high, low = limbs(piece, scale)
        cells += np.bincount(cell, minlength=width)
        highs += np.bincount(cell, high, width).astype(np.int64)
        lows += np.bincount(cell, low, width).astype(np.int64)
    return cells, highs, lows


def lift_pieces(
    pieces: Iterable[tuple[K, FloatArray, int]], cuts: Callable[[K], FloatArray]
) -> dict[K, NumericSummary]:
    """Summarise pieces ``(key, finite values, missing)`` and merge those of one key, in their order.

    Large ones in threads, as NumPy sorts without Python's lock, while the next are fetched.
    """
    lifted: dict[K, NumericSummary] = {}
    waiting: deque[tuple[K, Callable[[], NumericSummary]]] = deque()

    def merge(left: int) -> None:
        while len(waiting) > left:
            key, result = waiting.popleft()
            lifted[key] = lifted[key].merge(result()) if key in lifted else result()

    with ThreadPoolExecutor(LIFTING_THREADS, "lift") as pool:
        for key, values, missing in pieces:
            lift = partial(NumericSummary.lift, values, cuts=cuts(key), missing=missing)
            large = len(values) >= LARGE_ROWS
            waiting.append((key, pool.submit(lift).result if large else lift))
            merge(LIFTING_THREADS if large else 0)
        merge(0)
    return lifted
