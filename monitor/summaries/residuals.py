"""Errors of a regression: moments for the means, a histogram for quantiles, joint sums for R²."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from monitor.summaries import FloatArray, IntArray, pack, same_recipe, unpack
from monitor.summaries.moments import Moments

SHIFT = 45  # keeps 11 exponent and 7 mantissa bits of a float64: cells 0.8 % wide
_FIELDS = ("error", "absolute", "squared", "truth", "percentage")


@dataclass(frozen=True, eq=False)
class ResidualSummary:
    """Labelled rows of a regression; ``error`` is prediction minus truth.

    Parameters
    ----------
    center
        Frozen from the reference (its mean label); only keeps the joint sums small.
    error, absolute, squared, truth
        Moments of the error, its absolute value, its square and of the true value.
    percentage
        Moments of ``|error / truth|`` over rows whose truth is not 0.
    keys, counts
        int64[H]: histogram of the absolute error by the leading bits of its float64 form, keys ascending.
    joint
        float64[6]: sums of u, u², u³, u⁴, e²u, e²u² with ``u = truth - center``, for the interval of R².
    unlabelled
        Rows without a label.
    """

    center: float
    error: Moments
    absolute: Moments
    squared: Moments
    truth: Moments
    percentage: Moments
    keys: IntArray
    counts: IntArray
    joint: FloatArray
    unlabelled: int

    @classmethod
    def zero(cls, center: float = 0.0) -> Self:
        """Return the summary of no rows."""
        return cls.lift(np.empty(0), np.empty(0), center=center)

    @classmethod
    def lift(
        cls, predictions: FloatArray, truths: FloatArray, *, center: float = 0.0, unlabelled: int = 0
    ) -> Self:
        """Summarise labelled rows (finite, in any order) and a number of unlabelled ones."""
        predictions, truths = np.asarray(predictions, np.float64), np.asarray(truths, np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            error = np.sort(predictions - truths) + 0.0
            absolute = np.sort(np.abs(error))
            kept = truths != 0
            percentage = np.sort(np.abs((predictions[kept] - truths[kept]) / truths[kept]))
            square, u = np.square(predictions - truths), truths - center
            joint = [np.sort(term).sum() for term in (u, u**2, u**3, u**4, square * u, square * u**2)]
            parts = [error, absolute, np.square(absolute), np.sort(truths) + 0.0, percentage]
            moments = [Moments.lift(part) for part in parts]
        keys, counts = np.unique(absolute.view(np.int64) >> SHIFT, return_counts=True)
        e, a, s, t, p = moments
        return cls(center, e, a, s, t, p, keys, counts, np.array(joint), int(unlabelled))

    @property
    def n(self) -> int:
        """Rows with a label."""
        return self.error.n

    @property
    def rows(self) -> int:
        """Rows with and without a label."""
        return self.n + self.unlabelled

    @property
    def zero_truths(self) -> int:
        """Rows whose true value is 0, which the percentage error leaves out."""
        return self.n - self.percentage.n

    @property
    def sizes(self) -> FloatArray:
        """The absolute error in the middle of each of the histogram's cells, float64[H]."""
        low, high = (((self.keys + i) << SHIFT).view(np.float64) for i in (0, 1))
        middle: FloatArray = np.where(self.keys == 0, 0.0, (low + high) / 2)
        return middle

    def quantile(self, q: float) -> float | None:
        """Return the ``q`` quantile of the absolute error to 0.4 % (its cell's middle); None of no rows."""
        if not self.n:
            return None
        rank = max(int(np.ceil(q * self.n)), 1)
        key = self.keys[np.searchsorted(np.cumsum(self.counts), rank)]
        low, high = np.array([key << SHIFT, (key + 1) << SHIFT], dtype=np.int64).view(np.float64)
        return (
            0.0
            if key == 0
            else float(np.clip((low + high) / 2, self.absolute.minimum, self.absolute.maximum))
        )

    def merge(self, other: Self) -> Self:
        """Return the summary of both sets of rows."""
        same_recipe("centres", self.center, other.center)
        keys, where = np.unique(np.concatenate([self.keys, other.keys]), return_inverse=True)
        counts = np.zeros(len(keys), dtype=np.int64)
        np.add.at(counts, where, np.concatenate([self.counts, other.counts]))
        e, a, s, t, p = (getattr(self, name).merge(getattr(other, name)) for name in _FIELDS)
        unlabelled = self.unlabelled + other.unlabelled
        return type(self)(self.center, e, a, s, t, p, keys, counts, self.joint + other.joint, unlabelled)

    def to_bytes(self) -> bytes:
        moments = np.stack([getattr(self, name).to_array() for name in _FIELDS])
        header = {"center": self.center, "unlabelled": self.unlabelled}
        arrays = {"keys": self.keys, "counts": self.counts, "joint": self.joint}
        return pack("residuals", header, moments=moments, **arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        header, arrays = unpack("residuals", data)
        fields: dict[str, Any] = {**header, **arrays}
        rows = fields.pop("moments")
        fields.update({name: Moments.from_array(row) for name, row in zip(_FIELDS, rows, strict=True)})
        return cls(**fields)
