"""The canonical JSON event, typed and checked by one vectorised DuckDB query per model and stream.

Nothing here touches a connection: these functions write SQL over a relation with the columns ``seq BIGINT,
part INTEGER, off BIGINT, record_us BIGINT, value VARCHAR`` that holds valid JSON; the landing step runs it.

How values become columns
    Numbers: JSON numbers, booleans (as 0 and 1) and numeric strings; anything else is NULL with a
    ``type_mismatch`` fault; NaN and infinities are NULL with a ``non_finite`` fault. Categories: the JSON
    scalar as text, without the ``.0`` of a whole number (1, "1" and 1.0 are one class); objects and arrays
    are NULL with a ``type_mismatch``. Of duplicate keys the first counts.
"""

from __future__ import annotations

import json
from collections.abc import Collection

from monitor.decode import attributed
from monitor.decode.columns import SQL_TYPE, free_columns, literal, quote, whole_number, words_columns
from monitor.decode.derived import text_sql, words_sql
from monitor.decode.lists import with_lists
from monitor.types import ModelSpec, StreamKind

MAX_AHEAD_US = 5 * 60 * 1_000_000
OLDEST_US = 946_684_800_000_000  # 2000-01-01: an older date is a clock unset or an epoch in another unit
MAX_UNKNOWN = 16  # names of unknown fields kept per row
TOP_LEVEL = (
    "event_id", "model", "version", "timestamp", "features", "prediction", "score", "scores", "segments",
    "label", "attributions",
)  # fmt: skip
FEEDBACK = ("event_id", "model", "timestamp", "label", "item")


def parse_sql(spec: ModelSpec, kinds: Collection[StreamKind], relation: str) -> str:
    """Return the SELECT of the temporary table ``parsed``: places, the event ``e``, how many fields it has.

    ``top_n`` and ``feature_n`` count the names at the top and under ``features``. The table is materialised
    because DuckDB would otherwise parse the text once for every expression of a filter.
    """
    event = f"from_json(value, {_structure(spec, kinds)})"
    label = ", list_contains(keys[1], 'label') AS has_label" if "feedback" in kinds else ""
    parsed = (
        f"SELECT seq, part, off, record_us, {event} AS e, len(keys[1])::INTEGER AS top_n,"
        f" len(keys[2])::INTEGER AS feature_n, len(keys[3])::INTEGER AS attribution_n{label}"
        f" FROM (SELECT *, {_keys(spec)} AS keys FROM {relation})"
    )
    return with_lists(parsed, kinds) if spec.task == "ranking" else parsed


def odd_sql(spec: ModelSpec, relation: str) -> str:
    """Return the SELECT of the temporary table ``odd``: field names and JSON types of suspicious rows."""
    pointers = [_pointer("features", name) for name in spec.features]
    pointers += [_pointer("score"), *attributed.pointers(spec)]
    suspicious = f"SELECT seq FROM parsed WHERE {_suspicious(spec)}"
    types = f"json_type(value, [{', '.join(pointers)}])"
    return f"SELECT seq, {_keys(spec)} AS keys, {types} AS types FROM {relation} WHERE seq IN ({suspicious})"


def flagged_sql(spec: ModelSpec, kinds: Collection[StreamKind], *, lone: bool, odd: bool) -> str:
    """Return the SELECT that adds to ``parsed`` what each record is and what is wrong with it.

    Parameters
    ----------
    spec
        The model whose events these are.
    kinds
        What the stream carries: predictions, feedback or both.
    lone
        Whether the model is the only one on its stream; then an event need not name its model.
    odd
        Whether the table ``odd`` has rows.

    Returns
    -------
    str
        Columns of ``parsed`` and ``types`` (NULL for clean rows), ``time_us``, ``is_prediction``,
        ``is_feedback``, ``reason`` (NULL: accepted). It has one parameter, ``$now_us``.
    """
    source = (
        "parsed LEFT JOIN odd USING (seq)"
        if odd
        else "(SELECT *, NULL::VARCHAR[] AS types, NULL::VARCHAR[][] AS keys FROM parsed)"
    )
    predicts = _has_prediction(spec) if "prediction" in kinds else "false"
    labels = "has_label" if "feedback" in kinds else "false"
    return (
        f"SELECT *, {_reason(spec, kinds, lone)} AS reason FROM (SELECT *, {_timestamp(spec)} AS time_us,"
        f" {predicts} AS is_prediction, {labels} AS is_feedback FROM {source})"
    )


def prediction_sql(spec: ModelSpec, flagged: str, *, clean: bool = False) -> str:
    """Return the SELECT of the rows of ``prediction_columns`` from ``flagged``; ``clean``: of no odd ones."""
    score = "e.score"
    if spec.task == "ranking":
        choices, score = ["items[1]"], "coalesce(e.score, top)"
    elif spec.prediction_type == "VARCHAR":
        named = "CASE WHEN left(e.prediction, 1) NOT IN ('{', '[') THEN e.prediction END"
        choices = [whole_number(f"({named})")]
    else:
        choices = [_number("e.prediction"), _finite("e.score")]
    if spec.task == "binary":
        score = f"coalesce(e.score, e.scores[{literal(spec.positive_class)}])"
        classes = f"THEN {literal(spec.positive_class)} ELSE {literal(spec.negative_class)}"
        choices.append(
            f"CASE WHEN isfinite({score}) THEN CASE WHEN {score} >= {spec.threshold!r} {classes} END END"
        )
    elif spec.task == "multiclass":
        best = "list_filter(map_entries(e.scores), lambda x: x.value = list_max(map_values(e.scores)))"
        choices.append(f"list_min(list_transform({best}, lambda x: x.key))")
    scores = "NULL, {}, items" if spec.task == "ranking" else "e.scores, {}"
    columns = [
        "seq, part, off, md5_number(e.event_id), time_us, record_us, coalesce(e.version, '')",
        f"coalesce({', '.join(choices)}), {_finite(score)}, {scores.format(_faults(spec))}",
    ]
    for i, (name, kind) in enumerate(spec.features.items(), start=1):
        value = f"e.features.{quote(name)}"
        scalar = f"CASE WHEN types[{i}] IN ('OBJECT', 'ARRAY') THEN NULL ELSE {{}} END"
        if kind == "numeric":
            columns.append(_finite(value))
        elif kind == "embedding":
            columns.append(value)
        elif kind == "text":
            columns += text_sql(scalar.format(value))
        else:
            columns.append(scalar.format(whole_number(value)))
    kinds = list(spec.features)
    for name in words_columns(spec):
        value, at = f"e.features.{quote(name)}", kinds.index(name) + 1
        columns.append(words_sql(f"CASE WHEN types[{at}] IN ('OBJECT', 'ARRAY') THEN NULL ELSE {value} END"))
    columns += [
        whole_number(f"coalesce(e.segments.{quote(name)}, e.features.{quote(name)})")
        for name in free_columns(spec)
    ]
    columns += attributed.stored_sql(spec)
    odd = f" AND NOT {_suspicious(spec)}" if clean else ""
    return f"SELECT {', '.join(columns)} FROM ({flagged}) WHERE reason IS NULL AND is_prediction{odd}"


def label_sql(spec: ModelSpec, flagged: str) -> str:
    """Return the SELECT of the rows of ``label_columns`` from ``flagged``."""
    value = whole_number("e.label") if spec.label_type == "VARCHAR" else _number("e.label")
    if spec.task == "ranking":
        value = f"said, {whole_number('e.item')}"
    columns = f"seq, part, off, md5_number(e.event_id), coalesce(time_us, record_us), {value}"
    return f"SELECT {columns} FROM ({flagged}) WHERE reason IS NULL AND is_feedback"


def _structure(spec: ModelSpec, kinds: Collection[StreamKind]) -> str:
    """Return what ``from_json`` takes out; every known name is in it, so that names can be counted."""
    fields: dict[str, object] = dict.fromkeys(_top_level(spec), "VARCHAR")
    if "prediction" in kinds:
        fields |= {"score": "DOUBLE"}
        fields |= {"scores": "MAP(VARCHAR, DOUBLE)"} if spec.task != "ranking" else {}
        free = dict.fromkeys(free_columns(spec), "VARCHAR")
        if spec.features or free:
            fields["features"] = {n: SQL_TYPE[k] for n, k in spec.features.items()} | free
        if free:
            fields["segments"] = free
        fields |= attributed.structure(spec)
        return literal(json.dumps(fields))
    return literal(json.dumps({k: v for k, v in fields.items() if k in FEEDBACK}))


def _top_level(spec: ModelSpec) -> tuple[str, ...]:
    return (*TOP_LEVEL, "item") if spec.task == "ranking" else TOP_LEVEL


def _keys(spec: ModelSpec) -> str:
    logged = f", '{attributed.PATH}'" if spec.checks.logged_attributions else ""
    return f"json_keys(value, ['$', '$.features'{logged}])"


def _pointer(*parts: str) -> str:
    return literal("".join("/" + p.replace("~", "~0").replace("/", "~1") for p in parts))


def _finite(value: str) -> str:
    return f"CASE WHEN isfinite({value}) THEN {value} END"


def _number(value: str) -> str:
    return _finite(f"try_cast({value} AS DOUBLE)")


def _timestamp(spec: ModelSpec) -> str:
    text = "e.timestamp"
    if spec.timestamp_unit == "rfc3339":
        return f"epoch_us(try_cast(upper({text}) AS TIMESTAMPTZ))"
    exact = f"try_cast({text} AS DECIMAL(30, 9))"  # a double would lose microseconds, more digits overflow
    if spec.timestamp_unit == "ns":
        return f"try_cast(floor({exact}) AS BIGINT) // 1000"
    factor = {"s": 1_000_000, "ms": 1_000, "us": 1}[spec.timestamp_unit]
    return f"try_cast(floor({exact} * {factor}) AS BIGINT)"


def _has_prediction(spec: ModelSpec) -> str:
    """SQL of whether the event carries what the task needs: class, number, list, or scores to make it of."""
    if spec.task == "ranking":
        return "(items IS NOT NULL)"
    if spec.label_type == "DOUBLE":
        return f"({_number('e.prediction')} IS NOT NULL OR isfinite(e.score)) IS TRUE"
    scored = "isfinite(e.score)" if spec.task == "binary" else "false"
    named = "(e.prediction IS NOT NULL AND left(e.prediction, 1) NOT IN ('{', '['))"
    of_scores = (
        f"isfinite(e.scores[{literal(spec.positive_class)}])"
        if spec.task == "binary"
        else "list_max(map_values(e.scores)) IS NOT NULL"
    )
    return f"({named} OR {scored} OR {of_scores}) IS TRUE"


def _reason(spec: ModelSpec, kinds: Collection[StreamKind], lone: bool) -> str:
    """SQL of why a record is refused, NULL when it is accepted; the first that applies."""
    cases = [
        ("coalesce(top_n, 0) = 0", "not_an_object"),
        ("e.event_id IS NULL OR e.event_id = ''", "missing_event_id"),
    ]
    if lone:
        cases.append((f"e.model IS NOT NULL AND e.model <> {literal(spec.name)}", "unknown_model"))
    if "prediction" in kinds:
        cases.append(("NOT is_prediction AND NOT is_feedback", "missing_prediction"))
    else:
        cases.append(("NOT is_feedback", "missing_label"))
    cases += [
        ("e.timestamp IS NULL AND is_prediction", "missing_timestamp"),
        ("e.timestamp IS NOT NULL AND time_us IS NULL", "bad_timestamp"),
        (f"coalesce(time_us, record_us) > $now_us + {MAX_AHEAD_US}", "future"),
        (f"time_us < {OLDEST_US}", "past"),
    ]
    if "feedback" in kinds:
        unusable = {"regression": f"{_number('e.label')} IS NULL", "ranking": "said IS NULL"}
        test = unusable.get(spec.task, "left(e.label, 1) IN ('{', '[')")
        cases.append((f"e.label IS NOT NULL AND {test}", "bad_label"))
    return "CASE " + " ".join(f"WHEN {test} THEN '{reason}'" for test, reason in cases) + " END"


def _suspicious(spec: ModelSpec) -> str:
    """SQL of a cheap test that is true for every row with a fault; only those pay for finding it.

    A sum is NULL or not finite when one of its terms is; so is a concatenation.
    """
    present = " + ".join(f"(e.{name} IS NOT NULL)::TINYINT" for name in _top_level(spec))
    clean = [f"top_n = {present}", "(e.score IS NULL OR isfinite(e.score))"]
    free = [f"(e.features.{quote(name)} IS NOT NULL)::TINYINT" for name in free_columns(spec)]
    if spec.features:
        clean.append(f"feature_n = {' + '.join([str(len(spec.features)), *free])}")
    fields = {name: f"e.features.{quote(name)}" for name in spec.features}
    if numeric := [fields[n] for n, k in spec.features.items() if k == "numeric"]:
        clean.append(f"isfinite({' + '.join(numeric)})")
    if texts := [fields[n] for n, k in spec.features.items() if k not in ("numeric", "embedding")]:
        firsts = " || ".join(f"left({t}, 1)" for t in texts)
        clean.append(f"strpos({firsts}, '{{') + strpos({firsts}, '[') = 0")
    clean += [f"{fields[n]} IS NOT NULL" for n, k in spec.features.items() if k == "embedding"]
    clean += attributed.clean_sql(spec)
    clean += ["len(flaws) = 0"] if spec.task == "ranking" else []
    return f"({' AND '.join(clean)}) IS NOT TRUE"


def _faults(spec: ModelSpec) -> str:
    """SQL of the list of what was wrong with a row's fields: ``fault:field``; NULL when nothing was."""
    score_type = f"types[{len(spec.features) + 1}]"
    entries = [
        "CASE WHEN NOT isfinite(e.score) THEN 'non_finite:score' WHEN e.score IS NULL"
        f" AND {score_type} <> 'NULL' THEN 'type_mismatch:score' END"
    ]
    names = ", ".join(map(literal, [*spec.features, *free_columns(spec)])) or "''"
    for i, (name, kind) in enumerate(spec.features.items(), start=1):
        value, json_type = f"e.features.{quote(name)}", f"types[{i}]"
        absent, mismatch = literal(f"absent:{name}"), literal(f"type_mismatch:{name}")
        case = f"CASE WHEN {json_type} IS NULL THEN {absent}"
        if kind == "numeric":
            case += f" WHEN NOT isfinite({value}) THEN {literal(f'non_finite:{name}')}"
        elif kind != "embedding":
            case += f" WHEN {json_type} IN ('OBJECT', 'ARRAY') THEN {mismatch}"
        entries.append(f"{case} WHEN {value} IS NULL AND {json_type} <> 'NULL' THEN {mismatch} END")
    entries += attributed.fault_sql(spec, after=len(spec.features) + 1)
    known = f"[{', '.join(map(literal, _top_level(spec)))}]"
    unknown = f"list_filter(keys[1], lambda x: NOT list_contains({known}, x))"
    nested = f"list_filter(coalesce(keys[2], []), lambda x: NOT list_contains([{names}], x))"
    more = attributed.unknown_sql(spec)
    nested = f"list_concat({nested}, {more})" if more else nested
    listed = f"list_concat({unknown}, {nested})[:{MAX_UNKNOWN}]"
    named = f"list_transform({listed}, lambda x: 'unknown:' || left(x, 64))"
    lists = f"list_concat(flaws, {named})" if spec.task == "ranking" else named
    found = f"list_concat(list_filter([{', '.join(entries)}], lambda x: x IS NOT NULL), {lists})"
    return f"CASE WHEN types IS NOT NULL THEN nullif({found}, []) END"
