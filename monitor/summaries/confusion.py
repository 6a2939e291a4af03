"""How often each class was predicted for each true class, by group: the base of accuracy and fairness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from monitor.summaries import IntArray, pack, unpack

EVERYONE = ""
SCORE_UNIT = 2**32  # one in the fixed-point sums of scores: integers add up the same in any order


@dataclass(frozen=True, eq=False)
class Confusion:
    """Counted cells of group x truth x prediction, rows still without a label kept apart.

    Parameters
    ----------
    classes
        C class names, sorted; the union of those in truth and prediction.
    groups
        G group names, sorted. ``""`` (:data:`EVERYONE`) stands for all rows together; give either that one
        or the groups of one sensitive attribute. Rows that belong to no group are simply not lifted.
    counts
        int64[G, C, C]: labelled rows, indexed group, truth, prediction.
    unlabelled
        int64[G, C]: rows without a label, by prediction, so that selection rates need no labels.
    scored, score_sums
        For each group the number of rows with a score and the sum of ``round(score * 2**32)``, as Python
        integers of any size.
    """

    classes: tuple[str, ...]
    groups: tuple[str, ...]
    counts: IntArray
    unlabelled: IntArray
    scored: tuple[int, ...]
    score_sums: tuple[int, ...]

    @classmethod
    def zero(cls) -> Self:
        """Return the cells of no rows; classes and groups grow with merging, so there is no recipe."""
        return cls.lift([], [], [], [])

    @classmethod
    def lift(
        cls,
        groups: Sequence[str],
        truths: Sequence[str | None],
        predictions: Sequence[str],
        counts: Sequence[int] | IntArray,
        *,
        scored: Sequence[int] | None = None,
        score_sums: Sequence[int] | None = None,
        classes: Sequence[str] = (),
    ) -> Self:
        """Build the cells from (group, truth, prediction, count) rows as ``GROUP BY`` returns them.

        ``truths`` holds ``None`` for rows without a label. ``scored`` and ``score_sums`` (fixed point, see
        above) run along the same rows. ``classes`` are added to those found.

        >>> Confusion.lift(["", ""], ["1", None], ["1", "0"], [3, 2]).coverage
        0.6
        """
        names = tuple(sorted({*classes, *predictions, *(t for t in truths if t is not None)}))
        found = tuple(sorted(set(groups)))
        class_at = {name: i for i, name in enumerate(names)}
        group_at = {name: i for i, name in enumerate(found)}
        labelled = np.zeros((len(found), len(names), len(names)), dtype=np.int64)
        unlabelled = np.zeros((len(found), len(names)), dtype=np.int64)
        n_scored, sums = [0] * len(found), [0] * len(found)
        for row, (group, truth, prediction) in enumerate(zip(groups, truths, predictions, strict=True)):
            g, p = group_at[group], class_at[prediction]
            if truth is None:
                unlabelled[g, p] += counts[row]
            else:
                labelled[g, class_at[truth], p] += counts[row]
            n_scored[g] += int(scored[row]) if scored is not None else 0
            sums[g] += int(score_sums[row]) if score_sums is not None else 0
        return cls(names, found, labelled, unlabelled, tuple(n_scored), tuple(sums))

    @classmethod
    def counted(cls, rows: Sequence[tuple[Any, ...]]) -> Self:
        """Build the cells from rows (group, truth, prediction, count, scored, score sum)."""
        groups, truths, predictions, counts, scored, sums = zip(*rows, strict=True) if rows else ((),) * 6
        return cls.lift(groups, truths, predictions, counts, scored=scored, score_sums=sums)

    @property
    def labelled(self) -> int:
        """Rows with a label."""
        return int(self.counts.sum())

    @property
    def rows(self) -> int:
        """Rows with and without a label."""
        return self.labelled + int(self.unlabelled.sum())

    @property
    def coverage(self) -> float | None:
        """Share of rows with a label; None of no rows."""
        return self.labelled / self.rows if self.rows else None

    def _spread(self, classes: tuple[str, ...], groups: tuple[str, ...]) -> dict[str, Any]:
        """Return this summary's arrays laid out over wider classes and groups."""
        c = np.array([classes.index(name) for name in self.classes], dtype=np.int64)
        g = np.array([groups.index(name) for name in self.groups], dtype=np.int64)
        counts = np.zeros((len(groups), len(classes), len(classes)), dtype=np.int64)
        unlabelled = np.zeros((len(groups), len(classes)), dtype=np.int64)
        counts[np.ix_(g, c, c)] = self.counts
        unlabelled[np.ix_(g, c)] = self.unlabelled
        score = dict(zip(self.groups, zip(self.scored, self.score_sums, strict=True), strict=True))
        return {
            "counts": counts,
            "unlabelled": unlabelled,
            "score": [score.get(name, (0, 0)) for name in groups],
        }

    def merge(self, other: Self) -> Self:
        """Return the cells of both sets of rows, over the sorted union of classes and groups."""
        classes = tuple(sorted({*self.classes, *other.classes}))
        groups = tuple(sorted({*self.groups, *other.groups}))
        a, b = self._spread(classes, groups), other._spread(classes, groups)
        score = [(x[0] + y[0], x[1] + y[1]) for x, y in zip(a["score"], b["score"], strict=True)]
        return type(self)(
            classes,
            groups,
            a["counts"] + b["counts"],
            a["unlabelled"] + b["unlabelled"],
            tuple(n for n, _ in score),
            tuple(total for _, total in score),
        )

    def to_bytes(self) -> bytes:
        names = ("classes", "groups", "scored", "score_sums")
        header = {name: getattr(self, name) for name in names}
        return pack("confusion", header, counts=self.counts, unlabelled=self.unlabelled)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        header, arrays = unpack("confusion", data)
        lists: dict[str, Any] = {name: tuple(value) for name, value in header.items()}
        return cls(**lists, **arrays)
