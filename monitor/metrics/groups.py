"""The groups of one sensitive attribute in one window: what fairness metrics take.

Every rate is a ratio of cell sums along the last axis of a table. The definitions are fairlearn's: tests hold
the values equal to those of its ``MetricFrame``, to the bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from monitor.metrics.contrasts import Proportions
from monitor.metrics.intervals import DRAWS
from monitor.metrics.registry import Metric, Outcome
from monitor.summaries import FloatArray, IntArray
from monitor.summaries.confusion import EVERYONE, Confusion
from monitor.types import Task

MAX_GROUPS = 100  # the largest

Rows = Literal["labelled", "all"]
# Outcome cells of a group's labelled rows, seen from the positive class: hit, miss, false alarm, and the rest
# rejected rightly (HIT) or (multiclass only) taken for another negative class. Of all rows: selected or not.
TP, FN, FP, TN, CONFUSED = range(5)
SELECTED, PASSED = range(2)


@dataclass(frozen=True, slots=True)
class Rate:
    """A base rate: the share of the cells ``of`` that lie in the cells ``part``."""

    name: str
    part: tuple[int, ...]
    of: tuple[int, ...]
    rows: Rows = "labelled"

    def __call__(self, cells: FloatArray | IntArray) -> FloatArray:
        """Return the rate along the last axis of ``cells``; NaN where there is nothing to divide by."""
        with np.errstate(divide="ignore", invalid="ignore"):
            value: FloatArray = cells[..., self.part].sum(-1) / cells[..., self.of].sum(-1)
        return value

    def side(self, table: IntArray, noise: FloatArray, *, logs: bool = False) -> Proportions:
        """Return the rate of the groups that have it, from int64[G, cells] and noise float64[G, draws]."""
        held = table[:, self.of].sum(1) > 0
        hits, rows = (table[held][:, cells].sum(1) for cells in (self.part, self.of))
        return Proportions(hits, rows, noise[held], logs=logs)


RATES = {
    rate.name: rate
    for rate in (
        Rate("selection_rate", (SELECTED,), (SELECTED, PASSED), "all"),
        Rate("accuracy", (TP, TN), (TP, FN, FP, TN, CONFUSED)),
        Rate("tpr", (TP,), (TP, FN)),
        Rate("fnr", (FN,), (TP, FN)),
        Rate("fpr", (FP,), (FP, TN, CONFUSED)),
        Rate("precision", (TP,), (TP, FP)),
    )
}


@dataclass(frozen=True, eq=False)
class GroupData:
    """Everything a fairness metric may ask of one sensitive attribute (or intersection) in one window.

    Parameters
    ----------
    cells
        Counted by group; a group ``""`` (everyone) is ignored.
    positive
        The favourable class. For multiclass models every rate is of this class against the rest, accuracy
        excepted; when the window and the label hold no such class the metrics are ``not_applicable``.
    min_group_size
        Rows below which a group is withheld and left out of gaps: labelled rows where labels are needed.
    privileged
        The group that ``disparate_impact`` compares with; None for the best-off.
    rng
        Seeded by the caller from the window's key and the attribute; used for intervals alone.
    """

    cells: Confusion
    positive: str
    rng: np.random.Generator
    min_group_size: int = 50
    privileged: str | None = None
    task: Task = "binary"

    def lack(self, metric: Metric) -> Outcome | None:
        """Return the reason why ``metric`` has no value here, if it is not for the metric to say."""
        if self.task not in metric.applies:
            return Outcome.none("not_applicable", f"{metric.name} is not defined for {self.task} models")
        if not self.cells.rows:
            return Outcome.none("insufficient_samples", "the window has no rows in any group")
        if self.task == "multiclass" and self.positive not in self.cells.classes:
            return Outcome.none("not_applicable", f"no row of positive_class {self.positive!r} in the window")
        if metric.needs_labels and not self.cells.labelled:
            return Outcome.none("no_labels", f"none of {self.cells.rows} rows has a label")
        return None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Group names, sorted; of more than 100 the largest."""
        sizes = dict(zip(self.cells.groups, self.sizes_by_cell, strict=True))
        sizes.pop(EVERYONE, None)
        ranked = sorted(sizes, key=lambda name: (-sizes[name], name))
        return tuple(sorted(ranked[:MAX_GROUPS]))

    @property
    def sizes_by_cell(self) -> list[int]:
        """Rows of each of ``cells.groups``, labelled or not."""
        rows: list[int] = (self.cells.counts.sum((1, 2)) + self.cells.unlabelled.sum(1)).tolist()
        return rows

    @cached_property
    def tables(self) -> dict[Rows, IntArray]:
        """Cells by group of :attr:`names`: ``labelled`` int64[G, 5] and ``all`` int64[G, 2]."""
        at = [self.cells.groups.index(name) for name in self.names]
        counts, unlabelled = self.cells.counts[at], self.cells.unlabelled[at]
        is_positive = np.array([name == self.positive for name in self.cells.classes], dtype=bool)
        hits = np.diagonal(counts, axis1=1, axis2=2)
        tp = hits[:, is_positive].sum(1)
        fn = counts[:, is_positive].sum((1, 2)) - tp
        fp = counts[:, :, is_positive].sum((1, 2)) - tp
        tn = hits[:, ~is_positive].sum(1)
        confused = counts.sum((1, 2)) - tp - fn - fp - tn
        selected = tp + fp + unlabelled[:, is_positive].sum(1)
        passed = fn + tn + confused + unlabelled[:, ~is_positive].sum(1)
        return {
            "labelled": np.stack([tp, fn, fp, tn, confused], axis=1),
            "all": np.stack([selected, passed], axis=1),
        }

    def size(self, rows: Rows) -> dict[str, int]:
        """Rows by group name."""
        return dict(zip(self.names, self.tables[rows].sum(1).tolist(), strict=True))

    def eligible(self, rows: Rows) -> tuple[str, ...]:
        """Names of the groups with at least ``min_group_size`` rows."""
        return tuple(name for name, n in self.size(rows).items() if n >= max(self.min_group_size, 1))

    def held(self, rows: Rows) -> tuple[tuple[str, ...], IntArray]:
        """Return the names and cells of the eligible groups."""
        names = self.eligible(rows)
        return names, self.tables[rows][[self.names.index(name) for name in names]]

    @cached_property
    def noise(self) -> dict[str, FloatArray]:
        """Normal draws by rate, float64[G', draws], for the eligible groups; all at once."""
        streams = zip(RATES.values(), self.rng.spawn(len(RATES)), strict=True)
        return {
            rate.name: stream.standard_normal((len(self.eligible(rate.rows)), DRAWS))
            for rate, stream in streams
        }

    def side(self, rate: Rate, *, logs: bool = False) -> Proportions:
        """Return a rate of the eligible groups that have it, to compare them by."""
        return rate.side(self.held(rate.rows)[1], self.noise[rate.name], logs=logs)

    def rates(self, rate: Rate) -> dict[str, float]:
        """Return the rate of each eligible group where it is defined."""
        names, table = self.held(rate.rows)
        values = zip(names, rate(table).tolist(), strict=True)
        return {name: value for name, value in values if not math.isnan(value)}
