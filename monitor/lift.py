"""From a window's stored rows to what metrics take: columns beside the reference, labelled cells, groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from monitor.decode.columns import feature_column, quote, stored_columns, words_columns
from monitor.decode.derived import EMBEDDING, OUT_OF_VOCABULARY, derived_names, embedding_sql
from monitor.engine.duckdb import Slice, WindowQuery
from monitor.engine.rows import (
    class_sample,
    class_scores,
    group_errors,
    label_classes,
    label_numbers,
    labelled_numbers,
    labelled_scores,
    predicted_scores,
)
from monitor.engine.sample import SAMPLE_ROWS, sample_columns
from monitor.lift_lists import group_lists, ranking_data
from monitor.metrics import ColumnPair, GroupData, Outcome, Target, TaskData
from monitor.metrics.estimates import EstimateData, ExpectedErrors
from monitor.metrics.group_errors import GroupErrorData, GroupErrors
from monitor.metrics.rankings import RankingData
from monitor.metrics.samples import SamplePair
from monitor.reference.learn import as_columns, model_inputs
from monitor.reference.profile import Column, Reference
from monitor.summaries import FloatArray
from monitor.summaries.calibration import Calibrator
from monitor.summaries.categorical import CategoricalSummary, categories_from
from monitor.summaries.confusion import Confusion
from monitor.summaries.error_model import ErrorModel
from monitor.summaries.expected import PredictedScores
from monitor.summaries.numeric import NumericSummary, lift_pieces
from monitor.summaries.residuals import ResidualSummary
from monitor.summaries.scores import ScoreSummary, edges_from
from monitor.types import Kind, ModelSpec, Window

NOTHING: FloatArray = np.empty(0)


def feature_pairs(
    query: WindowQuery, reference: Reference | None, part: Slice, panes: Sequence[Window]
) -> Iterator[tuple[str, ColumnPair | Outcome]]:
    """Yield each feature with its pair, or why it has none; numbers come off the store a few at a time."""
    spec = query.spec
    faults = query.faults(part) if spec.checks.quality else {}
    columns, computed = number_columns(spec, reference)
    pieces = ((columns[c], x, n) for c, x, n in query.numbers(list(columns), part, panes, computed))
    lifted = lift_pieces(pieces, lambda shown: cuts_of(reference, shown))
    counted = query.categories(category_columns(spec.features), part)
    yield from pairs_of(query, reference, lifted, counted, faults)


def cuts_of(reference: Reference | None, shown: str) -> FloatArray:
    """Return the cut points that the reference has frozen for a column; none where it has no numbers."""
    frozen = reference.columns.get(shown) if reference else None
    return frozen.cuts if isinstance(frozen, NumericSummary) else NOTHING


def category_columns(features: Mapping[str, Kind]) -> list[str]:
    """Return the store's columns of the features that are counted by category."""
    return [feature_column(n, k) for n, k in features.items() if k in ("categorical", "boolean")]


def pairs_of(
    query: WindowQuery,
    reference: Reference | None,
    lifted: Mapping[str, NumericSummary],
    counted: Mapping[str, tuple[Sequence[str], Sequence[int], int]],
    faults: Mapping[str, int],
) -> Iterator[tuple[str, ColumnPair | Outcome]]:
    """Yield each feature with its pair, or why it has none, from what has come off the store."""
    known = reference.columns if reference else {}
    for name, kind in query.spec.features.items():
        for shown in derived_names(name, kind):
            column, frozen = feature_column(name, kind), known.get(shown)
            current: Column
            if column in counted:
                current = categorical(counted[column], frozen)
            elif shown in lifted:
                current = lifted[shown]
            else:
                continue  # a distance from a centroid, or a share outside a vocabulary, that there is not
            if frozen is not None and type(frozen) is not type(current):
                yield shown, Outcome.none("not_applicable", "the reference has another kind of column")
                continue
            yield shown, pair(query, frozen, current, faults.get(f"type_mismatch:{name}", 0))


def number_columns(spec: ModelSpec, reference: Reference | None) -> tuple[dict[str, str], dict[str, str]]:
    """Return column -> name of every number that is monitored, and column -> SQL of those not stored."""
    columns: dict[str, str] = {}
    computed: dict[str, str] = {}
    hashes = words_columns(spec)
    for name, kind in spec.features.items():
        names = derived_names(name, kind)
        if kind in ("numeric", "text"):
            columns |= zip(stored_columns(name, kind), names, strict=False)
            if reference and name in reference.vocabularies and name in hashes:
                outside = f"{feature_column(name, kind)}.{OUT_OF_VOCABULARY}"
                columns[outside] = names[-1]
                computed[outside] = reference.vocabularies[name].sql(hashes[name])
        elif kind == "embedding":
            centroid = reference.centroids.get(name, NOTHING) if reference else NOTHING
            vector = feature_column(name, kind)
            for part, sql in zip(EMBEDDING, embedding_sql(quote(vector), centroid.tolist()), strict=False):
                columns[f"{vector}.{part}"] = f"{name}.{part}"
                computed[f"{vector}.{part}"] = sql
    return columns, computed


def sample_pairs(
    query: WindowQuery, reference: Reference | None, seed: Callable[[str], int]
) -> Iterator[tuple[str | None, SamplePair]]:
    """Yield a sample of the window's rows beside the reference's: of all features (None), of each embedding.

    ``seed`` makes the seed of what is random from the feature's name (``""`` for all).
    """
    spec = query.spec
    kept = reference.sample if reference else None
    columns = sample_columns(spec.features)
    if kept is not None:
        columns = {name: sql for name, sql in columns.items() if name in kept.column_names}
    if not columns:
        return
    current = query.sample(Slice(), columns, SAMPLE_ROWS)
    known = None if kept is None else kept.select(list(columns))
    alpha = spec.checks.alpha
    embeddings = [n for n, kind in spec.features.items() if kind == "embedding" and n in columns]
    if list(columns) != embeddings[:1]:
        yield None, SamplePair(known, current, seed(""), alpha)
    for name in embeddings:
        one = None if known is None else known.select([name])
        yield name, SamplePair(one, current.select([name]), seed(name), alpha)


def target_pair(
    query: WindowQuery, reference: Reference | None, part: Slice, panes: Sequence[Window], target: Target
) -> ColumnPair | None:
    """Return the pair of prediction, score or label; None where the reference has nothing to compare with."""
    frozen = reference.targets.get(target) if reference else None
    if isinstance(frozen, NumericSummary):
        pieces: Iterator[tuple[FloatArray, int]] = (
            (
                (numbers, 0) for numbers in label_numbers(query, part, panes)
            )  # one not there yet is not missing
            if target == "label"
            else ((numbers, missing) for _, numbers, missing in query.numbers([target], part, panes))
        )
        current = NumericSummary.zero(frozen.cuts)
        for numbers, missing in pieces:
            current = current.merge(NumericSummary.lift(numbers, cuts=frozen.cuts, missing=missing))
        return pair(query, frozen, current)
    if frozen is None:
        return None
    if target == "label":
        values, counts, _ = label_classes(query, part)
        return pair(query, frozen, categorical((values, counts, 0), frozen))
    return pair(query, frozen, categorical(query.categories([target], part)[target], frozen))


def task_data(
    query: WindowQuery,
    reference: Reference | None,
    part: Slice,
    panes: Sequence[Window],
    rng: np.random.Generator,
) -> TaskData | RankingData:
    """Return the labelled predictions as cells, scores, residuals or lists."""
    spec = query.spec
    if spec.task == "ranking":
        return ranking_data(query, reference, part, panes)
    targets = reference.targets if reference else {}
    if spec.label_type == "DOUBLE":
        label = targets.get("label")
        center = label.moments.mean if isinstance(label, NumericSummary) else 0.0
        residuals = ResidualSummary.zero(center)
        for predictions, truths, missing in labelled_numbers(query, part, panes):
            new = ResidualSummary.lift(predictions, truths, center=center, unlabelled=missing)
            residuals = residuals.merge(new)
        return TaskData(spec.task, rng, residuals=residuals)
    cells = Confusion.counted(query.cells(part, [])[()])
    scores: dict[str, ScoreSummary] = {}
    if spec.task == "binary":
        score = targets.get("score")
        edges = edges_from(score.cuts if isinstance(score, NumericSummary) else NOTHING)
        summary = ScoreSummary.zero(edges)
        for numbers, positives in labelled_scores(query, part, panes, spec.positive_class):
            summary = summary.merge(ScoreSummary.lift(numbers, positives, edges=edges))
        scores = {spec.positive_class: summary} if summary.n else {}
    elif spec.task == "multiclass":
        edges = edges_from(NOTHING)
        for name, numbers, is_truth in class_scores(query, part, panes):
            summary = scores.get(name) or ScoreSummary.zero(edges)
            scores[name] = summary.merge(ScoreSummary.lift(numbers, is_truth, edges=edges))
    sample = class_sample(query, part, sorted(scores)) if spec.task == "multiclass" and scores else None
    return TaskData(spec.task, rng, cells, scores, positive=spec.positive_class, sample=sample)


def estimate_data(
    query: WindowQuery,
    reference: Reference | None,
    part: Slice,
    panes: Sequence[Window],
    rng: np.random.Generator,
    realised: TaskData | None,
) -> EstimateData:
    """Return what performance is estimated from without labels, beside the labelled rows ``realised``."""
    spec, learned = query.spec, reference.learned if reference else None
    if isinstance(learned, Calibrator):
        edges = edges_from(learned.knots)
        summary = PredictedScores.zero(edges)
        for numbers, chosen, unscored in predicted_scores(query, part, panes, spec.positive_class):
            new = PredictedScores.lift(numbers, chosen, edges=edges, unscored=unscored)
            summary = summary.merge(new)
        return EstimateData(spec.task, rng, learned, summary, realised=realised)
    if isinstance(learned, ErrorModel):
        sample = as_columns(query.sample(part, model_inputs(spec.features), SAMPLE_ROWS))
        errors = expected_errors(learned, sample, query.count(part))
        return EstimateData(spec.task, rng, errors=errors, realised=realised)
    return EstimateData(spec.task, rng, realised=realised)


def expected_errors(model: ErrorModel, sample: Mapping[str, Sequence[Any]], rows: int) -> ExpectedErrors:
    """Return what a model expects of a sample of a window of so many rows."""
    leaves = model.leaves(sample)
    first, second = model.own_variance(leaves).tolist()
    return ExpectedErrors(model.expected(leaves), rows, model.kurtosis, model.rows, (first, second))


def group_error_data(
    query: WindowQuery,
    part: Slice,
    panes: Sequence[Window],
    rngs: Mapping[tuple[str, ...], np.random.Generator],
) -> Iterator[tuple[str, GroupErrorData]]:
    """Yield each sensitive attribute's name and its groups: errors of a regression, or a ranking's lists."""
    checks = query.spec.checks
    if query.spec.task == "ranking":
        for attribute in checks.sensitive:
            lists = group_lists(query, part, panes, attribute)
            place = (rngs[attribute], checks.min_group_size, query.spec.task, f"ndcg@{checks.ks[0]}")
            yield "|".join(attribute), GroupErrorData(lists, *place)
        return
    for attribute in checks.sensitive:
        groups: dict[str, GroupErrors] = {}
        for name, errors, unlabelled in group_errors(query, part, panes, attribute):
            new = GroupErrors.lift(errors, unlabelled)
            groups[name] = groups[name].merge(new) if name in groups else new
        yield "|".join(attribute), GroupErrorData(groups, rngs[attribute], checks.min_group_size)


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
                Confusion.counted(cells[attribute]),
                spec.positive_class,
                rngs[attribute],
                checks.min_group_size,
                checks.privileged.get(name),
                spec.task,
            ),
        )


def pair(
    query: WindowQuery, frozen: Column | None, current: Column, mismatched: int | None = None
) -> ColumnPair:
    checks = query.spec.checks
    return ColumnPair(frozen, current, bins=checks.bins, alpha=checks.alpha, mismatched=mismatched)


def categorical(
    counted: tuple[Sequence[str], Sequence[int], int], frozen: Column | None
) -> CategoricalSummary:
    values, counts, missing = counted
    found = zip(values, counts, strict=True)
    names = frozen.categories if isinstance(frozen, CategoricalSummary) else categories_from(found)
    return CategoricalSummary.lift(values, counts, categories=names, missing=missing)
