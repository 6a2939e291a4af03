"""Replay: every window of history evaluated as the daemon would have at that moment, without look-ahead.

The sources are read to their end into a temporary store, or the configured store is copied. Then time is
simulated: at each tick (one per ``window.every``) the windows that have closed are asked, with the labels
that had arrived by then; so are windows whose labels became complete, and the newest complete window when its
labels change. At the end every window is restated with all labels. All of it depends on the set of events
alone, not on their order.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitor.build import Plan, monitored, open_source
from monitor.cycle import Answer, Cycle
from monitor.due import Due, silent_windows
from monitor.errors import SourceError, StoreError
from monitor.sources import Source
from monitor.store.history import copy_history
from monitor.store.landing import LandReport, land
from monitor.store.results import dirty_windows, read_results, read_transitions
from monitor.store.schema import labels_table, predictions_table
from monitor.store.store import Store
from monitor.store.upkeep import violations
from monitor.time import SystemClock
from monitor.types import Result

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 30.0
Progress = Callable[[str, int, int | None], None]  # what is being done, done, of how many (None: unknown)


@dataclass(slots=True)
class Replayed:
    """What a replay brought: final results, alert transitions and decisions in order of time, and counts."""

    results: list[Result] = field(default_factory=list)
    transitions: list[dict[str, Any]] = field(default_factory=list)
    read: int = 0
    quarantined: int = 0


def replay(
    the_plan: Plan,
    *,
    from_us: int | None = None,
    to_us: int | None = None,
    progress: Progress = lambda what, done, total: None,
    folder: Path | None = None,
    stored: bool = False,
) -> Replayed:
    """Read the sources to their end, or take what the store holds, and evaluate history; nothing is sent.

    Parameters
    ----------
    from_us, to_us
        Only windows that start at or after, and end at or before.
    progress
        Told what is done and how far it is.
    folder
        Where the temporary store goes; by default the system's folder for temporary files.
    stored
        Ask the events of the configured store, in a copy of it, instead of reading the sources.

    Raises
    ------
    SourceError
        When a source cannot be read.
    StoreError
        When there is no store to ask, or a running daemon holds it.
    """
    outcome = Replayed()
    with temporary_store(the_plan, folder, stored=stored) as store:
        models = monitored(the_plan, store)
        for name in () if stored else sorted(the_plan.routes):
            _read_all(the_plan, store, name, outcome, progress)
        cursor = store.cursor()
        for sentence in violations(cursor):
            log.error("the books do not add up: %s", sentence)
        for one in models:
            _Simulation(Cycle(store, cursor, one), from_us, to_us, progress).run()
        order = 'ORDER BY name, start_us, version, metric, feature, attribute, "group", segment'
        outcome.results = read_results(cursor, tail=order)
        outcome.transitions = sorted(map(dict, read_transitions(cursor)), key=lambda row: str(row["at"]))
    return outcome


@contextmanager
def temporary_store(the_plan: Plan, folder: Path | None, *, stored: bool = False) -> Iterator[Store]:
    """Open a store in a temporary folder of ``folder``, empty or a copy; it is deleted at the end."""
    settings = the_plan.config.store
    limits: dict[str, int] = {"memory_limit_bytes": settings.memory_limit, "threads": settings.threads}
    if stored and not settings.path.exists():
        raise StoreError(f"{settings.path}: no store there yet; replay without --stored reads the sources")
    with tempfile.TemporaryDirectory(prefix="model-monitor-replay-", dir=folder) as name:
        path = Path(name) / "replay.duckdb"
        store = copy_history(settings.path, path, **limits) if stored else Store(path, **limits)
        try:
            yield store
        finally:
            store.close()


def _read_all(the_plan: Plan, store: Store, name: str, outcome: Replayed, progress: Progress) -> None:
    source, cursor, clock = open_source(the_plan, name, follow=False), store.cursor(), SystemClock()
    source.start({})
    deadline_s = time.monotonic() + CONNECT_TIMEOUT_S
    try:
        while True:
            batch = source.poll(0.5)
            if batch is not None:
                report = land(store, cursor, batch, the_plan.routes[name], now_us=clock.now_us())
                _count(outcome, report)
                progress(f"reading {name}", outcome.read, None)
            elif _at_end(source, name, deadline_s):
                return
    finally:
        source.close()


def _count(outcome: Replayed, report: LandReport) -> None:
    outcome.read += report.read
    outcome.quarantined += sum(report.quarantined.values())


def _at_end(source: Source, name: str, deadline_s: float) -> bool:
    status = source.status()
    for partition, reason in status.halted.items():
        raise SourceError(f"source {name}: {partition.topic}[{partition.key}] cannot be read: {reason}")
    if not status.connected and time.monotonic() > deadline_s:
        raise SourceError(f"source {name}: not reached within {CONNECT_TIMEOUT_S:.0f} s: {status.error}")
    return status.connected and set(status.lag_records) <= status.caught_up


class _Simulation:
    """The moments of one model's history, in ticks: tick ``k`` is at ``k * every + lateness``."""

    def __init__(self, cycle: Cycle, from_us: int | None, to_us: int | None, progress: Progress) -> None:
        self.cycle, self.progress = cycle, progress
        self.windows = cycle.monitored.spec.window
        self.span = self.windows.size_us // self.windows.every_us
        self.from_us, self.to_us = from_us, to_us
        self.complete: dict[int, bool] = {}
        self.asked_at: dict[int, int] = {}
        self.touched: set[int] = set()  # windows with events
        self.done = 0

    def run(self) -> None:
        self.cycle.settle()
        rows = self._rows_by_bucket()
        self.touched = set(dirty_windows(self.cycle.cursor, self.cycle.monitored.model))
        indices = sorted(filter(self._wanted, self._with_silence()))
        if not indices:
            return
        arrivals = self._arrivals()
        agenda = self._agenda(indices, rows, arrivals)
        changes: dict[int, set[int]] = defaultdict(set)
        for bucket, tick in arrivals:
            changes[tick].update(i for i in self.windows.containing(bucket) if i in agenda.closing)
        last = self._last_tick(max(indices), changes)
        for tick in sorted({*agenda.at, *changes}):
            if tick <= last:
                self._tick(tick, agenda.at.get(tick, set()), changes.get(tick, set()), len(indices))
        self._finish(indices, changes, last)

    def _with_silence(self) -> set[int]:
        """Return the windows with events and those between them without any that are to be asked."""
        most = self.cycle.monitored.spec.checks.silent_windows
        return self.touched.union(silent_windows(self.touched, max(self.touched, default=0), most))

    def _wanted(self, index: int) -> bool:
        window = self.windows.at(index)
        return (self.from_us is None or window.start_us >= self.from_us) and (
            self.to_us is None or window.end_us <= self.to_us
        )

    def _rows_by_bucket(self) -> dict[int, int]:
        table = predictions_table(self.cycle.monitored.model)
        query = f"SELECT event_us // {self.windows.every_us}, count(*) FROM {table} GROUP BY 1"
        return dict(self.cycle.cursor.execute(query).fetchall())

    def _arrivals(self) -> dict[tuple[int, int], int]:
        """Return (bucket of the prediction, tick of the label) -> events first labelled then; 0: changed."""
        if not self.cycle.monitored.has_feedback:
            return {}
        model, w = self.cycle.monitored.model, self.windows
        tick = f"(coalesce(label_us, 0) - {w.lateness_us} + {w.every_us - 1}) // {w.every_us}"  # rounds up
        rows = self.cycle.cursor.execute(
            f"SELECT event_us // {w.every_us}, tick, count(*) FILTER (place = 1) FROM (SELECT event_us,"
            f" {tick} AS tick, row_number() OVER (PARTITION BY id ORDER BY label_us NULLS FIRST) AS place"
            f" FROM {labels_table(model)} JOIN {predictions_table(model)} USING (id)) GROUP BY 1, 2"
        ).fetchall()
        return {(bucket, tick): count for bucket, tick, count in rows}

    def _agenda(
        self, indices: list[int], rows: dict[int, int], arrivals: dict[tuple[int, int], int]
    ) -> _Agenda:
        w, agenda = self.windows, _Agenda({i: i + self.span for i in indices})
        by_bucket: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for (bucket, tick), count in sorted(arrivals.items()):
            by_bucket[bucket].append((tick, count))
        for index, closing in agenda.closing.items():
            agenda.at[closing].add(index)
            if not self.cycle.monitored.has_feedback:
                continue
            over = -(-(w.at(index).end_us + w.label_wait_us - w.lateness_us) // w.every_us)
            agenda.at[max(over, closing)].add(index)
            needed = w.min_label_coverage * sum(rows.get(b, 0) for b in range(index, index + self.span))
            labelled = 0
            for tick, count in sorted(
                t for b in range(index, index + self.span) for t in by_bucket.get(b, ())
            ):
                labelled += count
                if labelled >= needed:  # every such tick: some of those labels may be withdrawn
                    agenda.at[max(tick, closing)].add(index)
        return agenda

    def _last_tick(self, newest: int, changes: dict[int, set[int]]) -> int:
        last = max(newest + self.span, max(changes, default=newest))
        if self.to_us is not None:
            last = min(last, (self.to_us - self.windows.lateness_us) // self.windows.every_us)
        return max(last, newest + self.span)

    def _tick(self, tick: int, planned: set[int], changed: set[int], total: int) -> None:
        newest = max((i for i, complete in self.complete.items() if complete), default=None)
        asking = {i for i in planned if not self.complete.get(i, False)}
        asking |= {i for i in changed if i == newest}  # older restatements change history only, at the end
        for index in sorted(asking):
            self._ask(index, tick)
        self.cycle.release(now_us=self._moment(tick))
        self.done = max(self.done, len(self.asked_at))
        self.progress(f"evaluating {self.cycle.monitored.spec.name}", self.done, total)

    def _moment(self, tick: int) -> int:
        return tick * self.windows.every_us + self.windows.lateness_us

    def _ask(self, index: int, tick: int) -> Answer:
        now_us = self._moment(tick)
        over = self.windows.at(index).end_us + self.windows.label_wait_us <= now_us
        due = Due(index, index in self.asked_at, over, silent=index not in self.touched)
        answer = self.cycle.ask(due, now_us=now_us, as_of_us=now_us)
        self.complete[index] = answer.evaluation.labels != "awaiting"
        self.asked_at[index] = tick
        return answer

    def _finish(self, indices: list[int], changes: dict[int, set[int]], last: int) -> None:
        """Restate every window whose labels changed after it was last asked."""
        latest: dict[int, int] = {}
        for tick, touched in changes.items():
            for index in touched:
                latest[index] = max(latest.get(index, tick), tick)
        for index in indices:
            if index in self.asked_at and min(latest.get(index, -1), last) > self.asked_at[index]:
                self._ask(index, last)


@dataclass(slots=True)
class _Agenda:
    """Planned moments: ``closing`` window -> tick, ``at`` tick -> windows to ask then."""

    closing: dict[int, int]
    at: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
