"""Scores of all rows by predicted class: from them follow the confusion cells that are to be expected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from monitor.summaries import FloatArray, IntArray, pack, same_recipe, unpack
from monitor.summaries.confusion import SCORE_UNIT
from monitor.summaries.numeric import count_cells, ordered
from monitor.summaries.scores import cell_sums


@dataclass(frozen=True, eq=False)
class PredictedScores:
    """Rows with a score, labelled or not, by predicted class (0 negative, 1 positive).

    Parameters
    ----------
    edges
        float64[E] from 0 to 1, frozen: :func:`~monitor.summaries.scores.edges_from` of the knots of the
        calibrator. Between two of them the calibrator is a straight line, so that a cell's count and sum of
        scores give the sum of its probabilities exactly.
    counts, score_sums
        int64[2, 2E+1]: rows and the sum of ``round(score * 2**32)`` by predicted class and cell, laid out
        as in :func:`~monitor.summaries.numeric.count_cells`.
    out_of_range, unscored
        Scores outside [0, 1]; rows without a score, which are not in ``counts``.
    """

    edges: FloatArray
    counts: IntArray
    score_sums: IntArray
    out_of_range: int
    unscored: int

    @classmethod
    def zero(cls, edges: FloatArray) -> Self:
        """Return the summary of no rows on these edges."""
        return cls.lift(np.empty(0), np.empty(0, dtype=bool), edges=edges)

    @classmethod
    def lift(
        cls, scores: FloatArray, positive: npt.NDArray[np.bool_], *, edges: FloatArray, unscored: int = 0
    ) -> Self:
        """Summarise finite scores, in any order, and whether the positive class was predicted."""
        scores, positive = np.asarray(scores, np.float64), np.asarray(positive, dtype=bool)
        outside = int((scores < 0).sum() + (scores > 1).sum())
        parts = [ordered(np.clip(scores[positive == side], 0.0, 1.0)) for side in (False, True)]
        counts = np.stack([count_cells(part, edges) for part in parts])
        sums = [cell_sums(part, row) for part, row in zip(parts, counts, strict=True)]
        return cls(edges, counts, np.stack(sums), outside, unscored)

    @property
    def n(self) -> int:
        """Rows with a score."""
        return int(self.counts.sum())

    def mass(self, line: FloatArray) -> FloatArray:
        """Return the sum of probabilities in each cell, float64[2, 2E+1].

        ``line`` holds the probability at each edge, float64[E]; between edges it is straight.
        """
        result = np.zeros(self.counts.shape)
        result[:, 1::2] = self.counts[:, 1::2] * line
        slope = np.diff(line) / np.diff(self.edges)
        inner, sums = self.counts[:, 2:-1:2], self.score_sums[:, 2:-1:2] / SCORE_UNIT
        result[:, 2:-1:2] = inner * line[:-1] + slope * (sums - inner * self.edges[:-1])
        return np.clip(result, 0.0, self.counts)

    def merge(self, other: Self) -> Self:
        """Return the summary of both sets of rows."""
        same_recipe("score edges", self.edges, other.edges)
        counts, sums = self.counts + other.counts, self.score_sums + other.score_sums
        out_of_range, unscored = self.out_of_range + other.out_of_range, self.unscored + other.unscored
        return type(self)(self.edges, counts, sums, out_of_range, unscored)

    def to_bytes(self) -> bytes:
        header = {"out_of_range": self.out_of_range, "unscored": self.unscored}
        arrays = {"edges": self.edges, "counts": self.counts, "score_sums": self.score_sums}
        return pack("predicted scores", header, **arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        header, arrays = unpack("predicted scores", data)
        return cls(**arrays, **header)
