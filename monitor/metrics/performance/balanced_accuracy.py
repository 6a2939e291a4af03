"""Balanced accuracy."""

from __future__ import annotations

from monitor.metrics.registry import Outcome, metric
from monitor.metrics.tasks import TaskData, nanmean


@metric(
    "balanced_accuracy",
    check="performance",
    subject="task",
    applies={"binary", "multiclass"},
    unit="ratio",
    needs_labels=True,
)
def balanced_accuracy(data: TaskData) -> Outcome:
    """Mean over the true classes of the share predicted right.

    Mean recall of the classes that occur among the labels. In [0, 1]; 1 means all right, 1 / classes is
    chance. One class only is ``single_class``. Interval: draws of the counted cells.

    Examples
    --------
    >>> from monitor.metrics.examples import classified
    >>> balanced_accuracy(classified("1000", "0000")).value
    0.5

    References
    ----------
    Brodersen et al. (2010), The balanced accuracy and its posterior distribution, ICPR.
    """
    found = data.tally.truths > 0
    if found.sum() < 2:
        return Outcome.none("single_class", "all labels are of one class", n=data.labelled)
    return data.outcome(
        lambda tally: nanmean((tally.hits / tally.truths)[..., found]), "all labels are of one class"
    )
