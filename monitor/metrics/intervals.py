"""Confidence intervals shared by the metrics; all at 95 %."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from monitor.summaries import FloatArray, IntArray

LEVEL = 0.95
Z = 1.959963984540054  # standard normal quantile at (1 + LEVEL) / 2
DRAWS = 1000
TAIL = (1 - LEVEL) / 2
FAR = 8.0  # standard errors from what was seen, where a search for the end of an interval begins
HALVINGS = 10  # and it ends within a hundredth of one

Interval = tuple[float | None, float | None]


def wilson(successes: int, n: int) -> Interval:
    """Return the Wilson score interval of a proportion; right at 0 and 1, and for few rows.

    References
    ----------
    Wilson (1927), Probable inference, the law of succession, and statistical inference, JASA 22.

    >>> [round(bound, 4) for bound in wilson(0, 10)]
    [0.0, 0.2775]
    """
    return _wilson(successes / n, n) if n else (None, None)


def _wilson(p: float, n: float) -> tuple[float, float]:
    z2 = Z * Z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return (0.0 if p == 0 else min(centre - half, p)), (1.0 if p == 1 else max(centre + half, p))


def bounded_mean(mean: float, variance: float, n: int) -> Interval:
    """Return the interval of a mean of ``n`` rows in [0, 1], whose variance is ``variance``.

    Wilson's, as of so many ones and noughts as would make the mean vary as little as it does: few rows with
    something make it reach farther up than down. Of equal rows that of a proportion.

    >>> bounded_mean(0.25, 0.25 * 0.75, 40) == wilson(10, 40)
    True
    """
    if n == 0:
        return None, None
    most = mean * (1 - mean)
    trials = n * max(most / variance, 1.0) if variance > 0 and most > 0 else float(n)
    return _wilson(mean, trials)


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


def student(freedom: float) -> float:
    """Return the 97.5 % quantile of Student's t.

    >>> round(student(9), 3), round(student(math.inf), 3)
    (2.262, 1.96)
    """
    from scipy.special import stdtrit

    return float(stdtrit(max(freedom, 1.0), 1 - TAIL)) if math.isfinite(freedom) else Z


def logit_t(value: float, standard_error: float, freedom: float) -> Interval:
    """Return Student's interval of a value in (0, 1), made on the logit scale; none at 0 and 1.

    >>> [round(bound, 3) for bound in logit_t(0.5, 0.1, 9)]
    [0.288, 0.712]
    """
    if not math.isfinite(standard_error) or not 0 < value < 1:
        return None, None
    logit, half = math.log(value / (1 - value)), student(freedom) * standard_error / (value * (1 - value))
    lower, upper = (1 / (1 + math.exp(min(-x, 700.0))) for x in (logit - half, logit + half))
    return lower, upper


def skewed(
    value: float, standard_error: float, skewness: float, n: int, freedom: float = math.inf
) -> Interval:
    """Return the interval of a mean of skewed rows, by Hall's transformation of Student's t.

    ``skewness`` is that of the rows. Without it this is the t interval, with n - 1 degrees of freedom or,
    if that is less, ``freedom`` (see :func:`freedom_of`). None when the error is not finite.

    References
    ----------
    Hall (1992), On the removal of skewness by transformation, J. Royal Stat. Soc. B 54.

    >>> [round(bound, 3) for bound in skewed(10.0, 1.0, 0.0, 1000)], skewed(10.0, 1.0, 4.0, 1000)[1] > 12
    ([8.038, 11.962], True)
    """
    if n < 2 or not math.isfinite(standard_error):
        return None, None
    t, a = student(min(n - 1, freedom)), skewness / math.sqrt(n)

    def untransformed(y: float) -> float:
        return 3 / a * (math.cbrt(1 + a * (y - a / 6)) - 1) if abs(a) > 1e-6 else y

    bounds = sorted(value - standard_error * untransformed(y) for y in (t, -t))
    return min(bounds[0], value), max(bounds[1], value)


def skewness(values: FloatArray, counts: IntArray) -> float:
    """Return the skewness of counted values; 0 where they do not vary, or are too large to tell.

    >>> [round(skewness(np.array([0.0, 1.0]), np.array([k, 1])), 2) for k in (1, 9)]
    [0.0, 2.67]
    """
    return _standardised(values, counts, 3) or 0.0


def freedom_of(values: FloatArray, counts: IntArray) -> float:
    """Return the degrees of freedom of the variance of counted values: 2 n / (kurtosis - 1), at least 1.

    With heavy tails a variance rests on few rows; of normal values these are n.

    References
    ----------
    Satterthwaite (1946), An approximate distribution of estimates of variance components, Biometrics
    Bulletin 2.

    >>> round(freedom_of(np.array([-1.0, 0.0, 1.0]), np.array([1, 4, 1])))  # kurtosis 3
    6
    """
    excess = (_standardised(values, counts, 4) or math.inf) - 1
    return max(2 * int(counts.sum()) / excess, 1.0) if excess > 0 else math.inf


def _standardised(values: FloatArray, counts: IntArray, power: int) -> float | None:
    """Return a standardised moment; None where values do not vary, or are too large to tell."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        weights = counts / max(int(counts.sum()), 1)
        deviations = values - weights @ values
        found = float(weights @ deviations**power / (weights @ deviations**2) ** (power / 2))
    return found if math.isfinite(found) else None


def edge(accepted: Callable[[float], bool], outside: float, inside: float) -> float:
    """Return where candidates begin to be accepted on the way from ``outside`` to ``inside``.

    >>> round(edge(lambda x: x < 2, 10.0, 0.0), 1)
    2.0
    """
    if accepted(outside):
        return outside
    for _ in range(HALVINGS):
        middle = (outside + inside) / 2
        if accepted(middle):
            inside = middle
        else:
            outside = middle
    return inside


def posterior(counts: FloatArray, prior: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Draw shares of cells, float64[DRAWS, cells]: the smoothed Bayesian bootstrap of counted rows.

    Dirichlet-distributed with the counts and ``prior`` rows more in each cell, so that a cell where nothing
    was seen may yet have something. Cells without either stay empty.

    References
    ----------
    Rubin (1981), The Bayesian bootstrap, The Annals of Statistics 9; Brown, Cai, DasGupta (2001), Interval
    Estimation for a Binomial Proportion, Statistical Science 16 (Jeffreys' prior).
    """
    weights = rng.standard_gamma(counts + prior, size=(DRAWS, len(counts)))
    shares: FloatArray = weights / weights.sum(axis=1, keepdims=True)
    return shares
