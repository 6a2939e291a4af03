"""What predictions owe to each feature, summed over rows in blocks, so that the rows can be resampled."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from monitor.summaries import FloatArray, IntArray, pack, same_recipe, unpack

BLOCKS = 512
_SHIFT = 63 - 9  # of a key: its leading 9 bits are its block


def spread_keys(n: int) -> IntArray:
    """Return keys of rows that have no hash but come in random order: one block after the other.

    >>> (spread_keys(BLOCKS + 1) >> _SHIFT).tolist()[-2:]
    [511, 0]
    """
    keys: IntArray = (np.arange(n, dtype=np.int64) % BLOCKS << _SHIFT) + np.arange(
        n, dtype=np.int64
    ) // BLOCKS
    return keys


@dataclass(frozen=True, eq=False)
class AttributionSummary:
    """Attributions by block of rows, output (class) and feature; a row's block is the head of its hash.

    Blocks are random groups of rows, so resampling them with replacement is the row bootstrap, at a cost that
    does not grow with the rows. Only blocks with rows are kept.

    Parameters
    ----------
    features, outputs
        Names of the axes; a model with one output has the output ``""``.
    blocks
        int64[b], ascending.
    counts
        int64[b, outputs, features]: rows with a finite attribution.
    magnitudes, totals
        float64[b, outputs, features]: the sums of their absolute and of their signed attributions.
    """

    features: tuple[str, ...]
    outputs: tuple[str, ...]
    blocks: IntArray
    counts: IntArray
    magnitudes: FloatArray
    totals: FloatArray

    @classmethod
    def zero(cls, features: tuple[str, ...], outputs: tuple[str, ...]) -> Self:
        """Return the summary of no rows."""
        shape = (0, len(outputs), len(features))
        none = np.empty(shape)
        return cls(features, outputs, np.empty(0, np.int64), np.empty(shape, np.int64), none, none)

    @classmethod
    def lift(
        cls, keys: IntArray, values: FloatArray, *, features: tuple[str, ...], outputs: tuple[str, ...]
    ) -> Self:
        """Summarise rows in any order.

        Parameters
        ----------
        keys
            int64[n], not negative, of 63 bits: a hash of each row's identity, which orders and groups rows.
        values
            float64[n, outputs, features], NaN where a row has no attribution.
        features, outputs
            Names of the axes.

        >>> rows = np.array([[[1.0, -2.0]], [[3.0, np.nan]]])
        >>> AttributionSummary.lift(np.array([5, 9]), rows, features=("a", "b"), outputs=("",)).mean_abs
        array([[2., 2.]])
        """
        if not len(keys):
            return cls.zero(features, outputs)
        order = np.argsort(keys, kind="stable")
        blocks, starts = np.unique(keys[order] >> _SHIFT, return_index=True)
        rows = values[order]
        held = np.isfinite(rows)
        known = np.where(held, rows, 0.0)
        counts = np.add.reduceat(held, starts, axis=0, dtype=np.int64)
        totals = np.add.reduceat(known, starts, axis=0)
        magnitudes = np.add.reduceat(np.abs(known), starts, axis=0)
        return cls(features, outputs, blocks.astype(np.int64), counts, magnitudes, totals)

    @property
    def n(self) -> int:
        """Rows with an attribution, of the feature and output that most rows have one of."""
        return int(self.counts.sum(axis=0).max(initial=0))

    @cached_property
    def mean_abs(self) -> FloatArray:
        """Mean absolute attribution, float64[outputs, features]; NaN where no row has one."""
        return self._mean(self.magnitudes)

    @cached_property
    def mean(self) -> FloatArray:
        """Mean attribution, float64[outputs, features]; NaN where no row has one."""
        return self._mean(self.totals)

    def _mean(self, sums: FloatArray) -> FloatArray:
        with np.errstate(invalid="ignore"):
            means: FloatArray = sums.sum(axis=0) / self.counts.sum(axis=0)
        return means

    def of(self, output: str | None) -> Self:
        """Return the summary of one output, or (None) of all pooled: of each row with each output it has."""
        if output is None:
            parts = [a.sum(axis=1, keepdims=True) for a in (self.counts, self.magnitudes, self.totals)]
            return type(self)(self.features, ("",), self.blocks, *parts)
        i = self.outputs.index(output)
        parts = [a[:, i : i + 1] for a in (self.counts, self.magnitudes, self.totals)]
        return type(self)(self.features, (output,), self.blocks, *parts)

    def over(self, features: tuple[str, ...]) -> Self:
        """Return the summary over these features; those it does not have were given by no row."""
        at = {name: i for i, name in enumerate(self.features)}
        wide = []
        for part in (self.counts, self.magnitudes, self.totals):
            wide.append(np.zeros((*part.shape[:2], len(features)), dtype=part.dtype))
            for j, name in enumerate(features):
                if name in at:
                    wide[-1][..., j] = part[..., at[name]]
        return type(self)(features, self.outputs, self.blocks, *wide)

    def merge(self, other: Self) -> Self:
        """Return the summary of both sets of rows."""
        same_recipe("features", self.features, other.features)
        same_recipe("outputs", self.outputs, other.outputs)
        if not len(self.blocks) or not len(other.blocks):
            return self if len(self.blocks) else other
        blocks = np.union1d(self.blocks, other.blocks)
        wide = [part._over(blocks) for part in (self, other)]
        summed = [a + b for a, b in zip(*wide, strict=True)]
        return type(self)(self.features, self.outputs, blocks, summed[0].astype(np.int64), *summed[1:])

    def _over(self, blocks: IntArray) -> list[FloatArray]:
        at = np.searchsorted(blocks, self.blocks)
        wide = []
        for part in (self.counts, self.magnitudes, self.totals):
            wide.append(np.zeros((len(blocks), *part.shape[1:]), dtype=part.dtype))
            wide[-1][at] = part
        return wide

    def beside(self, other: Self) -> Self:
        """Return the summary of both sets of features, of the same rows and outputs."""
        same_recipe("outputs", self.outputs, other.outputs)
        blocks = np.union1d(self.blocks, other.blocks)
        both = zip(self._over(blocks), other._over(blocks), strict=True)
        counts, magnitudes, totals = (np.concatenate(pair, axis=2) for pair in both)
        features = (*self.features, *other.features)
        return type(self)(features, self.outputs, blocks, counts.astype(np.int64), magnitudes, totals)

    def to_bytes(self) -> bytes:
        header = {"features": self.features, "outputs": self.outputs}
        arrays = {name: getattr(self, name) for name in ("blocks", "counts", "magnitudes", "totals")}
        return pack("attributions", header, **arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        header, arrays = unpack("attributions", data)
        return cls(tuple(header["features"]), tuple(header["outputs"]), **arrays)
