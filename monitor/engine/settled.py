"""The query of a window's settled rows: what every question about a window starts from."""

from __future__ import annotations

from monitor.engine.duckdb import WindowQuery
from monitor.store.store import Cursor
from monitor.types import ModelSpec, Window


def settled_query(
    cursor: Cursor,
    spec: ModelSpec,
    model: int,
    window: Window,
    *,
    as_of_us: int | None = None,
    version: str | None = None,
) -> WindowQuery:
    """Return the query of a window's rows that are settled by now; see :class:`WindowQuery`."""
    settled = cursor.execute("SELECT settled_seq FROM models WHERE id = ?", [model]).fetchall()
    limits = {"as_of_us": as_of_us, "upto_seq": settled[0][0]}
    return WindowQuery(cursor, spec, model, window, **limits, version=version)
