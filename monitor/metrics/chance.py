"""What a distance between binned columns comes to without any drift: its mean and its spread.

The textbook says that (1/n + 1/m) x chi-squared with B - 1 degrees of freedom is what the population
stability index does by chance, and an eighth of it the others; but where a bin expects few rows, smoothing
and empty bins make it wrong by an order of magnitude. So the moments are those of the distance itself, bin by
bin over the binomial counts that are to be expected, and chi-squared is fitted to them.

References
----------
Satterthwaite (1946), An approximate distribution of estimates of variance components, Biometrics Bulletin 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from monitor.metrics.registry import Measured
from monitor.summaries import FloatArray, IntArray

POINTS = 64  # counts of a bin that are looked at: all that matter when it expects less than about 12 rows
REACH = 7.0  # standard deviations to either side

Term = Callable[[FloatArray, FloatArray], FloatArray]


@dataclass(frozen=True, eq=False)
class Chances:
    """The counts of a window's bins to be expected without drift, and how likely each is.

    ``shares`` float64[B] of the occupied bins, both sides pooled; ``counts`` and ``weights`` float64[B, 64];
    ``n`` and ``m`` rows of the window and the reference.
    """

    shares: FloatArray
    counts: FloatArray
    weights: FloatArray
    n: int
    m: int

    @classmethod
    def of(cls, reference: IntArray, current: IntArray) -> Chances:
        """Look at two rows of bin counts, int64[B] each; bins empty on both sides are none."""
        from scipy.special import gammaln

        held = reference + current > 0
        n, m = int(current.sum()), int(reference.sum())
        shares = (reference + current)[held] / (n + m)
        mean, sd = n * shares, np.sqrt(n * shares * (1 - shares))
        first: FloatArray = np.maximum(np.floor(mean - REACH * sd), 0.0)
        last = np.minimum(np.ceil(mean + REACH * sd + REACH), n)
        step = np.maximum(np.ceil((last - first) / (POINTS - 1)), 1.0)
        counts = first[:, None] + step[:, None] * np.arange(POINTS, dtype=np.float64)
        within = counts <= n
        counts = np.where(within, counts, float(n))
        odds = np.log(shares / np.maximum(1 - shares, 1e-300))[:, None]
        logs = counts * odds - gammaln(counts + 1) - gammaln(n - counts + 1)
        weights = np.where(within, np.exp(logs - logs.max(axis=1, keepdims=True)), 0.0)
        return cls(shares, counts, weights / weights.sum(axis=1, keepdims=True), n, m)

    def moments(self, term: Term, curvature: float, pseudocount: float = 0.0) -> tuple[float, float]:
        """Return mean and degrees of freedom of a sum over the bins of ``term(p, q)``.

        ``p`` are the reference's shares, ``q`` the window's, both with ``pseudocount`` rows a bin added;
        ``term`` is about ``curvature`` x (q - p)² / p when they are close. Bins are not independent, which
        adds to the variance what it does for Pearson's statistic; the reference's own noise adds n / m of the
        window's.
        """
        size = len(self.shares)
        if size < 2:
            return 0.0, 0.0
        p = (self.m * self.shares + pseudocount) / (self.m + pseudocount * size)
        found = term(p[:, None], (self.counts + pseudocount) / (self.n + pseudocount * size))
        means = (self.weights * found).sum(axis=1)
        spread = (self.weights * np.square(found - means[:, None])).sum()
        together = 2 * (1 - np.square(self.shares).sum()) * (curvature / self.n) ** 2
        mean, variance, noise = float(means.sum()), float(spread + together), 1 + self.n / self.m
        return mean * noise, 2 * mean * mean / variance


def quantile(mean: float, freedom: float, alpha: float) -> float:
    """Return what chi-squared with this mean and these degrees of freedom passes with probability ``alpha``.

    >>> round(quantile(9.0, 9.0, 0.01), 2)
    21.67
    """
    from scipy.special import gammainccinv

    return 2 * mean / freedom * float(gammainccinv(freedom / 2, alpha)) if freedom > 0 else 0.0


def limit_of(measured: Measured, alpha: float) -> float | None:
    """Return the critical value of a sum over bins from the ``chance`` in its detail; None without any.

    >>> from monitor.metrics.registry import Outcome
    >>> round(limit_of(Outcome(0.3, detail={"chance": {"mean": 0.09, "freedom": 9.0}}), 0.01), 2)
    0.22
    """
    known = measured.detail.get("chance")
    return None if not known else quantile(known["mean"], known["freedom"], alpha)


def root_limit_of(measured: Measured, alpha: float) -> float | None:
    """Return the critical value of the square root of such a sum."""
    squared = limit_of(measured, alpha)
    return None if squared is None else math.sqrt(squared)
