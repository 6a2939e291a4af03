"""Questions about when rows came, and how many came before: what the quality of the stream is told by."""

from __future__ import annotations

from monitor.engine.duckdb import Slice, WindowQuery
from monitor.store.schema import predictions_table
from monitor.store.store import Cursor
from monitor.types import TRAILING_WINDOWS


def late_rows(query: WindowQuery) -> tuple[int, int]:
    """Return (rows that came after the window was due to be asked, rows whose arrival is known).

    A row came when its record was put into the log; a window is due when event time passes its end and the
    lateness that is allowed for. So it does not matter when, or how often, the monitor itself was there.
    """
    due_us = query.window.end_us + query.spec.window.lateness_us
    (row,) = query.cursor.execute(
        f"SELECT count(*) FILTER (record_us > {due_us}), count(record_us) FROM {query.predictions}"
        f" WHERE {query._where(Slice())}"
    ).fetchall()
    return int(row[0]), int(row[1])


def trailing_rows(query: WindowQuery, most: int = TRAILING_WINDOWS) -> list[int]:
    """Return the rows of up to ``most`` windows of the same length before this one, one after the other.

    The nearest first. The farthest with rows, of one more than ``most``, is left out with all before it: the
    stream may have begun in the middle of it, or retention may have taken a part.
    """
    start, size = query.window.start_us, query.window.end_us - query.window.start_us
    counted = query.cursor.execute(
        f"SELECT ({start - 1} - event_us) // {size} AS back, count(*) FROM {query.predictions}"
        f" WHERE event_us >= {start - (most + 1) * size} AND event_us < {start} GROUP BY back"
    ).fetchall()
    found = dict(counted)
    return [int(found.get(back, 0)) for back in range(max(found, default=0))]


def latest_event(query: WindowQuery) -> int | None:
    """Return the largest event time before the end of the window, microseconds; None before there is any."""
    for since in (query.window.start_us, None):  # mostly it is in the window
        after = "" if since is None else f" AND event_us >= {since}"
        sql = f"SELECT max(event_us) FROM {query.predictions} WHERE event_us < {query.window.end_us}{after}"
        (latest,) = query.cursor.execute(sql).fetchall()[0]
        if latest is not None:
            return int(latest)
    return None


def newest_event(cursor: Cursor, model: int, after_us: int | None = None) -> int | None:
    """Return the largest event time that is stored of a model, microseconds; only one after a moment."""
    newer = "" if after_us is None else f" WHERE event_us > {after_us}"
    (row,) = cursor.execute(f"SELECT max(event_us) FROM {predictions_table(model)}{newer}").fetchall()
    return None if row[0] is None else int(row[0])
