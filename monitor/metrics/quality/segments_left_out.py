"""How many segment values and versions a window had beyond those that are monitored."""

from __future__ import annotations

import math

from monitor.metrics.registry import Outcome, metric
from monitor.metrics.window import WindowFacts
from monitor.types import Task

TASKS: frozenset[Task] = frozenset(("binary", "multiclass", "regression", "ranking"))


@metric("segments_left_out", check="quality", subject="window", applies=TASKS, unit="values", high=math.inf)
def segments_left_out(facts: WindowFacts) -> Outcome:
    """Values of segments and versions of the model that are beyond the most that a window is asked by.

    Of each segment the 50 most frequent values are asked, and 20 versions; the rows of others count for the
    whole window only. 0 and more; 0 means that every one is asked. ``detail`` has values and rows by segment.

    Examples
    --------
    >>> segments_left_out(WindowFacts(90, left_out={"city": (3, 7)})).value
    3.0

    References
    ----------
    Barocas et al. (2021), Designing disaggregated evaluations of AI systems, AIES.
    """
    if facts.left_out is None:
        return Outcome.none("not_applicable", "the store does not count this", n=facts.rows)
    detail = {name: {"values": values, "rows": rows} for name, (values, rows) in facts.left_out.items()}
    return Outcome(float(sum(values for values, _ in facts.left_out.values())), n=facts.rows, detail=detail)
