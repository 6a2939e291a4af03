"""What scores mean as probabilities: a calibrator learnt on labelled rows, kept as the knots of a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from monitor.summaries import FloatArray, IntArray, pack, unpack

FOLDS = 3
LEVELS = 64  # of probability
BINS = 10  # of the calibration error, equal counts


@dataclass(frozen=True, eq=False)
class Calibrator:
    """A piecewise linear, never falling map from scores in [0, 1] to probabilities.

    Parameters
    ----------
    knots, probabilities
        float64[K]: between knots the line is straight, outside them constant. Knots 0 and 1 with
        probabilities 0 and 1 leave scores as they are.
    counts
        int64[64]: labelled rows it was learnt on, by level of their probability, see :func:`levels`.
    calibrated
        Whether calibration lowered the error below, so that the map is not the identity.
    error_before, error_after
        Expected calibration error of held-out rows with the raw and with the calibrated scores.
    """

    knots: FloatArray
    probabilities: FloatArray
    counts: IntArray
    calibrated: bool
    error_before: float
    error_after: float

    def __call__(self, scores: FloatArray) -> FloatArray:
        """Return the probability of the positive class for each score."""
        return np.interp(scores, self.knots, self.probabilities)

    @property
    def rows(self) -> int:
        """Labelled rows it was learnt on."""
        return int(self.counts.sum())

    @classmethod
    def fit(cls, scores: FloatArray, truths: npt.NDArray[np.bool_]) -> Self:
        """Learn from rows in any order: isotonic regression, if that lowers the held-out error.

        The error is that of three folds, every third row in the order of the scores; the map kept is that
        of all rows.

        Raises
        ------
        ValueError
            When a score is outside [0, 1], or one of the classes is missing.
        """
        scores, labels = np.asarray(scores, np.float64) + 0.0, np.asarray(truths, np.float64)
        if len(scores) and not (scores.min() >= 0 and scores.max() <= 1):
            raise ValueError("some scores are outside [0, 1]: they are no probabilities")
        if not 0 < labels.sum() < len(labels):
            raise ValueError("the labelled rows with a score are of one class only")
        order = np.lexsort((labels, scores))
        scores, labels = scores[order], labels[order]
        fold = np.arange(len(scores)) % FOLDS
        held_out = np.empty_like(scores)
        for k in range(FOLDS):
            held_out[fold == k] = np.interp(
                scores[fold == k], *_isotonic(scores[fold != k], labels[fold != k])
            )
        before, after = (calibration_error(p, labels) for p in (scores, held_out))
        identity = (np.array([0.0, 1.0]), np.array([0.0, 1.0]))
        knots, probabilities = _isotonic(scores, labels) if after < before else identity
        counts = np.bincount(levels(np.interp(scores, knots, probabilities)), minlength=LEVELS)
        return cls(knots, probabilities, counts, after < before, before, after)

    def to_bytes(self) -> bytes:
        names = ("calibrated", "error_before", "error_after")
        header = {name: getattr(self, name) for name in names}
        arrays = {"knots": self.knots, "probabilities": self.probabilities, "counts": self.counts}
        return pack("calibrator", header, **arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        header, arrays = unpack("calibrator", data)
        return cls(**arrays, **header)


def levels(probabilities: FloatArray) -> IntArray:
    """Return the level, 0 to 63, of each probability: 64 equal intervals of [0, 1].

    >>> levels(np.array([0.0, 0.5, 1.0]))
    array([ 0, 32, 63])
    """
    return np.minimum((probabilities * LEVELS).astype(np.int64), LEVELS - 1)


def calibration_error(probabilities: FloatArray, labels: FloatArray) -> float:
    """Return the expected calibration error over equal-count bins: mean |mean probability - mean label|.

    >>> calibration_error(np.array([0.5, 0.5]), np.array([0.0, 1.0]))
    0.5
    """
    order = np.argsort(probabilities, kind="stable")
    bins = np.array_split(order, min(BINS, len(order)))
    gaps = [len(b) * abs(float(probabilities[b].mean() - labels[b].mean())) for b in bins]
    return sum(gaps) / len(order)


def _isotonic(scores: FloatArray, labels: FloatArray) -> tuple[FloatArray, FloatArray]:
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(out_of_bounds="clip").fit(scores, labels)
    return np.asarray(model.X_thresholds_, np.float64), np.asarray(model.y_thresholds_, np.float64)
