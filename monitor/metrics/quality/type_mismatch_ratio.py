"""Share of values of the wrong type."""

from __future__ import annotations

from monitor.metrics.columns import ColumnPair
from monitor.metrics.intervals import wilson
from monitor.metrics.registry import Outcome, metric


@metric(
    "type_mismatch_ratio",
    check="quality",
    subject="column",
    applies={"numeric", "categorical"},
    unit="ratio",
    is_share=True,
)
def type_mismatch_ratio(pair: ColumnPair) -> Outcome:
    """Share of rows whose value had another type than declared.

    Over all rows of the window; such rows count as missing everywhere else. In [0, 1]; 0 means every value
    had its type. 95 % Wilson interval. ``not_applicable`` where the source cannot tell.

    Examples
    --------
    >>> from monitor.metrics.examples import numbers
    >>> type_mismatch_ratio(numbers([1], [1])).state
    'not_applicable'

    References
    ----------
    Breck et al. (2019), Data validation for machine learning, MLSys.
    """
    if pair.mismatched is None:
        return Outcome.none(
            "not_applicable", "the source does not count wrong types for this column", n=pair.n
        )
    lower, upper = wilson(pair.mismatched, pair.n)
    return Outcome(pair.mismatched / pair.n, "ok", lower, upper, pair.n, pair.n_reference)
