"""A model's labelled predictions in one window: what performance metrics take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from monitor.metrics.intervals import Interval, percentile, posterior
from monitor.metrics.registry import Metric, Outcome
from monitor.summaries import FloatArray, IntArray
from monitor.summaries.confusion import EVERYONE, Confusion
from monitor.summaries.residuals import ResidualSummary
from monitor.summaries.scores import ScoreSummary
from monitor.types import Task

MAX_CELLS = 5_000  # occupied cells up to which the bootstrap stays within a second


@dataclass(frozen=True, eq=False)
class Tally:
    """The margins of a confusion table, float64[..., C] with any leading axes (such as draws of it).

    ``hits`` is the diagonal, ``truths`` the rows of each true class, ``predictions`` those of each
    predicted class. Every classification metric here is a function of these three.
    """

    hits: FloatArray
    truths: FloatArray
    predictions: FloatArray

    def of(self, index: int) -> Tally:
        """Return the tally of one class alone, float64[...]."""
        return Tally(self.hits[..., index], self.truths[..., index], self.predictions[..., index])

    @property
    def n(self) -> FloatArray:
        """All rows, float64[...]."""
        total: FloatArray = self.truths.sum(-1)
        return total


Formula = Callable[[Tally], FloatArray]


@dataclass(frozen=True, eq=False)
class TaskData:
    """Everything a performance metric may ask of one model's window.

    Parameters
    ----------
    task
        ``binary``, ``multiclass`` or ``regression``.
    rng
        Seeded by the caller from the window's key, fresh for each ``TaskData``; used for intervals alone.
    confusion
        Classification: cells of everyone (group ``""``), or of any groups that add up to everyone.
    scores
        Classification with scores: a summary for each class against the rest; binary needs only that of
        the positive class.
    residuals
        Regression.
    positive
        The positive class of a binary task.
    sample
        Multiclass with scores: of some rows the scores of all classes, float64[k, C] in the order of the
        sorted names in ``scores`` (NaN: none), and the truth's place among them, int64[k] (-1: another
        class). From it comes how far classes err together, which no summary of one class knows.
    """

    task: Task
    rng: np.random.Generator
    confusion: Confusion | None = None
    scores: Mapping[str, ScoreSummary] = field(default_factory=dict)
    residuals: ResidualSummary | None = None
    positive: str = "1"
    sample: tuple[FloatArray, IntArray] | None = None

    @property
    def labelled(self) -> int:
        """Rows with a label."""
        if self.task == "regression":
            return self.residuals.n if self.residuals else 0
        return self.confusion.labelled if self.confusion else 0

    @property
    def rows(self) -> int:
        """Rows with and without a label."""
        if self.task == "regression":
            return self.residuals.rows if self.residuals else 0
        return self.confusion.rows if self.confusion else 0

    def lack(self, metric: Metric) -> Outcome | None:
        """Return the reason why ``metric`` has no value here, if it is not for the metric to say."""
        if self.task not in metric.applies:
            return Outcome.none("not_applicable", f"{metric.name} is not defined for {self.task} models")
        if not self.rows:
            return Outcome.none("insufficient_samples", "the window has no rows")
        if metric.needs_labels and not self.labelled:
            return Outcome.none("no_labels", f"none of {self.rows} rows has a label")
        return None

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, the positive one of a binary task always among them."""
        found = self.confusion.classes if self.confusion else ()
        return tuple(sorted({*found, self.positive})) if self.task == "binary" else found

    @cached_property
    def _streams(self) -> list[np.random.Generator]:
        """Two independent streams, so that no result depends on which metric is asked first."""
        return self.rng.spawn(2)

    @property
    def calibration_rng(self) -> np.random.Generator:
        """The stream of the calibration bootstrap."""
        return self._streams[1]

    @cached_property
    def cells(self) -> IntArray:
        """Labelled rows by truth and prediction, int64[C, C], over :attr:`classes`."""
        assert self.confusion is not None
        wide = self.confusion.merge(Confusion.lift([], [], [], [], classes=self.classes))
        if EVERYONE in wide.groups:
            return np.asarray(wide.counts[wide.groups.index(EVERYONE)])
        return np.asarray(wide.counts.sum(0))

    @cached_property
    def tally(self) -> Tally:
        """The margins as counted."""
        cells = self.cells.astype(np.float64)
        return Tally(np.diagonal(cells).copy(), cells.sum(1), cells.sum(0))

    @cached_property
    def draws(self) -> Tally | None:
        """The margins of 1,000 tables like this one; None when there are too many cells to draw.

        See :func:`~monitor.metrics.intervals.posterior`. Two rows are added in all, half of them right,
        spread evenly over the classes and over what a class can be mistaken for; so two classes have half a
        row a cell.
        """
        size = len(self.classes)
        wrong = 1 / size / max(size - 1, 1)
        prior = np.where(np.eye(size, dtype=bool), 1 / size, wrong)
        if size * size > MAX_CELLS:
            prior[self.cells == 0] = 0.0
        truth, prediction = np.nonzero(self.cells + prior)
        if len(truth) > MAX_CELLS:
            return None
        drawn = posterior(
            self.cells[truth, prediction].astype(np.float64), prior[truth, prediction], self._streams[0]
        )
        classes = np.arange(size)
        by_truth = (truth[:, None] == classes).astype(np.float64)
        by_prediction = (prediction[:, None] == classes).astype(np.float64)
        return Tally(drawn @ (by_truth * by_prediction), drawn @ by_truth, drawn @ by_prediction)

    def score_of_positive(self) -> ScoreSummary | None:
        """Return the positive class's scores where there are labelled ones."""
        scores = self.scores.get(self.positive)
        return scores if scores is not None and scores.n else None

    def no_probabilities(self) -> str:
        """Return why the scores cannot be read as probabilities of the labels, or an empty string."""
        names = [self.positive] if self.task == "binary" else sorted(self.scores)
        held = [self.scores[name] for name in names if name in self.scores and self.scores[name].n]
        if not held:
            return "no labelled row has a score"
        if any(scores.out_of_range for scores in held):
            return "some scores are outside [0, 1]: they are no probabilities"
        if self.task == "multiclass":
            certain = sum(int(scores.counts[1].sum()) for scores in held)
            if any(scores.n != certain for scores in held):
                return "some labelled rows have no score of their true class"
        return ""

    def interval(self, formula: Formula, value: float) -> Interval:
        """Return the percentile interval of a formula over the draws, and the value in it."""
        if self.draws is None:
            return None, None
        with np.errstate(divide="ignore", invalid="ignore"):
            lower, upper = percentile(formula(self.draws))
        return (lower, upper) if lower is None or upper is None else (min(lower, value), max(upper, value))

    def outcome(self, formula: Formula, undefined: str, **detail: object) -> Outcome:
        """Evaluate one formula on the cells and on the draws; a NaN means ``single_class``, said why."""
        with np.errstate(divide="ignore", invalid="ignore"):
            value = float(formula(self.tally))
        if not np.isfinite(value):
            return Outcome.none("single_class", undefined, n=self.labelled, detail=detail)
        lower, upper = self.interval(formula, value)
        return Outcome(value, "ok", lower, upper, self.labelled, detail=detail)

    def per_class(self, formula: Formula, undefined: str) -> Outcome:
        """Evaluate a per-class formula: the positive class if binary, else the mean over defined classes."""
        if self.task == "binary":
            positive = self.classes.index(self.positive)
            return self.outcome(lambda tally: formula(tally.of(positive)), undefined)
        with np.errstate(divide="ignore", invalid="ignore"):
            values = formula(self.tally)
            held = np.isfinite(values)
            weighted = float((values * self.tally.truths)[held].sum() / self.tally.truths[held].sum())
        shown = [float(value) if finite else None for value, finite in zip(values, held, strict=True)]
        detail = {
            "average": "macro",
            "per_class": dict(zip(self.classes, shown, strict=True)),
            "weighted": weighted if np.isfinite(weighted) else None,
        }
        return self.outcome(lambda tally: nanmean(formula(tally)[..., held]), undefined, **detail)


def nanmean(values: FloatArray) -> FloatArray:
    """Mean over the last axis of what is not NaN; NaN where nothing is."""
    held = ~np.isnan(values)
    total: FloatArray = np.where(held, values, 0.0).sum(-1) / held.sum(-1)
    return total
