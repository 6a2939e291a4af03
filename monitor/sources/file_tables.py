"""Rows of a table (CSV, Parquet) as canonical JSON events, by vectorised SQL in an in-memory DuckDB.

Columns named like a top-level key of the canonical event become that key; the struct or map columns
``features``, ``scores`` (a list too), ``segments`` and ``attributions`` pass through; every other column is a
feature. ``item`` is a key where there are no predictions.
``columns`` renames:
``{"label": "repaid", "segments.channel": "chan"}``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from monitor.errors import SourceError

SCALARS = ("event_id", "model", "version", "timestamp", "prediction", "score", "label", "item")
OBJECTS = ("features", "scores", "segments", "attributions")
PREDICTS = {"prediction", "score", "scores"}
_RFC3339 = "%Y-%m-%dT%H:%M:%SZ"


def to_events(connection: Any, table: pa.Table, columns: Mapping[str, str], place: str) -> pa.ChunkedArray:
    """Return one JSON event per row, as binary.

    A row of a table that has predictions leaves ``label`` out where it is null (not known yet); in a table of
    labels only, a null label is written as ``null`` and withdraws.

    Raises
    ------
    SourceError
        When ``columns`` names a column that the table lacks.
    """
    for key, column in columns.items():
        if column not in table.column_names:
            raise SourceError(
                f"{place}: columns.{key} names {column!r}, which is not there; "
                f"there are {', '.join(map(repr, table.column_names))}"
            )
    rows = pa.Table.from_arrays(
        [_plain(table.column(i)) for i in range(table.num_columns)],
        names=[f"c{i}" for i in range(table.num_columns)],
    )
    query = event_sql(table.schema, columns)
    result = connection.from_arrow(rows).query("rows", f"SELECT {query} FROM rows").to_arrow_table()
    return result.column(0).cast(pa.binary())


def event_sql(schema: pa.Schema, columns: Mapping[str, str]) -> str:
    """Return the SQL expression of the event over columns named ``c0, c1, …`` in the order of ``schema``."""
    at = {name: f"c{i}" for i, name in enumerate(schema.names)}
    named = {key: column for key, column in columns.items() if "." not in key}
    taken = set(columns.values())
    for key in SCALARS + OBJECTS:
        free = key not in named and key in at and key not in taken
        if free and _is_key(schema, key, predicts=bool(PREDICTS & {*at, *named})):
            named[key] = key
    used = taken | set(named.values())
    inner: dict[str, dict[str, str]] = {key: {} for key in OBJECTS}
    for key, column in columns.items():
        group, _, name = key.partition(".")
        if name:
            inner.setdefault(group, {})[name] = at[column]
    inner["features"] |= {name: at[name] for name in schema.names if name not in used}
    fields = {key: at[named[key]] for key in SCALARS if key in named}
    for key in OBJECTS:
        if (value := _object(at[named[key]] if key in named else None, inner[key])) is not None:
            fields[key] = value
    full = f"to_json({_struct(fields)})"
    if "label" in fields and PREDICTS & fields.keys():
        unlabelled = _struct({k: v for k, v in fields.items() if k != "label"})
        return f"CASE WHEN {fields['label']} IS NULL THEN to_json({unlabelled}) ELSE {full} END::VARCHAR"
    return f"({full})::VARCHAR"


def _is_key(schema: pa.Schema, name: str, *, predicts: bool) -> bool:
    """Tell whether a column of this name is meant as the event's key, and not as a feature."""
    if name in SCALARS:
        return name != "item" or not predicts
    kind = schema.field(name).type
    listed = name == "scores" and (pa.types.is_list(kind) or pa.types.is_large_list(kind))
    return bool(pa.types.is_struct(kind) or pa.types.is_map(kind) or listed)


def _object(column: str | None, more: Mapping[str, str]) -> str | None:
    if column is None:
        return _struct(more) if more else None
    if not more:
        return column
    return f"json_merge_patch(to_json({column}), to_json({_struct(more)}))"


def _struct(fields: Mapping[str, str]) -> str:
    def quoted(text: str) -> str:
        return "'" + text.replace("'", "''") + "'"

    return "{" + ", ".join(f"{quoted(key)}: {value}" for key, value in fields.items()) + "}"


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Write moments as RFC 3339 text, and pandas' NaN as the null it stands for."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        zone = "UTC" if kind.tz else None
        return pc.strftime(column.cast(pa.timestamp("us", tz=zone), safe=False), format=_RFC3339)
    if pa.types.is_floating(kind):
        return pc.if_else(pc.is_nan(column.cast(pa.float64())), pa.scalar(None, kind), column)
    return column


def duplicate(names: Sequence[str]) -> str | None:
    """Return a name that occurs twice, if any."""
    return next((name for i, name in enumerate(names) if name in names[:i]), None)
