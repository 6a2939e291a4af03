"""Scores of one class against its truth: histograms for AUC and calibration, losses for the means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from monitor.summaries import FloatArray, IntArray, pack, same_recipe, unpack
from monitor.summaries.confusion import SCORE_UNIT
from monitor.summaries.moments import Moments
from monitor.summaries.numeric import count_cells, ordered

GRID = 4096
EPSILON = float(np.finfo(np.float64).eps)  # scikit-learn clips probabilities to [eps, 1 - eps] for the log


def edges_from(reference_cuts: FloatArray) -> FloatArray:
    """Return the frozen edges: 4,097 even ones on [0, 1] and the reference's score cut points.

    The grid keeps calibration fine; the cut points keep AUC right for skewed scores and for scores that
    are not probabilities.
    """
    return np.union1d(np.linspace(0.0, 1.0, GRID + 1), reference_cuts)


@dataclass(frozen=True, eq=False)
class ScoreSummary:
    """Labelled scores of one class (binary: the positive one; multiclass: one against the rest).

    Parameters
    ----------
    edges
        float64[E], frozen, see :func:`edges_from`.
    counts
        int64[2, 2E+1]: rows by truth (0 negative, 1 positive) and cell, laid out as in
        :func:`~monitor.summaries.numeric.count_cells` (edges themselves are cells, so ties are exact).
    score_sums
        int64[2E+1]: sum of ``round(score * 2**32)`` in each cell, both truths together.
    log_loss, brier
        For each truth the moments of ``-ln p(truth)`` (nats) and of ``(score - truth)**2``.
    out_of_range
        Scores outside [0, 1]; when there are any, only the ranking (AUC) means something.
    """

    edges: FloatArray
    counts: IntArray
    score_sums: IntArray
    log_loss: tuple[Moments, Moments]
    brier: tuple[Moments, Moments]
    out_of_range: int

    @classmethod
    def zero(cls, edges: FloatArray) -> Self:
        """Return the summary of no rows on these edges."""
        cells = 2 * len(edges) + 1
        none = (Moments(), Moments())
        return cls(edges, np.zeros((2, cells), dtype=np.int64), np.zeros(cells, np.int64), none, none, 0)

    @classmethod
    def lift(cls, scores: FloatArray, truths: npt.NDArray[np.bool_], *, edges: FloatArray) -> Self:
        """Summarise labelled rows in any order: finite ``scores`` and whether the class was the truth."""
        scores, truths = np.asarray(scores, dtype=np.float64), np.asarray(truths, dtype=bool)
        parts = [ordered(scores[~truths]), ordered(scores[truths])]
        counts = np.stack([count_cells(part, edges) for part in parts])
        outside = sum(int((part < 0).sum() + (part > 1).sum()) for part in parts)
        clipped = [np.clip(part, 0.0, 1.0) for part in parts]
        losses = [_log_loss(1.0 - clipped[0]), _log_loss(clipped[1])]
        squares = [Moments.lift(np.square(clipped[0])), Moments.lift(np.sort(np.square(1.0 - clipped[1])))]
        sums = sum((cell_sums(part, row) for part, row in zip(clipped, counts, strict=True)), np.int64(0))
        return cls(edges, counts, np.asarray(sums), (losses[0], losses[1]), (squares[0], squares[1]), outside)

    @property
    def n(self) -> int:
        """Labelled rows with a score."""
        return int(self.counts.sum())

    @property
    def mean_scores(self) -> FloatArray:
        """Mean score of each cell, float64[2E+1], cut to [0, 1]; 0 where there is none."""
        rows = self.counts.sum(0)
        means: FloatArray = self.score_sums / np.maximum(rows, 1) / SCORE_UNIT
        return means

    def merge(self, other: Self) -> Self:
        """Return the summary of both sets of rows."""
        same_recipe("score edges", self.edges, other.edges)
        return type(self)(
            self.edges,
            self.counts + other.counts,
            self.score_sums + other.score_sums,
            _merge_pair(self.log_loss, other.log_loss),
            _merge_pair(self.brier, other.brier),
            self.out_of_range + other.out_of_range,
        )

    def to_bytes(self) -> bytes:
        moments = np.stack([m.to_array() for m in (*self.log_loss, *self.brier)])
        arrays = {"edges": self.edges, "counts": self.counts, "score_sums": self.score_sums}
        return pack("scores", {"out_of_range": self.out_of_range}, **arrays, moments=moments)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        header, arrays = unpack("scores", data)
        a, b, c, d = (Moments.from_array(row) for row in arrays.pop("moments"))
        return cls(**arrays, log_loss=(a, b), brier=(c, d), out_of_range=header["out_of_range"])


def _log_loss(probabilities_of_truth: FloatArray) -> Moments:
    return Moments.lift(np.sort(-np.log(np.clip(probabilities_of_truth, EPSILON, 1.0 - EPSILON))))


def cell_sums(scores: FloatArray, counts: IntArray) -> IntArray:
    """Sum sorted scores within consecutive cells of the given sizes, in fixed point."""
    running = np.zeros(len(scores) + 1, dtype=np.int64)
    np.cumsum(np.rint(scores * SCORE_UNIT).astype(np.int64), out=running[1:])
    return np.diff(running[np.concatenate(([0], np.cumsum(counts)))])


def _merge_pair(a: tuple[Moments, Moments], b: tuple[Moments, Moments]) -> tuple[Moments, Moments]:
    return a[0].merge(b[0]), a[1].merge(b[1])
