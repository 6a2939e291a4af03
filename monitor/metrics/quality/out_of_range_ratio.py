"""Share of values beyond the reference's range."""

from __future__ import annotations

from monitor.metrics.columns import ColumnPair
from monitor.metrics.intervals import wilson
from monitor.metrics.registry import Outcome, metric


@metric(
    "out_of_range_ratio",
    check="quality",
    subject="column",
    applies={"numeric"},
    unit="ratio",
    needs_reference=True,
    is_share=True,
)
def out_of_range_ratio(pair: ColumnPair) -> Outcome:
    """Share of values below the reference's minimum or above its maximum.

    Over rows with a value. In [0, 1]; 0 means all lie within the range seen before. A window of the
    reference's own size and distribution expects about 2 such rows. 95 % Wilson interval; ``detail`` counts
    them on each side.

    Examples
    --------
    >>> from monitor.metrics.examples import numbers
    >>> out_of_range_ratio(numbers([1, 9], [0, 5, 5, 10])).value
    0.5

    References
    ----------
    Breck et al. (2019), Data validation for machine learning, MLSys.
    """
    sides = pair.numeric()
    if sides is None:
        return Outcome.none("insufficient_samples", "one side has only missing values", n=pair.n)
    reference, current = sides
    below, above = int(current.cells[0]), int(current.cells[-1])
    lower, upper = wilson(below + above, current.n)
    detail = {"below": below, "above": above}
    return Outcome((below + above) / current.n, "ok", lower, upper, current.n, reference.n, detail)
