"""A sample of the window's rows beside one of the reference's: what multivariate drift metrics take."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from monitor.metrics.encoding import points, tree_columns
from monitor.metrics.registry import Metric, Outcome
from monitor.summaries import FloatArray

KINDS = frozenset(("features", "embedding"))


@dataclass(frozen=True, eq=False)
class SamplePair:
    """Rows of the reference and of the window, with a column for each feature.

    Parameters
    ----------
    reference
        float64, string and list<float> columns in random order; None where no sample is kept.
    current
        The window's, with the same columns, in random order too.
    seed
        Of everything random about the answer; made from what is asked.
    alpha
        Share of drift-free windows that a critical value lets past.
    """

    reference: pa.Table | None
    current: pa.Table
    seed: int = 0
    alpha: float = 0.01

    @property
    def kind(self) -> Literal["features", "embedding"]:
        """``embedding`` when there is nothing but one embedding, as in :attr:`Metric.applies`."""
        types = self.current.schema.types
        return "embedding" if len(types) == 1 and pa.types.is_list(types[0]) else "features"

    @property
    def n(self) -> int:
        """Rows of the window's sample."""
        return int(self.current.num_rows)

    @property
    def n_reference(self) -> int:
        """Rows of the reference's sample."""
        return 0 if self.reference is None else int(self.reference.num_rows)

    def lack(self, metric: Metric) -> Outcome | None:
        """Return the reason why ``metric`` has no value here, if it is not for the metric to say."""
        if self.kind not in metric.applies:
            return Outcome.none("not_applicable", f"{metric.name} is not defined for one {self.kind} alone")
        if not self.n_reference:
            return Outcome.none("no_reference", "the reference keeps no sample of rows", n=self.n)
        if not self.n:
            return Outcome.none(
                "insufficient_samples", "the window has no rows", n_reference=self.n_reference
            )
        return None

    def rng(self, metric: str) -> np.random.Generator:
        """Return the generator of one metric, so that the order in which metrics are asked is no matter."""
        return np.random.default_rng([self.seed, *metric.encode()])

    def outcome(self, value: float, n: int | None = None, m: int | None = None, **detail: Any) -> Outcome:
        """Return a value with the rows of window and reference that it rests on, by default all."""
        rows = (self.n if n is None else n, self.n_reference if m is None else m)
        return Outcome(value, n=rows[0], n_reference=rows[1], detail=detail)

    @cached_property
    def points(self) -> tuple[FloatArray, FloatArray]:
        """Both sides as points, float64[m, d] and float64[n, d], on scales frozen from the reference.

        See :func:`~monitor.metrics.encoding.points`: every feature weighs about the same.
        """
        assert self.reference is not None
        names = self.current.column_names
        blocks = [points(self.reference[name], self.current[name]) for name in names]
        return np.hstack([left for left, _ in blocks]), np.hstack([right for _, right in blocks])

    @cached_property
    def tree_columns(self) -> dict[str, tuple[FloatArray, FloatArray]]:
        """For each feature both sides' columns for decision trees, missing numbers as NaN."""
        assert self.reference is not None
        names = self.current.column_names
        return {name: tree_columns(self.reference[name], self.current[name]) for name in names}
