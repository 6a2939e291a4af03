"""Expected calibration error."""

from __future__ import annotations

import numpy as np

from monitor.metrics.intervals import DRAWS, FAR, TAIL, Interval, edge
from monitor.metrics.registry import Outcome, metric
from monitor.metrics.tasks import TaskData
from monitor.summaries import FloatArray, IntArray
from monitor.summaries.confusion import SCORE_UNIT
from monitor.summaries.scores import ScoreSummary

BINS = 10


@metric(
    "calibration_error",
    worse_at="high",
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
    Scores outside [0, 1] are ``not_applicable``. ``detail`` has the reliability curve. Interval: the
    errors at which a test does not reject this value, by draws of labels; of a calibrated model, whose error
    of 0 lies on the edge of what is possible, it holds 0 in more than 95 % of windows.

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
    """Return the errors at which a test does not reject what was seen; int64[2, B] counts.

    For each candidate the bins' gaps are those that fit best among all whose error is the candidate: each
    nearer to (or farther from) 0 by the same multiple of its variance, not beyond it. Around them labels are
    drawn.
    """
    rows = counts.sum(0)
    weight, gaps = rows / rows.sum(), mean_score - counts[1] / rows
    smooth = (counts[1] + 0.5) / (rows + 1)
    step, size = weight * smooth * (1 - smooth) / rows, np.abs(gaps)
    value, spread = float(weight @ size), float(np.sqrt(weight @ step))
    noise = rng.normal(size=(DRAWS, len(rows)))
    turns = np.sort(np.append(size / step, 0.0))[::-1]  # multiples at which a bin's gap comes to 0
    errors = np.maximum(size - turns[:, None] * step, 0.0) @ weight

    def drawn(candidate: float) -> FloatArray:
        inward = np.interp(candidate, errors, turns)
        multiple = inward if candidate < value else (value - candidate) / float(weight @ step)
        true = np.clip(mean_score - np.sign(gaps) * np.maximum(size - multiple * step, 0.0), 0.0, 1.0)
        off = mean_score - true + np.sqrt(true * (1 - true) / rows) * noise
        return np.asarray(np.abs(off) @ weight)

    lower = edge(lambda x: bool((drawn(x) >= value).mean() >= TAIL), max(value - FAR * spread, 0.0), value)
    upper = edge(lambda x: bool((drawn(x) <= value).mean() >= TAIL), min(value + FAR * spread, 1.0), 0.0)
    return min(lower, value), max(upper, value)
