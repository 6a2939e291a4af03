"""The limits of binned distances without drift, from all counts a bin can have: for tests."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy import stats


def limit(
    reference: np.ndarray,
    current: np.ndarray,
    alpha: float,
    *,
    term: Callable[[np.ndarray, np.ndarray], np.ndarray] = lambda p, q: (q - p) * np.log(q / p),
    curvature: float = 1.0,
    pseudocount: float = 0.5,
) -> float:
    """Fit chi-squared to mean and variance of the sum over bins of ``term``, by default the index's."""
    held = reference + current > 0
    bins, n, m = int(held.sum()), int(current.sum()), int(reference.sum())
    if bins < 2:
        return 0.0
    shares = (reference + current)[held] / (n + m)
    counts = np.arange(n + 1)
    means, variances = [], []
    for share in shares.tolist():
        found = term(
            np.full(n + 1, (m * share + pseudocount) / (m + pseudocount * bins)),
            (counts + pseudocount) / (n + pseudocount * bins),
        )
        weights = stats.binom.pmf(counts, n, share)
        mean = float(weights @ found)
        means.append(mean)
        variances.append(float(weights @ np.square(found - mean)))
    mean = math.fsum(means) * (1 + n / m)
    together = 2 * (1 - float((shares**2).sum())) * (curvature / n) ** 2
    variance = (math.fsum(variances) + together) * (1 + n / m) ** 2
    freedom = 2 * mean**2 / variance
    return float(stats.chi2.isf(alpha, freedom)) * mean / freedom
