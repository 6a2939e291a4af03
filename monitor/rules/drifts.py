"""Drifts to try a rule on: for each metric what moves in the reference's cells, and how its size is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from monitor.metrics import ColumnPair, GroupData, TaskData, find, target_of
from monitor.metrics.fairness.gaps import GAPS
from monitor.metrics.groups import FN, FP, PASSED, RATES, SELECTED, TN, TP
from monitor.reference.data import Reference
from monitor.rules.resample import FEW_CELLS
from monitor.summaries import FloatArray
from monitor.summaries.categorical import CategoricalSummary
from monitor.summaries.confusion import EVERYONE, Confusion
from monitor.summaries.numeric import NumericSummary
from monitor.types import BaselineKey, ModelSpec

FARTHEST = 5.0  # standard deviations
LOST = {  # rate -> cell that loses, cell that gains when the rate falls
    "selection_rate": ((SELECTED, PASSED),),
    "tpr": ((TP, FN),),
    "fpr": ((FP, TN),),
    "accuracy": ((TP, FN), (TN, FP)),
    "precision": ((TP, FP),),
}


@dataclass(frozen=True)
class Drift:
    """A ``kind`` of moving: size up to ``most`` -> the cells' shares (float64[K]), and the size in words."""

    kind: str
    most: float
    moved: Callable[[float], FloatArray]
    words: Callable[[float], str]


def drift_of(key: BaselineKey, spec: ModelSpec, reference: Reference) -> Drift | None:
    """Return the drift that a series is tried on; its cells are those that the series is simulated from."""
    name, feature, attribute, group, segment = key
    metric, rows = find(name), reference.segments.get(segment) if segment else reference
    if rows is None:
        return None
    if metric.subject == "column":
        column = (rows.columns if feature else rows.targets).get(feature or target_of(name))
        if name == "missing_ratio" and column is not None:
            return _share(column.missing, column.rows)
        if isinstance(column, CategoricalSummary):
            return _categories(column, spec)
        return _shift(column, spec, name) if isinstance(column, NumericSummary) else None
    cells = rows.cells.get(attribute or EVERYONE)
    if cells is None:
        return None
    if metric.subject == "task":
        return _wrong(cells, spec)
    data = GroupData(cells, spec.positive_class, np.random.default_rng(0), spec.checks.min_group_size)
    return None if group else _worse_off(name, data)


def _share(part: int, of: int) -> Drift:
    before = part / of

    def moved(size: float) -> FloatArray:
        return np.array([before + size, 1 - before - size])

    return Drift("share", 1 - before, moved, lambda size: f"a rise from {before:.3g} to {before + size:.3g}")


def _categories(column: CategoricalSummary, spec: ModelSpec) -> Drift:
    counts = ColumnPair(column, column, bins=spec.checks.bins).binned[0].astype(np.float64)
    shares, most = counts / counts.sum(), int(counts.argmax())

    def moved(size: float) -> FloatArray:
        found: FloatArray = shares.copy()
        found[most] -= size
        found[-2] += size  # never seen before
        return found

    return Drift(
        "category", float(shares[most]), moved, lambda size: f"{size:.2%} of rows in a category never seen"
    )


def _shift(column: NumericSummary, spec: ModelSpec, name: str) -> Drift | None:
    """Shift a column; where many rows share a value and a shift means little, move rows to the next value."""
    cells, sd = column.cells.astype(np.float64), column.moments.sd
    held, at = np.flatnonzero(cells), ColumnPair(column, column, bins=spec.checks.bins).boundaries
    if not sd or not len(held):
        return None
    tied = len(held) <= FEW_CELLS or bool((at % 2).any())

    def in_bins(moved: FloatArray) -> FloatArray:
        found = np.append(np.add.reduceat(moved, at), float(column.missing))
        if name.endswith("ks_statistic"):
            found = moved[held] if tied else moved
        result: FloatArray = found / found.sum()
        return result

    def by_share(size: float) -> FloatArray:
        moved = cells.copy()
        moved[held[:-1]] -= size * cells[held[:-1]]
        moved[held[1:]] += size * cells[held[:-1]]
        return in_bins(moved)

    def by_distance(size: float) -> FloatArray:
        below = np.interp(column.cuts - size * sd, column.cuts, np.cumsum(cells)[1::2], left=0.0)
        moved = np.zeros(len(cells))
        moved[::2] = np.diff(below, prepend=0.0, append=cells.sum())
        return in_bins(moved)

    if tied:
        return Drift("values", 1.0, by_share, lambda size: f"{size:.1%} of rows at the next larger value")
    return Drift("shift", FARTHEST, by_distance, lambda size: f"a shift by {size:.2g} standard deviations")


def _wrong(cells: Confusion, spec: ModelSpec) -> Drift | None:
    """Turn a share of right predictions of every class into wrong ones."""
    data = TaskData(spec.task, np.random.default_rng(0), cells, positive=spec.positive_class)
    table = data.cells.astype(np.float64)
    if len(table) < 2 or not table.sum():
        return None
    shares = table / table.sum()

    def moved(size: float) -> FloatArray:
        lost = np.diagonal(shares) * size
        found: FloatArray = shares + lost[:, None] / (len(shares) - 1)
        np.fill_diagonal(found, np.diagonal(shares) - lost)
        return found.reshape(-1)

    right = float(np.trace(shares))
    return Drift(
        "accuracy", 1.0, moved, lambda size: f"accuracy falling from {right:.3f} to {right * (1 - size):.3f}"
    )


def _worse_off(name: str, data: GroupData) -> Drift | None:
    """Take from the group whose rate is the lowest."""
    gap = next((g for g in GAPS if name in (f"{g.name}_difference", f"{g.name}_ratio")), None)
    if gap is None:
        return None
    rate = RATES[gap.rates[0]]
    table = data.held(rate.rows)[1].astype(np.float64)
    if len(table) < 2:
        return None
    rates = rate(table)
    worst, shares = int(np.nanargmin(rates)), table / table.sum()
    before = float(np.nanmax(rates) - rates[worst])

    def moved(size: float) -> FloatArray:
        found: FloatArray = shares.copy()
        for losing, gaining in LOST[rate.name]:
            found[worst, gaining] += size * shares[worst, losing]
            found[worst, losing] -= size * shares[worst, losing]
        return found.reshape(-1)

    def words(size: float) -> str:
        after = float(np.nanmax(rates) - rate(moved(size).reshape(table.shape))[worst])
        return f"the gap in {rate.name.replace('_', ' ')} growing from {before:.3f} to {after:.3f}"

    return Drift("gap", 1.0, moved, words)
