"""How good lists were: moments over lists of NDCG, average precision, recall and reciprocal rank, and hits.

Beside the lists that were shown the same of the *popular list*, the reference's most popular items for
everyone: the trivial baseline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from monitor.summaries import FloatArray, IntArray, pack, same_recipe, unpack
from monitor.summaries.moments import Moments

BASELINE = "baseline_"
Values = Mapping[str, FloatArray]


@dataclass(frozen=True, eq=False)
class Gains:
    """Labelled lists, n of them, by the relevance of their first K positions.

    Parameters
    ----------
    shown
        float64[n, K]: relevance of the item at each position, 0 where there is none.
    ideal
        float64[n, K]: the largest relevances in the list's label, downwards.
    relevant
        int64[n]: items with relevance above 0 in the label.
    first
        int64[n]: position (from 1, over the whole list) of the first relevant item; 0 where there is none.
    popular
        float64[n, K]: relevance of the popular list's items; None where there is no such list.
    """

    shown: FloatArray
    ideal: FloatArray
    relevant: IntArray
    first: IntArray
    popular: FloatArray | None = None

    def values(self, ks: Sequence[int]) -> dict[str, FloatArray]:
        """Return each statistic's value for every list, float64[n] (NaN: not defined), by name.

        Names are those of :func:`names` and ``hit_rate@k``; of the popular list with ``baseline_`` before
        them. A list without a relevant item has neither NDCG nor average precision nor recall.
        """
        ideal = _cumulated(self.ideal, ks)
        found = _values(self.shown, ideal, self.relevant, self.first, ks)
        if self.popular is not None:
            hit = self.popular > 0
            first = np.where(hit.any(1), hit.argmax(1) + 1, 0)
            more = _values(self.popular, ideal, self.relevant, first, ks)
            found |= {BASELINE + name: column for name, column in more.items()}
        return found


def names(ks: Sequence[int]) -> list[str]:
    """Return the names of the statistics kept as moments, in a fixed order.

    >>> names([5])  # doctest: +NORMALIZE_WHITESPACE
    ['mrr', 'ndcg@5', 'map@5', 'recall@5', 'baseline_mrr', 'baseline_ndcg@5', 'baseline_map@5',
    'baseline_recall@5']
    """
    own = ["mrr", *(f"{name}@{k}" for k in ks for name in ("ndcg", "map", "recall"))]
    return [*own, *(BASELINE + name for name in own)]


@dataclass(frozen=True, eq=False)
class RankingSummary:
    """Labelled lists, and how many have no label.

    Parameters
    ----------
    ks
        Cutoffs, ascending.
    lists
        Lists with a label.
    moments
        Of each statistic of :func:`names`, over the lists for which it is defined.
    hits
        int64[2, len(ks)]: lists with something relevant among the first k shown; among the first k of the
        popular list.
    unlabelled
        Lists without a label.
    """

    ks: tuple[int, ...]
    lists: int
    moments: tuple[Moments, ...]
    hits: IntArray
    unlabelled: int

    @classmethod
    def zero(cls, ks: Sequence[int]) -> Self:
        """Return the summary of no lists."""
        return cls(tuple(ks), 0, (Moments(),) * len(names(ks)), np.zeros((2, len(ks)), np.int64), 0)

    @classmethod
    def lift(cls, values: Values, *, ks: Sequence[int], unlabelled: int = 0) -> Self:
        """Summarise what :meth:`Gains.values` returned, in any order, and a number of unlabelled lists."""
        lifted = [_moments(values[name]) if name in values else Moments() for name in names(ks)]
        hits = [[_hits(values, f"{which}hit_rate@{k}") for k in ks] for which in ("", BASELINE)]
        counted = np.array(hits, np.int64).reshape(2, len(ks))
        lists = len(values["mrr"]) if values else 0
        return cls(tuple(ks), lists, tuple(lifted), counted, int(unlabelled))

    @cached_property
    def of(self) -> dict[str, Moments]:
        """The moments by name."""
        return dict(zip(names(self.ks), self.moments, strict=True))

    @property
    def labelled(self) -> int:
        """Lists with a label, as groups' rows are called."""
        return self.lists

    @property
    def rows(self) -> int:
        """Lists with and without a label."""
        return self.lists + self.unlabelled

    def merge(self, other: Self) -> Self:
        """Return the summary of both sets of lists."""
        same_recipe("cutoffs", self.ks, other.ks)
        merged = tuple(a.merge(b) for a, b in zip(self.moments, other.moments, strict=True))
        counts = self.lists + other.lists, self.unlabelled + other.unlabelled
        return type(self)(self.ks, counts[0], merged, self.hits + other.hits, counts[1])

    def to_bytes(self) -> bytes:
        header = {"ks": self.ks, "lists": self.lists, "unlabelled": self.unlabelled}
        return pack("ranking", header, hits=self.hits, moments=np.stack([m.to_array() for m in self.moments]))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        header, arrays = unpack("ranking", data)
        moments = tuple(Moments.from_array(row) for row in arrays["moments"])
        return cls(tuple(header["ks"]), header["lists"], moments, arrays["hits"], header["unlabelled"])


def _values(
    shown: FloatArray, ideal: Mapping[int, FloatArray], relevant: IntArray, first: IntArray, ks: Sequence[int]
) -> dict[str, FloatArray]:
    dcg, some = _cumulated(shown, ks), relevant > 0
    hit = np.cumsum(shown > 0, axis=1)
    precise = np.where(shown > 0, hit / np.arange(1, shown.shape[1] + 1), 0.0)
    summed = np.cumsum(precise, axis=1)
    values = {"mrr": np.where(first > 0, 1.0 / np.maximum(first, 1), 0.0)}
    with np.errstate(divide="ignore", invalid="ignore"):
        for k in ks:
            values[f"ndcg@{k}"] = np.where(some, dcg[k] / ideal[k], np.nan)
            values[f"map@{k}"] = np.where(some, summed[:, k - 1] / np.minimum(relevant, k), np.nan)
            values[f"recall@{k}"] = np.where(some, hit[:, k - 1] / relevant, np.nan)
            values[f"hit_rate@{k}"] = (hit[:, k - 1] > 0).astype(np.float64)
    return values


def _cumulated(relevance: FloatArray, ks: Sequence[int]) -> dict[int, FloatArray]:
    """Return the discounted cumulative gain at each cutoff: position by position, so in a fixed order."""
    discounted = np.cumsum(relevance / np.log2(np.arange(2, relevance.shape[1] + 2)), axis=1)
    return {k: discounted[:, k - 1] for k in ks}


def _moments(column: FloatArray) -> Moments:
    return Moments.lift(np.sort(column[~np.isnan(column)]))


def _hits(values: Values, name: str) -> int:
    return int(values[name].sum()) if name in values else 0
