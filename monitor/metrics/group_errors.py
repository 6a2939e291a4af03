"""What is measured of groups' rows in one window, as moments: errors of a regression, the NDCG of lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from monitor.metrics.contrasts import Means
from monitor.metrics.groups import MAX_GROUPS, Rows
from monitor.metrics.intervals import DRAWS
from monitor.metrics.registry import Metric, Outcome
from monitor.summaries import FloatArray
from monitor.summaries.moments import Moments
from monitor.summaries.ranking import RankingSummary
from monitor.types import Task


@dataclass(frozen=True, slots=True)
class GroupErrors:
    """One group: moments of prediction minus truth and of its absolute value; rows without a label."""

    error: Moments = Moments()
    absolute: Moments = Moments()
    unlabelled: int = 0

    @classmethod
    def lift(cls, errors: FloatArray, unlabelled: int = 0) -> GroupErrors:
        """Summarise errors (finite, in any order) and a number of rows without a label."""
        error, absolute = (Moments.lift(one) for one in (errors, np.abs(errors)))
        return cls(error, absolute, unlabelled)

    def merge(self, other: GroupErrors) -> GroupErrors:
        """Return the errors of both sets of rows."""
        merged = self.error.merge(other.error), self.absolute.merge(other.absolute)
        return GroupErrors(*merged, self.unlabelled + other.unlabelled)

    @property
    def of(self) -> dict[str, Moments]:
        """The moments by name."""
        return {"error": self.error, "absolute": self.absolute}

    @property
    def labelled(self) -> int:
        """Rows with a label."""
        return self.error.n

    @property
    def rows(self) -> int:
        """Rows with and without a label."""
        return self.error.n + self.unlabelled


@dataclass(frozen=True, eq=False)
class GroupErrorData:
    """Everything a fairness metric may ask of the groups of a regression, or of a ranking model's users.

    Parameters
    ----------
    groups
        Group name -> its errors, or its lists.
    rng
        Seeded by the caller from the window's key and the attribute; used for intervals alone.
    min_group_size
        Measured rows below which a group is withheld and left out of gaps.
    measured
        A name among the moments; those rows of a group count that have it.
    """

    groups: Mapping[str, GroupErrors | RankingSummary]
    rng: np.random.Generator
    min_group_size: int = 50
    task: Task = "regression"
    measured: str = "error"

    def lack(self, metric: Metric) -> Outcome | None:
        """Return the reason why ``metric`` has no value here, if it is not for the metric to say."""
        if self.task not in metric.applies:
            return Outcome.none("not_applicable", f"{metric.name} is not defined for {self.task} models")
        rows = sum(group.rows for group in self.groups.values())
        if not rows:
            return Outcome.none("insufficient_samples", "the window has no rows in any group")
        if metric.needs_labels and not any(group.labelled for group in self.groups.values()):
            return Outcome.none("no_labels", f"none of {rows} rows has a label")
        return None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Group names, sorted; of more than 100 the largest."""
        ranked = sorted(self.groups, key=lambda name: (-self.groups[name].rows, name))
        return tuple(sorted(ranked[:MAX_GROUPS]))

    def size(self, rows: Rows) -> dict[str, int]:
        """Rows by group name: labelled, or all."""
        held = {name: self.groups[name] for name in self.names}
        return {name: one.rows if rows == "all" else one.labelled for name, one in held.items()}

    def sizes(self) -> dict[str, int]:
        """Measured rows by group name."""
        return {name: self.groups[name].of[self.measured].n for name in self.names}

    def moments(self, base: str) -> dict[str, Moments]:
        """Return the moments called ``base`` of each group with at least ``min_group_size`` measured rows."""
        large = (name for name, n in self.sizes().items() if n >= max(self.min_group_size, 1))
        return {name: self.groups[name].of[base] for name in large}

    @cached_property
    def _noise(self) -> FloatArray:
        """Student's t of each eligible group, float64[G, draws], with a degree of freedom less than rows."""
        freedom = np.array([max(one.n - 1, 1) for one in self.moments(self.measured).values()])
        return self.rng.standard_t(freedom[:, None], (len(freedom), DRAWS))

    def side(self, base: str) -> Means:
        """Return the groups' means with their standard errors, to compare them by."""
        held = list(self.moments(base).values())
        means = np.array([one.mean for one in held])
        return Means(means, np.array([one.standard_error for one in held]), self._noise)
