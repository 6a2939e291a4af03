"""What the store counts about a window as a whole: rows, redeliveries, lateness, and how usual that is."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from monitor.engine.arrivals import late_rows, latest_event, trailing_rows
from monitor.engine.duckdb import Slice, WindowQuery
from monitor.engine.slices import left_out
from monitor.metrics import WindowFacts

TRAILING = 20  # windows before this one whose median is what is usual


def window_facts(
    query: WindowQuery,
    rows: int,
    delays_us: Sequence[int],
    pvalues: Mapping[str, float],
    *,
    labelled_only: bool,
    now_us: int | None,
) -> WindowFacts:
    """Return the facts of the query's window; of one that is dirty by labels alone only what they change.

    ``delays_us`` are the 0.5, 0.9 and 0.99 quantiles of the label delay, none without labels. ``now_us`` is
    the moment of asking; without it nothing is said of arrival.
    """
    quantiles = {q: us / 1e6 for q, us in zip(("0.5", "0.9", "0.99"), delays_us, strict=False)}
    found: dict[str, Any] = {"label_delays_s": quantiles or None, "pvalues": pvalues}
    if not labelled_only:
        found |= _counts(query, rows) | (_arrival(query, rows, now_us) if now_us is not None else {})
    return WindowFacts(rows, **found)


def _counts(query: WindowQuery, rows: int) -> dict[str, Any]:
    faults = query.faults(Slice()) if rows else {}
    duplicates, conflicts = query.duplicates()
    return {
        "duplicates": duplicates,
        "conflicts": conflicts,
        "unexpected_fields": sum(name.startswith("unknown:") for name in faults),
        "missing_fields": sum(name.startswith("absent:") and n == rows for name, n in faults.items()),
        "left_out": left_out(query),
    }


def _arrival(query: WindowQuery, rows: int, now_us: int) -> dict[str, int | float | None]:
    late, dated = late_rows(query) if rows else (0, 0)
    before = trailing_rows(query, TRAILING)
    return {
        "late": late,
        "dated": dated,
        "median_rows": statistics.median(before) if before else None,
        "last_event_us": latest_event(query, now_us),
        "as_of_us": now_us,
    }
