"""Where a webhook may go: public addresses only, the address that was checked, TLS verified by name."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from shutil import which

import pytest
from webhook_peer import BODY, NOW_US, Peer, endpoint, make_certificate, reply, serving, tls, to_loopback

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
        *("::a00:1", "::ffff:0:a00:1", "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "fec0::1", "5f00::1", "100::1"),
        *("2001:db8::1", "3fff::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "192.0.0.192", "192.88.99.1"),
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
        ("hooks.corp", "::ffff:169.254.169.254", ("hooks.corp",)),
        ("hooks.corp", "fe80::a9fe:a9fe%eth0", ("hooks.corp",)),
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


class Trap:
    """A listening socket that must never be connected to; looked at when all is over."""

    def __init__(self, address: str, port: int = 0) -> None:
        self.socket = socket.create_server(
            (address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET
        )
        self.socket.setblocking(False)
        self.port = int(self.socket.getsockname()[1])

    def untouched(self) -> bool:
        try:
            self.socket.accept()[0].close()
        except BlockingIOError:
            return True
        return False


@pytest.fixture
def traps() -> Iterator[dict[str, Trap]]:
    """Traps on every address of this machine that must not be reached; all on one port of their own."""
    first = Trap("127.0.0.1")
    found = {"127.0.0.1": first}
    own = {i[4][0] for i in socket.getaddrinfo(socket.gethostname(), None)}
    for address in {"127.0.0.2", "::1", *own} - set(found):
        try:
            found[str(address)] = Trap(str(address), first.port)
        except OSError:  # no such interface here
            continue
    yield found
    for trap in found.values():
        trap.socket.close()


def test_a_trap_notices_a_connection(traps: dict[str, Trap]) -> None:
    socket.create_connection(("127.0.0.1", traps["127.0.0.1"].port)).close()
    assert not traps["127.0.0.1"].untouched()
    assert traps["127.0.0.1"].untouched()


@pytest.mark.parametrize(
    "host",
    [
        *("127.1", "2130706433", "0x7f000001", "0", "localhost.", "127.0.0.1.nip.example"),
        *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"),
    ],
)
def test_no_connection_reaches_this_machine_however_its_address_is_written(
    traps: dict[str, Trap], host: str
) -> None:
    def resolve(name: str, port: int, timeout_s: float) -> list[str]:
        return ["127.0.0.1"] if name.endswith(".example") else resolve_host(name, port, timeout_s)

    target = endpoint(traps["127.0.0.1"].port, host, "https")
    attempt = send(target, "msg_1", BODY, now_us=NOW_US, resolve=resolve)
    assert attempt.outcome == "retry"
    assert "blocked" in attempt.error or "cannot be resolved" in attempt.error
    assert [address for address, trap in traps.items() if not trap.untouched()] == []


def test_no_connection_reaches_an_address_of_this_machine_that_a_name_has_beside_a_public_one(
    traps: dict[str, Trap],
) -> None:
    for address, trap in traps.items():
        for answer in ([address], ["93.184.216.34", address], [address, "93.184.216.34"]):
            target = endpoint(trap.port, "hooks.example", "https")
            attempt = send(target, "msg_1", BODY, now_us=NOW_US, resolve=lambda *_, answer=answer: answer)
            assert "hooks.example: blocked" in attempt.error
    assert all(trap.untouched() for trap in traps.values())


def test_a_name_that_is_rebound_after_the_check_reaches_the_address_that_was_checked(
    traps: dict[str, Trap], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answer is the one listed, every later one is the trap: as a hostile name server would."""
    asked: list[str] = []
    port, look_up = traps["127.0.0.1"].port, socket.getaddrinfo

    def rebinding(host: str, port: int, *how: int, **more: int) -> list:
        if host != "hooks.example":
            return look_up(host, port, *how, **more)
        asked.append(host)
        address = "127.0.0.9" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr("monitor.actions.addresses.socket.getaddrinfo", rebinding)
    with Trap("127.0.0.9", port).socket as listed:
        target = endpoint(port, "hooks.example", "https", allow=("127.0.0.9",))
        attempt = send(target, "msg_1", BODY, now_us=NOW_US)
        assert attempt.outcome == "retry"  # it says nothing, so TLS gets no answer
        listed.accept()[0].close()
    assert asked == ["hooks.example"]
    assert all(trap.untouched() for trap in traps.values())


def test_a_name_whose_first_answer_is_blocked_gets_no_second_chance(traps: dict[str, Trap]) -> None:
    answers = iter([["127.0.0.1"], ["93.184.216.34"], ["127.0.0.1"]])
    target = endpoint(traps["127.0.0.1"].port, "hooks.example", "https")
    attempt = send(target, "msg_1", BODY, now_us=NOW_US, resolve=lambda *_: next(answers))
    assert "blocked, its address 127.0.0.1" in attempt.error
    assert list(answers) == [["93.184.216.34"], ["127.0.0.1"]]
    assert traps["127.0.0.1"].untouched()


def test_a_redirect_into_this_machine_is_not_followed(peer: Peer, traps: dict[str, Trap]) -> None:
    for status in (301, 302, 303, 307, 308):
        peer.script = reply(status, location=f"http://127.0.0.1:{traps['127.0.0.1'].port}/latest/meta-data")
        assert send(endpoint(peer.port), "msg_1", BODY, now_us=NOW_US).outcome == "retry"
    assert len(peer.requests) == 5
    assert all(trap.untouched() for trap in traps.values())


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
