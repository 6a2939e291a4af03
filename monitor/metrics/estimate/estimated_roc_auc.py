"""Estimated area under the ROC curve."""

from __future__ import annotations

import math

import numpy as np

from monitor.metrics.estimates import EstimateData
from monitor.metrics.intervals import logit_t
from monitor.metrics.registry import Outcome, metric
from monitor.summaries import FloatArray


@metric("estimated_roc_auc", check="estimate", subject="estimate", applies={"binary"}, unit="ratio")
def estimated_roc_auc(data: EstimateData) -> Outcome:
    """Area under the ROC curve expected without labels (CBPE); not valid under concept drift.

    Of all pairs of an expected positive and an expected negative row the share in which the positive one
    scores higher, ties half; a row of calibrated score p counts as p positive and 1 - p negative. Scores
    are calibrated by isotonic regression on the labelled reference where that lowers their calibration
    error; rows without a score are left out. In [0, 1]; 1 means perfect ranking, 0.5 chance. Interval:
    where the realised value of the same rows lies, by the first-order effect of each label (infinitesimal
    jackknife) on the logit scale; the calibrator's own error counts by the reference's rows at each level
    of probability. Under concept drift the estimate is wrong.

    Examples
    --------
    >>> from monitor.metrics.examples import expected
    >>> round(estimated_roc_auc(expected("110", [0.9, 0.7, 0.2])).value, 6)
    0.824074

    References
    ----------
    Kivimäki, Białek, Nurminen, Kuberski (2025), Confidence-based Estimators for Predictive Performance in
    Model Monitoring, J. Artificial Intelligence Research 82.
    """
    positives = data.mass.sum(0)
    rows = data.rows_by_cell
    negatives = rows - positives
    pairs = float(positives.sum() * negatives.sum())
    if pairs <= 0:
        return Outcome.none("single_class", "only one class is to be expected", n=data.n)
    below = np.cumsum(negatives) - negatives / 2
    auc = float((positives * below).sum()) / pairs
    error = _standard_error(data, positives, rows, below, auc)
    return data.described(auc, logit_t(auc, error, math.inf))


def _standard_error(
    data: EstimateData, positives: FloatArray, rows: FloatArray, below: FloatArray, auc: float
) -> float:
    """Return the spread of the realised area around ``auc`` when labels follow their probabilities.

    A row that turns out positive instead of negative gains the negatives below it, loses the positives above
    it, and changes the number of pairs. Calibrated probabilities are off together, level by level.
    """
    m, n = float(positives.sum()), float((rows - positives).sum())
    above = m - np.cumsum(positives) + positives / 2
    gain = (below - above - auc * (n - m)) / (m * n)
    held = rows > 0
    share = positives[held] / rows[held]
    labels = float((positives[held] * (1 - share) * np.square(gain[held])).sum())
    return math.sqrt(labels + data.calibration_variance(share, rows[held] * gain[held]))
