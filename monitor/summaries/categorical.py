"""The distribution of a categorical (or boolean) column as counts over the reference's categories."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from monitor.summaries import IntArray, pack, same_recipe, unpack

CATEGORY_LIMIT = 10_000


def categories_from(counts: Iterable[tuple[str, int]], limit: int = CATEGORY_LIMIT) -> tuple[str, ...]:
    """Choose the frozen categories: the ``limit`` most frequent (ties by name), sorted by name.

    >>> categories_from([("b", 2), ("a", 5), ("c", 1)], limit=2)
    ('a', 'b')
    """
    ranked = sorted(((name, n) for name, n in counts if n > 0), key=lambda pair: (-pair[1], pair[0]))
    return tuple(sorted(name for name, _ in ranked[:limit]))


@dataclass(frozen=True, eq=False)
class CategoricalSummary:
    """A categorical column: a count for each category of the reference, new names and missing values.

    Parameters
    ----------
    categories
        Names frozen from the reference by :func:`categories_from`, sorted.
    counts
        int64[len(categories)].
    unseen
        Rows whose category is not among them. In the *reference's own* summary this is not 0 only when it
        has more than the limit of categories.
    missing
        Rows without a value.
    """

    categories: tuple[str, ...]
    counts: IntArray
    unseen: int
    missing: int

    @classmethod
    def zero(cls, categories: tuple[str, ...]) -> Self:
        """Return the summary of no rows over these categories."""
        return cls(categories, np.zeros(len(categories), dtype=np.int64), 0, 0)

    @classmethod
    def lift(
        cls,
        values: Sequence[str],
        counts: Sequence[int] | IntArray,
        *,
        categories: tuple[str, ...],
        missing: int = 0,
    ) -> Self:
        """Summarise (value, count) pairs, as ``GROUP BY`` returns them; a value may come more than once.

        >>> CategoricalSummary.lift(["a", "z", "a"], [2, 1, 3], categories=("a", "b"), missing=1)
        CategoricalSummary(categories=('a', 'b'), counts=array([5, 0]), unseen=1, missing=1)
        """
        place = {name: index for index, name in enumerate(categories)}
        counted = np.zeros(len(categories) + 1, dtype=np.int64)
        where = [place.get(value, -1) for value in values]
        np.add.at(counted, np.asarray(where, dtype=np.int64), np.asarray(counts, dtype=np.int64))
        return cls(categories, counted[:-1], int(counted[-1]), int(missing))

    @property
    def n(self) -> int:
        """Rows with a value."""
        return int(self.counts.sum()) + self.unseen

    @property
    def rows(self) -> int:
        """Rows with and without a value."""
        return self.n + self.missing

    def merge(self, other: Self) -> Self:
        """Return the summary of both sets of rows."""
        if self.categories is not other.categories:
            same_recipe("categories", self.categories, other.categories)
        return type(self)(
            self.categories,
            self.counts + other.counts,
            self.unseen + other.unseen,
            self.missing + other.missing,
        )

    def to_bytes(self) -> bytes:
        header = {"categories": self.categories, "unseen": self.unseen, "missing": self.missing}
        return pack("categorical", header, counts=self.counts)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        header, arrays = unpack("categorical", data)
        return cls(tuple(header["categories"]), arrays["counts"], header["unseen"], header["missing"])
