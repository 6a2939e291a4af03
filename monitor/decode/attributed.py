"""SQL about the ``attributions`` of an event: how they are taken, and what can be wrong with them.

A number by feature; of several classes an object by feature, class to number. Where explanations do not come
from the log, nothing here adds to a query.
"""

from __future__ import annotations

from monitor.decode.columns import attribution_columns, literal, quote
from monitor.types import ModelSpec

PLACE = "/attributions"
PATH = "$.attributions"


def structure(spec: ModelSpec) -> dict[str, object]:
    """Return what ``from_json`` takes out of an event, to be added to its other fields."""
    columns = attribution_columns(spec)
    return {"attributions": dict(zip(spec.features, columns.values(), strict=True))} if columns else {}


def stored_sql(spec: ModelSpec) -> list[str]:
    """Return SQL of the values of :func:`~monitor.decode.columns.attribution_columns`; finite ones only."""
    if spec.task != "multiclass":
        return [f"CASE WHEN isfinite({value}) THEN {value} END" for value in _values(spec)]
    finite = "map_from_entries(list_filter(map_entries({}), lambda x: isfinite(x.value)))"
    return [f"CASE WHEN {_all_finite(v)} THEN {v} ELSE {finite.format(v)} END" for v in _values(spec)]


def clean_sql(spec: ModelSpec) -> list[str]:
    """Return tests that are true of every row without a fault; ``attribution_n`` counts the names."""
    values = _values(spec)
    if not values:
        return []
    known = " + ".join(f"({value} IS NOT NULL)::INTEGER" for value in values)
    if spec.task == "multiclass":
        finite = " AND ".join(f"coalesce({_all_finite(value)}, true)" for value in values)
    else:
        finite = f"isfinite({' + '.join(f'coalesce({value}, 0)' for value in values)})"
    whole = f"attribution_n > 0 AND attribution_n = {known} AND {finite}"
    return [f"(e.attributions IS NULL OR ({whole}))"]


def pointers(spec: ModelSpec) -> list[str]:
    """Return the JSON pointers (SQL literals) whose types :func:`fault_sql` looks at, in its order."""
    if not attribution_columns(spec):
        return []
    names = [name.replace("~", "~0").replace("/", "~1") for name in spec.features]
    return [literal(PLACE), *(literal(f"{PLACE}/{name}") for name in names)]


def fault_sql(spec: ModelSpec, *, after: int) -> list[str]:
    """Return SQL of each fault or NULL; ``types`` has those of :func:`pointers` after so many others."""
    if not attribution_columns(spec):
        return []
    faults = [
        f"CASE WHEN types[{after + 1}] NOT IN ('OBJECT', 'NULL') THEN {literal('type_mismatch:attributions')}"
        " END"
    ]
    for i, (name, value) in enumerate(zip(spec.features, _values(spec), strict=True), start=after + 2):
        mismatch, infinite = (literal(f"{f}:attributions.{name}") for f in ("type_mismatch", "non_finite"))
        gap, wild = "false", f"NOT isfinite({value})"
        if spec.task == "multiclass":
            inner = f"map_values({value})"
            gap, wild = f"list_count({inner}) < len({inner})", f"NOT {_all_finite(value)}"
        faults.append(
            f"CASE WHEN {value} IS NULL AND types[{i}] <> 'NULL' OR {gap} THEN {mismatch}"
            f" WHEN {wild} THEN {infinite} END"
        )
    return faults


def unknown_sql(spec: ModelSpec) -> str | None:
    """Return SQL of the list of names that are no feature, from ``keys[3]``; None where they do not count."""
    if not attribution_columns(spec):
        return None
    names = ", ".join(map(literal, spec.features))
    strange = f"list_filter(coalesce(keys[3], []), lambda x: NOT list_contains([{names}], x))"
    return f"list_transform({strange}, lambda x: 'attributions.' || x)"


def _values(spec: ModelSpec) -> list[str]:
    return [f"e.attributions.{quote(name)}" for name in spec.features] if attribution_columns(spec) else []


def _all_finite(value: str) -> str:
    return f"list_bool_and(list_transform(map_values({value}), lambda x: coalesce(isfinite(x), false)))"
