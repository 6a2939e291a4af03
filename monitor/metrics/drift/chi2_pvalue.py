"""Chi-squared test of two categorical samples."""

from __future__ import annotations

import numpy as np

from monitor.metrics.columns import ColumnPair
from monitor.metrics.registry import Outcome, level, metric
from monitor.summaries import IntArray
from monitor.summaries.categorical import CategoricalSummary

LEAST_EXPECTED = 5.0


@metric(
    "chi2_pvalue",
    check="drift",
    subject="column",
    applies={"categorical"},
    unit="probability",
    needs_reference=True,
    critical=level,
)
def chi2_pvalue(pair: ColumnPair) -> Outcome:
    """Probability of so different category counts if nothing had drifted (chi-squared test).

    Pearson's statistic of the 2 x K table of reference and window over all categories, *never seen before*
    being one and missing values left out. Categories whose expected count is below 5 on either side are
    pooled, and the pool takes in the smallest others until it reaches 5. In [0, 1]; near 0 means drift; 1
    when one category is left.

    Examples
    --------
    >>> from monitor.metrics.examples import words
    >>> round(chi2_pvalue(words("a" * 50 + "b" * 50, "a" * 35 + "b" * 65)).value, 3)
    0.032

    References
    ----------
    Pearson (1900), On the criterion that a given system of deviations ..., Philosophical Magazine 50.
    Cochran (1954), Some methods for strengthening the common chi-squared tests, Biometrics 10.
    """
    from scipy.special import chdtrc

    table = contingency(pair)
    if not table.sum(1).all():
        return Outcome.none("insufficient_samples", "one side has only missing values", n=pair.n)
    n_reference, n = (int(side) for side in table.sum(1))
    freedom = table.shape[1] - 1
    value = float(chdtrc(freedom, statistic(table))) if freedom else 1.0
    detail = {"statistic": statistic(table), "degrees_of_freedom": freedom}
    return Outcome(value, n=n, n_reference=n_reference, detail=detail)


def contingency(pair: ColumnPair) -> IntArray:
    """Return the pooled table, int64[2, K]: reference above window; no column is empty."""
    assert isinstance(pair.reference, CategoricalSummary) and isinstance(pair.current, CategoricalSummary)
    table = np.stack([np.append(side.counts, side.unseen) for side in (pair.reference, pair.current)])
    table = table[:, table.sum(0) > 0]
    rows = table.sum(1)
    if not rows.all():
        return table
    table = table[:, np.argsort(table.sum(0), kind="stable")]
    expected = table.sum(0) * (int(rows.min()) / int(rows.sum()))
    pooled = int((expected < LEAST_EXPECTED).sum())
    while 0 < pooled < len(expected) and expected[:pooled].sum() < LEAST_EXPECTED:
        pooled += 1
    if pooled < 2:
        return table
    return np.concatenate([table[:, :pooled].sum(1, keepdims=True), table[:, pooled:]], axis=1)


def statistic(table: IntArray) -> float:
    """Return Pearson's chi-squared of a table without empty rows or columns (no continuity correction)."""
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    return float((np.square(table - expected) / expected).sum())
