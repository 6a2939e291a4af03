"""Estimated accuracy."""

from __future__ import annotations

from monitor.metrics.estimates import EstimateData
from monitor.metrics.registry import Outcome, metric


@metric("estimated_accuracy", check="estimate", subject="estimate", applies={"binary"}, unit="ratio")
def estimated_accuracy(data: EstimateData) -> Outcome:
    """Accuracy expected without labels (CBPE); not valid under concept drift.

    Expected hits over rows, where the sum of the calibrated scores of rows is the number of positives to
    be expected among them. Scores are calibrated by isotonic regression on the labelled reference where
    that lowers their calibration error; rows without a score are left out. In [0, 1]; 1 means all right.
    Interval: where the realised value of the same rows lies, by 1,000 draws of their labels; the
    calibrator's own error counts by the reference's rows at each level of probability. Under concept
    drift the estimate is wrong.

    Examples
    --------
    >>> from monitor.metrics.examples import expected
    >>> round(estimated_accuracy(expected("110", [0.9, 0.7, 0.2])).value, 6)
    0.8

    References
    ----------
    Kivimäki, Białek, Nurminen, Kuberski (2025), Confidence-based Estimators for Predictive Performance in
    Model Monitoring, J. Artificial Intelligence Research 82.
    """
    return data.outcome(lambda tally: tally.hits.sum(-1) / tally.n, "no rows")
