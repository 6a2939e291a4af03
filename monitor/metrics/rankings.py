"""A ranking model's lists in one window: what ranking metrics take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from monitor.metrics.intervals import bounded_mean, wilson
from monitor.metrics.registry import Metric, Outcome
from monitor.summaries import FloatArray
from monitor.summaries.exposure import ExposureSummary
from monitor.summaries.moments import Moments
from monitor.summaries.ranking import BASELINE, RankingSummary
from monitor.types import Task

NO_RELEVANT = "no labelled list has a relevant item"
NO_POPULAR = "there is no reference to take the most popular items from"


@dataclass(frozen=True, slots=True)
class Exposed:
    """What was recommended, over a catalogue: the reference's items by popularity, then the others seen.

    Parameters
    ----------
    summary
        Counts over it.
    known
        Items of the reference; 0 without one.
    catalogue_size
        Items that could be recommended; None: those of the reference.
    """

    summary: ExposureSummary
    known: int
    catalogue_size: int | None = None


@dataclass(frozen=True, slots=True)
class Spread:
    """Distances within lists.

    Parameters
    ----------
    distances
        Over lists: mean distance of their pairs of items.
    lists
        Lists looked at; those with fewer than two items that have an embedding have no distance.
    """

    distances: Moments
    lists: int

    @classmethod
    def lift(cls, distances: FloatArray) -> Spread:
        """Summarise the distance of each list, NaN for those that have none."""
        return cls(Moments.lift(np.sort(distances[~np.isnan(distances)])), len(distances))


@dataclass(frozen=True, eq=False)
class RankingData:
    """Everything a performance metric may ask of one ranking model's window.

    Parameters
    ----------
    summary
        Labelled lists.
    exposing
        Counts what was recommended, on demand: it takes no labels, but every list.
    spreading
        Measures distances within lists, on demand; None without embeddings of the items.
    """

    summary: RankingSummary
    exposing: Callable[[], Exposed]
    spreading: Callable[[], Spread] | None = None
    task: Task = "ranking"

    @property
    def labelled(self) -> int:
        """Lists with a label."""
        return self.summary.lists

    @property
    def rows(self) -> int:
        """Lists with and without a label."""
        return self.summary.rows

    @cached_property
    def exposed(self) -> Exposed:
        """What was recommended."""
        return self.exposing()

    def lack(self, metric: Metric) -> Outcome | None:
        """Return the reason why ``metric`` has no value here, if it is not for the metric to say."""
        if self.task not in metric.applies:
            return Outcome.none("not_applicable", f"{metric.name} is not defined for {self.task} models")
        if not self.rows:
            return Outcome.none("insufficient_samples", "the window has no lists")
        if metric.needs_labels and not self.labelled:
            return Outcome.none("no_labels", f"none of {self.rows} lists has a label")
        return None

    def mean(self, name: str) -> Outcome:
        """Return the mean of a statistic in [0, 1] over lists, with the popular list's beside it."""
        moments = self.summary.of[name]
        without = self.labelled - moments.n
        detail: dict[str, Any] = {"without_relevant": without} if without else {}
        base = self.summary.of.get(BASELINE + name)
        detail |= {"baseline": base.mean} if base and base.n else {}
        if not moments.n:
            return self._no_mean(name, detail)
        return Outcome(
            moments.mean,
            "ok",
            *bounded_mean(moments.mean, moments.variance, moments.n),
            moments.n,
            detail=detail,
        )

    def _no_mean(self, name: str, detail: dict[str, Any]) -> Outcome:
        if name.startswith(BASELINE) and not self.summary.of[f"{BASELINE}mrr"].n:
            return Outcome.none("no_reference", NO_POPULAR, n=self.labelled)
        return Outcome.none("not_applicable", NO_RELEVANT, n=self.labelled, detail=detail)

    def hits(self, k: int) -> Outcome:
        """Return the share of labelled lists with something relevant among the first ``k``."""
        own, base = self.summary.hits[:, self.summary.ks.index(k)].tolist()
        based = self.summary.of[f"{BASELINE}mrr"].n
        detail = {"baseline": base / based} if based else {}
        return Outcome(own / self.labelled, "ok", *wilson(own, self.labelled), self.labelled, detail=detail)
