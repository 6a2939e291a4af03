"""One webhook attempt against real local servers: what is sent, what answers mean, what is never reached."""

from __future__ import annotations

import gzip
import socket
import time
import tracemalloc
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from webhook_peer import (
    BODY,
    NOW_US,
    SECRET,
    Peer,
    Script,
    assert_signed,
    closed_port,
    drip_body,
    drip_head,
    endless_head,
    endpoint,
    hang,
    nonsense,
    reply,
    serving,
)

from monitor.actions.payload import ALERT
from monitor.actions.receiver import describe, receiving
from monitor.actions.samples import samples
from monitor.actions.signing import new_secret
from monitor.actions.webhook import Attempt, Endpoint, parse_retry_after, send
from monitor.errors import ActionError


@pytest.fixture
def peer() -> Iterator[Peer]:
    with serving() as peer:
        yield peer


def post(peer: Peer, **changes: object) -> Attempt:
    return send(endpoint(peer.port, **changes), "msg_1", BODY, now_us=NOW_US)  # type: ignore[arg-type]


def test_the_request_is_exactly_the_signed_bytes_and_the_reference_library_accepts_it(peer: Peer) -> None:
    assert post(peer).outcome == "delivered"
    [(path, headers, body)] = peer.requests
    assert path == "/hooks/retrain?token=hidden"
    assert body == BODY
    assert headers["host"] == f"127.0.0.1:{peer.port}"
    assert headers["content-type"] == "application/json"
    assert headers["webhook-id"] == "msg_1"
    assert headers["webhook-timestamp"] == str(NOW_US // 1_000_000)
    assert_signed(headers, body)


def test_secrets_are_read_for_each_attempt_and_old_and_new_both_sign(peer: Peer) -> None:
    secrets = [SECRET]
    target = Endpoint("p", f"http://127.0.0.1:{peer.port}/", lambda: list(secrets))
    other = new_secret()
    send(target, "msg_1", BODY, now_us=NOW_US)
    secrets.append(other)
    send(target, "msg_1", BODY, now_us=NOW_US)
    (_, first, _), (_, second, _) = peer.requests
    assert len(first["webhook-signature"].split(" ")) == 1
    for secret in (SECRET, other):
        assert_signed(second, BODY, secret)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((s, "delivered") for s in (200, 201, 204, 299)),
        *((s, "retry") for s in (302, 307, 429, 500, 502, 503, 504)),
        *((s, "dead") for s in (400, 401, 403, 404, 422)),
        (410, "disabled"),
    ],
)
def test_the_status_decides_the_outcome(peer: Peer, status: int, outcome: str) -> None:
    peer.script = reply(status)
    attempt = post(peer)
    assert (attempt.outcome, attempt.status) == (outcome, status)
    assert (attempt.error == "") is (outcome == "delivered")
    assert outcome == "delivered" or str(status) in attempt.error


def test_redirects_are_never_followed(peer: Peer) -> None:
    peer.script = reply(302, location=f"http://127.0.0.1:{peer.port}/elsewhere")
    assert "not followed" in post(peer).error
    assert len(peer.requests) == 1


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("120", 120.0),
        (formatdate(NOW_US // 1_000_000 + 90, usegmt=True), 90.0 - NOW_US % 1_000_000 / 1e6),
        (formatdate(0, usegmt=True), 0.0),
        ("9" * 400, 86_400.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400.0),
        ("-5", None),
        ("soon", None),
        ("²", None),
        ("Fri, 99 Dec 2023 23:59:59 GMT", None),
    ],
    ids=["seconds", "date", "past", "endless", "far", "negative", "word", "superscript", "no-such-day"],
)
def test_retry_after_is_read_in_both_forms_and_capped_at_a_day(
    peer: Peer, header: str, wait_s: float | None
) -> None:
    if header.isascii():
        peer.script = reply(429, retry_after=header)
        assert post(peer).retry_after_s == (None if wait_s is None else pytest.approx(wait_s, abs=1e-3))
    assert parse_retry_after(header, NOW_US) == (None if wait_s is None else pytest.approx(wait_s, abs=1e-3))
    assert parse_retry_after(None, NOW_US) is None


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        (hang, "retry"),
        (drip_head, "retry"),
        (drip_body, "delivered"),
        (nonsense, "retry"),
        (endless_head, "retry"),
        (lambda handler: None, "retry"),
    ],
)
def test_a_bad_peer_costs_at_most_the_deadline(peer: Peer, script: Script, outcome: str) -> None:
    peer.script = script
    started_s = time.monotonic()
    attempt = post(peer)
    assert attempt.outcome == outcome
    assert time.monotonic() - started_s < 2.0  # the deadline is 0.6 s; hanging and dripping take 3 s or more
    assert SECRET not in attempt.error
    assert len(attempt.error) < 300


def test_the_total_deadline_cuts_a_longer_read_timeout(peer: Peer) -> None:
    peer.script = hang  # for 3 s
    attempt = post(peer, read_timeout_s=10.0, total_timeout_s=0.2)
    assert (attempt.outcome, attempt.duration_s < 2.0) == ("retry", True)


def test_of_a_gigabyte_answer_at_most_64_kb_are_read(peer: Peer) -> None:
    taken = 0

    def gigabyte(handler: BaseHTTPRequestHandler) -> None:
        nonlocal taken
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        handler.send_response(200)
        handler.send_header("content-length", str(2**30))
        handler.end_headers()
        for _ in range(2**14):
            handler.wfile.write(bytes(2**16))
            taken += 2**16

    peer.script = gigabyte
    attempt = post(peer)
    assert attempt.outcome == "delivered"
    assert taken < 16 * 2**20  # what the kernel's buffers swallowed; far from 1 GB


def test_a_closed_port_is_tried_again_later() -> None:
    attempt = send(endpoint(closed_port()), "msg_1", BODY, now_us=NOW_US)
    assert attempt.outcome == "retry"
    assert "refused" in attempt.error


@pytest.mark.parametrize(
    "secrets",
    [lambda: [], lambda: ["whsec_short"], lambda: Path("/nonexistent/" + SECRET[6:12]).read_text()],
)
def test_a_missing_secret_is_a_failed_attempt_that_sends_nothing(peer: Peer, secrets: Callable) -> None:
    target = Endpoint("p", f"http://127.0.0.1:{peer.port}/", secrets)
    attempt = send(target, "msg_1", BODY, now_us=NOW_US)
    assert attempt.outcome == "retry"
    assert SECRET[6:12] not in attempt.error
    assert peer.requests == []


def test_further_headers_are_sent_but_never_replace_our_own(peer: Peer) -> None:
    extra = {"Authorization": "Bearer t0ken", "Webhook-Id": "forged", "Content-Type": "text/html"}
    assert post(peer, headers=lambda: extra).outcome == "delivered"
    headers = peer.requests[0][1]
    assert headers["authorization"] == "Bearer t0ken"
    assert (headers["webhook-id"], headers["content-type"]) == ("msg_1", "application/json")


def test_an_api_that_knows_no_signatures_gets_none_by_the_method_and_type_it_wants(peer: Peer) -> None:
    attempt = post(peer, signed=False, method="PUT", content_type="text/plain")
    assert attempt.outcome == "delivered"
    [(_, headers, body)] = peer.requests
    assert peer.methods == ["PUT"]
    assert (headers["content-type"], body) == ("text/plain", BODY)
    assert not [name for name in headers if name.startswith("webhook-")]


def test_a_status_that_is_accepted_means_delivered(peer: Peer) -> None:
    peer.script = reply(409)
    assert post(peer).outcome == "dead"
    assert post(peer, accepted=frozenset({409})).outcome == "delivered"


def test_a_body_that_would_unpack_to_gigabytes_is_not_unpacked(peer: Peer) -> None:
    bomb = gzip.compress(bytes(50 * 2**20))  # 50 KB

    def packed(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-encoding", "gzip")
        handler.send_header("content-length", str(len(bomb)))
        handler.end_headers()
        handler.wfile.write(bomb)

    peer.script = packed
    tracemalloc.start()
    assert post(peer).outcome == "delivered"
    assert tracemalloc.get_traced_memory()[1] < 5 * 2**20
    tracemalloc.stop()


def test_user_info_becomes_basic_auth_and_stays_out_of_texts(peer: Peer) -> None:
    target = Endpoint("p", f"http://bob:p%40ss@127.0.0.1:{peer.port}/?token=hidden", lambda: [SECRET])
    peer.script = reply(500)
    attempt = send(target, "msg_1", BODY, now_us=NOW_US)
    assert peer.requests[0][1]["authorization"] == "Basic Ym9iOnBAc3M="  # bob:p@ss
    for text in (repr(target), attempt.error):
        assert not any(part in text for part in ("bob", "p%40ss", "p@ss", "hidden", SECRET))


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://example.org/?k=hidden", "http is allowed only to a loopback host"),
        ("ftp://bob:hidden@example.org/", "its scheme is 'ftp'"),
        ("https:///hidden", "must be https://host"),
        ("https://a:hidden/", "is not a URL"),
        ("/hidden", "must be https://host"),
    ],
)
def test_other_urls_are_refused_without_repeating_their_secrets(url: str, sentence: str) -> None:
    with pytest.raises(ActionError, match=r"actions\.pipeline\.url") as caught:
        Endpoint("pipeline", url, lambda: [SECRET])
    assert sentence in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_proxies_in_the_environment_are_ignored(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    assert post(peer).outcome == "delivered"


def test_the_receiver_shows_each_signed_request_once_and_refuses_others() -> None:
    body = (
        b'{"type":"model_monitor.retrain","data":{"model":"credit","window":{"start":"a","end":"b"},'
        b'"reason":[{"alert":"drift","metric":"psi","feature":"income","value":0.31,"bound":0.2}]}}'
    )
    got: list = []
    with receiving(SECRET, got.append) as url:
        good = Endpoint("p", url, lambda: [new_secret(), SECRET])
        bad = Endpoint("p", url, lambda: [new_secret()])
        now_us = time.time_ns() // 1_000
        statuses = [
            send(target, "msg_1", body, now_us=at).status
            for target, at in [(good, now_us), (good, now_us), (bad, now_us), (good, now_us - 10**9)]
        ]
    assert statuses == [204, 204, 401, 401]
    assert [describe(message) for message in got] == [
        "retrain request for model 'credit', window a – b\n  drift: psi feature=income is 0.31, bound 0.2"
    ]


def test_the_receiver_describes_alerts_too() -> None:
    firing, _ = samples(ALERT)
    assert describe(firing) == (
        "alert income-drift of 'model-monitor-test' is firing: psi of income is 0.31, the bound is 0.2"
    )
