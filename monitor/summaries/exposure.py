"""What was recommended how often: counts by item, and how many of each list are among the popular ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from monitor.summaries import IntArray, pack, same_recipe, unpack


@dataclass(frozen=True, eq=False)
class ExposureSummary:
    """Lists of items, as counts over a numbered catalogue; no item is twice in one list.

    Parameters
    ----------
    head
        Items numbered below this are the popular ones.
    counts
        int64[C]: lists that hold each item.
    owners
        int64[C]: of an item that is in one list, a number that stands for the list; else 0.
    lists
        Lists, empty ones included.
    sums
        int64[5] over lists: h, l, h², hl, l² with l the length of a list and h its popular items.
    """

    head: int
    counts: IntArray
    owners: IntArray
    lists: int
    sums: IntArray

    @classmethod
    def zero(cls, size: int, head: int = 0) -> Self:
        """Return the summary of no lists over a catalogue of ``size`` items."""
        empty = np.zeros(size, np.int64)
        return cls(head, empty, empty, 0, np.zeros(5, np.int64))

    @classmethod
    def lift(cls, codes: IntArray, lengths: IntArray, owners: IntArray, *, size: int, head: int = 0) -> Self:
        """Summarise lists, in any order.

        Parameters
        ----------
        codes
            int64[sum of lengths]: numbers of the items, list after list.
        lengths, owners
            int64[n]: of each list its length, and a number that no other list of the window has.
        """
        codes, lengths = np.asarray(codes, np.int64), np.asarray(lengths, np.int64)
        counts = np.bincount(codes, minlength=size).astype(np.int64)
        owned = np.zeros(size, np.int64)
        owned[codes] = np.repeat(owners, lengths)
        owned[counts != 1] = 0
        so_far = np.concatenate([[0], np.cumsum(codes < head)])
        ends = np.cumsum(lengths)
        h = so_far[ends] - so_far[ends - lengths]
        sums = [h.sum(), lengths.sum(), (h * h).sum(), (h * lengths).sum(), (lengths * lengths).sum()]
        return cls(head, counts, owned, len(lengths), np.array(sums, np.int64))

    @property
    def recommended(self) -> int:
        """Places in all lists together."""
        return int(self.sums[1])

    def merge(self, other: Self) -> Self:
        """Return the summary of both sets of lists."""
        same_recipe("catalogues", (self.head, len(self.counts)), (other.head, len(other.counts)))
        counts = self.counts + other.counts
        owners = np.where(counts == 1, self.owners + other.owners, 0)
        return type(self)(self.head, counts, owners, self.lists + other.lists, self.sums + other.sums)

    def distinct(self, size: int | None = None) -> tuple[int, float]:
        """Return how many of the first ``size`` items are in a list, and the standard error of that number.

        The variance is the geometric mean of two. The jackknife's over lists (leaving one out loses the items
        that only it holds) errs upwards: where it has f₁, the items in one list, the variance is about what
        twice as many lists would add. An estimate of that, (1 - exp(-2 f₂ / f₁)) f₁² / 2 f₂ with f₂ items in
        two lists, errs downwards, and the jackknife's is scaled by it. Infinite below two lists.

        References
        ----------
        Efron, Stein (1981), The jackknife estimate of variance, Annals of Statistics 9; Colwell et al.
        (2012), Models and estimators linking rarefaction and extrapolation, J. Plant Ecology 5.
        """
        counts, owners = self.counts[:size], self.owners[:size]
        _, singles = np.unique(owners[counts == 1], return_counts=True)
        total, squares, n = int(singles.sum()), int(np.square(singles).sum()), self.lists
        x = 2 * int((counts == 2).sum()) / max(len(owners[counts == 1]), 1)
        less = -math.expm1(-x) / x if x else 1.0
        variance = (n * squares - total * total) * (n - 1) * math.sqrt(less)
        error = math.sqrt(variance) / n if n > 1 else math.inf
        return int((counts > 0).sum()), error

    def popular_share(self) -> tuple[float, float]:
        """Return the share of popular items among all recommended, and its standard error.

        A ratio of sums over lists, so that lists of any length count as clusters; NaN where nothing was
        recommended.

        References
        ----------
        Cochran (1977), Sampling Techniques, chapter 6.
        """
        h, length, hh, hl, ll = (int(x) for x in self.sums)
        if not length:
            return math.nan, math.inf
        share, n = h / length, self.lists
        spread = (length * length * hh - 2 * h * length * hl + h * h * ll) / length**2  # of h - share * l
        return share, math.sqrt(spread * n / (n - 1)) / length if n > 1 else math.inf

    def to_bytes(self) -> bytes:
        header = {"head": self.head, "lists": self.lists}
        return pack("exposure", header, counts=self.counts, owners=self.owners, sums=self.sums)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        header, arrays = unpack("exposure", data)
        return cls(header["head"], arrays["counts"], arrays["owners"], header["lists"], arrays["sums"])
