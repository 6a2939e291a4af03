"""How many predictions have a label yet."""

from __future__ import annotations

from monitor.metrics.intervals import wilson
from monitor.metrics.registry import Outcome, metric
from monitor.metrics.tasks import TaskData


@metric(
    "label_coverage",
    check="performance",
    subject="task",
    applies={"binary", "multiclass", "regression", "ranking"},
    unit="ratio",
    suffix="label_coverage_ratio",
    counts_labels=True,
)
def label_coverage(data: TaskData) -> Outcome:
    """Share of the window's predictions that have a label so far.

    In [0, 1]; every performance number of the window rests on this share alone. Wilson interval.

    Examples
    --------
    >>> from monitor.metrics.examples import classified
    >>> label_coverage(classified(["1", None, "0", None], "1100")).value
    0.5

    References
    ----------
    Lakkaraju et al. (2017), The Selective Labels Problem, KDD.
    """
    lower, upper = wilson(data.labelled, data.rows)
    return Outcome(data.labelled / data.rows, "ok", lower, upper, data.rows)
