"""The relay: order, back-off, breakers and crashes, with real servers and a clock moved by hand."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from webhook_peer import NOW_US, SECRET, Peer, assert_signed, closed_port, endpoint, hang, reply, serving

from monitor.actions import OutboxRow
from monitor.actions.breaker import OPEN_AFTER
from monitor.actions.memory import MemoryOutbox
from monitor.actions.relay import REPEAT, SCHEDULE_US, Pace, Relay
from monitor.actions.webhook import Attempt, Endpoint
from monitor.time import HOUR_US, MINUTE_US, SECOND_US, ManualClock


@pytest.fixture
def peer() -> Iterator[Peer]:
    with serving() as peer:
        yield peer


def row(number: int, action: str = "pipeline", model: str = "credit") -> OutboxRow:
    body = b'{"number": %d, "model": "%s"}' % (number, model.encode())
    return OutboxRow(
        f"msg_{action}_{model}_{number}", model, "retrain", action, body, NOW_US, next_attempt_us=NOW_US
    )


class Desk:
    """A relay over an outbox in memory, a clock moved by hand, and the attempts it reported."""

    def __init__(self, rows: list[OutboxRow], **endpoints: Endpoint) -> None:
        self.outbox = MemoryOutbox(rows)
        self.clock = ManualClock(NOW_US)
        self.attempts: list[tuple[str, Attempt]] = []
        self.relay = Relay(self.outbox, endpoints, self.clock, random.Random(7), self.saw)

    def saw(self, row: OutboxRow, attempt: Attempt) -> None:
        self.attempts.append((row.id, attempt))

    def round(self, after_s: float = 0.0) -> int:
        self.clock.advance(after_s)
        return self.relay.run_once(self.clock.now_us())

    def only(self) -> OutboxRow:
        [row] = self.outbox.rows.values()
        return row


def test_a_failed_message_is_sent_again_with_the_same_id_and_body_and_a_new_timestamp(peer: Peer) -> None:
    desk = Desk([row(1)], pipeline=endpoint(peer.port))
    peer.script = reply(500)
    assert desk.round() == 1
    assert desk.outbox.states == {"msg_pipeline_credit_1": "pending"}
    assert "answered 500" in desk.only().last_error
    peer.script = reply(200)
    assert desk.round(after_s=5) == 1
    assert desk.round(after_s=1_000) == 0
    assert desk.outbox.states == {"msg_pipeline_credit_1": "delivered"}
    assert desk.only().last_error == ""
    (_, first, body), (_, second, again) = peer.requests
    assert body == again
    assert first["webhook-id"] == second["webhook-id"] == "msg_pipeline_credit_1"
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 5
    for headers in (first, second):
        assert_signed(headers, body)


def test_retries_follow_the_schedule_with_full_jitter_and_end_in_a_dead_letter() -> None:
    hours = [0, 5 / 3600, 5 / 60, 0.5, 2, 5, 10, 14, 20, 24]
    assert list(SCHEDULE_US) == [round(h * HOUR_US) for h in hours]
    desk = Desk([row(1)], pipeline=endpoint(closed_port()))
    shares = []
    for attempt in range(1, 10):
        assert desk.round() == 1
        wait_us = desk.only().next_attempt_us - desk.clock.now_us()
        shares.append(wait_us / (hours[attempt] * HOUR_US))
        assert desk.round() == 0
        desk.clock.advance(wait_us / SECOND_US)
    assert all(0 <= share <= 1 for share in shares)
    assert min(shares) < 0.3
    assert max(shares) > 0.6
    assert desk.round() == 1
    assert desk.outbox.states == {"msg_pipeline_credit_1": "dead"}
    assert "given up after 10 attempts" in desk.only().last_error
    assert desk.attempts[-1][1].outcome == "dead"
    assert desk.outbox.pending() == 0


@pytest.mark.parametrize("value", ["7200", "date"])
def test_retry_after_holds_the_message_back(peer: Peer, value: str) -> None:
    desk = Desk([row(1)], pipeline=endpoint(peer.port))
    date = formatdate(NOW_US // SECOND_US + 7_200, usegmt=True)
    peer.script = reply(429, retry_after=date if value == "date" else value)
    desk.round()
    assert desk.only().next_attempt_us - NOW_US == pytest.approx(7_200 * SECOND_US, abs=SECOND_US)
    assert desk.round(after_s=7_190) == 0
    peer.script = reply(200)
    assert desk.round(after_s=20) == 1
    assert desk.outbox.pending() == 0


def test_an_endpoint_that_names_a_time_is_left_alone_until_then_by_every_message(peer: Peer) -> None:
    desk = Desk([row(1, model=m) for m in ("a", "b")], pipeline=endpoint(peer.port))
    peer.script = reply(429, retry_after="60")
    assert desk.round() == 1
    peer.script = reply(200)
    assert desk.round(after_s=59) == 0
    assert desk.round(after_s=2) == 2


def test_a_refused_message_is_dead_and_the_next_one_goes_out(peer: Peer) -> None:
    desk = Desk([row(1), row(2)], pipeline=endpoint(peer.port))
    peer.script = lambda handler: reply(422 if len(peer.requests) == 1 else 200)(handler)
    assert desk.round() == 2
    assert list(desk.outbox.states.values()) == ["dead", "delivered"]
    desk.outbox.retry("msg_pipeline_credit_1", desk.clock.now_us())
    assert desk.round() == 1
    assert list(desk.outbox.states.values()) == ["delivered", "delivered"]


def test_410_stops_the_action_until_somebody_retries(peer: Peer) -> None:
    desk = Desk([row(1), row(2, model="fraud")], pipeline=endpoint(peer.port))
    peer.script = reply(410)
    assert desk.round() == 1
    assert desk.round(after_s=10**6) == 0
    assert sorted(desk.outbox.states.values()) == ["disabled", "pending"]
    assert desk.outbox.pending() == 2
    peer.script = reply(200)
    desk.outbox.retry("msg_pipeline_credit_1", desk.clock.now_us())
    assert desk.round() == 2
    assert desk.outbox.pending() == 0


def test_order_is_kept_for_each_rule_while_others_go_on(peer: Peer) -> None:
    def fail_credit(handler: BaseHTTPRequestHandler) -> None:
        reply(500 if b'"credit"' in peer.requests[-1][2] else 200)(handler)

    rows = [row(n, model=m) for n in range(3) for m in ("fraud", "credit")]
    desk = Desk(rows, pipeline=endpoint(peer.port))
    peer.script = fail_credit
    while desk.round():
        pass
    assert [i for i, state in desk.outbox.states.items() if state == "delivered"] == [
        f"msg_pipeline_fraud_{n}" for n in range(3)
    ]
    peer.script = reply(200)
    peer.requests.clear()
    desk.clock.advance(5)
    while desk.round():
        pass
    assert [headers["webhook-id"] for _, headers, _ in peer.requests] == [
        f"msg_pipeline_credit_{n}" for n in range(3)
    ]


def test_an_open_breaker_lets_one_probe_through_a_minute_and_drops_nothing(peer: Peer) -> None:
    rows = [row(1, model=f"m{n:02}") for n in range(20)]
    desk = Desk(rows, pipeline=endpoint(peer.port), other=endpoint(peer.port))
    peer.script = reply(503)
    for _ in range(50):
        desk.round()
    assert len(peer.requests) == OPEN_AFTER
    assert sum(r.attempts == 0 for r in desk.outbox.rows.values()) == 15
    for minute in range(1, 4):
        desk.clock.advance(60)
        while desk.round():
            pass
        assert len(peer.requests) == OPEN_AFTER + minute
    desk.outbox.add(row(9, action="other"))
    peer.script = reply(200)
    assert desk.round() == 1  # another endpoint has a breaker of its own
    desk.clock.advance(HOUR_US / SECOND_US)
    while desk.round():
        pass
    assert desk.outbox.pending() == 0
    assert set(desk.outbox.states.values()) == {"delivered"}


def test_an_hour_of_outage_is_survived_with_every_message_in_order(peer: Peer) -> None:
    rows = [row(n, model=m) for n in range(3) for m in "abc"]
    desk = Desk(rows, pipeline=endpoint(peer.port))
    peer.script = reply(502)
    for minute in range(24 * 60):
        if minute == 60:
            peer.script = reply(200)
            peer.requests.clear()
        desk.round(after_s=60)
    assert set(desk.outbox.states.values()) == {"delivered"}
    for model in "abc":
        sent = [h["webhook-id"] for _, h, b in peer.requests if f'"{model}"'.encode() in b]
        assert sent == [f"msg_pipeline_{model}_{n}" for n in range(3)]


def test_a_hanging_endpoint_delays_the_others_by_its_deadline_at_most(peer: Peer) -> None:
    with serving() as slow:
        slow.script = hang
        rows = [row(n, action="slow", model=f"m{n}") for n in range(10)] + [row(n) for n in range(3)]
        desk = Desk(rows, slow=endpoint(slow.port), pipeline=endpoint(peer.port))
        started_s = time.monotonic()
        desk.round()
        took_s = time.monotonic() - started_s
    assert len(slow.requests) == 1
    assert desk.outbox.states["msg_pipeline_credit_0"] == "delivered"
    assert took_s < 2.0  # ten hanging ones after another would take 3 s


def test_a_message_to_an_unknown_action_is_kept_as_it_is() -> None:
    desk = Desk([row(1)], pager=endpoint(closed_port()))
    assert desk.round() == 0
    assert (desk.only().attempts, desk.outbox.pending()) == (0, 1)


def test_a_crash_between_send_and_mark_sends_the_same_message_again(peer: Peer) -> None:
    class Crashing(MemoryOutbox):
        crashes = 1

        def mark(self, row_id: str, **changes: Any) -> None:
            if self.crashes:
                self.crashes -= 1
                raise OSError("no space left on device")
            super().mark(row_id, **changes)

    desk = Desk([], pipeline=endpoint(peer.port))
    outbox = Crashing([row(1)])
    relay = Relay(outbox, desk.relay.endpoints, desk.clock, random.Random(1))
    with pytest.raises(OSError, match="no space"):
        relay.run_once(NOW_US)
    assert relay.run_once(NOW_US) == 1
    (_, first, body), (_, second, again) = peer.requests
    assert (first["webhook-id"], body) == (second["webhook-id"], again)
    assert set(outbox.states.values()) == {"delivered"}


def test_while_nothing_can_be_marked_sending_stops_soon(peer: Peer) -> None:
    class Full(MemoryOutbox):
        def mark(self, row_id: str, **changes: Any) -> None:
            raise OSError("no space left on device")

    outbox = Full([row(1, model=f"m{n}") for n in range(200)])
    relay = Relay(outbox, {"pipeline": endpoint(peer.port)}, ManualClock(NOW_US), random.Random(1))
    with pytest.raises(OSError, match="no space"):
        relay.run_once(NOW_US)
    assert 1 <= len(peer.requests) < 100


def test_many_messages_through_a_faulty_receiver_are_all_delivered_and_verify(peer: Peer) -> None:
    chance = random.Random(3)

    def faulty(handler: BaseHTTPRequestHandler) -> None:
        draw = chance.random()
        if draw < 0.1:
            return  # received, but the answer is lost
        reply(503 if draw < 0.2 else 200)(handler)

    rows = [row(n, model=f"m{n % 7}") for n in range(150)]
    desk = Desk(rows, pipeline=endpoint(peer.port))
    peer.script = faulty
    for _ in range(2_000):
        if not desk.outbox.pending():
            break
        if not desk.round():
            desk.clock.advance(60)
    assert set(desk.outbox.states.values()) == {"delivered"}
    seen = Counter(headers["webhook-id"] for _, headers, _ in peer.requests)
    assert set(seen) == {r.id for r in rows}
    assert max(seen.values()) > 1
    bodies = {r.id: r.body for r in rows}
    for _, headers, body in peer.requests:
        assert bodies[headers["webhook-id"]] == body
        assert_signed(headers, body)


def test_the_loop_survives_a_failing_store_and_stops_when_told(
    peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:

    class Failing(MemoryOutbox):
        failures = 2

        def due(self, now_us: int, limit: int, actions: Collection[str]) -> list[OutboxRow]:
            if self.failures:
                self.failures -= 1
                raise OSError("disk is full")
            return super().due(now_us, limit, actions)

    outbox, stop = Failing([row(1), row(2)]), threading.Event()
    relay = Relay(
        outbox,
        {"pipeline": endpoint(peer.port)},
        ManualClock(NOW_US),
        random.Random(1),
        pace=Pace(poll_s=0.01),
    )
    thread = threading.Thread(target=relay.run, args=(stop,))
    thread.start()
    until_s = time.monotonic() + 5
    while outbox.pending() and time.monotonic() < until_s:
        time.sleep(0.01)
    stop.set()
    thread.join(2)
    assert not thread.is_alive()
    assert set(outbox.states.values()) == {"delivered"}
    assert [r.levelname for r in caplog.records] == ["ERROR", "ERROR"]
    assert SECRET not in caplog.text


def standing(*bodies: bytes) -> Callable[[str, int], list[bytes]]:
    return lambda name, now_us: list(bodies)


def repeating(peer: Peer, rows: list[OutboxRow], *bodies: bytes) -> Desk:
    """Return a desk whose endpoint ``am`` wants what stands every minute."""
    desk = Desk(rows)
    ends = {"am": replace(endpoint(peer.port), name="am", repeat_every_us=MINUTE_US)}
    desk.relay = Relay(
        desk.outbox, ends, desk.clock, random.Random(7), desk.saw, standing=standing(*bodies)
    )  # fmt: skip
    return desk


def test_what_stands_is_posted_at_once_and_again_every_minute_and_fills_no_outbox(peer: Peer) -> None:
    desk = repeating(peer, [], b"[1]", b"[2]")
    counts = [desk.round()] + [desk.round(after_s=30) for _ in range(4)]
    assert counts == [2, 0, 2, 0, 2]
    assert [body for _, _, body in peer.requests] == [b"[1]", b"[2]"] * 3
    assert (desk.outbox.rows, desk.outbox.marks) == ({}, [])
    assert {id for id, _ in desk.attempts} == {REPEAT}


def test_what_stands_is_said_before_what_has_changed_since_it_was_read(peer: Peer) -> None:
    desk = repeating(peer, [row(1, action="am")], b"[]")
    assert desk.round() == 2
    assert [headers["webhook-id"] for _, headers, _ in peer.requests] == [REPEAT, "msg_am_credit_1"]


def test_a_repeat_that_fails_is_not_kept_and_holds_the_endpoints_messages_back(peer: Peer) -> None:
    desk = repeating(peer, [row(1, action="am")], b"[1]", b"[2]")
    peer.script = reply(503)
    assert desk.round() == 1
    peer.script = reply(200)
    assert desk.round() == 1  # the message; the next repeat is a minute away
    assert desk.round(after_s=60) == 2
    assert [outcome for _, outcome in desk.outbox.marks] == ["delivered"]


def test_an_open_breaker_is_probed_by_repeats_once_a_minute(peer: Peer) -> None:
    desk = repeating(peer, [], b"[1]", b"[2]")
    peer.script = reply(503)
    for _ in range(OPEN_AFTER):
        desk.round(after_s=60)
    assert [desk.round(after_s=20) for _ in range(6)] == [0, 0, 1, 0, 0, 1]
