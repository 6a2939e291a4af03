"""The evaluation thread's work: a tick settles, asks and decides for every model, and publishes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from monitor.cycle import Answer, Cycle, Monitored, turn
from monitor.errors import Stopped
from monitor.ingest import Ingest
from monitor.retraining import decision_json
from monitor.sources import SourceStatus
from monitor.store.quarantine import trim
from monitor.store.results import transition_json
from monitor.store.store import Store
from monitor.store.upkeep import expire, violations
from monitor.time import HOUR_US, MINUTE_US, Clock, to_rfc3339
from monitor.types import Result
from monitor.view import current_results, snapshot
from monitor.watermark import PartitionProgress, watermark
from monitor.web.snapshot import Current, Snapshot
from monitor.web.telemetry import Telemetry

log = logging.getLogger(__name__)
PUBLISH_S = 5.0  # a tick that catches up on many windows shows between two of them how far it has come


class Worker:
    """What the scheduler runs. All methods are called from one thread at a time.

    Parameters
    ----------
    store, clock, telemetry, current
        Where to read and write, the time, the counters, and where the snapshot is published.
    monitored
        The models.
    ingests
        By source name; tells which partitions are idle.
    retention_us, quarantine_rows
        What the hourly clean-up keeps.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        telemetry: Telemetry,
        current: Current,
        monitored: Sequence[Monitored],
        ingests: Mapping[str, Ingest],
        *,
        retention_us: int,
        quarantine_rows: int,
    ) -> None:
        self.store, self.clock, self.telemetry, self.current = store, clock, telemetry, current
        self.ingests = ingests
        self.retention_us, self.quarantine_rows = retention_us, quarantine_rows
        self.cursor = store.cursor()
        self.cycles = [Cycle(store, self.cursor, one) for one in monitored]
        self.stop = threading.Event()
        self.progress_s = clock.monotonic_s()
        self.ticks = 0
        self.prepare: Callable[[Snapshot], None] = lambda snapshot: None  # called before it is published
        self._results: tuple[Result, ...] | None = None
        self._last_success: dict[str, int] = {}
        self._states: dict[str, str] = {}
        self._steady = (clock.now_us(), clock.monotonic_s())
        self._next_books_us = self._next_expiry_us = 0
        self._published_s = 0.0

    def halt(self) -> None:
        """Stop between two windows, and within one that is being explained; that one is asked again later."""
        self.stop.set()
        for cycle in self.cycles:
            if cycle.monitored.explainer is not None:
                cycle.monitored.explainer.close()

    def tick(self) -> None:
        """Make one turn of every model; a model that fails, fails alone."""
        statuses = {name: ingest.status() for name, ingest in self.ingests.items()}
        for cycle in self.cycles:
            if self.stop.is_set():
                return
            name = cycle.monitored.spec.name
            try:
                self._turn(cycle, statuses)
                self._states[name] = "ok"
                self._last_success[name] = self.clock.now_us()
            except Exception as error:  # the loop's one broad catch: counted, shown, and tried again
                self.telemetry.evaluation_failures.labels(name).inc()
                self._states[name] = f"failed: {type(error).__name__}: {str(error).splitlines()[0]}"
                log.exception("model %s: the evaluation failed; it is tried again at the next tick", name)
        self._upkeep()
        self.publish(statuses)
        self.ticks += 1
        self.progress_s = self.clock.monotonic_s()

    def publish(self, statuses: Mapping[str, SourceStatus]) -> None:
        """Publish what is committed now; results are read again only when some have changed."""
        if self._results is None:
            self._results = current_results(self.cursor, self.cycles)
        sources = {name: (status, self.ingests[name].paused) for name, status in statuses.items()}
        new = snapshot(
            self.store, self.cursor, self.cycles, self._results, sources,
            last_success=self._last_success, states=self._states, now_us=self.clock.now_us(),
        )  # fmt: skip
        self.prepare(new)
        self.current.publish(new)
        self._published_s = self.clock.monotonic_s()

    def _turn(self, cycle: Cycle, statuses: Mapping[str, SourceStatus]) -> None:
        name, now_us = cycle.monitored.spec.name, self.clock.now_us()
        mark = self._watermark(cycle, statuses)
        if mark is None:
            cycle.settle()
            return
        cycle.expired_us = self._cautious_now_us() - self.retention_us
        started = time.perf_counter()

        def answered(answer: Answer) -> None:
            nonlocal started
            self._results = None
            self.progress_s = self.clock.monotonic_s()
            self.telemetry.evaluation_duration.labels(name).observe(time.perf_counter() - started)
            started = time.perf_counter()
            report(answer)
            if self.stop.is_set():
                raise Stopped
            if self.clock.monotonic_s() - self._published_s >= PUBLISH_S:
                self.publish(statuses)
                started = time.perf_counter()

        try:
            settled = turn(cycle, mark, now_us=now_us, on_answer=answered)
        except Stopped:
            return
        for outcome in ("duplicate", "conflict", "late"):
            count = {"duplicate": settled.duplicates, "conflict": settled.conflicts, "late": settled.late}[
                outcome
            ]
            self.telemetry.events.labels(name, "prediction", outcome).inc(count)

    def _watermark(self, cycle: Cycle, statuses: Mapping[str, SourceStatus]) -> int | None:
        """Return how far the model's event time has come, from committed partitions alone."""
        name = cycle.monitored.spec.name
        mine = {
            (source, topic)
            for source, ingest in self.ingests.items()
            for topic, routes in ingest.routes.items()
            for route in routes
            if route.spec.name == name and "prediction" in route.kinds
        }
        known = dict(self.cursor.execute("SELECT id, event_us FROM partitions").fetchall())
        numbers = self.store.partition_ids
        found, timeouts = [], []
        for source, status in statuses.items():
            ingest = self.ingests[source]
            listed = {p for p in numbers if p.source == source} | status.caught_up | set(status.lag_records)
            for partition in listed:
                if (source, partition.topic) in mine:
                    event_us = known.get(numbers.get(partition, -1))
                    found.append(PartitionProgress(event_us, ingest.idle(partition, status)))
                    timeouts.append(ingest.idle_timeout_s)
        previous = self.cursor.execute(
            "SELECT watermark_us FROM models WHERE id = ?", [cycle.monitored.model]
        ).fetchall()[0][0]
        return watermark(
            found, previous_us=previous, clock_us=self._cautious_now_us(),
            idle_timeout_us=round(max(timeouts, default=0) * 1e6),
        )  # fmt: skip

    def _cautious_now_us(self) -> int:
        """Return the earlier of wall clock and steady clock, so that a clock set forward closes nothing."""
        wall, started = self._steady
        steady = wall + round((self.clock.monotonic_s() - started) * 1e6)
        return min(self.clock.now_us(), steady)

    def _upkeep(self) -> None:
        now_us = self._cautious_now_us()
        if now_us >= self._next_books_us:
            self._next_books_us = now_us + MINUTE_US
            with self.store.write(self.cursor):  # a moment at which no landing is half done
                wrong = violations(self.cursor)
            trim(self.store, self.cursor, rows=self.quarantine_rows)
            for sentence in wrong:
                self.telemetry.conservation_violations.inc()
                log.error("the books do not add up: %s", sentence)
        if now_us >= self._next_expiry_us:
            self._next_expiry_us = now_us + HOUR_US
            before_us = now_us - self.retention_us
            deleted = expire(self.store, self.cursor, before_us=before_us)
            if deleted:
                self._results = None
                log.info("retention: deleted %d rows from before %s", deleted, to_rfc3339(before_us))


def report(answer: Answer, say: Callable[..., None] = log.info) -> None:
    """Log what a window brought, in words that a person can follow."""
    evaluation, window = answer.evaluation, answer.window
    what = "labels" if answer.labelled_only else "window"
    coverage = f", {evaluation.coverage:.0%} labelled" if evaluation.coverage else ""
    if not answer.labelled_only or answer.transitions or answer.decision:
        model = answer.results[0].model if answer.results else ""
        start, end = to_rfc3339(window.start_us), to_rfc3339(window.end_us)
        say("%s: %s %s to %s asked: %d rows%s", model, what, start, end, evaluation.rows, coverage)
    for one in answer.transitions:
        row = transition_json(one)
        about = " ".join(f"{row[k]}" for k in ("feature", "attribute", "group", "segment") if row[k])
        say(
            "%s: alert %s %s → %s: %s%s is %.4g, the bound is %.4g",
            one.model, one.alert, one.before, one.after, row["metric"], f" of {about}" if about else "",
            one.value, one.bound,
        )  # fmt: skip
    if answer.decision is not None:
        row = decision_json(answer.decision)
        say("%s: retraining is asked for, because of %s (%s)", row["model"], row["alerts"], row["id"])
