"""Whether a column stopped varying."""

from __future__ import annotations

from monitor.metrics.columns import Column, ColumnPair
from monitor.metrics.registry import Outcome, metric
from monitor.summaries.numeric import NumericSummary


@metric(
    "constant",
    check="quality",
    subject="column",
    applies={"numeric", "categorical"},
    unit="flag",
    needs_reference=True,
)
def constant(pair: ColumnPair) -> Outcome:
    """1 when a column that varies in the reference has a single value in the window, else 0.

    Missing values are left out. ``not_applicable`` when the reference is constant itself, or every value of
    the window is a new category; ``insufficient_samples`` below two values.

    Examples
    --------
    >>> from monitor.metrics.examples import numbers
    >>> constant(numbers([1, 2], [2, 2])).value
    1.0

    References
    ----------
    Sculley et al. (2015), Hidden technical debt in machine learning systems, NeurIPS.
    """
    assert pair.reference is not None
    if pair.current.n < 2:
        return Outcome.none("insufficient_samples", "fewer than two values", n=pair.current.n)
    before, now = _varies(pair.reference), _varies(pair.current)
    if not before or now is None:
        reason = "every value is a new category" if before else "the reference does not vary either"
        return Outcome.none("not_applicable", reason, n=pair.current.n)
    return Outcome(0.0 if now else 1.0, n=pair.current.n, n_reference=pair.reference.n)


def _varies(column: Column) -> bool | None:
    """Return whether there are two values; None when all are unseen categories, of one name or many."""
    if isinstance(column, NumericSummary):
        return column.moments.minimum < column.moments.maximum
    known = int((column.counts > 0).sum())
    return None if not known and column.unseen else known + (column.unseen > 0) > 1
