"""From rows to the profile of a reference: one way for files and for periods of the stream.

The rows are those of a :class:`~monitor.engine.duckdb.WindowQuery`: of the store itself, or of the scratch
store that a file was read into. So both sides of every comparison come off the same columns by the same SQL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from monitor.decode.columns import column_of, feature_column, quote, stored_columns, words_columns
from monitor.decode.derived import OUT_OF_VOCABULARY, derived_names, embedding_sql
from monitor.engine.duckdb import Slice, WindowQuery
from monitor.engine.rows import label_classes, label_numbers, vector_mean
from monitor.engine.sample import SAMPLE_ROWS, sample_columns
from monitor.reference.attributions import logged_summary
from monitor.reference.catalogue import Catalogue
from monitor.reference.data import SEGMENT_ROWS, Column, Reference
from monitor.reference.vocabulary import Vocabulary
from monitor.summaries import FloatArray
from monitor.summaries.attributions import AttributionSummary
from monitor.summaries.categorical import CategoricalSummary, categories_from
from monitor.summaries.confusion import Confusion
from monitor.summaries.numeric import CUT_LIMIT, NumericSummary, cuts_from, ordered
from monitor.types import ModelSpec, WindowSpec

MAX_SEGMENTS = 50  # values of a segment with a profile of their own, the most frequent ones
SEGMENT_CUTS = 256  # cut points of a segment's columns


def build(query: WindowQuery, *, sample: int = SAMPLE_ROWS, id: str = "") -> Reference:
    """Return the profile of the query's rows; at most ``sample`` of them are kept as they are.

    It depends on the set of rows alone. Without an ``id`` it gets the hash of what it says.
    """
    spec = query.spec
    centroids = {
        name: vector_mean(query, feature_column(name, kind))
        for name, kind in spec.features.items()
        if kind == "embedding"
    }
    vocabularies = {
        name: Vocabulary.of(query, column, spec.checks.vocabulary)
        for name, column in words_columns(spec).items()
    }
    made = {name: vocabulary.without_one() for name, vocabulary in vocabularies.items()}
    columns = sample_columns(spec.features)
    k = min(sample, SAMPLE_ROWS)
    whole = _part(query, Slice(), centroids, made, CUT_LIMIT)
    segments = {
        f"{name}={value}": _part(query, Slice(segment=(name, value)), centroids, made, SEGMENT_CUTS)
        for name in spec.segments
        for value in sorted(query.values(column_of(spec, name), limit=MAX_SEGMENTS, least=SEGMENT_ROWS))
    }
    found = Reference(
        id,
        whole.rows,
        whole.columns,
        whole.targets,
        centroids,
        query.sample(Slice(), columns, k) if columns and k else None,
        attributions=_attributions(query),
        cells=whole.cells,
        segments=segments,
        catalogue=Catalogue.of(query) if spec.task == "ranking" else None,
        vocabularies=vocabularies,
    )
    return found if id else found.named(found.content())


def shape(spec: ModelSpec) -> str:
    """Return the hash of everything of a specification that a profile and its baselines depend on."""
    free = replace(spec, window=WindowSpec(1, 1, 0, 0), timestamp_unit="us", features={})
    text = repr((free, sorted(spec.features.items()), sorted(spec.checks.privileged.items())))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _attributions(query: WindowQuery) -> AttributionSummary | None:
    """Return what the rows say of attributions, if explanations rest on that and any row says something."""
    if not query.spec.checks.logged_attributions:
        return None
    found = logged_summary(query, Slice(), query.panes())
    return found if found.n else None


def _part(
    query: WindowQuery,
    part: Slice,
    centroids: dict[str, FloatArray],
    vocabularies: dict[str, Vocabulary],
    limit: int,
) -> Reference:
    """Return the columns, targets and cells of a part of the rows."""
    spec = query.spec
    columns: dict[str, Column] = {}
    for name, kind in spec.features.items():
        column = feature_column(name, kind)
        if kind in ("categorical", "boolean"):
            columns[name] = _categorical(query, part, column)
            continue
        computed: dict[str, str] = {}
        stored = stored_columns(name, kind)
        if kind == "embedding":
            sqls = embedding_sql(quote(column), centroids[name].tolist())
            computed = {f"{column}.{i}": sql for i, sql in enumerate(sqls)}
            stored = tuple(computed)
        if name in vocabularies:
            outside = f"{column}.{OUT_OF_VOCABULARY}"
            stored, computed = (
                (*stored, outside),
                {outside: vocabularies[name].sql(words_columns(spec)[name])},
            )
        for shown, source in zip(derived_names(name, kind), stored, strict=False):
            columns[shown] = _numeric(_of(query, source, part, computed), limit)
    targets = _targets(query, part, limit)
    return Reference("", query.count(part), columns, targets, cells=_cells(query, part))


def _cells(query: WindowQuery, part: Slice) -> dict[str, Confusion]:
    """Return the cells of truth and prediction by sensitive attribute; those of everyone under ``""``."""
    if query.spec.task not in ("binary", "multiclass"):
        return {}
    counted = query.cells(part, query.spec.checks.sensitive)
    return {"|".join(attribute): Confusion.counted(rows) for attribute, rows in counted.items()}


def _targets(query: WindowQuery, part: Slice, limit: int) -> dict[str, Column]:
    """Return prediction, score and label, where any row has it; a label not there is not missing."""
    numeric, panes = query.spec.label_type == "DOUBLE", query.panes()
    found: dict[str, Column] = {"score": _numeric(_of(query, "score", part, {}), limit)}
    if numeric:
        labels = ((values, 0) for values in label_numbers(query, part, panes))
        found |= {
            "prediction": _numeric(_of(query, "prediction", part, {}), limit),
            "label": _numeric(labels, limit),
        }
    else:
        names, counts, _ = label_classes(query, part)
        found |= {
            "prediction": _categorical(query, part, "prediction"),
            "label": _counted(names, counts, 0),
        }
    return {role: found[role] for role in ("prediction", "score", "label") if found[role].n}


def _of(
    query: WindowQuery, column: str, part: Slice, computed: dict[str, str]
) -> Iterator[tuple[FloatArray, int]]:
    panes = query.panes()
    return ((values, missing) for _, values, missing in query.numbers([column], part, panes, computed))


def _numeric(pieces: Iterator[tuple[FloatArray, int]], limit: int) -> NumericSummary:
    found = list(pieces)
    values = ordered(np.concatenate([values for values, _ in found])) if found else np.empty(0)
    missing = sum(missing for _, missing in found)
    return NumericSummary.lift(values, cuts=cuts_from(values, limit), missing=missing)


def _categorical(query: WindowQuery, part: Slice, column: str) -> CategoricalSummary:
    return _counted(*query.categories([column], part)[column])


def _counted(values: list[str], counts: list[int], missing: int) -> CategoricalSummary:
    names = categories_from(zip(values, counts, strict=True))
    return CategoricalSummary.lift(values, counts, categories=names, missing=missing)
