"""``evaluate``: a window's numbers as a pure function of the stored events as of a moment.

Each slice of the window (all rows, each version when there are several, each segment value) is lifted into
summaries, and every registered metric of the checks that are on is asked of them. A metric or a column that
fails, fails alone: its result has the state ``failed`` and says why.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

import numpy as np

from monitor.decode.columns import column_of, feature_column
from monitor.engine.duckdb import Slice, WindowQuery
from monitor.engine.reference import Column, Reference
from monitor.metrics import ColumnPair, GroupData, Metric, Outcome, Target, TaskData, WindowFacts, metrics
from monitor.summaries.categorical import CategoricalSummary, categories_from
from monitor.summaries.confusion import Confusion
from monitor.summaries.numeric import NumericSummary
from monitor.summaries.residuals import ResidualSummary
from monitor.summaries.scores import ScoreSummary, edges_from
from monitor.types import Result, Window

MAX_VERSIONS = 20
MAX_SEGMENTS = 50
Labels = Literal["none", "awaiting", "complete"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One window's results, and whether its labels are all that will be waited for."""

    results: tuple[Result, ...]
    labels: Labels
    coverage: float | None
    rows: int


@dataclass(frozen=True, slots=True)
class Moment:
    """What is known about the moment of asking, beyond the stored events themselves.

    ``has_feedback``: the model has a feedback stream. ``label_wait_over``: labels are no longer waited for.
    ``facts``: counts about the window that only the store's ledger has.
    """

    has_feedback: bool = True
    label_wait_over: bool = True
    facts: Mapping[str, Any] | None = None


def evaluate(
    query: WindowQuery, reference: Reference | None, *, moment: Moment, labelled_only: bool = False
) -> Evaluation:
    """Answer every check that is on for the query's window.

    Parameters
    ----------
    query
        The window's rows, as of its moment.
    reference
        What to compare with; without one, drift is ``no_reference``.
    moment
        See :class:`Moment`.
    labelled_only
        Only what depends on labels: for a window that is dirty by labels alone.

    Returns
    -------
    Evaluation
        Results in a fixed order. Depends on nothing but the set of stored events up to ``as_of``.
    """
    spec = query.spec
    rows, labelled, delays = query.labels(Slice())
    coverage = labelled / rows if rows else None
    labels: Labels = "none"
    if moment.has_feedback:
        enough = coverage is not None and coverage >= spec.window.min_label_coverage
        labels = "complete" if enough or moment.label_wait_over else "awaiting"
    run = _Run(query, reference, labels, labelled_only)
    for part in _slices(query):
        run.slice(part)
    run.window(rows, delays, moment)
    return Evaluation(tuple(run.results), labels, coverage, rows)


def _slices(query: WindowQuery) -> Iterator[Slice]:
    yield Slice()
    versions = query.values("version", limit=MAX_VERSIONS)
    if len(versions) > 1:
        yield from (Slice(version=name) for name in sorted(versions))
    for name in query.spec.segments:
        values = query.values(column_of(query.spec, name), limit=MAX_SEGMENTS)
        yield from (Slice(segment=(name, value)) for value in sorted(values))


class _Run:
    """The state of one evaluation: where results are gathered."""

    def __init__(
        self, query: WindowQuery, reference: Reference | None, labels: Labels, labelled_only: bool
    ) -> None:
        self.query, self.spec, self.reference = query, query.spec, reference
        self.labels, self.labelled_only = labels, labelled_only
        self.panes: Sequence[Window] = query.panes()
        self.results: list[Result] = []

    def slice(self, part: Slice) -> None:
        checks = self.spec.checks
        if checks.drift or checks.quality:
            self._columns(part)
        if checks.performance:
            self._performance(part)
        if checks.fairness and checks.sensitive and self.spec.task != "ranking":
            self._fairness(part)

    def _add(self, part: Slice, metric: str, outcome: Outcome, **labels: str | None) -> None:
        segment = f"{part.segment[0]}={part.segment[1]}" if part.segment else None
        self.results.append(
            Result(
                model=self.spec.name, version=part.version, window=self.query.window, metric=metric,
                state=outcome.state, value=outcome.value, lower=outcome.lower, upper=outcome.upper,
                n=outcome.n, n_reference=outcome.n_reference, detail=outcome.detail, segment=segment, **labels,
            )
        )  # fmt: skip

    def _ask(self, entry: Metric, data: Any, needs_labels: bool) -> Outcome:
        """Return the metric's outcome, or why it cannot have one now."""
        if needs_labels and self.labels != "complete":
            state = "no_labels" if self.labels == "none" else "awaiting_labels"
            return Outcome.none(
                state, "no feedback stream" if self.labels == "none" else "labels are awaited"
            )
        lack = data.lack(entry)
        return lack if lack is not None else _guarded(lambda: entry(data))

    # ---- columns: drift and column quality -------------------------------------------------------

    def _columns(self, part: Slice) -> None:
        whole = part.segment is None
        entries = [
            m for c in ("drift", "quality") if getattr(self.spec.checks, c) for m in metrics(c, "column")
        ]  # type: ignore[arg-type]
        if not self.labelled_only and whole:
            faults = self.query.faults(part) if self.spec.checks.quality else {}
            for name, pair in self._feature_pairs(part, faults):
                for entry in entries:
                    self._column(part, entry, "feature", name, pair)
            for target in ("prediction", "score"):
                pair = self._target_pair(part, target)
                for entry in entries:
                    if entry.check == "drift":
                        self._column(part, entry, target, None, pair)
        if self.spec.checks.drift and whole and self.labels == "complete":
            pair = self._target_pair(part, "label")
            for entry in entries:
                if entry.check == "drift":
                    self._column(part, entry, "label", None, pair)

    def _column(
        self, part: Slice, entry: Metric, target: Target, name: str | None, pair: ColumnPair | Outcome | None
    ) -> None:
        if pair is None:
            return
        if isinstance(pair, Outcome):
            outcome = pair
        elif pair.kind not in entry.applies:
            return
        else:
            outcome = self._ask(entry, pair, False)
        self._add(part, entry.result_name(target), outcome, feature=name)

    def _feature_pairs(
        self, part: Slice, faults: Mapping[str, int]
    ) -> Iterator[tuple[str, ColumnPair | Outcome]]:
        """Yield each feature's pair; numeric columns come off the store a few at a time."""
        features = self.spec.features
        known = self.reference.columns if self.reference else {}
        numeric = {feature_column(n, k): n for n, k in features.items() if k == "numeric"}
        cuts = {
            column: reference.cuts
            if isinstance(reference := known.get(name), NumericSummary)
            else np.empty(0)
            for column, name in numeric.items()
        }
        lifted: dict[str, NumericSummary] = {}
        for column, values, missing in self.query.numbers(list(numeric), part, self.panes):
            new = NumericSummary.lift(values, cuts=cuts[column], missing=missing)
            lifted[column] = lifted[column].merge(new) if column in lifted else new
        texts = {feature_column(n, k): n for n, k in features.items() if k in ("categorical", "boolean")}
        counted = self.query.categories(list(texts), part)
        for name, kind in features.items():
            column = feature_column(name, kind)
            reference = known.get(name)
            if column in lifted:
                current: Column = lifted[column]
            elif column in counted:
                values, counts, missing = counted[column]
                current = _categorical(values, counts, missing, reference)
            else:
                yield name, Outcome.none("not_applicable", f"{kind} features have no column metrics")
                continue
            if reference is not None and type(reference) is not type(current):
                yield name, Outcome.none("not_applicable", "the reference has another kind of column")
                continue
            yield name, self._pair(reference, current, faults.get(f"type_mismatch:{name}", 0))

    def _pair(self, reference: Column | None, current: Column, mismatched: int | None = None) -> ColumnPair:
        checks = self.spec.checks
        return ColumnPair(reference, current, bins=checks.bins, alpha=checks.alpha, mismatched=mismatched)

    def _target_pair(self, part: Slice, target: Target) -> ColumnPair | None:
        """Return the pair of prediction, score or label, None where there is nothing to compare with."""
        reference = self.reference.targets.get(target) if self.reference else None
        if reference is None:
            return None
        if isinstance(reference, NumericSummary):
            pieces = (
                self.query.label_numbers(part, self.panes)
                if target == "label"
                else ((v, m) for _, v, m in self.query.numbers([target], part, self.panes))
            )
            current: Column = NumericSummary.zero(reference.cuts)
            for values, missing in pieces:
                current = current.merge(NumericSummary.lift(values, cuts=reference.cuts, missing=missing))
        else:
            if target == "label":
                values, counts, _ = self.query.label_classes(part)
                missing = 0  # a label not there yet is no missing value of the label's distribution
            else:
                values, counts, missing = self.query.categories([target], part)[target]
            current = _categorical(values, counts, missing, reference)
        return self._pair(reference, current)

    # ---- performance and fairness ----------------------------------------------------------------

    def _performance(self, part: Slice) -> None:
        entries = [m for m in metrics("performance", "task") if self.spec.task in m.applies]
        entries = [m for m in entries if m.needs_labels or not self.labelled_only]
        data = _guarded(lambda: self._task_data(part))
        for entry in entries:
            outcome = data if isinstance(data, Outcome) else self._ask(entry, data, entry.needs_labels)
            self._add(part, entry.name, outcome)

    def _task_data(self, part: Slice) -> TaskData:
        spec, rng = self.spec, self._rng(part)
        if self.labels != "complete":
            return TaskData(spec.task, rng, positive=spec.positive_class)
        if spec.label_type == "DOUBLE":
            label = self.reference.targets.get("label") if self.reference else None
            center = label.moments.mean if isinstance(label, NumericSummary) else 0.0
            residuals = ResidualSummary.zero(center)
            for predictions, truths, missing in self.query.residuals(part, self.panes):
                new = ResidualSummary.lift(predictions, truths, center=center, unlabelled=missing)
                residuals = residuals.merge(new)
            return TaskData(spec.task, rng, residuals=residuals)
        cells = _confusion(self.query.cells(part, [])[()])
        scores = {}
        if spec.task == "binary":
            score = self.reference.targets.get("score") if self.reference else None
            edges = edges_from(score.cuts if isinstance(score, NumericSummary) else np.empty(0))
            summary = ScoreSummary.zero(edges)
            for values, truths in self.query.scores(part, self.panes, spec.positive_class):
                summary = summary.merge(ScoreSummary.lift(values, truths, edges=edges))
            if summary.n:
                scores[spec.positive_class] = summary
        return TaskData(spec.task, rng, cells, scores, positive=spec.positive_class)

    def _fairness(self, part: Slice) -> None:
        spec, checks = self.spec, self.spec.checks
        groups, gaps = metrics("fairness", "group"), metrics("fairness", "gap")
        entries = [m for m in (*groups, *gaps) if spec.task in m.applies]
        entries = [m for m in entries if m.needs_labels or not self.labelled_only]
        cells = self.query.cells(part, checks.sensitive)
        for attribute in checks.sensitive:
            name = "|".join(attribute)
            data = GroupData(
                _confusion(cells[attribute]), spec.positive_class, self._rng(part, name),
                checks.min_group_size, checks.privileged.get(name), spec.task,
            )  # fmt: skip
            for entry in entries:
                self._group_metric(part, entry, name, data)

    def _group_metric(self, part: Slice, entry: Metric, attribute: str, data: GroupData) -> None:
        if entry.subject == "gap":
            self._add(part, entry.name, self._ask(entry, data, entry.needs_labels), attribute=attribute)
            return
        if entry.needs_labels and self.labels != "complete" or data.lack(entry) is not None:
            return  # no group has a value, and the gaps say why
        outcomes = _guarded(lambda: entry.by_group(data))
        for group, outcome in (outcomes if isinstance(outcomes, dict) else {None: outcomes}).items():
            self._add(part, entry.name, outcome, attribute=attribute, group=group)

    # ---- the window as a whole -------------------------------------------------------------------

    def window(self, rows: int, delays: Sequence[int], moment: Moment) -> None:
        """Add what is about the whole window: counts, coverage, label delay."""
        facts = dict(moment.facts or {})
        quantiles = {q: us / 1e6 for q, us in zip(("0.5", "0.9", "0.99"), delays, strict=False)}
        data = WindowFacts(rows=rows, label_delays_s=quantiles, **facts)
        checks = {c for c in ("quality", "performance") if getattr(self.spec.checks, c)}
        for entry in metrics(subject="window"):
            if entry.check in checks and (entry.needs_labels or not self.labelled_only):
                self._add(Slice(), entry.name, data.lack(entry) or _guarded(partial(entry, data)))

    def _rng(self, part: Slice, *key: str) -> np.random.Generator:
        """Return a generator seeded by what is asked, so that the same question has the same answer."""
        window = self.query.window
        parts = (
            self.spec.name,
            part.version,
            str(part.segment),
            str(window.start_us),
            str(window.end_us),
            *key,
        )
        digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def _categorical(
    values: Sequence[str], counts: Sequence[int], missing: int, reference: Column | None
) -> CategoricalSummary:
    names = (
        reference.categories
        if isinstance(reference, CategoricalSummary)
        else categories_from(zip(values, counts, strict=True))
    )
    return CategoricalSummary.lift(values, counts, categories=names, missing=missing)


def _confusion(rows: Sequence[tuple[Any, ...]]) -> Confusion:
    groups, truths, predictions, counts, scored, sums = zip(*rows, strict=True) if rows else ([],) * 6
    return Confusion.lift(groups, truths, predictions, counts, scored=scored, score_sums=sums)


def _guarded(compute: Callable[[], T]) -> T | Outcome:
    """Run one computation; what it raises becomes a state, and the others go on."""
    try:
        return compute()
    except Exception as error:  # the one broad catch of the evaluation: a metric fails alone
        return Outcome(None, "failed", detail={"error": f"{type(error).__name__}: {error}"})
