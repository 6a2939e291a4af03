"""Expected calibration error."""

from __future__ import annotations

import numpy as np

from monitor.metrics.intervals import DRAWS, LEVEL, Interval
from monitor.metrics.registry import Outcome, metric
from monitor.metrics.tasks import TaskData
from monitor.summaries import FloatArray, IntArray
from monitor.summaries.confusion import SCORE_UNIT
from monitor.summaries.scores import ScoreSummary

BINS = 10
MULTIPLES = np.linspace(0.0, 3.0, 61)


@metric(
    "calibration_error",
    check="performance",
    subject="task",
    applies={"binary"},
    unit="ratio",
    needs_labels=True,
)
def calibration_error(data: TaskData) -> Outcome:
    """How far predicted probabilities are from observed frequencies, on average (ECE).

    Sum over 10 equal-count bins of scores of (rows / n) x |mean score - share of positives|; equal scores
    share a bin. In [0, 1]; 0 means calibrated, but a calibrated model of n rows shows about 1 / sqrt(n).
    Scores outside [0, 1] are ``not_applicable``. ``detail`` has the reliability curve. Interval: the errors,
    as large or small a multiple of those seen, from which resampling gives this value in 95 % of the draws
    (covers 89 to 96 % in simulations; 0 is in it when noise alone explains the value).

    Examples
    --------
    >>> from monitor.metrics.examples import classified
    >>> calibration_error(classified("1100", "1111", [0.75, 0.75, 0.75, 0.75])).value
    0.25

    References
    ----------
    Naeini, Cooper, Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian binning, AAAI.
    """
    reason = data.no_probabilities()
    if reason:
        return Outcome.none("not_applicable", reason, n=data.labelled)
    counts, mean = reliability(data.scores[data.positive])
    value = error(counts, mean)
    lower, upper = interval(counts, mean, data.calibration_rng)
    curve = {"mean_score": mean.tolist(), "positive_ratio": (counts[1] / counts.sum(0)).tolist()}
    return Outcome(value, "ok", lower, upper, int(counts.sum()), detail=curve)


def reliability(scores: ScoreSummary) -> tuple[IntArray, FloatArray]:
    """Return rows by truth and bin, int64[2, B], and each bin's mean score; B is 10 or, with ties, fewer."""
    rows = scores.counts.sum(0)
    middle = 2 * np.cumsum(rows) - rows  # twice the rank of a cell's middle row
    held = rows > 0
    bins = (middle[held] * BINS) // (2 * int(rows.sum()))
    starts = np.flatnonzero(np.diff(bins, prepend=-1))
    counts: IntArray = np.add.reduceat(scores.counts[:, held], starts, axis=1)
    sums = np.add.reduceat(scores.score_sums[held], starts)
    return counts, sums / SCORE_UNIT / counts.sum(0)


def error(counts: IntArray, mean_score: FloatArray) -> float:
    """Return the expected calibration error of int64[2, B] counts."""
    rows = counts.sum(0)
    return float(np.abs(counts[1] - rows * mean_score).sum() / rows.sum())


def interval(counts: IntArray, mean_score: FloatArray, rng: np.random.Generator) -> Interval:
    """Invert the test of "the true errors are k times those observed" over k, on normal draws by bin."""
    rows = counts.sum(0)
    weight, gaps = rows / rows.sum(), mean_score - counts[1] / rows
    smooth = (counts[1] + 0.5) / (rows + 1)
    noise = rng.normal(size=(DRAWS, len(rows))) * np.sqrt(smooth * (1 - smooth) / rows)
    value = float((weight * np.abs(gaps)).sum())
    drawn = np.stack([(weight * np.abs(k * gaps + noise)).sum(1) for k in MULTIPLES])
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
    bounds = [float(np.interp(value, np.maximum.accumulate(side), MULTIPLES)) * value for side in (high, low)]
    return min(bounds[0], value), min(max(bounds[1], value), 1.0)
