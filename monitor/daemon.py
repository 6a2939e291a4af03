"""The process: threads, the evaluation tick, signals, reload and drain.

Threads: two per source (read ahead, land), the scheduler's (settle, evaluate, decide, keep up the store), the
webhook relay's, and the HTTP server's. They share nothing but the store, the counters and the immutable
snapshot. SIGTERM drains; a second one ends the process at once. SIGHUP reloads.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import threading
from collections.abc import Callable, Sequence
from types import FrameType

from apscheduler.events import EVENT_JOB_MAX_INSTANCES
from apscheduler.schedulers.background import BackgroundScheduler

from monitor.actions import OutboxRow
from monitor.actions.relay import REPEAT, Pace, Relay
from monitor.actions.webhook import Attempt
from monitor.build import Plan, monitored, open_source, plan
from monitor.config import Config
from monitor.cycle import Monitored
from monitor.deliveries import Standing, endpoints
from monitor.errors import ConfigError, MonitorError
from monitor.ingest import Ingest
from monitor.pauses import Lasting, shorten
from monitor.store.landing import LandReport
from monitor.store.outbox import StoredOutbox
from monitor.store.store import Store
from monitor.stored import StoreBackend
from monitor.systemd import notify, reloading, watchdog_interval_s
from monitor.time import Clock, SystemClock
from monitor.web.app import create_app
from monitor.web.backend import Health
from monitor.web.open import lasting, open_server, users
from monitor.web.snapshot import Current, Snapshot
from monitor.web.telemetry import Telemetry
from monitor.worker import Worker

log = logging.getLogger(__name__)

STALL_S = 120.0
REFUSALS_EVERY_S = 60.0  # how often the log says that records are refused
RESTART_ONLY = ("store", "server", "scheduler", "log")


class Daemon(StoreBackend):
    """The monitor as a running process; it is also the web layer's backend.

    Parameters
    ----------
    config
        The configuration.
    read_config
        Reads it again, for a reload; raises ``ConfigError``.
    clock
        The time.
    pace
        The webhook relay's waiting times.

    Raises
    ------
    MonitorError
        When the store, the address or a reference cannot be had.
    """

    def __init__(
        self,
        config: Config,
        read_config: Callable[[], Config],
        *,
        clock: Clock | None = None,
        pace: Pace = Pace(),
    ) -> None:
        self._read_config = read_config
        self.clock: Clock = clock or SystemClock()
        self.telemetry = Telemetry()
        self._current, self._lasting = Current(), Lasting()
        self._next_refusal_s = 0.0
        self._stop, self._reload = threading.Event(), threading.Event()
        self._changing = threading.Lock()  # held while a tick runs, and while a reload swaps the parts
        self.store = Store(
            config.store.path, memory_limit_bytes=config.store.memory_limit, threads=config.store.threads
        )
        self.plan: Plan = plan(config, self.store)
        self.ingests: dict[str, Ingest] = {}
        self.standing = Standing(self.store.cursor, config)
        self.worker = self._build()
        app = create_app(self, budget=config.server.series_budget)
        self.server = open_server(config.server, app)
        self.relay = Relay(
            StoredOutbox(self.store, OutboxRow),
            endpoints(config),
            self.clock,
            random.Random(),
            self._attempted,
            standing=self.standing,
            pace=pace,
        )
        self._prepare: Callable[[Snapshot], None] = app.state.exposition.prepare
        self.worker.prepare = self._prepare
        self._scheduler = BackgroundScheduler(timezone="UTC")
        self._relay_thread = threading.Thread(
            target=self.relay.run, args=(self._stop,), name="relay", daemon=True
        )

    # ---- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Serve the last stored results, then start every other thread."""
        self.worker.publish({})
        self.server.start()
        self._relay_thread.start()
        for ingest in self.ingests.values():
            ingest.start()
        tick_s = self.plan.config.scheduler.tick / 1e6
        self._scheduler.add_job(
            self._tick, "interval", seconds=tick_s, coalesce=True, max_instances=1, misfire_grace_time=None
        )
        self._scheduler.add_listener(lambda _: self.telemetry.ticks_skipped.inc(), EVENT_JOB_MAX_INSTANCES)
        self._scheduler.start()
        log.info("serving %s/metrics and a status page at %s/", self.server.url, self.server.url)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain."""
        shorten()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, lambda *_: self._reload.set())
        self.start()
        self._lasting.note()
        notify("READY=1", f"STATUS=serving {self.server.url}")
        interval_s, next_pat_s = watchdog_interval_s(), 0.0
        while not self._stop.wait(0.2):
            if self._reload.is_set():
                self._reload.clear()
                reloading()
                self.reload()
                notify("READY=1")
            now_s = self.clock.monotonic_s()
            if interval_s and now_s >= next_pat_s and not self.health().stalled:
                next_pat_s = now_s + interval_s
                notify("WATCHDOG=1")
        notify("STOPPING=1")
        self.drain()

    def drain(self) -> None:
        """Finish what is under way, store it, and release everything."""
        log.info("draining")
        self._stop.set()
        self.worker.halt()
        self._scheduler.shutdown(wait=False)
        for ingest in self.ingests.values():
            ingest.stop()
        with self._changing:
            self._relay_thread.join(20.0)
            self.server.stop()
            self.store.close()
        self._lasting.forget()
        log.info("stopped")

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        if self._stop.is_set():
            os._exit(1)  # asked twice: what is committed is safe, the rest is read again
        self._stop.set()

    # ---- parts -----------------------------------------------------------------------------------

    def _build(self) -> Worker:
        config = self.plan.config
        models = monitored(self.plan, self.store)
        self.standing.use(config, models)
        self.telemetry.declare([one.spec.name for one in models])
        self.telemetry.config_loaded(self.clock.now_us())
        self.ingests = {
            name: Ingest(
                name,
                open_source(self.plan, name),
                self.plan.routes[name],
                self.store,
                self.clock,
                config.sources[name].idle_timeout / 1e6,
                self._landed,
            )
            for name in sorted(self.plan.routes)
        }
        return Worker(
            self.store, self.clock, self.telemetry, self._current, models, self.ingests,
            retention_us=config.store.retention, quarantine_rows=config.store.quarantine_rows,
        )  # fmt: skip

    def _tick(self) -> None:
        with self._changing:
            if not self._stop.is_set():
                self.worker.tick()
        self._lasting.note()

    def _landed(self, report: LandReport) -> None:
        for (model, kind), count in report.landed.items():
            self.telemetry.events.labels(model, kind, "landed").inc(count)
        for (model, reason), count in report.quarantined.items():
            self.telemetry.quarantined.labels(reason).inc(count)
            if model:
                kind = "feedback" if reason in ("missing_label", "bad_label") else "prediction"
                self.telemetry.events.labels(model, kind, "quarantined").inc(count)
        if report.quarantined and self.clock.monotonic_s() >= self._next_refusal_s:
            self._next_refusal_s = self.clock.monotonic_s() + REFUSALS_EVERY_S
            why = ", ".join(f"{reason} ({n})" for (_, reason), n in report.quarantined.most_common(5))
            log.warning("records are refused: %s of %d in one batch; see quarantine list", why, report.read)
        for (model, feature, fault), count in report.faults.items():
            self.telemetry.feature_faults.labels(model, feature, fault).inc(count)

    def _attempted(self, row: OutboxRow, attempt: Attempt) -> None:
        self.telemetry.webhook_attempts.labels(row.action, attempt.outcome).inc()
        fine = log.debug if row.id == REPEAT else log.info
        said = fine if attempt.outcome == "delivered" else log.warning
        said(
            "webhook %s to %s: %s%s",
            row.id,
            row.action,
            attempt.outcome,
            f" ({attempt.error})" if attempt.error else "",
        )

    # ---- backend of the web layer ----------------------------------------------------------------

    @property
    def models(self) -> Sequence[Monitored]:
        return [cycle.monitored for cycle in self.worker.cycles]

    def snapshot(self) -> Snapshot:
        return self._current.get()

    def health(self) -> Health:
        now_s = self.clock.monotonic_s()
        loops = {"evaluation": self.worker.progress_s, "webhook relay": self.relay.last_round_s}
        stalled = [f"{i.failure}" for i in self.ingests.values() if i.failure]
        for name, ingest in self.ingests.items():
            loops |= {f"{role} {name}": at for role, at in ingest.progress_s.items()}
        stalled += [
            f"{name} made no progress for {now_s - at:.0f} s"
            for name, at in loops.items()
            if now_s - at > STALL_S
        ]
        waiting = [] if self.worker.ticks else ["the first evaluation tick has not run yet"]
        for name, ingest in self.ingests.items():
            status = ingest.status()
            if not status.connected:
                waiting.append(f"source {name} is not connected{': ' + status.error if status.error else ''}")
            elif status.error:
                waiting.append(f"source {name}: {status.error}")
            waiting += [
                f"source {name}: {one.topic}[{one.key}] has halted: {why}"
                for one, why in sorted(status.halted.items())
            ]
            if ingest.paused:
                waiting.append(f"source {name}: {ingest.paused}")
        return Health(tuple(stalled), tuple(waiting))

    def reload(self) -> list[str]:
        """Swap in the configuration as it is now, at a batch boundary; one with problems changes nothing."""
        try:
            config = self._read_config()
            if changed := [k for k in RESTART_ONLY if _lasting(config, k) != _lasting(self.plan.config, k)]:
                names = ", ".join(changed)
                raise ConfigError([f"{names}: cannot change while running; restart to change it"])
            new = plan(config, self.store)
            with self._changing:
                self._swap(new)
            self.server.set_users(users(config.server))
        except MonitorError as error:
            problems = list(error.problems) if isinstance(error, ConfigError) else [str(error)]
            self.telemetry.config_last_reload_successful.set(0)
            log.error("reload refused, the old configuration stays: %s", "; ".join(problems))
            return problems
        log.info("reloaded the configuration")
        return []

    def _swap(self, new: Plan) -> None:
        old, old_ingests, old_worker = self.plan, self.ingests, self.worker
        for ingest in old_ingests.values():
            ingest.stop()
        try:
            self.plan = new
            self.worker = self._build()
        except Exception:
            self.plan = old
            self.worker = self._build()
            raise
        finally:
            old_worker.halt()
            old_worker.cursor.close()
            self.worker.prepare = self._prepare
            self.worker.ticks = old_worker.ticks
            self.relay.endpoints = endpoints(self.plan.config)
            for ingest in self.ingests.values():
                ingest.start()


def _lasting(config: Config, section: str) -> object:
    return lasting(config.server) if section == "server" else getattr(config, section)
