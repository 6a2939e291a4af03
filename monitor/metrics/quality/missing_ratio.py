"""Share of missing values."""

from __future__ import annotations

from monitor.metrics.columns import ColumnPair
from monitor.metrics.intervals import wilson
from monitor.metrics.registry import Outcome, metric


@metric(
    "missing_ratio",
    check="quality",
    subject="column",
    applies={"numeric", "categorical"},
    unit="ratio",
    is_share=True,
)
def missing_ratio(pair: ColumnPair) -> Outcome:
    """Share of rows without a usable value in this column.

    Absent, null, non-finite and wrongly typed values over all rows of the window. In [0, 1]; 0 means
    complete, 1 that the column is gone. 95 % Wilson interval; ``detail`` has the reference's own ratio.

    Examples
    --------
    >>> from monitor.metrics.examples import numbers
    >>> missing_ratio(numbers([1], [1, None, 2, 3])).value
    0.25

    References
    ----------
    Wilson (1927), Probable inference, the law of succession, and statistical inference, JASA 22.
    """
    lower, upper = wilson(pair.current.missing, pair.n)
    before = pair.reference.missing / pair.n_reference if pair.reference and pair.n_reference else None
    value = pair.current.missing / pair.n
    return Outcome(value, "ok", lower, upper, pair.n, pair.n_reference, {"reference": before})
