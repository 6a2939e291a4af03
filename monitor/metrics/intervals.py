"""Confidence intervals shared by the metrics; all at 95 %."""

from __future__ import annotations

import math

import numpy as np

from monitor.summaries import FloatArray, IntArray

LEVEL = 0.95
Z = 1.959963984540054  # standard normal quantile at (1 + LEVEL) / 2
DRAWS = 1000

Interval = tuple[float | None, float | None]


def wilson(successes: int, n: int) -> Interval:
    """Return the Wilson score interval of a proportion; right at 0 and 1, and for few rows.

    References
    ----------
    Wilson (1927), Probable inference, the law of succession, and statistical inference, JASA 22.

    >>> [round(bound, 4) for bound in wilson(0, 10)]
    [0.0, 0.2775]
    """
    if n == 0:
        return None, None
    p, z2 = successes / n, Z * Z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == n else centre + half)


def normal(value: float, standard_error: float, low: float = -math.inf, high: float = math.inf) -> Interval:
    """Return the central-limit interval, cut to the metric's range; none when the error is not finite."""
    if not math.isfinite(standard_error):
        return None, None
    half = Z * standard_error
    return max(value - half, low), min(value + half, high)


def percentile(draws: FloatArray) -> Interval:
    """Return the percentile interval of bootstrap draws; none when fewer than half have a value."""
    found = draws[np.isfinite(draws)]
    if 2 * len(found) < len(draws) or not len(found):
        return None, None
    lower, upper = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(lower), float(upper)


def logit_normal(value: float, standard_error: float) -> Interval:
    """Return the central-limit interval of a value in (0, 1), made on the logit scale; none at 0 and 1."""
    if not math.isfinite(standard_error) or not 0 < value < 1:
        return None, None
    logit, half = math.log(value / (1 - value)), Z * standard_error / (value * (1 - value))
    lower, upper = (1 / (1 + math.exp(min(-x, 700.0))) for x in (logit - half, logit + half))
    return lower, upper


def resample(counts: IntArray, rng: np.random.Generator, draws: int = DRAWS) -> IntArray:
    """Draw tables like ``counts``: the row bootstrap, done on the counted cells.

    Returns int64[draws, *counts.shape]; each draw has as many rows as ``counts``.
    """
    flat = counts.reshape(-1)
    result = np.zeros((draws, len(flat)), dtype=np.int64)
    held = np.flatnonzero(flat)
    if len(held):
        n = int(flat.sum())
        result[:, held] = rng.multinomial(n, flat[held] / n, size=draws)
    return result.reshape(draws, *counts.shape)
