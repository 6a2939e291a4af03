"""Accuracy of the trivial model."""

from __future__ import annotations

from monitor.metrics.registry import Outcome, metric
from monitor.metrics.tasks import TaskData


@metric(
    "baseline_accuracy",
    worse_at="neither",
    check="performance",
    subject="task",
    applies={"binary", "multiclass"},
    unit="ratio",
    needs_labels=True,
)
def baseline_accuracy(data: TaskData) -> Outcome:
    """Accuracy of always predicting the window's most frequent true class.

    Largest class over labelled rows. In [0, 1]; a model whose ``accuracy`` is not above it has learnt
    nothing that this window shows. ``detail`` names the class. Interval: draws of the counted cells.

    Examples
    --------
    >>> from monitor.metrics.examples import classified
    >>> baseline_accuracy(classified("1000", "1000")).value
    0.75

    References
    ----------
    Sokolova, Lapalme (2009), A systematic analysis of performance measures, Inf. Proc. & Management 45.
    """
    majority = data.classes[int(data.tally.truths.argmax())]
    return data.outcome(lambda tally: tally.truths.max(-1) / tally.n, "no labelled rows", majority=majority)
