"""The distribution of a numeric column as counts on frozen cut points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from monitor.summaries import FloatArray, IntArray, pack, same_recipe, unpack
from monitor.summaries.moments import Moments

CUT_LIMIT = 1024


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


def _interval_sums(ordered_values: FloatArray, cells: IntArray) -> FloatArray:
    """Sum sorted values within each open interval (the even cells)."""
    result = np.zeros(len(cells) // 2 + 1, dtype=np.float64)
    held = np.flatnonzero(cells)
    if len(held):
        starts = (np.cumsum(cells) - cells)[held]
        with np.errstate(over="ignore"):
            sums = np.add.reduceat(ordered_values, starts)
        between = held % 2 == 0
        result[held[between] // 2] = sums[between]
    return result


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
        return cls.lift_ordered(ordered(values), cuts=cuts, missing=missing)

    @classmethod
    def lift_ordered(cls, values: FloatArray, *, cuts: FloatArray, missing: int = 0) -> Self:
        """Summarise what :func:`ordered` returned, for callers that need the sorted values themselves."""
        cells = count_cells(values, cuts)
        return cls(cuts, cells, int(missing), Moments.lift(values), _interval_sums(values, cells))

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
