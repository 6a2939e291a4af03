"""What a report is made of: the stored results of one window, and its summaries lifted anew.

Everything is read on the caller's cursor; nothing is written. A reference made of a period of the stream is
the one that the store holds for the window: none is built here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from monitor.cycle import Monitored, stored_states
from monitor.engine.duckdb import Slice, WindowQuery
from monitor.engine.settled import settled_query
from monitor.errors import NotThereError
from monitor.lift import feature_pairs, task_data
from monitor.metrics import ColumnPair, TaskData
from monitor.metrics.registry import Outcome, guarded
from monitor.reference.data import LazyBaselines, Reference
from monitor.references import kept_reference
from monitor.rules.state import AlertState
from monitor.store.results import read_results
from monitor.store.store import Cursor
from monitor.time import to_rfc3339
from monitor.types import ALL_VERSIONS, Baseline, BaselineKey, Result, Series, Window

HISTORY = 30  # windows of a sparkline
SHOWN_COLUMNS = 6  # distributions: those that have drifted most


@dataclass(frozen=True, slots=True)
class Standing:
    """How far one window is: its revision, whether labels are still awaited, and their share."""

    window: Window
    revision: int
    labels_complete: bool
    coverage: float | None


@dataclass(frozen=True, eq=False)
class Material:
    """Everything shown of one window of one model.

    Parameters
    ----------
    results, history
        Of this window, all slices; of it and the windows before it, of all rows together, oldest first.
    pairs, labelled
        Columns by name, beside the reference; labelled predictions, None of a ranking model.
    failed
        Why the labelled predictions could not be counted, else empty.
    states, transitions
        Alert states as they are now, and what changed because of this window.
    """

    monitored: Monitored
    standing: Standing
    results: Sequence[Result]
    history: Mapping[Series, Sequence[Result]]
    reference: Reference | None
    pairs: Mapping[str, ColumnPair]
    labelled: TaskData | None
    failed: str = ""
    states: Sequence[AlertState] = ()
    transitions: Sequence[Mapping[str, object]] = ()
    baselines: Mapping[BaselineKey, Baseline] = field(default_factory=dict)

    def of_all(self) -> list[Result]:
        """Return the results of all rows together: of no version and no segment."""
        return [r for r in self.results if r.version == ALL_VERSIONS and r.segment is None]


def gather(cursor: Cursor, monitored: Monitored, start_us: int | None) -> Material:
    """Read everything about the window that starts then, by default the newest whose labels are complete.

    Raises
    ------
    NotThereError
        When no such window has been evaluated.
    """
    standing = standing_of(cursor, monitored, start_us)
    window = standing.window
    results = read_results(
        cursor, "model = ? AND start_us = ? AND end_us = ?",
        [monitored.model, window.start_us, window.end_us],
        tail='ORDER BY metric, feature, attribute, "group", segment, version',
    )  # fmt: skip
    origin = monitored.origins.get(ALL_VERSIONS, monitored.reference)
    reference = kept_reference(cursor, monitored.spec, origin, window, sample=monitored.sample)
    query = settled_query(cursor, monitored.spec, monitored.model, window)
    pairs = distributions(query, reference)
    known = reference.baselines if reference else {}
    lifted = guarded(lambda: task_data(query, reference, Slice(), query.panes(), np.random.default_rng(0)))
    return Material(
        monitored, standing, results, history(cursor, monitored, window), reference, pairs,
        lifted if isinstance(lifted, TaskData) else None,
        str(lifted.detail["error"]) if isinstance(lifted, Outcome) else "",
        list(stored_states(cursor, monitored).values()), _transitions(cursor, monitored, window),
        {} if isinstance(known, LazyBaselines) and not known.known else known,
    )  # fmt: skip


def distributions(query: WindowQuery, reference: Reference | None) -> dict[str, ColumnPair]:
    """Return the columns that both the window and the reference have."""
    if reference is None:
        return {}
    found = feature_pairs(query, reference, Slice(), query.panes())
    return {n: p for n, p in found if isinstance(p, ColumnPair) and p.reference is not None}


def history(cursor: Cursor, monitored: Monitored, window: Window) -> dict[Series, list[Result]]:
    """Return each series of all rows together over the 30 newest windows up to this one, oldest first."""
    first = (
        "SELECT min(start_us) FROM (SELECT start_us FROM windows WHERE model = ? AND start_us <= ?"
        f" ORDER BY start_us DESC LIMIT {HISTORY})"
    )
    where = f"model = ? AND start_us <= ? AND version = '*' AND segment IS NULL AND start_us >= ({first})"
    values = [monitored.model, window.start_us] * 2
    found: dict[Series, list[Result]] = {}
    for one in read_results(cursor, where, values, tail="ORDER BY start_us"):
        found.setdefault(one.series, []).append(one)
    return found


def standing_of(
    cursor: Cursor, monitored: Monitored, start_us: int | None, *, newest: bool = False
) -> Standing:
    """Return how far the window is that starts then; by default the newest, first of those with all labels.

    Raises
    ------
    NotThereError
        When there is none.
    """
    order = "start_us DESC" if newest else "labels_complete DESC, start_us DESC"
    order = f"coverage IS NOT NULL DESC, {order}"  # one without events shows nothing
    rows = cursor.execute(
        "SELECT start_us, end_us, revision, labels_complete, coverage FROM windows"
        " WHERE model = ? AND start_us = coalesce(?, start_us)"
        f" ORDER BY {order} LIMIT 1",
        [monitored.model, start_us],
    ).fetchall()
    if not rows:
        which = "any window" if start_us is None else f"a window that starts at {to_rfc3339(start_us)}"
        raise NotThereError(f"no evaluation of {which} of model {monitored.spec.name!r} is stored")
    start, end, *rest = rows[0]
    return Standing(Window(start, end), *rest)


def _transitions(cursor: Cursor, monitored: Monitored, window: Window) -> list[Mapping[str, object]]:
    rows = cursor.execute(
        "SELECT body FROM transitions WHERE model = ? AND body->>'window_start' = ?"
        " ORDER BY seq DESC LIMIT 50",
        [monitored.model, to_rfc3339(window.start_us)],
    ).fetchall()
    return [json.loads(row[0]) for row in rows]
