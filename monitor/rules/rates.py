"""From a rate of alarms to the chance that one window is bad, and back; and the tails of simulated values.

Windows without drift are taken as independent of each other, given what is true. An instance begins to fire
in a window when that one is bad, the one that leaves its memory is not, and m - 1 of the n - 1 between are:
with a chance p of a window being bad that is ``C(n-1, m-1) p^m (1-p)^(n-m+1)`` a window. The reference does
not say exactly what is true; all windows share that error, so ``m of n`` is more often met than for one p.
"""

from __future__ import annotations

from math import comb

import numpy as np

from monitor.summaries import FloatArray, IntArray
from monitor.time import DAY_US

SURE = 200  # simulated values beyond a quantile that make it good enough to be read off
MONTH_US = 30 * DAY_US


def alarm_rate(p: float, needed: int = 1, of: int = 1) -> float:
    """Return how often per window an instance begins to fire when each window is bad with chance ``p``.

    >>> alarm_rate(0.5), round(alarm_rate(0.1, 2, 3), 4)
    (0.25, 0.0162)
    """
    return float(comb(of - 1, needed - 1) * p**needed * (1 - p) ** (of - needed + 1))


def bad_chance(rate: float, needed: int = 1, of: int = 1) -> float:
    """Return the chance of a bad window at which alarms come at ``rate`` a window; the inverse, for small p.

    A rate that no chance reaches (the most is at p = m / (n + 1)) gives that of the most.

    >>> round(alarm_rate(bad_chance(0.001, 2, 3), 2, 3), 9)
    0.001
    """
    low, high = 0.0, needed / (of + 1)
    if rate >= alarm_rate(high, needed, of):
        return high
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if alarm_rate(middle, needed, of) < rate else (low, middle)
    return high


def mixed_rate(bad: IntArray, each: int, needed: int, of: int) -> float:
    """Return the mean of :func:`alarm_rate` over truths of which ``bad`` of ``each`` windows are bad.

    Unbiased: the share of all draws of n + 1 windows, one after the other without putting back, in which the
    given m are bad and the other n - m + 1 are not.
    """
    rate = np.full(len(bad), float(comb(of - 1, needed - 1)))
    for i in range(needed):
        rate *= (bad - i) / (each - i)
    for i in range(of - needed + 1):
        rate *= (each - bad - i) / (each - needed - i)
    return float(np.maximum(rate, 0.0).mean())


def streak_quantile(windows: FloatArray, rate: float, needed: int, of: int) -> float:
    """Return the limit at which windows, float64[truths, each], make ``m of n`` rules fire at ``rate``."""
    each = windows.shape[1]
    low, high = float(np.quantile(windows, 1 - needed / (of + 1))), float(windows.max())
    for _ in range(50):
        middle = (low + high) / 2
        found = mixed_rate((windows > middle).sum(1), each, needed, of)
        low, high = (middle, high) if found > rate else (low, middle)
    return high


def tail_quantile(draws: FloatArray, p: float) -> float:
    """Return the value that a share ``p`` of the simulated distribution is above.

    Where at least 200 of the draws are beyond it, it is their quantile. Further out it is the quantile with
    200 beyond plus a step of the Pearson type III distribution with the draws' mean, standard deviation and
    skewness: a gamma distribution (exact for chi-squared), or a normal one for no skew.
    """
    anchor = max(p, min(SURE / len(draws), 0.5))
    start = float(np.quantile(draws, 1 - anchor))
    if anchor <= p:
        return start
    from scipy.stats import pearson3

    sd, skew = _shape(draws)
    return start + sd * float(pearson3.isf(p, skew) - pearson3.isf(anchor, skew))


def tail_chance(draws: FloatArray, limit: float) -> float:
    """Return the share of the simulated distribution above ``limit``; inverts :func:`tail_quantile`."""
    beyond = float((draws > limit).mean())
    anchor = min(SURE / len(draws), 0.5)
    start = float(np.quantile(draws, 1 - anchor))
    sd, skew = _shape(draws)
    if beyond >= anchor or limit <= start or not sd:
        return beyond
    from scipy.stats import pearson3

    return float(pearson3.sf(pearson3.isf(anchor, skew) + (limit - start) / sd, skew))


def _shape(draws: FloatArray) -> tuple[float, float]:
    """Return the standard deviation and the skewness."""
    centred = draws - draws.mean()
    sd = float(np.sqrt(np.square(centred).mean()))
    return sd, float((centred**3).mean()) / sd**3 if sd else 0.0
