"""p-value of the two-sample Kolmogorov-Smirnov test."""

from __future__ import annotations

from monitor.metrics.columns import ColumnPair
from monitor.metrics.drift.ks_statistic import distance, effective_size
from monitor.metrics.registry import Outcome, metric


@metric(
    "ks_pvalue",
    check="drift",
    subject="column",
    applies={"numeric"},
    unit="probability",
    needs_reference=True,
)
def ks_pvalue(pair: ColumnPair) -> Outcome:
    """Probability of so large a KS statistic if nothing had drifted.

    From the distribution of the one-sample statistic at the effective size n·m / (n + m), as
    ``scipy.stats.ks_2samp(method="asymp")`` computes it. In [0, 1]; near 0 means drift, which in large
    windows may be too small to matter: look at ``ks_statistic`` too. Conservative for discrete columns.

    Examples
    --------
    >>> from monitor.metrics.examples import numbers
    >>> round(ks_pvalue(numbers(range(100), range(30, 130))).value, 4)
    0.0002

    References
    ----------
    Simard, L'Ecuyer (2011), Computing the two-sided Kolmogorov-Smirnov distribution, J. Stat. Software 39.
    """
    from scipy.stats import kstwo

    sides = pair.numeric()
    if sides is None:
        return Outcome.none("insufficient_samples", "one side has only missing values", n=pair.n)
    reference, current = sides
    value = kstwo.sf(distance(reference, current), effective_size(current.n, reference.n))
    return Outcome(min(max(float(value), 0.0), 1.0), n=current.n, n_reference=reference.n)
