"""Share of values that the reference never had."""

from __future__ import annotations

from monitor.metrics.columns import ColumnPair
from monitor.metrics.intervals import wilson
from monitor.metrics.registry import Outcome, metric
from monitor.summaries.categorical import CATEGORY_LIMIT, CategoricalSummary


@metric(
    "new_category_ratio",
    check="quality",
    subject="column",
    applies={"categorical"},
    unit="ratio",
    needs_reference=True,
    is_share=True,
)
def new_category_ratio(pair: ColumnPair) -> Outcome:
    """Share of values whose category the reference never had.

    Rows with an unknown category over rows with any. In [0, 1]; 0 means all are known, 1 that none is.
    95 % Wilson interval. ``not_applicable`` when the reference has more than 10,000 categories, since its
    rare ones could not be told from new ones.

    Examples
    --------
    >>> from monitor.metrics.examples import words
    >>> new_category_ratio(words("ab", "abaz")).value
    0.25

    References
    ----------
    Breck et al. (2019), Data validation for machine learning, MLSys.
    """
    reference, current = pair.reference, pair.current
    assert isinstance(reference, CategoricalSummary) and isinstance(current, CategoricalSummary)
    if reference.unseen:
        reason = f"the reference has more than {CATEGORY_LIMIT:,} categories: rare ones look new"
        return Outcome.none("not_applicable", reason, n=current.n)
    if not current.n or not reference.n:
        return Outcome.none("insufficient_samples", "one side has only missing values", n=current.n)
    lower, upper = wilson(current.unseen, current.n)
    return Outcome(current.unseen / current.n, "ok", lower, upper, current.n, reference.n)
