"""Lists of items and what was found relevant in them, as SQL over the text of an event's fields.

A ranking model's ``prediction`` is a list in the order shown: ``["i4", "i9"]``, or with scores
``[{"item": "i4", "score": 0.9}, …]``; where there is none, ``scores`` of items make it, the highest first.
Its ``label`` says what was relevant: a list, a mapping from item to relevance, or, beside ``item``, the
relevance of that one. The same SQL reads a reference's columns.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from monitor.decode.columns import quote, whole_number
from monitor.types import StreamKind

MAX_ITEMS = 1000  # of one list; what comes after is cut off, and counted
MOST = 1e9  # relevance


def with_lists(parsed: str, kinds: Collection[StreamKind]) -> str:
    """Return the SELECT that adds to parsed events what a ranking model needs of them.

    Of predictions ``items VARCHAR[]`` (NULL: no usable list), ``top DOUBLE``, the score of the first item,
    and ``flaws VARCHAR[]``, what was wrong with the list but could be mended; of feedback ``said``, see
    :func:`relevance_sql`.
    """
    if "prediction" in kinds:
        listed = f"SELECT *, {items_sql('e.prediction', 'e.scores')} AS listed FROM ({parsed})"
        named = f"list_transform(listed[:{MAX_ITEMS}], lambda x: {whole_number('x')})"
        given = f"SELECT *, {named} AS named, {_scores('e.prediction', 'e.scores')} AS given FROM ({listed})"
        repeats = "len(list_distinct(named)) < len(named)"
        once = "list_filter(named, lambda x, i: list_position(named, x) = i)"
        flaws = {
            f"len(listed) > {MAX_ITEMS}": "truncated:prediction",
            repeats: "repeated:prediction",
            "e.scores IS NOT NULL AND (len(given) = len(listed)"
            " AND (len(given) = 0 OR isfinite(given[1]))) IS NOT TRUE": "type_mismatch:scores",
        }
        cases = ", ".join(f"CASE WHEN {test} THEN '{fault}' END" for test, fault in flaws.items())
        parsed = (
            f"SELECT * EXCLUDE (listed, named, given), CASE WHEN {repeats} THEN {once} ELSE named END"
            " AS items, CASE WHEN len(given) = len(listed) AND isfinite(given[1]) THEN given[1] END AS top,"
            f" list_filter([{cases}], lambda x: x IS NOT NULL) AS flaws FROM ({given})"
        )
    if "feedback" in kinds:
        parsed = f"SELECT *, {relevance_sql('e.label', 'e.item')} AS said FROM ({parsed})"
    return parsed


def table_columns(columns: Mapping[str, tuple[str, str] | None]) -> dict[str, str]:
    """Return SQL, over a table, of the event ``e`` for :func:`with_lists` and of ``own``, a score for it.

    A column ``score`` may hold all of a list's scores; a label may be one item alone, for a table of
    interactions.

    Parameters
    ----------
    columns
        Of ``prediction``, ``scores``, ``score`` and ``label`` the column and its SQL type, None without one.
    """
    scores, score = columns["scores"], columns["score"]
    if score and _nested(score[1]):
        scores, score = scores or score, None
    label = _text(columns["label"])
    alone = f"CASE WHEN left({label}, 1) IN ('[', '{{') THEN {label} ELSE to_json([{label}])::VARCHAR END"
    texts = {"prediction": _text(columns["prediction"]), "scores": _text(scores), "item": "NULL"}
    texts["label"] = f"CASE WHEN {label} <> '' THEN {alone} END"
    struct = ", ".join(f"'{name}': ({sql})::VARCHAR" for name, sql in texts.items())
    own = f"try_cast({quote(score[0])} AS DOUBLE)" if score else "NULL::DOUBLE"
    return {"e": f"{{{struct}}}", "own": own}


def _text(column: tuple[str, str] | None) -> str:
    """SQL of a column's values as an event would have them, in text: lists and maps as JSON."""
    if column is None:
        return "NULL::VARCHAR"
    name = quote(column[0])
    text = f"CASE WHEN {name} IS NOT NULL THEN to_json({name})::VARCHAR END"
    return text if _nested(column[1]) else f"{name}::VARCHAR"


def _nested(sql_type: str) -> bool:
    return sql_type.endswith("]") or sql_type.startswith(("STRUCT", "MAP"))


def items_sql(listed: str, scores: str = "NULL::VARCHAR") -> str:
    """Return SQL of the items in a text, ``VARCHAR[]``; NULL when there is anything but items in it.

    A text that is no JSON list is one item. Without a text, the items of ``scores`` (a JSON object), the
    highest first, equal ones by name.
    """
    keyed = _each("map_entries(it)", "{'down': -x.value, 'item': x.key}")
    finite = "len(list_filter(map_values(it), lambda x: isfinite(x))) = cardinality(it)"
    ranked = _let(_mapped(scores), f"CASE WHEN {finite} THEN {_each(f'list_sort({keyed})', 'x.item')} END")
    pairs = f"list_transform({_pairs(listed)}, lambda x: x.item)"
    raw = (
        f"CASE WHEN {listed} IS NULL THEN {ranked}"
        f" WHEN {_holds_pairs(listed)} THEN {pairs} WHEN left({listed}, 1) = '[' THEN {_array(listed)}"
        f" WHEN left({listed}, 1) <> '{{' THEN [{listed}] END"
    )
    return _let(raw, f"CASE WHEN {_all_items('it')} THEN it END")


def relevance_sql(label: str, item: str = "NULL::VARCHAR") -> str:
    """Return SQL of what a label says, ``STRUCT(item VARCHAR, relevance DOUBLE)[]``; NULL: nothing usable.

    A relevance is a number from 0 to 1e9, or true or false; items of a list have 1.
    """
    number = (
        f"CASE lower({label}) WHEN 'true' THEN 1 WHEN 'false' THEN 0 ELSE try_cast({label} AS DOUBLE) END"
    )
    one = _let(
        number, f"CASE WHEN it BETWEEN 0 AND {MOST:g} AND {_is_item(item)} THEN [{_said(item, 'it')}] END"
    )
    names = _let(_array(label), f"CASE WHEN {_all_items('it')} THEN {_each('it', whole_number('x'))} END")
    some = _each(f"list_distinct({names})", _said("x", "1"))
    graded = _let(
        _each(f"map_entries({_mapped(label)})", _said("x.key", "x.value")),
        f"CASE WHEN len(list_filter(it, lambda x: x.relevance BETWEEN 0 AND {MOST:g} AND x.item <> ''))"
        " = len(it) AND len(list_distinct(list_transform(it, lambda x: x.item))) = len(it) THEN it END",
    )
    return (
        f"CASE WHEN {item} IS NOT NULL THEN {one} WHEN left({label}, 1) = '[' THEN {some}"
        f" WHEN left({label}, 1) = '{{' THEN {graded} END"
    )


def _let(value: str, body: str) -> str:
    """SQL of ``body`` with ``it`` for a value that is computed once."""
    return f"list_transform([{value}], lambda it: {body})[1]"


def _each(values: str, body: str) -> str:
    return f"list_transform({values}, lambda x: {body})"


def _said(item: str, relevance: str) -> str:
    return f"{{'item': {whole_number(item)}, 'relevance': ({relevance})::DOUBLE}}"


def _is_item(text: str) -> str:
    return f"({text} <> '' AND left({text}, 1) NOT IN ('{{', '['))"


def _all_items(values: str) -> str:
    return f"len(list_filter({values}, lambda x: {_is_item('x')})) = len({values})"


def _array(text: str) -> str:
    return f"""CASE WHEN json_valid({text}) THEN from_json({text}, '["VARCHAR"]') END"""


def _mapped(text: str) -> str:
    of = f"""from_json({text}, '"MAP(VARCHAR, DOUBLE)"')"""
    return f"CASE WHEN left({text}, 1) = '{{' AND json_valid({text}) THEN {of} END"


def _holds_pairs(text: str) -> str:
    return rf"regexp_matches({text}, '^\[\s*\{{')"


def _pairs(text: str) -> str:
    of = f"""from_json({text}, '[{{"item":"VARCHAR","score":"DOUBLE"}}]')"""
    return f"CASE WHEN json_valid({text}) THEN {of} END"


def _scores(listed: str, scores: str) -> str:
    """SQL of the scores in the order of the column ``listed``, ``DOUBLE[]``."""
    numbers = f"""CASE WHEN json_valid({scores}) THEN from_json({scores}, '["DOUBLE"]') END"""
    by_item = _let(_mapped(scores), f"CASE WHEN it IS NOT NULL THEN {_each('listed', 'it[x]')} END")
    return (
        f"CASE WHEN left({scores}, 1) = '[' THEN {numbers}"
        f" WHEN {scores} IS NOT NULL THEN {by_item}"
        f" WHEN {_holds_pairs(listed)} THEN {_each(_pairs(listed), 'x.score')} END"
    )
