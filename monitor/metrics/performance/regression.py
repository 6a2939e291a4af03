"""Errors of a regression: mean absolute, root mean square, relative, bias, R² and quantiles."""

from __future__ import annotations

import math

import numpy as np

from monitor.metrics.intervals import freedom_of, skewed, skewness, student
from monitor.metrics.registry import Outcome, metric
from monitor.metrics.tasks import TaskData
from monitor.summaries import FloatArray, IntArray
from monitor.summaries.moments import Moments
from monitor.summaries.residuals import ResidualSummary

TASKS = frozenset({"regression"})
LARGEST = 300.0  # logarithm of what is still a number


def _of(data: TaskData) -> ResidualSummary:
    assert data.residuals is not None  # TaskData.lack has answered otherwise
    return data.residuals


def _mean(moments: Moments, low: float = -math.inf, skew: float = 0.0, freedom: float = math.inf) -> Outcome:
    lower, upper = skewed(moments.mean, moments.standard_error, skew, moments.n, freedom)
    return Outcome(moments.mean, "ok", None if lower is None else max(lower, low), upper, moments.n)


@metric(
    "mae", check="performance", subject="task", applies=TASKS, unit="label", high=math.inf, needs_labels=True
)
def mae(data: TaskData) -> Outcome:
    """Mean absolute error, in the label's unit.

    Mean of |prediction - truth|; 0 means all right. Interval: Student's t, corrected for skewness
    (from the histogram of errors).

    Examples
    --------
    >>> from monitor.metrics.examples import regressed
    >>> mae(regressed([1, 2, 3], [1, 2, 6])).value
    1.0

    References
    ----------
    Willmott, Matsuura (2005), Advantages of the mean absolute error over the RMSE, Climate Research 30.
    """
    residuals = _of(data)
    return _mean(residuals.absolute, 0.0, skewness(residuals.sizes, residuals.counts))


def _squares(residuals: ResidualSummary) -> tuple[FloatArray, IntArray]:
    """Return squared errors and how many rows have each, float64[H] and int64[H]."""
    with np.errstate(over="ignore"):
        return np.square(residuals.sizes), residuals.counts


@metric(
    "rmse", check="performance", subject="task", applies=TASKS, unit="label", high=math.inf, needs_labels=True
)
def rmse(data: TaskData) -> Outcome:
    """Root mean squared error, in the label's unit.

    sqrt of the mean of (prediction - truth)²; 0 means all right; large errors weigh most. Interval: root of
    that of the mean square, Student's t corrected for skewness. With tails so heavy that squared errors have
    no variance (Student's t with 4 degrees of freedom or fewer) no interval holds; then watch ``mae`` or a
    quantile.

    Examples
    --------
    >>> from monitor.metrics.examples import regressed
    >>> rmse(regressed([1, 2], [4, 6])).value == 12.5**0.5
    True

    References
    ----------
    Hyndman, Koehler (2006), Another look at measures of forecast accuracy, Int. J. Forecasting 22.
    """
    residuals = _of(data)
    squares = _squares(residuals)
    square = _mean(residuals.squared, 0.0, *(of(*squares) for of in (skewness, freedom_of)))
    lower, upper = (None if bound is None else math.sqrt(bound) for bound in (square.lower, square.upper))
    return Outcome(math.sqrt(residuals.squared.mean), "ok", lower, upper, square.n)


@metric(
    "mape",
    check="performance",
    subject="task",
    applies=TASKS,
    unit="ratio",
    high=math.inf,
    needs_labels=True,
    worse_at="high",
)
def mape(data: TaskData) -> Outcome:
    """Mean absolute error relative to the truth.

    Mean of |prediction - truth| / |truth| over rows whose truth is not 0 (the others are counted in
    ``detail``); a ratio, not per cent. 0 means all right. Interval: Student's t over rows.

    Examples
    --------
    >>> from monitor.metrics.examples import regressed
    >>> mape(regressed([0, 2], [1, 3])).value
    0.5

    References
    ----------
    Hyndman, Koehler (2006), Another look at measures of forecast accuracy, Int. J. Forecasting 22.
    """
    residuals = _of(data)
    detail = {"zero_truths": residuals.zero_truths}
    if not residuals.percentage.n:
        return Outcome.none("not_applicable", "every true value is 0", n=residuals.n, detail=detail)
    outcome = _mean(residuals.percentage, low=0.0)
    return Outcome(outcome.value, "ok", outcome.lower, outcome.upper, outcome.n, detail=detail)


@metric(
    "mean_error",
    worse_at="neither",
    check="performance",
    subject="task",
    applies=TASKS,
    unit="label",
    low=-math.inf,
    high=math.inf,
    needs_labels=True,
)
def mean_error(data: TaskData) -> Outcome:
    """Mean of prediction minus truth (bias), in the label's unit.

    0 means no bias, above 0 that the model predicts too much. Interval: Student's t over rows.

    Examples
    --------
    >>> from monitor.metrics.examples import regressed
    >>> mean_error(regressed([1, 2], [2, 5])).value
    2.0

    References
    ----------
    Hyndman, Koehler (2006), Another look at measures of forecast accuracy, Int. J. Forecasting 22.
    """
    return _mean(_of(data).error)


@metric(
    "r2", check="performance", subject="task", applies=TASKS, unit="ratio", low=-math.inf, needs_labels=True
)
def r2(data: TaskData) -> Outcome:
    """Share of the truth's variance that the model explains (R²).

    1 - sum (prediction - truth)² / sum (truth - mean truth)². 1 means all right, 0 no better than the
    window's own mean, below 0 worse. Constant truth is ``single_class``. Interval: delta method
    on the logarithm of the unexplained share, Student's t as for ``rmse``.

    Examples
    --------
    >>> from monitor.metrics.examples import regressed
    >>> r2(regressed([1, 2, 3], [1, 2, 3])).value, r2(regressed([1, 3], [2, 2])).value
    (1.0, 0.0)

    References
    ----------
    Kvalseth (1985), Cautionary note about R², The American Statistician 39.
    """
    residuals = _of(data)
    if not residuals.truth.m2:
        return Outcome.none("single_class", "the true values are constant", n=residuals.n)
    ratio = residuals.squared.mean / residuals.truth.variance
    error = _r2_error(residuals)
    if not ratio or not math.isfinite(error):
        return Outcome(1 - ratio, n=residuals.n)
    factor = math.exp(min(student(freedom_of(*_squares(residuals))) * error / ratio, LARGEST))
    return Outcome(1 - ratio, "ok", 1 - ratio * factor, 1 - ratio / factor, residuals.n)


def _r2_error(residuals: ResidualSummary) -> float:
    """Return the delta method's standard error from the joint sums of e² and u = truth - center."""
    n = residuals.n
    u, u2, u3, u4, eu, eu2 = (residuals.joint / n).tolist()
    a, b = residuals.squared.mean, residuals.truth.variance
    ee = residuals.squared.variance + a * a
    # v = (truth - mean truth)²; mean of v is b
    vv = u4 - 4 * u * u3 + 6 * u * u * u2 - 3 * u**4
    ev = eu2 - 2 * u * eu + u * u * a
    spread = (ee - a * a) / b**2 - 2 * a * (ev - a * b) / b**3 + a * a * (vv - b * b) / b**4
    return math.sqrt(max(spread, 0.0) / n) if np.isfinite(spread) else math.inf


@metric(
    "baseline_rmse",
    worse_at="neither",
    check="performance",
    subject="task",
    applies=TASKS,
    unit="label",
    high=math.inf,
    needs_labels=True,
)
def baseline_rmse(data: TaskData) -> Outcome:
    """RMSE of always predicting the reference's mean label.

    sqrt of the window's label variance + (its mean - the reference's mean)². A model whose ``rmse`` is not
    below it has learnt nothing that this window shows.

    Examples
    --------
    >>> from monitor.metrics.examples import regressed
    >>> baseline_rmse(regressed([1, 3], [1, 3], center=2)).value
    1.0

    References
    ----------
    Hyndman, Koehler (2006), Another look at measures of forecast accuracy, Int. J. Forecasting 22.
    """
    truth = _of(data).truth
    return Outcome(math.hypot(truth.sd, truth.mean - _of(data).center), n=truth.n)


@metric(
    "median_absolute_error",
    check="performance",
    subject="task",
    applies=TASKS,
    unit="label",
    high=math.inf,
    needs_labels=True,
)
def median_absolute_error(data: TaskData) -> Outcome:
    """Median of the absolute error, in the label's unit; 0.9, 0.95 and 0.99 quantiles in ``detail``.

    From a histogram with cells 0.8 % wide, so within 0.4 %. 0 means that half are exactly right. Interval:
    order statistics (binomial ranks).

    Examples
    --------
    >>> from monitor.metrics.examples import regressed
    >>> abs(median_absolute_error(regressed([0, 0, 0], [1, 2, 9])).value - 2) < 0.01
    True

    References
    ----------
    David, Nagaraja (2003), Order Statistics, chapter 7.
    """
    residuals = _of(data)
    half = 0.98 / math.sqrt(residuals.n)
    at = {q: residuals.quantile(q) for q in (0.5, 0.9, 0.95, 0.99)}
    lower, upper = residuals.quantile(max(0.5 - half, 0.0)), residuals.quantile(min(0.5 + half, 1.0))
    detail = {str(q): value for q, value in at.items()}
    return Outcome(at[0.5], "ok", lower, upper, residuals.n, detail=detail)
