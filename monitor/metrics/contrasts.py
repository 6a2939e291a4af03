"""Simultaneous bounds of the largest difference between groups.

The largest difference is picked after looking, and is never below 0, so neither percentile nor pivotal
bootstrap intervals of it hold when groups are close. Instead every pair gets bounds that hold together, and
the largest difference lies between the largest lower and the largest upper one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from monitor.metrics.intervals import LEVEL
from monitor.summaries import FloatArray


@dataclass(frozen=True, eq=False)
class Sample:
    """One rate of G groups: the values, float64[G], and their bootstrap draws, float64[draws, G].

    ``floor`` is the least standard error of each, float64[G], for groups whose draws hardly vary because all
    or none of their rows are selected.
    """

    values: FloatArray
    draws: FloatArray
    floor: FloatArray

    @cached_property
    def errors(self) -> FloatArray:
        """Draws minus values; draws without a value count as no error."""
        return np.nan_to_num(self.draws - self.values, nan=0.0, posinf=0.0, neginf=0.0)

    @cached_property
    def standard_errors(self) -> FloatArray:
        """Bootstrap standard errors, not below the floor."""
        result: FloatArray = np.maximum(self.errors.std(axis=0), self.floor)
        return result


def largest_difference(samples: list[Sample], base: int | None = None) -> tuple[float, float]:
    """Bound the largest of all differences within each sample, 95 % for all of them together.

    With ``base`` only ``values[base] - values[other]`` count, with their sign; otherwise all pairs, and the
    lower bound is at least 0.

    Returns the largest lower and the largest upper of the pairwise bounds
    ``difference ± c x standard error``, where c is the 95 % point of the largest studentised error of any
    pair over the draws (Tukey's method, on bootstrap draws). For two groups c is close to 1.96; for more the
    bounds are conservative.

    References
    ----------
    Hochberg, Tamhane (1987), Multiple Comparison Procedures, chapter 3.
    """
    studentised = np.zeros(len(samples[0].draws))
    for sample in samples:
        errors, spread = sample.errors, sample.standard_errors
        for row in range(len(spread) - 1) if base is None else [base]:
            others = slice(row + 1, None) if base is None else np.arange(len(spread)) != base
            scale = np.hypot(spread[row], spread[others])
            largest = (np.abs(errors[:, others] - errors[:, [row]]) / scale).max(axis=1)
            np.maximum(studentised, largest, out=studentised)
    width = float(np.quantile(studentised, LEVEL))
    lower, upper = -np.inf if base is not None else 0.0, -np.inf
    for sample in samples:
        spread = sample.standard_errors
        rows = np.arange(len(spread)) if base is None else np.array([base])
        difference = sample.values[rows, None] - sample.values
        margin = width * np.hypot(spread[rows, None], spread)
        other = rows[:, None] != np.arange(len(spread))
        lower = max(lower, float((difference - margin)[other].max()))
        upper = max(upper, float((difference + margin)[other].max()))
    return lower, upper
