"""Attributions of a window's rows beside the reference's: what explanation metrics take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from monitor.metrics.intervals import DRAWS, Interval, percentile
from monitor.metrics.registry import Metric, Outcome
from monitor.summaries import FloatArray, same_recipe
from monitor.summaries.attributions import AttributionSummary
from monitor.types import Task

TASKS: frozenset[Task] = frozenset(("binary", "multiclass", "regression"))
LEAST_BLOCKS = 10  # fewer blocks of rows have no interval: resampling them says nothing

Means = Callable[[FloatArray], FloatArray]
Sides = tuple[FloatArray, FloatArray]  # of the reference, of the window


@dataclass(frozen=True, eq=False)
class AttributionData:
    """The attributions of one output, or of all outputs pooled.

    Parameters
    ----------
    task
        What the model predicts.
    current
        The window's, with one output.
    rng
        Seeded by what is asked.
    reference
        The reference's own, over the same features; None where there are none.
    why_no_reference
        Why, in words.
    pvalues
        Drift p-value by feature, where drift was asked; None where it was not.
    pooled
        Whether several outputs were pooled: then signs mean nothing, what one class gains another loses.
    """

    task: Task
    current: AttributionSummary
    rng: np.random.Generator
    reference: AttributionSummary | None = None
    why_no_reference: str = "there is no reference"
    pvalues: Mapping[str, float] | None = None
    pooled: bool = False

    def __post_init__(self) -> None:
        if self.reference is not None:
            same_recipe("features", self.current.features, self.reference.features)

    @property
    def n(self) -> int:
        """Rows of the window with an attribution."""
        return self.current.n

    @property
    def n_reference(self) -> int:
        """Rows of the reference with an attribution."""
        return self.reference.n if self.reference is not None else 0

    def lack(self, metric: Metric) -> Outcome | None:
        """Return the reason why ``metric`` has no value here, if it is not for the metric to say."""
        if self.task not in metric.applies:
            return Outcome.none("not_applicable", f"{metric.name} is not defined for {self.task} models")
        if metric.needs_reference and not self.n_reference:
            return Outcome.none("no_reference", self.why_no_reference, n=self.n)
        if not self.n:
            return self.without_rows()
        return None

    def without_rows(self) -> Outcome:
        """Return that nothing was explained."""
        reason = "no row of the window has attributions"
        return Outcome.none("insufficient_samples", reason, n_reference=self.n_reference)

    @cached_property
    def magnitude(self) -> FloatArray:
        """Mean absolute attribution of each feature, float64[features]; NaN where no row has one."""
        found: FloatArray = self.current.mean_abs[0]
        return found

    @cached_property
    def known_magnitude(self) -> FloatArray | None:
        """The reference's, float64[features]; None without a reference."""
        return self.reference.mean_abs[0] if self.reference is not None else None

    @cached_property
    def _streams(self) -> list[np.random.Generator]:
        """A stream for each side, so that no result depends on which metric is asked first."""
        return self.rng.spawn(2)

    @cached_property
    def _draws(self) -> tuple[FloatArray, FloatArray] | None:
        return _drawn(self.current, self._streams[0])

    @property
    def magnitude_draws(self) -> FloatArray | None:
        """Bootstrap draws of :attr:`magnitude`, float64[draws, features]; None with too few rows."""
        return self._draws[0] if self._draws else None

    @property
    def mean_draws(self) -> FloatArray | None:
        """The same of the signed mean."""
        return self._draws[1] if self._draws else None

    @cached_property
    def known_draws(self) -> FloatArray | None:
        """Bootstrap draws of :attr:`known_magnitude`."""
        found = _drawn(self.reference, self._streams[1]) if self.reference is not None else None
        return found[0] if found else None

    def by_feature(self, of: Means, draws: FloatArray | None, values: FloatArray) -> dict[str, Outcome]:
        """Return each feature's value of ``of(values)`` with the interval of ``of(draws)``."""
        found = of(values)
        spread = of(draws) if draws is not None else None
        known = self.known_magnitude
        shown = of(known) if known is not None and values is self.magnitude else None
        counts = self.current.counts.sum(axis=(0, 1))
        answers = {}
        for i, name in enumerate(self.current.features):
            if not np.isfinite(found[i]):
                answers[name] = self.without_rows()
                continue
            bounds: Interval = percentile(spread[:, i]) if spread is not None else (None, None)
            detail = (
                {"reference_value": float(shown[i])} if shown is not None and np.isfinite(shown[i]) else {}
            )
            rows = int(counts[i])
            answers[name] = Outcome(float(found[i]), "ok", *bounds, rows, self.n_reference, detail)
        return answers

    def against_reference(
        self,
        compare: Callable[[FloatArray, FloatArray], FloatArray],
        interval: Callable[[float, Sides, Sides], Interval],
    ) -> Outcome:
        """Return ``compare(reference, window)`` of mean absolute attributions.

        ``interval`` makes the bounds of the value, both sides as they are, and draws of both. Features
        without attributions on either side are left out of both.
        """
        assert self.known_magnitude is not None
        held = np.isfinite(self.magnitude) & np.isfinite(self.known_magnitude)
        if not self.magnitude[held].sum() or not self.known_magnitude[held].sum():
            reason = "every attribution is 0 on one side: there is no order and no share"
            return Outcome.none("not_applicable", reason, n=self.n, n_reference=self.n_reference)
        sides = self.known_magnitude[held], self.magnitude[held]
        value = float(compare(*sides))
        bounds: Interval = (None, None)
        if self.magnitude_draws is not None and self.known_draws is not None:
            draws = self.known_draws[:, held], self.magnitude_draws[:, held]
            with np.errstate(invalid="ignore", divide="ignore"):
                bounds = interval(value, sides, draws)
        return Outcome(value, "ok", *bounds, self.n, self.n_reference)


def shares(magnitudes: FloatArray) -> FloatArray:
    """Return each feature's share of the sum over the last axis; NaN where the sum is 0.

    >>> shares(np.array([3.0, 1.0]))
    array([0.75, 0.25])
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        found: FloatArray = magnitudes / np.nansum(magnitudes, axis=-1, keepdims=True)
    return found


def _drawn(summary: AttributionSummary, rng: np.random.Generator) -> tuple[FloatArray, FloatArray] | None:
    """Return bootstrap draws of the mean absolute and signed means, float64[draws, features] each."""
    b = len(summary.blocks)
    if b < LEAST_BLOCKS:
        return None
    drawn = rng.integers(0, b, size=(DRAWS, b)) + b * np.arange(DRAWS)[:, None]
    weights = np.bincount(drawn.ravel(), minlength=DRAWS * b).reshape(DRAWS, b).astype(np.float64)
    counts = weights @ summary.counts[:, 0].astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return weights @ summary.magnitudes[:, 0] / counts, weights @ summary.totals[:, 0] / counts
