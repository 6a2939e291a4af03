"""A column of the window beside the same column of the reference: what drift and quality metrics take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from monitor.metrics.chance import Chances, quantile
from monitor.metrics.registry import Metric, Outcome
from monitor.summaries import IntArray
from monitor.summaries.categorical import CategoricalSummary
from monitor.summaries.numeric import NumericSummary

POOL_BEYOND = 50  # categories with a bin of their own

Column = NumericSummary | CategoricalSummary


@dataclass(frozen=True, eq=False)
class ColumnPair:
    """One column, as the reference and the window have it, on the same recipe.

    Parameters
    ----------
    reference
        None where there is none; metrics that need it then answer ``no_reference``.
    current
        The window's; lifted with the reference's cut points or categories.
    bins
        Bins of a numeric column for PSI and its kin.
    alpha
        Share of drift-free windows that a critical value lets past.
    mismatched
        Rows of the window whose value had the wrong type (they also count as missing); None if unknown.
    """

    reference: Column | None
    current: Column
    bins: int = 10
    alpha: float = 0.01
    mismatched: int | None = None

    @property
    def kind(self) -> str:
        """``numeric`` or ``categorical``, as in :attr:`Metric.applies`."""
        return "numeric" if isinstance(self.current, NumericSummary) else "categorical"

    @property
    def n(self) -> int:
        """Rows of the window, missing ones included."""
        return self.current.rows

    @property
    def n_reference(self) -> int:
        """Rows of the reference, missing ones included."""
        return self.reference.rows if self.reference is not None else 0

    def lack(self, metric: Metric) -> Outcome | None:
        """Return the reason why ``metric`` has no value here, if it is not for the metric to say."""
        if self.kind not in metric.applies:
            return Outcome.none("not_applicable", f"{metric.name} is not defined for {self.kind} columns")
        if metric.needs_reference and not self.n_reference:
            return Outcome.none("no_reference", "the reference has no rows for this column", n=self.n)
        if not self.n:
            return Outcome.none(
                "insufficient_samples", "the window has no rows", n_reference=self.n_reference
            )
        return None

    def outcome(self, value: float, **detail: object) -> Outcome:
        """Return a value with both sides' row counts."""
        return Outcome(value, n=self.n, n_reference=self.n_reference, detail=detail)

    def numeric(self) -> tuple[NumericSummary, NumericSummary] | None:
        """Return both sides when they are numeric and have values, else None."""
        if isinstance(self.reference, NumericSummary) and isinstance(self.current, NumericSummary):
            return (self.reference, self.current) if self.reference.n and self.current.n else None
        return None

    @cached_property
    def boundaries(self) -> IntArray:
        """Cell indices at which the frozen bins of a numeric column begin."""
        assert isinstance(self.reference, NumericSummary)
        return bin_boundaries(self.reference.cells, self.bins)

    @cached_property
    def binned(self) -> tuple[IntArray, IntArray]:
        """Rows of the reference and of the window in each frozen bin (int64[B] each), empty bins included.

        Numeric: the bins of :func:`bin_boundaries`, then *missing*. Categorical: one bin for each category
        (beyond 50 the 50 most frequent of the reference, then the rest pooled), then *never seen before*,
        then *missing*. Edges depend on the reference alone.
        """
        if isinstance(self.reference, NumericSummary) and isinstance(self.current, NumericSummary):
            at = self.boundaries
            sides = [
                np.append(np.add.reduceat(side.cells, at), side.missing)
                for side in (self.reference, self.current)
            ]
            return sides[0], sides[1]
        assert isinstance(self.reference, CategoricalSummary) and isinstance(self.current, CategoricalSummary)
        kept, pooled = np.split(self._ranked, [POOL_BEYOND])
        sides = [
            np.concatenate(
                [
                    side.counts[kept],
                    [side.counts[pooled].sum()] if len(pooled) else [],
                    [side.unseen, side.missing],
                ]
            ).astype(np.int64)
            for side in (self.reference, self.current)
        ]
        return sides[0], sides[1]

    @cached_property
    def chances(self) -> Chances:
        """What the binned columns would do without drift."""
        return Chances.of(*self.binned)

    def beside_chance(self, value: float, moments: tuple[float, float], *, root: bool = False) -> Outcome:
        """Return a sum over the bins, or the root of one, beside what it is without drift."""
        limit, (mean, freedom) = quantile(*moments, self.alpha), moments
        known = {"mean": mean, "freedom": freedom}
        critical = math.sqrt(limit) if root else limit
        return self.outcome(value, critical=critical, bins=len(self.chances.shares), chance=known)

    @property
    def _ranked(self) -> IntArray:
        """Category indices, the reference's most frequent first, ties by name."""
        assert isinstance(self.reference, CategoricalSummary)
        return np.argsort(-self.reference.counts, kind="stable")

    @property
    def bin_labels(self) -> tuple[str, ...]:
        """A name for each bin of :attr:`binned`, for people."""
        if isinstance(self.reference, NumericSummary):
            cuts, at = self.reference.cuts, [int(b) for b in self.boundaries]
            pairs = zip(at, [*at[1:], len(self.reference.cells)], strict=True)
            return (*(_interval_label(cuts.tolist(), low, high) for low, high in pairs), "missing")
        assert isinstance(self.reference, CategoricalSummary)
        names = [self.reference.categories[int(i)] for i in self._ranked[:POOL_BEYOND]]
        pooled = ["other categories"] if len(self.reference.categories) > POOL_BEYOND else []
        return (*names, *pooled, "never seen before", "missing")


def bin_boundaries(cells: IntArray, bins: int) -> IntArray:
    """Choose the frozen bins of a numeric reference: where in its ``cells`` each bin begins.

    Deciles (for ``bins=10``): the k-th edge is the smallest cut point with at least k/bins of the rows at
    or below it, and belongs to the bin on its left; equal edges merge. A value that swallows two or more
    deciles gets a bin of its own, closed on both sides, so that a column of 95 % ones still has its zeros
    apart. Only counts decide, so no rounding does.

    >>> bin_boundaries(np.array([0, 1, 0, 1, 0, 1, 0, 1, 0]), 2)  # values 1 2 3 4, halved after the 2
    array([0, 4])
    """
    at_or_below = np.cumsum(cells)[1::2]
    n = int(cells.sum())
    if not n:
        return np.zeros(1, dtype=np.int64)
    ranks = np.arange(1, bins, dtype=np.int64) * n
    cuts, taken = np.unique(np.searchsorted(at_or_below * bins, ranks, side="left"), return_counts=True)
    return np.unique(np.concatenate([[0], 2 * cuts + 2, 2 * cuts[taken > 1] + 1])).astype(np.int64)


def _interval_label(cuts: list[float], low: int, high: int) -> str:
    """Name the cells ``low`` to ``high`` (exclusive): odd boundaries lie before a cut, even ones after it."""
    if low % 2 and high == low + 1:
        return f"= {cuts[low // 2]:g}"
    left = ("[" if low % 2 else "(") + f"{cuts[(low - 1) // 2]:g}" if low else "(-inf"
    right = f"{cuts[(high - 1) // 2]:g}" + (")" if high % 2 else "]") if high < 2 * len(cuts) + 1 else "inf)"
    return f"{left}, {right}"
