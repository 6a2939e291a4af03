"""The value that the population stability index reaches by sampling noise alone."""

from __future__ import annotations

import math

import numpy as np

from monitor.metrics.chance import quantile
from monitor.metrics.columns import ColumnPair
from monitor.metrics.registry import Outcome, metric

PSEUDOCOUNT = 0.5  # rows added to each bin of the index


@metric(
    "psi_critical",
    worse_at="neither",
    check="drift",
    subject="column",
    applies={"numeric", "categorical"},
    unit="nats",
    high=math.inf,
    needs_reference=True,
)
def psi_critical(pair: ColumnPair) -> Outcome:
    """PSI that a window without any drift stays below with probability 1 - alpha (0.99).

    The 1 - alpha quantile of chi-squared with the mean and the variance that the index has over the counts to
    be expected, smoothing and empty bins included. With many rows in every bin that is (1/n + 1/m) x the
    quantile at B - 1 degrees of freedom; n and m are the rows of the window and the reference, B the bins
    that hold a row on either side. 0 when there is one bin. It shrinks as 1/n: about 0.21 at n = 100 and 10
    bins, 0.004 at n = 5,000 against a large reference. How often drift-free windows pass it, and what drift
    it sees, is in docs/statistics.md.

    Examples
    --------
    >>> from monitor.metrics.examples import numbers
    >>> round(psi_critical(numbers(range(100_000), range(0, 100_000, 1_000))).value, 2)
    0.21

    References
    ----------
    Yurdakul, Naranjo (2020), Statistical properties of the population stability index, J. Risk Model
    Validation 14; Satterthwaite (1946), An approximate distribution of estimates of variance components,
    Biometrics Bulletin 2.
    """
    return pair.outcome(quantile(*chance(pair), pair.alpha), alpha=pair.alpha)


def chance(pair: ColumnPair) -> tuple[float, float]:
    """Return mean and degrees of freedom of the index without drift."""
    return pair.chances.moments(lambda p, q: (q - p) * np.log(q / p), 1.0, PSEUDOCOUNT)
