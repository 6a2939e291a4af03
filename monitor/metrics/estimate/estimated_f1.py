"""Estimated F1 score."""

from __future__ import annotations

from monitor.metrics.estimates import POSITIVE, EstimateData
from monitor.metrics.registry import Outcome, metric
from monitor.metrics.tasks import Tally
from monitor.summaries import FloatArray


@metric("estimated_f1", check="estimate", subject="estimate", applies={"binary"}, unit="ratio")
def estimated_f1(data: EstimateData) -> Outcome:
    """F1 score expected without labels (CBPE); not valid under concept drift.

    2 x expected true positives over expected positives plus rows predicted positive, where the sum of the
    calibrated scores of rows is the number of positives to be expected among them. Scores are calibrated
    by isotonic regression on the labelled reference where that lowers their calibration error; rows
    without a score are left out. In [0, 1]; 1 means no false alarm and none missed. Interval: where the
    realised value of the same rows lies, by 1,000 draws of their labels; the calibrator's own error
    counts by the reference's rows at each level of probability. Under concept drift the estimate is
    wrong.

    Examples
    --------
    >>> from monitor.metrics.examples import expected
    >>> round(estimated_f1(expected("110", [0.9, 0.7, 0.2])).value, 6)
    0.842105

    References
    ----------
    Kivimäki, Białek, Nurminen, Kuberski (2025), Confidence-based Estimators for Predictive Performance in
    Model Monitoring, J. Artificial Intelligence Research 82.
    """

    def formula(tally: Tally) -> FloatArray:
        one = tally.of(POSITIVE)
        return 2 * one.hits / (one.truths + one.predictions)

    return data.outcome(formula, "no row is predicted positive and none is to be expected")
