"""Cohen's kappa."""

from __future__ import annotations

from monitor.metrics.registry import Outcome, metric
from monitor.metrics.tasks import Tally, TaskData
from monitor.summaries import FloatArray


@metric(
    "cohen_kappa",
    check="performance",
    subject="task",
    applies={"binary", "multiclass"},
    unit="agreement",
    low=-1.0,
    needs_labels=True,
)
def cohen_kappa(data: TaskData) -> Outcome:
    """Accuracy beyond what chance would reach with the same margins (Cohen's kappa).

    (p_o - p_e) / (1 - p_e), p_o the accuracy and p_e the sum over classes of true share x predicted share.
    In [-1, 1]; 1 means all right, 0 chance. When labels and predictions are all of one and the same class it
    does not exist: ``single_class``. Interval: draws of the counted cells.

    Examples
    --------
    >>> from monitor.metrics.examples import classified
    >>> cohen_kappa(classified("1100", "1000")).value
    0.5

    References
    ----------
    Cohen (1960), A coefficient of agreement for nominal scales, Educ. and Psychological Measurement 20.
    """
    return data.outcome(_kappa, "all labels and predictions are of one class")


def _kappa(tally: Tally) -> FloatArray:
    n = tally.n
    observed = tally.hits.sum(-1) / n
    expected = (tally.truths * tally.predictions).sum(-1) / n**2
    value: FloatArray = (observed - expected) / (1 - expected)
    return value
