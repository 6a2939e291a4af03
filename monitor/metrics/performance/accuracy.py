"""Accuracy."""

from __future__ import annotations

from monitor.metrics.registry import Outcome, metric
from monitor.metrics.tasks import TaskData


@metric(
    "accuracy",
    check="performance",
    subject="task",
    applies={"binary", "multiclass"},
    unit="ratio",
    needs_labels=True,
    is_share=True,
)
def accuracy(data: TaskData) -> Outcome:
    """Share of labelled predictions that are right.

    Hits over labelled rows. In [0, 1]; 1 means all right. Read it beside ``baseline_accuracy``: 0.95 on a
    95 % class is worthless. Interval: draws of the counted cells.

    Examples
    --------
    >>> from monitor.metrics.examples import classified
    >>> accuracy(classified("1100", "1000")).value
    0.75

    References
    ----------
    Sokolova, Lapalme (2009), A systematic analysis of performance measures, Inf. Proc. & Management 45.
    """
    return data.outcome(lambda tally: tally.hits.sum(-1) / tally.n, "no labelled rows")
