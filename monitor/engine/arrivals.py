"""Questions about when rows came, and how many came before: what the quality of the stream is told by."""

from __future__ import annotations

from monitor.engine.duckdb import Slice, WindowQuery


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


def trailing_rows(query: WindowQuery, most: int) -> list[int]:
    """Return the rows of up to ``most`` windows of the same length before this one, one after the other.

    The nearest first; none that begins before the oldest stored event of the model.
    """
    start, size = query.window.start_us, query.window.end_us - query.window.start_us
    (oldest,) = query.cursor.execute(f"SELECT min(event_us) FROM {query.predictions}").fetchall()[0]
    windows = 0 if oldest is None else min(most, (start - oldest) // size)
    if windows < 1:
        return []
    counted = query.cursor.execute(
        f"SELECT ({start - 1} - event_us) // {size} AS back, count(*) FROM {query.predictions}"
        f" WHERE event_us >= {start - windows * size} AND event_us < {start} GROUP BY back"
    ).fetchall()
    found = dict(counted)
    return [int(found.get(back, 0)) for back in range(windows)]


def latest_event(query: WindowQuery, upto_us: int) -> int | None:
    """Return the largest event time of the model up to a moment, microseconds; None before there is any."""
    for since in (query.window.start_us, None):  # mostly it is not long ago
        after = "" if since is None else f" AND event_us >= {since}"
        sql = f"SELECT max(event_us) FROM {query.predictions} WHERE event_us <= {upto_us}{after}"
        (latest,) = query.cursor.execute(sql).fetchall()[0]
        if latest is not None:
            return int(latest)
    return None
