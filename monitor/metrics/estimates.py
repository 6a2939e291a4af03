"""What a model's performance in one window is expected to be without labels: what estimates take.

Classification by confidence-based performance estimation (CBPE): the sum of calibrated scores over rows is
the number of positives to be expected among them. Regression by direct loss estimation (DLE): the mean of
the errors that a model of errors expects. Both ask how today's inputs score, not whether the truth behind
them has changed: under concept drift they are wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from monitor.metrics.intervals import DRAWS, Interval, normal, percentile
from monitor.metrics.registry import Metric, Outcome
from monitor.metrics.tasks import Formula, Tally, TaskData
from monitor.summaries import FloatArray, IntArray
from monitor.summaries.calibration import LEVELS, Calibrator, levels
from monitor.summaries.expected import PredictedScores
from monitor.types import Task

POSITIVE = 1
OWN_ROWS = 0.75  # of a calibrator's rows count: it fits them a little too well (docs/estimation.md)


@dataclass(frozen=True, eq=False)
class ExpectedErrors:
    """Errors that an error model expects of a sample of the window.

    Parameters
    ----------
    expected
        float64[k, 2]: expected absolute and squared error of each sampled row.
    rows
        Rows of the window.
    kurtosis, n_reference
        Of the :class:`~monitor.summaries.error_model.ErrorModel`.
    own_variance
        Of the mean expected absolute and squared error, by what the model was learnt from.
    """

    expected: FloatArray
    rows: int
    kurtosis: float
    n_reference: int
    own_variance: tuple[float, float] = (0.0, 0.0)

    def mean(self, moment: int) -> tuple[float, float]:
        """Return the mean expected absolute (0) or squared (1) error and its standard error.

        The standard error is that of the difference to the realised mean of the window: the spread of errors
        around what is expected of them, that of drawing the sample, and the model's own.
        """
        values = self.expected[:, moment]
        k, second = len(values), self.expected[:, 1]
        noise = second - np.square(values) if moment == 0 else self.kurtosis * np.square(second)
        sampling = float(values.var()) * max(1 / k - 1 / self.rows, 0.0) + self.own_variance[moment]
        return float(values.mean()), math.sqrt(max(float(noise.mean()), 0.0) / self.rows + sampling)


@dataclass(frozen=True, eq=False)
class EstimateData:
    """Everything an estimate may ask of one model's window.

    Parameters
    ----------
    task
        ``binary`` or ``regression``; other tasks have no estimates.
    rng
        Seeded by the caller from the window's key; used for the draws of labels alone.
    calibrator, scores
        Binary: what scores mean, and the scores of all rows by predicted class.
    errors
        Regression: the expected errors.
    realised
        The labelled rows, where there are any.
    """

    task: Task
    rng: np.random.Generator
    calibrator: Calibrator | None = None
    scores: PredictedScores | None = None
    errors: ExpectedErrors | None = None
    realised: TaskData | None = None

    def lack(self, metric: Metric) -> Outcome | None:
        """Return the reason why ``metric`` has no value here, if it is not for the metric to say."""
        if self.task not in metric.applies:
            return Outcome.none("not_applicable", f"{metric.name} is not defined for {self.task} models")
        if self.scores is None and self.errors is None:
            return Outcome.none("no_reference", "nothing was learnt from a labelled reference")
        if self.scores is not None and self.scores.out_of_range:
            n = self.scores.n
            return Outcome.none("not_applicable", "some scores are outside [0, 1]: no probabilities", n=n)
        if not self.n:
            return Outcome.none("insufficient_samples", "the window has no rows to estimate from")
        if metric.needs_labels and not (self.realised and self.realised.labelled):
            return Outcome.none("no_labels", "no row has a label to compare the estimate with")
        return None

    @property
    def n(self) -> int:
        """Rows that are estimated."""
        if self.errors is not None:
            return self.errors.rows if len(self.errors.expected) else 0
        return self.scores.n if self.scores is not None else 0

    @property
    def _scores(self) -> tuple[PredictedScores, Calibrator]:
        assert self.scores is not None and self.calibrator is not None  # lack has answered otherwise
        return self.scores, self.calibrator

    @cached_property
    def mass(self) -> FloatArray:
        """Expected positives by predicted class and cell of scores, float64[2, cells]."""
        scores, calibrator = self._scores
        return scores.mass(calibrator(scores.edges))

    @property
    def rows_by_cell(self) -> FloatArray:
        """Rows by cell of scores, float64[cells]."""
        rows: FloatArray = self._scores[0].counts.sum(0).astype(np.float64)
        return rows

    @cached_property
    def tally(self) -> Tally:
        """The margins of the expected confusion table; classes are negative and positive."""
        return self._tally(self.mass.sum(1))

    @cached_property
    def draws(self) -> Tally:
        """The margins of 1,000 tables with labels drawn by the calibrated probabilities."""
        scores, calibrator = self._scores
        streams = self.rng.spawn(3)
        _, share = by_level(scores.counts.sum(0), self.mass.sum(0))
        doubt = _doubt(calibrator, share, streams[2])
        positives = []
        for counts, mass, rng in zip(scores.counts, self.mass, streams[:2], strict=True):
            rows, share = by_level(counts, mass)
            chances = np.clip(share + doubt, 0.0, 1.0)
            positives.append(rng.binomial(rows, chances, size=(DRAWS, LEVELS)).sum(1).astype(np.float64))
        return self._tally(np.stack(positives, axis=-1))

    def calibration_variance(self, share: FloatArray, gain: FloatArray) -> float:
        """Return the variance that the calibrator adds to a value that gains ``gain`` as cells turn positive.

        ``share`` and ``gain`` are float64[cells]: the cells' mean probability, and what they add in all.
        """
        calibrator = self._scores[1]
        if not calibrator.calibrated:
            return 0.0
        level = levels(share)
        total = np.bincount(level, gain, LEVELS)
        spread = np.bincount(level, share * (1 - share), LEVELS) / np.maximum(
            np.bincount(level, minlength=LEVELS), 1
        )
        return float((np.square(total) * spread / (OWN_ROWS * calibrator.counts + 2)).sum())

    def _tally(self, positives: FloatArray) -> Tally:
        """Return the margins from the true positives by predicted class, float64[..., 2]."""
        predictions = self._scores[0].counts.sum(1).astype(np.float64)
        right = np.stack([predictions[0] - positives[..., 0], positives[..., 1]], axis=-1)
        total = positives.sum(-1)
        truths = np.stack([predictions.sum() - total, total], axis=-1)
        return Tally(right, truths, np.broadcast_to(predictions, right.shape))

    def outcome(self, formula: Formula, undefined: str) -> Outcome:
        """Evaluate a formula on the expected table, its interval on the draws."""
        with np.errstate(divide="ignore", invalid="ignore"):
            value, drawn = float(formula(self.tally)), formula(self.draws)
        if not math.isfinite(value):
            return Outcome.none("single_class", undefined, n=self.n)
        return self.described(value, percentile(drawn))

    def described(self, value: float, interval: Interval) -> Outcome:
        """Return an outcome with what it rests on."""
        if self.errors is not None:
            sample = {"sample": len(self.errors.expected)}
            return Outcome(value, "ok", *interval, self.n, self.errors.n_reference, sample)
        scores, calibrator = self._scores
        detail = {"calibrated": calibrator.calibrated, "unscored": scores.unscored}
        return Outcome(value, "ok", *interval, self.n, calibrator.rows, detail)

    def error(self, moment: int, transform: Callable[[float], float]) -> Outcome:
        """Return a function of the mean expected absolute (0) or squared (1) error."""
        assert self.errors is not None  # lack has answered otherwise
        mean, standard_error = self.errors.mean(moment)
        bounds = normal(mean, standard_error, low=0.0)
        lower, upper = (None if bound is None else transform(bound) for bound in bounds)
        return self.described(transform(mean), (lower, upper))


def by_level(counts: IntArray, mass: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return rows, int64[64], and mean probability, float64[64], by level of the cells' probability."""
    held = np.flatnonzero(counts)
    level = levels(mass[held] / counts[held])
    rows = np.bincount(level, counts[held], LEVELS)
    share = np.divide(np.bincount(level, mass[held], LEVELS), rows, out=np.zeros(LEVELS), where=rows > 0)
    return rows.astype(np.int64), np.clip(share, 0.0, 1.0)


def _doubt(calibrator: Calibrator, share: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return how far calibrated probabilities may be off, float64[draws, 64]; none where scores are kept.

    By a beta distribution at each level, as if its share of positives was counted among the rows that the
    reference has there.
    """
    result = np.zeros((DRAWS, LEVELS))
    open_ = (share > 0) & (share < 1)
    if calibrator.calibrated and open_.any():
        rows = OWN_ROWS * calibrator.counts[open_] + 1.0
        mean = share[open_]
        result[:, open_] = rng.beta(rows * mean, rows * (1 - mean), size=(DRAWS, int(open_.sum()))) - mean
    return result
