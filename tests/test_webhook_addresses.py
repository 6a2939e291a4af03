"""Where a webhook may go: public addresses only, the address that was checked, TLS verified by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shutil import which

import pytest
from webhook_peer import BODY, NOW_US, Peer, endpoint, make_certificate, serving, tls, to_loopback

from monitor.actions.addresses import check_addresses, resolve_host
from monitor.actions.webhook import send
from monitor.errors import ActionError


@pytest.fixture
def peer() -> Iterator[Peer]:
    with serving() as peer:
        yield peer


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "0.0.0.0", "10.0.0.7", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.0.1"),
        *("169.254.169.254", "168.63.129.16", "224.0.0.1", "240.0.0.1", "255.255.255.255", "198.18.0.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fd00::1", "fd00:ec2::254", "ff02::1", "ff0e::1"),
        *("::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "::ffff:169.254.169.254"),
    ],
)
def test_an_address_that_is_not_public_is_blocked_before_a_byte_is_sent(peer: Peer, address: str) -> None:
    target = endpoint(peer.port, "hooks.example", "https")
    attempt = send(target, "msg_1", BODY, now_us=NOW_US, resolve=lambda *_: ["93.184.216.34", address])
    assert attempt.outcome == "retry"
    assert f"hooks.example: blocked, its address {address}" in attempt.error
    assert peer.requests == []


@pytest.mark.parametrize(
    ("host", "address", "allow"),
    [
        ("hooks.example", "93.184.216.34", ()),
        ("hooks.example", "2606:2800:220:1:248:1893:25c8:1946", ()),
        ("hooks.corp", "10.0.0.7", ("Hooks.Corp",)),
        ("hooks.corp", "10.0.0.7", ("10.0.0.0/8",)),
        ("hooks.corp", "::ffff:10.0.0.7", ("10.0.0.7",)),
        ("localhost", "::1", ()),
        ("127.0.0.5", "127.0.0.5", ()),
        ("meta", "169.254.169.254", ("169.254.169.254",)),
    ],
)
def test_public_loopback_and_listed_addresses_are_allowed(host: str, address: str, allow: tuple) -> None:
    check_addresses(host, [address], allow)


@pytest.mark.parametrize(
    ("host", "address", "allow"),
    [
        ("hooks.corp", "169.254.169.254", ("hooks.corp",)),
        ("hooks.corp", "10.1.0.7", ("10.0.0.0/16", "other.corp")),
        ("localhost", "10.0.0.1", ()),
    ],
)
def test_a_listed_name_does_not_open_metadata_nor_a_network_its_neighbours(
    host: str, address: str, allow: tuple
) -> None:
    with pytest.raises(ActionError, match="blocked"):
        check_addresses(host, [address], allow)


def test_a_name_that_cannot_be_resolved_is_tried_again() -> None:
    target = endpoint(443, "does-not-exist.invalid", "https")
    attempt = send(target, "msg_1", BODY, now_us=NOW_US)
    assert attempt.outcome == "retry"
    assert "cannot be resolved" in attempt.error
    assert "127.0.0.1" in resolve_host("localhost", 80, 2.0)


def test_the_name_is_resolved_once_and_that_address_is_used(peer: Peer) -> None:
    asked = []

    def rebinding(host: str, port: int, timeout_s: float) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    target = endpoint(peer.port, "hooks.test", allow=("hooks.test",))
    assert send(target, "msg_1", BODY, now_us=NOW_US, resolve=rebinding).outcome == "delivered"
    assert asked == ["hooks.test"]
    assert peer.requests[0][1]["host"] == f"hooks.test:{peer.port}"


@pytest.mark.skipif(which("openssl") is None, reason="needs the openssl program to make certificates")
@pytest.mark.parametrize(
    ("host", "ends", "outcome", "error"),
    [
        ("hooks.test", "20490101000000Z", "delivered", ""),
        ("hooks.test", "20200201000000Z", "retry", "certificate has expired"),
        ("other.test", "20490101000000Z", "retry", "Hostname mismatch"),
    ],
)
def test_tls_is_verified_by_name_while_the_checked_address_is_used(
    tmp_path: Path, host: str, ends: str, outcome: str, error: str
) -> None:
    certificate = make_certificate(tmp_path, ends)
    peer = Peer()
    with tls(peer, certificate) as names:
        target = endpoint(
            peer.port,
            host,
            "https",
            allow=("127.0.0.1",),
            ca_file=str(tmp_path / "cert.pem"),
            read_timeout_s=0.6,
        )
        attempt = send(target, "msg_1", BODY, now_us=NOW_US, resolve=to_loopback)
    assert attempt.outcome == outcome
    assert error in attempt.error
    assert names == [host]
    assert len(peer.requests) == (outcome == "delivered")


@pytest.mark.skipif(which("openssl") is None, reason="needs the openssl program to make certificates")
def test_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    peer = Peer()
    with tls(peer, make_certificate(tmp_path, "20490101000000Z")):
        target = endpoint(peer.port, "hooks.test", "https", allow=("hooks.test",))
        attempt = send(target, "msg_1", BODY, now_us=NOW_US, resolve=to_loopback)
    assert (attempt.outcome, peer.requests) == ("retry", [])
    assert "certificate verify failed" in attempt.error
