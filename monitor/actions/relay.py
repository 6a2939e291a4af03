"""Deliver the outbox: retries with back-off, a breaker for each endpoint, one bad endpoint harming no other.

Each round sends what is due, endpoints side by side in threads of their own. An endpoint's part of a round
ends at its first failure, or when one total time-out is used up; so a round, and with it the delay that one
endpoint can cause another, never exceeds two total time-outs. (Threads that live on, one for each endpoint,
would be a little freer, but then the outbox needs locks and every reload is a dance of threads.) Only the
calling thread touches the outbox, and it marks each row as soon as its answer is known.

Some endpoints forget an alert that is not posted again and again. What stands is read from the store *before*
what is due, and sent before it: so no repeat can come after the message that says that an alert is over.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from queue import SimpleQueue

from monitor.actions import Outbox, OutboxRow
from monitor.actions.addresses import Resolve, resolve_host
from monitor.actions.breaker import Breaker
from monitor.actions.webhook import Attempt, Endpoint, send
from monitor.time import HOUR_US, MINUTE_US, SECOND_US, Clock

log = logging.getLogger(__name__)

# Delay before each attempt (Standard Webhooks), of which a random part is waited: none before the first.
SCHEDULE_US = (
    *(0, 5 * SECOND_US, 5 * MINUTE_US, 30 * MINUTE_US),
    *(hours * HOUR_US for hours in (2, 5, 10, 14, 20, 24)),
)
ROWS_PER_ROUND = 1_000  # of one endpoint
THREADS = 32
REPEAT = "repeat"  # the id of what is posted again; it is no row of the outbox

Answer = tuple[OutboxRow, Attempt, int]  # what was sent, what came of it, when


@dataclass(frozen=True, slots=True)
class Pace:
    """The relay's waiting times; tests go through them faster than days."""

    schedule_us: Sequence[int] = SCHEDULE_US
    probe_every_us: int = MINUTE_US
    poll_s: float = 1.0


class Relay:
    """Takes rows from the outbox to their endpoints.

    Parameters
    ----------
    endpoints
        By action name. May be replaced at any time, as a whole.
    rng
        Source of the jitter.
    on_attempt
        Called with (row, attempt) after each attempt is marked; its outcome is the final one (``dead`` when
        the schedule is used up). A repeat is a row with the id ``repeat``.
    standing
        Returns the bodies that say what stands (endpoint, now), for endpoints that want repeats.

    Attributes
    ----------
    last_round_s
        Monotonic moment of the end of the last round, for liveness.
    """

    def __init__(
        self,
        outbox: Outbox,
        endpoints: Mapping[str, Endpoint],
        clock: Clock,
        rng: random.Random,
        on_attempt: Callable[[OutboxRow, Attempt], None] = lambda row, attempt: None,
        *,
        standing: Callable[[str, int], Sequence[bytes]] = lambda endpoint, now_us: (),
        resolve: Resolve = resolve_host,
        pace: Pace = Pace(),
    ) -> None:
        self.endpoints = endpoints
        self.last_round_s = clock.monotonic_s()
        self._outbox = outbox
        self._clock = clock
        self._rng = rng
        self._on_attempt = on_attempt
        self._resolve = resolve
        self._standing = standing
        self._pace = pace
        self._breakers: dict[str, Breaker] = {}
        self._next_repeat_s: dict[str, float] = {}

    def run(self, stop: threading.Event) -> None:
        """Deliver until ``stop`` is set; returns once the attempts under way are marked."""
        while not stop.is_set():
            try:
                attempts = self.run_once(self._clock.now_us(), stop)
            except Exception:  # the store may be full or locked for a while; rows are safe in it
                log.exception("a round of the webhook relay failed; trying again")
                attempts = 0
            self.last_round_s = self._clock.monotonic_s()
            if not attempts:
                stop.wait(self._pace.poll_s)

    def run_once(self, now_us: int, stop: threading.Event | None = None) -> int:
        """Send what is due at ``now_us``; return the number of attempts made and marked."""
        stop = stop or threading.Event()
        batches = self._batches(now_us)
        if not batches:
            return 0
        answers: SimpleQueue[Answer | None] = SimpleQueue()
        attempts, running = 0, len(batches)
        with ThreadPoolExecutor(min(running, THREADS), "webhook") as pool:
            broken = threading.Event()
            try:
                for endpoint, rows in batches:
                    pool.submit(self._send_all, endpoint, rows, answers, (stop, broken))
                while running:
                    answer = answers.get()
                    if answer is None:
                        running -= 1
                    else:
                        self._settle(*answer)
                        attempts += 1
            except BaseException:
                broken.set()  # what cannot be marked must not be sent
                raise
        return attempts

    def _batches(self, now_us: int) -> list[tuple[Endpoint, list[OutboxRow]]]:
        """Return what to send to each endpoint that may be tried now: repeats, then rows that are due."""
        now_s = self._clock.monotonic_s()
        awake = {name: e for name, e in self.endpoints.items() if not self._breaker(name).rests(now_s)}
        batches = {name: self._repeats(endpoint, now_us, now_s) for name, endpoint in awake.items()}
        for row in self._outbox.due(now_us, ROWS_PER_ROUND, list(awake)):
            batches[row.action].append(row)
        return [(awake[name], rows) for name, rows in batches.items() if rows]

    def _repeats(self, endpoint: Endpoint, now_us: int, now_s: float) -> list[OutboxRow]:
        every_us, name = endpoint.repeat_every_us, endpoint.name
        if every_us is None or now_s < self._next_repeat_s.get(name, now_s):
            return []
        self._next_repeat_s[name] = now_s + every_us / SECOND_US
        return [OutboxRow(REPEAT, "", "", name, body, 0) for body in self._standing(name, now_us)]

    def _breaker(self, name: str) -> Breaker:
        return self._breakers.setdefault(name, Breaker(self._pace.probe_every_us / SECOND_US))

    def _send_all(
        self,
        endpoint: Endpoint,
        rows: Sequence[OutboxRow],
        answers: SimpleQueue[Answer | None],
        stops: Sequence[threading.Event],
    ) -> None:
        """Send an endpoint's rows until one fails, the time is up or a stop is set (in a worker thread)."""
        used_s = 0.0
        try:
            for row in rows:
                if used_s >= endpoint.total_timeout_s or any(stop.is_set() for stop in stops):
                    return
                at_us = self._clock.now_us()
                attempt = send(endpoint, row.id, row.body, now_us=at_us, resolve=self._resolve)
                answers.put((row, attempt, at_us))
                used_s += attempt.duration_s
                if attempt.outcome in ("retry", "disabled"):
                    return
        finally:
            answers.put(None)

    def _settle(self, row: OutboxRow, attempt: Attempt, at_us: int) -> None:
        """Mark what came of an attempt, and tell who listens."""
        attempts, next_us, schedule_us = row.attempts + 1, at_us, self._pace.schedule_us
        failed = attempt.outcome == "retry"
        self._breaker(row.action).record(
            failed, now_s=self._clock.monotonic_s(), retry_after_s=attempt.retry_after_s
        )
        if row.id == REPEAT:
            return self._on_attempt(row, attempt)
        if failed and attempts >= len(schedule_us):
            error = f"{attempt.error}; given up after {attempts} attempts"
            attempt = replace(attempt, outcome="dead", error=error)
        elif failed:
            jittered_us = round(self._rng.uniform(0, schedule_us[attempts]))
            next_us += max(jittered_us, round((attempt.retry_after_s or 0.0) * SECOND_US))
        self._mark(row, attempt, at_us, next_us, attempts)
        self._on_attempt(row, attempt)

    def _mark(self, row: OutboxRow, attempt: Attempt, at_us: int, next_us: int, attempts: int) -> None:
        self._outbox.mark(
            row.id,
            outcome=attempt.outcome,
            next_attempt_us=next_us,
            attempts=attempts,
            error=attempt.error,
            at_us=at_us,
        )
