"""Windows without drift, simulated from the reference's counts: what calibrated limits are read off.

Never rows, always counts: a window of n rows is one multinomial draw over the reference's cells. The
reference is itself a sample of m rows, so what is true is drawn first, as a bootstrap of the reference, and
the window from that: the spread of simulated values has a part 1/n and a part 1/m, as that of real windows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from monitor.metrics import ColumnPair, Metric, Outcome, TaskData
from monitor.metrics.fairness.gaps import GAPS, Gap, drawn
from monitor.metrics.groups import RATES, GroupData, Rate
from monitor.metrics.tasks import Formula, Tally, nanmean
from monitor.summaries import FloatArray, IntArray
from monitor.summaries.categorical import CategoricalSummary
from monitor.summaries.confusion import Confusion
from monitor.summaries.numeric import NumericSummary
from monitor.types import Task

FEW_CELLS = 64  # of a column with so few values its ties matter to KS, and simulating them is cheap
BLOCK = 2_000_000  # cells drawn at a time
Shift = Callable[[float], FloatArray]  # size of a drift -> float64[K], the shares of the cells


@dataclass(frozen=True, eq=False)
class Resampled:
    """One series as it can be simulated.

    Parameters
    ----------
    name
        Of the metric and all its settings that matter.
    counts
        int64[K]: the reference's rows by cell.
    value
        The metric of windows, int64[D, K] -> float64[D]; NaN where it is not defined.
    is_share
        Values are multiples of 1/n: they are spread over the step, so that limits do not snap to it.
    weights
        float64[K]: what true shares are proportional to, where that is not ``counts``.
    """

    name: str
    counts: IntArray
    value: Callable[[IntArray], FloatArray]
    is_share: bool = False
    weights: FloatArray | None = None

    @cached_property
    def digest(self) -> str:
        """What the simulation depends on, as a hash."""
        weights = b"" if self.weights is None else self.weights.tobytes()
        return hashlib.sha256(self.name.encode() + self.counts.tobytes() + weights).hexdigest()

    @property
    def shares(self) -> FloatArray:
        """What is true as far as the reference knows, float64[K]."""
        base = self.counts.astype(np.float64) if self.weights is None else self.weights
        found: FloatArray = base / base.sum()
        return found

    def windows(self, n: int, truths: int, each: int, rng: np.random.Generator) -> FloatArray:
        """Return the metric of windows of ``n`` rows without drift, float64[truths, each].

        What is true is drawn ``truths`` times around the reference, and of each truth ``each`` windows: these
        are more alike than windows of different truths.
        """
        m, found = int(self.counts.sum()), []
        block = max(BLOCK // len(self.shares) // each, 1)
        for start in range(0, truths, block):
            size = min(block, truths - start)
            true = rng.multinomial(m, self.shares, size) / m
            found.append(self.drifted(np.repeat(true, each, axis=0), n, rng).reshape(size, each))
        return np.concatenate(found)

    def drifted(self, true: FloatArray, n: int, rng: np.random.Generator) -> FloatArray:
        """Return the metric of one window of ``n`` rows for each row of shares, float64[D, K]."""
        values = self.value(rng.multinomial(n, true))
        return values + rng.uniform(-0.5, 0.5, len(values)) / n if self.is_share else values


def column(
    metric: Metric, reference: NumericSummary | CategoricalSummary, bins: int, *, whole: bool = False
) -> Resampled | None:
    """Return a drift metric of one column; None where it cannot be simulated, or not from few counts.

    With ``whole`` a KS statistic has all cells of its column, however many.
    """
    if metric.statistic is None or not reference.n:
        return None
    statistic = metric.statistic
    if metric.name == "ks_statistic":
        assert isinstance(reference, NumericSummary)
        held = reference.cells[reference.cells > 0]
        if len(held) <= FEW_CELLS:
            return Resampled(metric.name, held, lambda windows: statistic(held, windows))
        cells = reference.cells
        return Resampled(metric.name, cells, lambda windows: statistic(cells, windows)) if whole else None
    counts = ColumnPair(reference, reference, bins=bins).binned[0]
    weights = counts.astype(np.float64)
    if isinstance(reference, CategoricalSummary):  # as many new ones as there are of one row (Good, Turing)
        weights[-2] += int((reference.counts == 1).sum())
    return Resampled(metric.name, counts, lambda windows: statistic(counts, windows), weights=weights)


class _Many(TaskData):
    """Labelled predictions of many windows at once: formulas are asked of all their tallies."""

    many: Tally

    def outcome(self, formula: Formula, undefined: str, **detail: object) -> Outcome:
        with np.errstate(divide="ignore", invalid="ignore"):
            return Outcome(0.0, detail={"drawn": formula(self.many)})

    def per_class(self, formula: Formula, undefined: str) -> Outcome:
        if self.task == "binary":
            positive = self.classes.index(self.positive)
            return self.outcome(lambda tally: formula(tally.of(positive)), undefined)
        return self.outcome(lambda tally: nanmean(formula(tally)), undefined)


def performance(metric: Metric, reference: Confusion, task: Task, positive: str) -> Resampled | None:
    """Return a metric of classifications, by the cells of truth and prediction; None for any other metric."""
    data = _Many(task, np.random.default_rng(0), reference, positive=positive)
    cells = data.cells
    size = len(cells)

    def value(windows: IntArray) -> FloatArray:
        square = windows.reshape(-1, size, size).astype(np.float64)
        hits = np.diagonal(square, axis1=1, axis2=2)
        object.__setattr__(data, "many", Tally(hits, square.sum(2), square.sum(1)))
        outcome: Outcome = metric.function(data)
        drawn_values: FloatArray = outcome.detail["drawn"]
        return drawn_values

    if metric.subject != "task" or not metric.needs_labels or not cells.sum():
        return None
    try:
        value(cells.reshape(1, -1))
    except (KeyError, AssertionError, AttributeError, ValueError):
        return None  # it is made of scores or counts, not of these cells
    name = f"{metric.name}:{data.classes.index(positive) if positive in data.classes else None}"
    return Resampled(name, cells.reshape(-1), value, is_share=metric.name == "accuracy")


def between_groups(metric: Metric, data: GroupData) -> Resampled | None:
    """Return a gap between the groups of an attribute; None for a metric that is no such gap."""
    found = next((g for g in GAPS if metric.name in (f"{g.name}_difference", f"{g.name}_ratio")), None)
    if found is None:
        return None
    gap: Gap = found
    rows = RATES[gap.rates[0]].rows
    table = data.held(rows)[1]
    if len(table) < 2:
        return None

    def value(windows: IntArray) -> FloatArray:
        tables = windows.reshape(-1, *table.shape)
        return drawn(gap, tables, as_ratio=metric.name.endswith("_ratio"), least=data.min_group_size)

    return Resampled(f"{metric.name}:{data.min_group_size}", table.reshape(-1), value)


def of_group(metric: Metric, data: GroupData, group: str) -> Resampled | None:
    """Return a rate of one group; None for a metric that is no such rate."""
    rate: Rate | None = RATES.get(metric.name.removeprefix("group_"))
    if rate is None or metric.subject != "group" or group not in data.eligible(rate.rows):
        return None
    cells = data.tables[rate.rows][data.names.index(group)]
    part, of = (int(cells[list(where)].sum()) for where in (rate.part, rate.of))
    return share(part, of)


def share(part: int, of: int) -> Resampled | None:
    """Return a share of rows that is ``part`` of ``of`` in the reference, plus half a row each."""
    counts = np.array([part, of - part], dtype=np.int64)
    if not of:
        return None
    weights = counts.astype(np.float64) + 0.5
    return Resampled("share", counts, lambda windows: windows[:, 0] / windows.sum(1), True, weights)
