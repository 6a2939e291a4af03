"""``evaluate``: a window's numbers as a pure function of the stored events as of a moment.

Each slice of the window (all rows, each version when there are several, each segment value) is lifted into
summaries, and every registered metric of the checks that are on is asked of them. A metric or a column that
fails, fails alone: its result has the state ``failed`` and says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from monitor.attributions import Attributed, explanations, logged
from monitor.decode.derived import within
from monitor.engine.duckdb import Slice, WindowQuery
from monitor.engine.slices import rng_of, slices
from monitor.facts import window_facts
from monitor.lift import (
    estimate_data,
    feature_pairs,
    group_data,
    group_error_data,
    sample_pairs,
    target_pair,
    task_data,
)
from monitor.metrics import (
    ColumnPair,
    GroupData,
    Metric,
    Outcome,
    Target,
    TaskData,
    find,
    metrics,
    needs_labels,
)
from monitor.metrics.group_errors import GroupErrorData
from monitor.metrics.rankings import RankingData
from monitor.metrics.registry import Subject, guarded
from monitor.reference.data import Compared, Reference
from monitor.segments import SegmentPasses
from monitor.types import Result, Window
from monitor.worst import with_worst_segments

Labels = Literal["none", "awaiting", "complete"]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One window's results, and whether its labels are all that will be waited for."""

    results: tuple[Result, ...]
    labels: Labels
    coverage: float | None
    rows: int


def evaluate(
    query: WindowQuery,
    reference: Reference | Compared | None,
    *,
    has_feedback: bool = True,
    label_wait_over: bool = True,
    labelled_only: bool = False,
    silent: bool = False,
    attributed: Attributed | None = None,
) -> Evaluation:
    """Answer every check that is on for the query's window.

    Parameters
    ----------
    query
        The window's rows, as of its moment.
    reference
        What to compare with, versions perhaps with their own; without one, drift is ``no_reference``.
    has_feedback
        Whether the model has a feedback stream.
    label_wait_over
        Labels are no longer waited for.
    labelled_only
        Only what follows labels: for a window that is dirty by labels alone.
    silent
        The window has no events and never had: only the quality of the stream.
    attributed
        What the model's explainer said of the window; needed by explanations that are not logged.

    Returns
    -------
    Evaluation
        Results in a fixed order. Depends on nothing but the set of stored events up to ``as_of``.
    """
    spec = query.spec
    counted: tuple[int, int, list[int]] = (0, 0, [])
    if not silent:
        counted = query.labels(Slice()) if has_feedback else (query.count(), 0, [])
    rows, labelled, delays = counted
    coverage = labelled / rows if rows else None
    labels: Labels = "none"
    if has_feedback:
        enough = coverage is None or coverage >= spec.window.min_label_coverage  # none will come of no rows
        labels = "complete" if enough or label_wait_over else "awaiting"
    compared = reference if isinstance(reference, Compared) else Compared(reference)
    run = _Run(query, compared, labels, labelled_only, attributed or logged(compared))
    for part in () if silent else run.parts:
        run.slice(part)
    run.window(rows, delays, silent=silent)
    return Evaluation(with_worst_segments(run.results), labels, coverage, rows)


def follows_labels(result_name: str) -> bool:
    """Tell whether a result can change when labels arrive."""
    return find(result_name).follows_labels or needs_labels(result_name)


class _Run:
    """The state of one evaluation: where results are gathered."""

    def __init__(
        self,
        query: WindowQuery,
        compared: Compared,
        labels: Labels,
        labelled_only: bool,
        attributed: Attributed,
    ) -> None:
        self.query, self.spec, self.compared = query, query.spec, compared
        self.attributed = attributed
        self.labels, self.labelled_only = labels, labelled_only
        self.panes: Sequence[Window] = query.panes()
        self.results: list[Result] = []
        self.pvalues: dict[str, float] = {}
        self.parts = list(slices(query, own=compared.versions))
        self.segments = SegmentPasses(
            query,
            compared.default,
            self.panes,
            self.parts,
            rows=not labelled_only,
            labels=labels == "complete",
        )

    def slice(self, part: Slice) -> None:
        """Ask everything of one slice."""
        checks = self.spec.checks
        if checks.drift or checks.quality:
            if not self.labelled_only:
                self._features(part)
                self._target(part, "prediction")
                self._target(part, "score")
                if checks.drift and checks.multivariate and part == Slice():
                    self._samples()
            if self.labels == "complete":
                self._target(part, "label")
        if checks.performance or checks.estimate:
            rng = self._rng(part)
            data = guarded(
                lambda: task_data(self.query, self.compared.of(part.version), part, self.panes, rng)
            )
            self._performance(part, data)
            self._estimate(part, data)
        if checks.fairness and checks.sensitive:
            self._fairness(part)
        if checks.explain and not self.labelled_only:
            self._explain(part)

    def window(self, rows: int, delays: Sequence[int], *, silent: bool) -> None:
        """Add what is about the window as a whole: counts, label delay, the share of drifted features."""
        facts = window_facts(self.query, rows, delays, self.pvalues, labelled_only=self.labelled_only)
        for entry in self._entries("window"):
            if silent and entry.check != "quality":
                continue
            if entry.follows_labels or not self.labelled_only:
                self._add(Slice(), entry.name, self._ask(entry, facts))

    def _entries(self, subject: Subject) -> list[Metric]:
        """Return the metrics about a subject whose check is on."""
        checks = self.spec.checks
        return [
            m for one in metrics(subject=subject) if getattr(checks, one.check) for m in one.at(*checks.ks)
        ]

    def _add(
        self,
        part: Slice,
        metric: str,
        outcome: Outcome,
        *,
        feature: str | None = None,
        attribute: str | None = None,
        group: str | None = None,
    ) -> None:
        segment = f"{part.segment[0]}={part.segment[1]}" if part.segment else None
        detail = self.compared.said(part.version, segment, metric, outcome)
        place = (self.spec.name, part.version, self.query.window, metric, outcome.state, outcome.value)
        bounds = (outcome.lower, outcome.upper, outcome.n, outcome.n_reference)
        self.results.append(Result(*place, feature, attribute, group, segment, *bounds, detail=detail))

    def _ask(self, entry: Metric, data: Any) -> Outcome:
        """Return the metric's outcome, or why it cannot have one now."""
        if entry.needs_labels and self.labels == "none":
            return Outcome.none("no_labels", "the model has no feedback stream")
        if entry.needs_labels and self.labels == "awaiting":
            return Outcome.none("awaiting_labels", "too few labels have arrived, and the wait is not over")
        return guarded(lambda: data.lack(entry) or entry(data))

    # ---- columns ---------------------------------------------------------------------------------

    def _features(self, part: Slice) -> None:
        entries = self._entries("column")
        of_segment, compared = self.segments.of(part), self.compared.of(part.version)
        pairs = of_segment.features if of_segment else feature_pairs(self.query, compared, part, self.panes)
        for name, pair in pairs:
            wanted = self.spec.checks.drift_columns
            for entry in entries:
                if entry.check == "drift" and wanted is not None and not within(name, wanted):
                    continue
                outcome = self._column(part, entry, "feature", name, pair)
                if part == Slice() and outcome and entry.name in ("ks_pvalue", "chi2_pvalue"):
                    self.pvalues |= {name: outcome.value} if outcome.value is not None else {}

    def _target(self, part: Slice, target: Target) -> None:
        if not self.spec.checks.drift:
            return
        of_segment, compared = self.segments.of(part), self.compared.of(part.version)
        pair = (
            of_segment.targets.get(target)
            if of_segment
            else target_pair(self.query, compared, part, self.panes, target)
        )
        for entry in self._entries("column") if pair else ():
            if entry.check == "drift" and pair:
                self._column(part, entry, target, None, pair)

    def _column(
        self, part: Slice, entry: Metric, target: Target, name: str | None, pair: ColumnPair | Outcome
    ) -> Outcome | None:
        if isinstance(pair, ColumnPair) and pair.kind not in entry.applies:
            return None
        outcome = pair if isinstance(pair, Outcome) else self._ask(entry, pair)
        self._add(part, entry.result_name(target), outcome, feature=name)
        return outcome

    def _samples(self) -> None:
        """Ask what is about whole rows, of a bounded sample; of the whole window only: it takes seconds."""

        def seed(name: str) -> int:
            return int(self._rng(Slice(), "sample", name).integers(2**63))

        pairs = guarded(lambda: list(sample_pairs(self.query, self.compared.default, seed)))
        for entry in self._entries("sample"):
            for name, pair in [(None, pairs)] if isinstance(pairs, Outcome) else pairs:
                if isinstance(pair, Outcome) or pair.kind in entry.applies:
                    outcome = pair if isinstance(pair, Outcome) else self._ask(entry, pair)
                    self._add(Slice(), entry.name, outcome, feature=name)

    # ---- performance and fairness ----------------------------------------------------------------

    def _performance(self, part: Slice, data: TaskData | RankingData | Outcome) -> None:
        for entry in self._entries("task"):
            if self.spec.task in entry.applies and (entry.follows_labels or not self.labelled_only):
                self._add(part, entry.name, data if isinstance(data, Outcome) else self._ask(entry, data))

    def _estimate(self, part: Slice, realised: TaskData | RankingData | Outcome) -> None:
        entries = [m for m in self._entries("estimate") if self.spec.task in m.applies]
        entries = [m for m in entries if m.follows_labels or not self.labelled_only]
        if not entries:
            return
        known = realised if isinstance(realised, TaskData) else None
        rng = self._rng(part, "estimate")
        compared = self.compared.of(part.version)
        data = guarded(lambda: estimate_data(self.query, compared, part, self.panes, rng, known))
        for entry in entries:
            self._add(part, entry.name, data if isinstance(data, Outcome) else self._ask(entry, data))

    def _fairness(self, part: Slice) -> None:
        rngs = {attribute: self._rng(part, *attribute) for attribute in self.spec.checks.sensitive}
        entries = [*self._entries("group"), *self._entries("gap")]
        found: Iterator[tuple[str, GroupData | GroupErrorData]] = (
            group_error_data(self.query, part, self.panes, rngs)
            if self.spec.task in ("regression", "ranking")
            else group_data(self.query, part, rngs)
        )
        for attribute, data in found:
            for entry in entries:
                if self.spec.task in entry.applies and (entry.follows_labels or not self.labelled_only):
                    self._group_metric(part, entry, attribute, data)

    def _group_metric(
        self, part: Slice, entry: Metric, attribute: str, data: GroupData | GroupErrorData
    ) -> None:
        if entry.subject == "gap":
            self._add(part, entry.name, self._ask(entry, data), attribute=attribute)
            return
        if (entry.needs_labels and self.labels != "complete") or data.lack(entry) is not None:
            return  # no group has a value, and the gaps say why
        outcomes = guarded(lambda: entry.by_group(data))
        failed: dict[str | None, Outcome] = {None: outcomes} if isinstance(outcomes, Outcome) else {}
        for group, outcome in (failed or outcomes).items():  # type: ignore[union-attr]
            self._add(part, entry.name, outcome, attribute=attribute, group=group)

    def _explain(self, part: Slice) -> None:
        entries = [*self._entries("attribution"), *self._entries("explanation")]
        pvalues = self.pvalues if part == Slice() else None
        found = explanations(
            self.query, part, self.panes, self.attributed, entries, self._rng(part, "explain"), pvalues
        )
        for name, feature, group, outcome in found:
            self._add(part, name, outcome, feature=feature, group=group)

    def _rng(self, part: Slice, *key: str) -> np.random.Generator:
        """Return a generator seeded by what is asked, so that the same question has the same answer."""
        return rng_of(self.query, part, *key)
