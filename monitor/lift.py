"""From a window's stored rows to what metrics take: columns beside the reference, labelled cells, groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from monitor.decode.columns import feature_column
from monitor.engine.duckdb import Slice, WindowQuery
from monitor.engine.reference import Column, Reference
from monitor.metrics import ColumnPair, GroupData, Outcome, Target, TaskData
from monitor.summaries import FloatArray
from monitor.summaries.categorical import CategoricalSummary, categories_from
from monitor.summaries.confusion import Confusion
from monitor.summaries.numeric import NumericSummary
from monitor.summaries.residuals import ResidualSummary
from monitor.summaries.scores import ScoreSummary, edges_from
from monitor.types import Window

NOTHING: FloatArray = np.empty(0)


def feature_pairs(
    query: WindowQuery, reference: Reference | None, part: Slice, panes: Sequence[Window]
) -> Iterator[tuple[str, ColumnPair | Outcome]]:
    """Yield each feature with its pair, or why it has none; numbers come off the store a few at a time."""
    spec = query.spec
    known = reference.columns if reference else {}
    faults = query.faults(part) if spec.checks.quality else {}
    columns = {feature_column(n, k): n for n, k in spec.features.items() if k == "numeric"}
    lifted: dict[str, NumericSummary] = {}
    for column, numbers, missing in query.numbers(list(columns), part, panes):
        frozen = known.get(columns[column])
        cuts = frozen.cuts if isinstance(frozen, NumericSummary) else NOTHING
        new = NumericSummary.lift(numbers, cuts=cuts, missing=missing)
        lifted[column] = lifted[column].merge(new) if column in lifted else new
    texts = [feature_column(n, k) for n, k in spec.features.items() if k in ("categorical", "boolean")]
    counted = query.categories(texts, part)
    for name, kind in spec.features.items():
        column, frozen = feature_column(name, kind), known.get(name)
        current: Column
        if column in lifted:
            current = lifted[column]
        elif column in counted:
            current = _categorical(counted[column], frozen)
        else:
            yield name, Outcome.none("not_applicable", f"{kind} features have no column metrics")
            continue
        if frozen is not None and type(frozen) is not type(current):
            yield name, Outcome.none("not_applicable", "the reference has another kind of column")
            continue
        yield name, _pair(query, frozen, current, faults.get(f"type_mismatch:{name}", 0))


def target_pair(
    query: WindowQuery, reference: Reference | None, part: Slice, panes: Sequence[Window], target: Target
) -> ColumnPair | None:
    """Return the pair of prediction, score or label; None where the reference has nothing to compare with."""
    frozen = reference.targets.get(target) if reference else None
    if isinstance(frozen, NumericSummary):
        pieces: Iterator[tuple[FloatArray, int]] = (
            query.label_numbers(part, panes)
            if target == "label"
            else ((numbers, missing) for _, numbers, missing in query.numbers([target], part, panes))
        )
        current = NumericSummary.zero(frozen.cuts)
        for numbers, missing in pieces:
            left_out = 0 if target == "label" else missing  # a label not there yet is no missing value
            current = current.merge(NumericSummary.lift(numbers, cuts=frozen.cuts, missing=left_out))
        return _pair(query, frozen, current)
    if frozen is None:
        return None
    if target == "label":
        values, counts, _ = query.label_classes(part)
        return _pair(query, frozen, _categorical((values, counts, 0), frozen))
    return _pair(query, frozen, _categorical(query.categories([target], part)[target], frozen))


def task_data(
    query: WindowQuery,
    reference: Reference | None,
    part: Slice,
    panes: Sequence[Window],
    rng: np.random.Generator,
) -> TaskData:
    """Return the labelled predictions as cells, scores or residuals."""
    spec = query.spec
    targets = reference.targets if reference else {}
    if spec.label_type == "DOUBLE":
        label = targets.get("label")
        center = label.moments.mean if isinstance(label, NumericSummary) else 0.0
        residuals = ResidualSummary.zero(center)
        for predictions, truths, missing in query.residuals(part, panes):
            new = ResidualSummary.lift(predictions, truths, center=center, unlabelled=missing)
            residuals = residuals.merge(new)
        return TaskData(spec.task, rng, residuals=residuals)
    cells = _confusion(query.cells(part, [])[()])
    scores: dict[str, ScoreSummary] = {}
    if spec.task == "binary":
        score = targets.get("score")
        edges = edges_from(score.cuts if isinstance(score, NumericSummary) else NOTHING)
        summary = ScoreSummary.zero(edges)
        for numbers, positives in query.scores(part, panes, spec.positive_class):
            summary = summary.merge(ScoreSummary.lift(numbers, positives, edges=edges))
        scores = {spec.positive_class: summary} if summary.n else {}
    return TaskData(spec.task, rng, cells, scores, positive=spec.positive_class)


def group_data(
    query: WindowQuery, part: Slice, rngs: Mapping[tuple[str, ...], np.random.Generator]
) -> Iterator[tuple[str, GroupData]]:
    """Yield each sensitive attribute's name (an intersection: ``sex|region``) and its groups."""
    spec, checks = query.spec, query.spec.checks
    cells = query.cells(part, checks.sensitive)
    for attribute in checks.sensitive:
        name = "|".join(attribute)
        yield (
            name,
            GroupData(
                _confusion(cells[attribute]),
                spec.positive_class,
                rngs[attribute],
                checks.min_group_size,
                checks.privileged.get(name),
                spec.task,
            ),
        )


def _pair(
    query: WindowQuery, frozen: Column | None, current: Column, mismatched: int | None = None
) -> ColumnPair:
    checks = query.spec.checks
    return ColumnPair(frozen, current, bins=checks.bins, alpha=checks.alpha, mismatched=mismatched)


def _categorical(
    counted: tuple[Sequence[str], Sequence[int], int], frozen: Column | None
) -> CategoricalSummary:
    values, counts, missing = counted
    found = zip(values, counts, strict=True)
    names = frozen.categories if isinstance(frozen, CategoricalSummary) else categories_from(found)
    return CategoricalSummary.lift(values, counts, categories=names, missing=missing)


def _confusion(rows: Sequence[tuple[Any, ...]]) -> Confusion:
    groups, truths, predictions, counts, scored, sums = zip(*rows, strict=True) if rows else ((),) * 6
    return Confusion.lift(groups, truths, predictions, counts, scored=scored, score_sums=sums)
