"""What the store counts about a window as a whole: rows, redeliveries, lateness, and how usual that is."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from monitor.engine.arrivals import late_rows, latest_event, trailing_rows
from monitor.engine.duckdb import Slice, WindowQuery
from monitor.engine.slices import left_out
from monitor.metrics import WindowFacts, metrics
from monitor.metrics.registry import guarded
from monitor.types import ALL_VERSIONS, Result


def window_facts(
    query: WindowQuery,
    rows: int,
    delays_us: Sequence[int],
    pvalues: Mapping[str, float],
    *,
    labelled_only: bool,
) -> WindowFacts:
    """Return the facts of the query's window; of one that is dirty by labels alone only what they change.

    ``delays_us`` are the 0.5, 0.9 and 0.99 quantiles of the label delay, none without labels.
    """
    quantiles = {q: us / 1e6 for q, us in zip(("0.5", "0.9", "0.99"), delays_us, strict=False)}
    found: dict[str, Any] = {"label_delays_s": quantiles or None, "pvalues": pvalues}
    if not labelled_only:
        found |= _counts(query, rows) | _past(query)
    return WindowFacts(rows, **found)


def past_results(query: WindowQuery) -> tuple[Result, ...]:
    """Answer what depends on the rows before the window, for one of which nothing else has changed."""
    facts = WindowFacts(query.count(), **_past(query))
    results = []
    for entry in metrics(subject="window"):
        if entry.follows_past:
            o = guarded(partial(entry, facts))
            place = (query.spec.name, ALL_VERSIONS, query.window, entry.name, o.state, o.value)
            results.append(
                Result(
                    *place, lower=o.lower, upper=o.upper, n=o.n, n_reference=o.n_reference, detail=o.detail
                )
            )
    return tuple(results)


def _counts(query: WindowQuery, rows: int) -> dict[str, Any]:
    faults = query.faults(Slice()) if rows else {}
    duplicates, conflicts = query.duplicates()
    late, dated = late_rows(query) if rows else (0, 0)
    return {
        "duplicates": duplicates,
        "conflicts": conflicts,
        "late": late,
        "dated": dated,
        "unexpected_fields": sum(name.startswith("unknown:") for name in faults),
        "missing_fields": sum(name.startswith("absent:") and n == rows for name, n in faults.items()),
        "left_out": left_out(query),
    }


def _past(query: WindowQuery) -> dict[str, Any]:
    before = trailing_rows(query)
    return {
        "median_rows": statistics.median(before) if before else None,
        "last_event_us": latest_event(query),
        "end_us": query.window.end_us,
    }
