"""Cramér's V between a column and which sample a row is from."""

from __future__ import annotations

import math

from monitor.metrics.columns import ColumnPair
from monitor.metrics.drift.chi2_pvalue import contingency, statistic
from monitor.metrics.registry import Measured, Outcome, metric


def limit(measured: Measured, alpha: float) -> float | None:
    """Return sqrt(chi-squared's quantile / rows of both sides) from an answer; None where it lacks them."""
    from scipy.special import chdtri

    freedom, rows = measured.detail.get("degrees_of_freedom"), measured.n + measured.n_reference
    if freedom is None or not rows:
        return None
    return math.sqrt(float(chdtri(freedom, alpha)) / rows) if freedom else 0.0


@metric(
    "cramers_v",
    check="drift",
    subject="column",
    applies={"categorical"},
    unit="ratio",
    needs_reference=True,
    critical=limit,
)
def cramers_v(pair: ColumnPair) -> Outcome:
    """How strongly the category tells the window from the reference (Cramér's V).

    sqrt(chi-squared / rows of both sides) on the table of ``chi2_pvalue``. In [0, 1]; 0 means equal shares.
    It reaches 1 only when no category is on both sides, and depends on how unequal the two sizes are.

    Examples
    --------
    >>> from monitor.metrics.examples import words
    >>> cramers_v(words("a" * 10, "z" * 10)).value
    1.0

    References
    ----------
    Cramér (1946), Mathematical Methods of Statistics, chapter 21.
    """
    table = contingency(pair)
    if not table.sum(1).all():
        return Outcome.none("insufficient_samples", "one side has only missing values", n=pair.n)
    n_reference, n = (int(side) for side in table.sum(1))
    value = math.sqrt(min(statistic(table) / (n + n_reference), 1.0))
    detail = {"degrees_of_freedom": table.shape[1] - 1}
    return Outcome(value, n=n, n_reference=n_reference, detail=detail)
