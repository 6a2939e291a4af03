"""F1 score."""

from __future__ import annotations

from monitor.metrics.registry import Outcome, metric
from monitor.metrics.tasks import TaskData


@metric(
    "f1",
    check="performance",
    subject="task",
    applies={"binary", "multiclass"},
    unit="ratio",
    needs_labels=True,
)
def f1(data: TaskData) -> Outcome:
    """Harmonic mean of precision and recall of the positive class (F1).

    2 TP / (predicted positives + true positives); multiclass: mean over the classes that occur (macro), with
    each class and the weighted mean in ``detail``. In [0, 1]; 1 means neither misses nor false alarms.
    Without a positive label or prediction it does not exist: ``single_class``. Interval: draws of
    the counted cells.

    Examples
    --------
    >>> from monitor.metrics.examples import classified
    >>> f1(classified("1100", "1010")).value
    0.5

    References
    ----------
    van Rijsbergen (1979), Information Retrieval, chapter 7.
    """
    return data.per_class(
        lambda tally: 2 * tally.hits / (tally.predictions + tally.truths),
        "no label or prediction is positive",
    )
