"""Matthews correlation coefficient."""

from __future__ import annotations

import numpy as np

from monitor.metrics.registry import Outcome, metric
from monitor.metrics.tasks import Tally, TaskData
from monitor.summaries import FloatArray


@metric(
    "mcc",
    check="performance",
    subject="task",
    applies={"binary", "multiclass"},
    unit="correlation",
    low=-1.0,
    needs_labels=True,
)
def mcc(data: TaskData) -> Outcome:
    """Correlation of truth and prediction (Matthews' coefficient, R_k for several classes).

    (c n - sum of t_k p_k) / sqrt((n² - sum p_k²)(n² - sum t_k²)), with c hits, t_k and p_k the true and
    predicted rows of class k. In [-1, 1]; 1 means all right, 0 chance. When all labels or all predictions
    are of one class it does not exist: ``single_class``. Interval: draws of the counted cells.

    Examples
    --------
    >>> from monitor.metrics.examples import classified
    >>> mcc(classified("1100", "1100")).value, mcc(classified("1100", "1010")).value
    (1.0, 0.0)

    References
    ----------
    Gorodkin (2004), Comparing two K-category assignments by a K-category correlation coefficient,
    Computational Biology and Chemistry 28.
    """
    return data.outcome(_mcc, "all labels or all predictions are of one class")


def _mcc(tally: Tally) -> FloatArray:
    n = tally.n
    hits, truths, predictions = (
        tally.hits.sum(-1) / n,
        tally.truths / n[..., None],
        tally.predictions / n[..., None],
    )
    spread = (1 - np.square(predictions).sum(-1)) * (1 - np.square(truths).sum(-1))
    value: FloatArray = (hits - (truths * predictions).sum(-1)) / np.sqrt(spread)
    return np.clip(value, -1.0, 1.0)  # rounding alone takes it beyond
