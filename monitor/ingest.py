"""From sources to the store: two threads a source, one that reads ahead and one that lands.

The reader polls and hands batches over through a queue of one, so that a batch is fetched while the one
before is being landed, and no more than two are ever in memory. The lander stores each batch in one
transaction and tells the reader what is safe. A store that cannot commit pauses the landing, and with it the
reading; the batch is kept and tried again.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import duckdb

from monitor.build import Routes
from monitor.sources import Source, SourceStatus
from monitor.store.landing import LandReport, land
from monitor.store.store import Store
from monitor.time import Clock
from monitor.types import Partition, Position, RawBatch

log = logging.getLogger(__name__)

POLL_S = 0.5
RETRY_S = (1.0, 2.0, 5.0, 10.0)


@dataclass(slots=True)
class Ingest:
    """Reads one source and lands what it gives until stopped.

    Parameters
    ----------
    name, source, routes
        The source, and which models take what from its topics.
    store, clock
        Where to land, and the time.
    idle_timeout_s
        A partition that has nothing new for this long is idle and holds no watermark back.
    on_landed
        Called with the report of each committed landing.
    """

    name: str
    source: Source
    routes: Routes
    store: Store
    clock: Clock
    idle_timeout_s: float = 60.0
    on_landed: Callable[[LandReport], None] = lambda report: None
    paused: str = ""
    progress_s: dict[str, float] = field(default_factory=dict)  # thread -> monotonic moment of progress
    failure: str = ""
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _batches: queue.Queue[RawBatch] = field(default_factory=lambda: queue.Queue(maxsize=1))
    _acknowledged: deque[Mapping[Partition, Position]] = field(default_factory=deque)
    _last_seen_s: dict[Partition, float] = field(default_factory=dict)
    _started_s: float = 0.0

    def start(self) -> None:
        """Start the two threads at the positions in the store."""
        self._started_s = self.clock.monotonic_s()
        self.source.start(self.store.positions(self.name))
        for role, run in (("read", self._read), ("land", self._land)):
            self.progress_s[role] = self._started_s
            thread = threading.Thread(target=run, name=f"{role}-{self.name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self, timeout_s: float = 20.0) -> None:
        """Finish the landing under way and close the source; batches read but not landed are read again."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout_s)
        self.source.close()

    def status(self) -> SourceStatus:
        """Return the source's own status."""
        return self.source.status()

    def idle(self, partition: Partition, status: SourceStatus) -> bool:
        """Tell whether the partition should hold no watermark back: halted, or read to its end and silent.

        While the source cannot be reached nobody knows whether it is silent.
        """
        if partition in status.halted:
            return True
        if not status.connected:
            return False
        last = self._last_seen_s.get(partition, self._started_s)
        silent = self.clock.monotonic_s() - last >= self.idle_timeout_s
        return silent and partition in status.caught_up and self._batches.empty() and not self.paused

    def _read(self) -> None:
        try:
            while not self._stop.is_set():
                while self._acknowledged:
                    self.source.stored(self._acknowledged.popleft())
                batch = self.source.poll(POLL_S)
                self.progress_s["read"] = self.clock.monotonic_s()
                if batch is None:
                    if not self.source.status().connected:  # silence is counted from when it is back
                        self._started_s = self.clock.monotonic_s()
                        self._last_seen_s.clear()
                    continue
                for partition in batch.partitions:
                    self._last_seen_s[partition] = self.clock.monotonic_s()
                while not self._stop.is_set():
                    try:
                        self._batches.put(batch, timeout=POLL_S)
                        break
                    except queue.Full:
                        self.progress_s["read"] = self.clock.monotonic_s()
        except Exception as error:  # a defect, or a client library's: this source stops and says so
            self.failure = f"source {self.name}: {type(error).__name__}: {error}"
            log.exception("source %s stopped reading", self.name)

    def _land(self) -> None:
        cursor = self.store.cursor()
        while not self._stop.is_set():
            self.progress_s["land"] = self.clock.monotonic_s()
            try:
                batch = self._batches.get(timeout=POLL_S)
            except queue.Empty:
                continue
            attempt = 0
            while not self._stop.is_set():
                try:
                    report = land(self.store, cursor, batch, self.routes, now_us=self.clock.now_us())
                except (duckdb.Error, OSError) as error:
                    wait_s = RETRY_S[min(attempt, len(RETRY_S) - 1)]
                    self.paused = f"landing paused, the store does not commit: {str(error).splitlines()[0]}"
                    log.warning("source %s: %s; trying again in %.0f s", self.name, self.paused, wait_s)
                    attempt += 1
                    self._stop.wait(wait_s)
                    self.progress_s["land"] = self.clock.monotonic_s()
                    continue
                if self.paused:
                    log.info("source %s: landing goes on", self.name)
                    self.paused = ""
                self._acknowledged.append(dict(batch.positions))
                self.on_landed(report)
                break
        cursor.close()
