"""Precision."""

from __future__ import annotations

from monitor.metrics.registry import Outcome, metric
from monitor.metrics.tasks import TaskData


@metric(
    "precision",
    check="performance",
    subject="task",
    applies={"binary", "multiclass"},
    unit="ratio",
    needs_labels=True,
)
def precision(data: TaskData) -> Outcome:
    """Share of the positive predictions that are right.

    True positives over predicted positives; multiclass: mean over the predicted classes (macro), with each
    class and the weighted mean in ``detail``. In [0, 1]; 1 means no false alarm. Where nothing is predicted
    positive it does not exist: ``single_class``. Interval: draws of the counted cells.

    Examples
    --------
    >>> from monitor.metrics.examples import classified
    >>> precision(classified("1100", "1110")).value == 2 / 3
    True
    >>> precision(classified("1100", "0000")).state
    'single_class'

    References
    ----------
    van Rijsbergen (1979), Information Retrieval, chapter 7.
    """
    return data.per_class(lambda tally: tally.hits / tally.predictions, "no row is predicted positive")
