"""Recall."""

from __future__ import annotations

from monitor.metrics.registry import Outcome, metric
from monitor.metrics.tasks import TaskData


@metric(
    "recall",
    check="performance",
    subject="task",
    applies={"binary", "multiclass"},
    unit="ratio",
    needs_labels=True,
)
def recall(data: TaskData) -> Outcome:
    """Share of the truly positive rows that were predicted positive.

    True positives over true positives and false negatives; multiclass: mean over the true classes (macro),
    with each class and the weighted mean in ``detail``. In [0, 1]; 1 means none missed. Without a positive
    label it does not exist: ``single_class``. Interval: draws of the counted cells.

    Examples
    --------
    >>> from monitor.metrics.examples import classified
    >>> recall(classified("1100", "1000")).value
    0.5

    References
    ----------
    van Rijsbergen (1979), Information Retrieval, chapter 7.
    """
    return data.per_class(lambda tally: tally.hits / tally.truths, "no label is positive")
