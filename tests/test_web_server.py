"""The HTTP server under pressure: a healthy scrape is answered whatever other clients do.

How fast is measured by ``benchmarks/scrape.py``; here an answer must only come before the client gives up.
"""

from __future__ import annotations

import base64
import os
import shutil
import socket
import ssl
import string
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import bcrypt
import httpx
import pytest
from web_backend import RESULTS, SNAPSHOT, MemoryBackend, result, serving

from monitor.errors import ConfigError
from monitor.web.auth import BasicAuth
from monitor.web.server import Server
from monitor.web.tls import Certificates, Tls

PATIENCE_S = 5.0


def scrape(client: httpx.Client, url: str, times: int) -> None:
    for _ in range(times):
        answer = client.get(url + "/metrics")
        assert answer.status_code == 200
        assert "model_monitor_accuracy" in answer.text


def assert_scrapes(url: str, **options: object) -> None:
    """Scrape over fresh connections, as after a restart of Prometheus."""
    with ExitStack() as stack:
        for _ in range(10):
            client = stack.enter_context(httpx.Client(timeout=PATIENCE_S, **options))  # type: ignore[arg-type]
            scrape(client, url, 3)


@contextmanager
def connections(server: Server, count: int) -> Iterator[list[socket.socket]]:
    opened: list[socket.socket] = []
    try:
        opened.extend(socket.create_connection(server.address, timeout=5) for _ in range(count))
        yield opened
    finally:
        for sock in opened:
            sock.close()


def is_closed(sock: socket.socket, within_s: float) -> bool:
    sock.settimeout(within_s)
    try:
        return not sock.recv(1)
    except TimeoutError:
        return False
    except OSError:
        return True


def test_a_thousand_idle_connections_do_not_slow_a_scrape() -> None:
    with serving(MemoryBackend()) as server, connections(server, 1_000) as idle:
        assert_scrapes(server.url)
        closed = sum(is_closed(sock, 0.001) for sock in idle[:550])
        assert closed == 550  # the table holds 400: the oldest gave way


@pytest.mark.slow
def test_clients_that_drip_a_head_are_cut_off_and_slow_nobody() -> None:
    with serving(MemoryBackend(), head_s=1.5) as server, connections(server, 200) as slow:
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(0.1):
                for sock in slow:
                    try:
                        sock.send(b"GET /metrics HTTP/1.1\r\nX: "[:1])
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        assert_scrapes(server.url)
        time.sleep(1.6)
        stop.set()
        thread.join()
        assert all(is_closed(sock, 0.2) for sock in slow)


def test_an_idle_connection_keeps_its_place_while_it_is_used() -> None:
    with serving(MemoryBackend(), head_s=0.3) as server, httpx.Client() as client:
        for _ in range(3):
            scrape(client, server.url, 1)
            time.sleep(0.4)  # longer than a head may take, shorter than a connection may idle
        opened = client._transport._pool.connections  # type: ignore[attr-defined]
        assert len(opened) == 1


@pytest.mark.slow
def test_clients_that_take_no_answer_hold_up_nobody() -> None:
    many = tuple(result("accuracy", i / 7, segment=f"city={i}") for i in range(15_000))
    backend = MemoryBackend(replace(SNAPSHOT, results=RESULTS + many))
    with serving(backend, max_connections=100) as server, connections(server, 99) as deaf:
        httpx.get(server.url + "/metrics")  # render once
        for sock in deaf:
            sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.5)
        with httpx.Client(timeout=PATIENCE_S) as client:
            scrape(client, server.url, 5)


def test_the_one_who_waits_longest_gives_way_even_when_all_are_busy() -> None:
    backend = MemoryBackend()
    backend.hold = threading.Event()
    with serving(backend, max_connections=5) as server, connections(server, 5) as busy:
        for sock in busy:
            sock.sendall(b"GET /api/v1/results?window=all HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.2)
        assert httpx.get(server.url + "/-/healthy").status_code == 200
        assert is_closed(busy[0], 1)
        backend.hold.set()


def test_a_head_beyond_16_kib_is_refused() -> None:
    with serving(MemoryBackend()) as server, connections(server, 1) as (sock,):
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000)
        assert sock.recv(100).startswith(b"HTTP/1.1 400")


def test_an_address_in_use_or_malformed_is_a_config_error_that_says_so() -> None:
    taken = r"server\.listen: cannot listen on .*in use"
    with serving(MemoryBackend()) as server, pytest.raises(ConfigError, match=taken):
        Server(f"127.0.0.1:{server.address[1]}", lambda *_: None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="write host:port"):
        Server("9108", lambda *_: None)  # type: ignore[arg-type]


def test_stopping_frees_the_port_within_a_second_with_connections_open() -> None:
    backend = MemoryBackend()
    with serving(backend) as server, connections(server, 50):
        port = server.address[1]
        began = time.perf_counter()
        server.stop()
        assert time.perf_counter() - began < 1.0
    again = Server(f"127.0.0.1:{port}", lambda *_: None)  # type: ignore[arg-type]
    again.stop()


# --- TLS -------------------------------------------------------------------------------------------------


def make_certificate(folder: Path, name: str) -> Tls:
    openssl = shutil.which("openssl")
    if openssl is None:
        assert not os.environ.get("CI"), "openssl is needed in CI"
        pytest.skip("needs the openssl command")
    tls = Tls(folder / "cert.pem", folder / "key.pem")
    command = f"""req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={name}
        -addext subjectAltName=IP:127.0.0.1 -keyout {tls.key_file} -out {tls.cert_file}"""
    subprocess.run([openssl, *command.split()], check=True, capture_output=True, timeout=30)
    return tls


def trusting(tls: Tls) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(tls.cert_file))


@pytest.mark.slow
def test_silent_tls_clients_do_not_slow_a_scrape_and_are_cut_off(tmp_path: Path) -> None:
    tls = make_certificate(tmp_path, "one")
    backend = MemoryBackend()
    with serving(backend, tls=tls, head_s=2.0) as server, connections(server, 300) as silent:
        assert_scrapes(server.url, verify=trusting(tls))
        time.sleep(2.0)
        assert all(is_closed(sock, 0.2) for sock in silent)


def test_a_full_table_of_unfinished_handshakes_gives_way(tmp_path: Path) -> None:
    tls = make_certificate(tmp_path, "one")
    with serving(MemoryBackend(), tls=tls, max_connections=20) as server, connections(server, 60) as silent:
        assert_scrapes(server.url, verify=trusting(tls))
        assert all(is_closed(sock, 0.2) for sock in silent[:40])


def test_a_renewed_certificate_is_served_without_a_restart(tmp_path: Path) -> None:
    tls = make_certificate(tmp_path, "old")
    with serving(MemoryBackend(), tls=tls) as server:
        old = trusting(tls)
        assert httpx.get(server.url + "/-/healthy", verify=old).status_code == 200
        tls.key_file.write_text("half written")
        assert httpx.get(server.url + "/-/healthy", verify=old).status_code == 200
        make_certificate(tmp_path, "new")
        assert httpx.get(server.url + "/-/healthy", verify=trusting(tls)).status_code == 200
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(server.url + "/-/healthy", verify=old)


def test_tls_is_at_least_1_2_and_unusable_files_are_named(tmp_path: Path) -> None:
    tls = make_certificate(tmp_path, "one")
    assert Certificates(tls).context().minimum_version is ssl.TLSVersion.TLSv1_2
    with pytest.raises(ConfigError, match=r"server\.tls: .*none\.pem"):
        Certificates(replace(tls, cert_file=tmp_path / "none.pem"))


# --- passwords -------------------------------------------------------------------------------------------

USERS = {"prometheus": bcrypt.hashpw(b"right", bcrypt.gensalt(10)).decode()}


def status(url: str, user: str, password: str) -> int:
    return httpx.get(url + "/-/healthy", auth=(user, password)).status_code


def test_only_a_known_user_with_the_right_password_is_let_in() -> None:
    with serving(MemoryBackend(), basic_auth=USERS) as server:
        assert status(server.url, "prometheus", "right") == 200
        assert status(server.url, "prometheus", "wrong") == 401
        assert status(server.url, "nobody", "right") == 401
        assert status(server.url, "prometheus", "right" + "x" * 72) == 401
        bare = httpx.get(server.url + "/metrics")
        assert (bare.status_code, bare.headers["www-authenticate"][:5]) == (401, "Basic")
        for header in ("Basic", "Basic %%%", "Bearer x", "Basic " + base64.b64encode(b"nocolon").decode()):
            assert httpx.get(server.url, headers={"Authorization": header}).status_code == 401


def test_a_password_flood_is_limited_and_a_scraper_that_is_known_is_let_in() -> None:
    with serving(MemoryBackend(), basic_auth=USERS) as server:
        auth = httpx.BasicAuth("prometheus", "right")
        with httpx.Client(auth=auth) as known:
            scrape(known, server.url, 1)
            answers: list[int] = []
            stop = threading.Event()

            def flood(n: int) -> None:
                with httpx.Client() as client:
                    while not stop.is_set():
                        guess = client.get(server.url + "/metrics", auth=("prometheus", f"guess{n}"))
                        answers.append(guess.status_code)

            threads = [threading.Thread(target=flood, args=(n,)) for n in range(4)]
            for thread in threads:
                thread.start()
            for _ in range(15):
                time.sleep(0.1)
                scrape(known, server.url, 2)
            stop.set()
            for thread in threads:
                thread.join()
    assert set(answers) == {401, 429}
    assert answers.count(401) <= 10  # what the buckets let through to bcrypt in a few seconds


def test_an_unknown_user_costs_as_much_time_as_a_known_one() -> None:
    with serving(MemoryBackend(), basic_auth=USERS) as server, httpx.Client() as client:

        def taken(user: str) -> float:
            began = time.perf_counter()
            assert client.get(server.url + "/-/healthy", auth=(user, "guess")).status_code == 401
            return time.perf_counter() - began

        client.get(server.url)
        known, unknown = (min(taken(user) for _ in range(2)) for user in ("prometheus", "nobody"))
    assert known > 0.01  # bcrypt of cost 10 takes tens of milliseconds
    assert 0.5 < unknown / known < 2.0


def test_a_login_is_forgotten_when_its_password_changes() -> None:
    with serving(MemoryBackend(), basic_auth=USERS) as server:
        assert status(server.url, "prometheus", "right") == 200
        server.set_users({"prometheus": bcrypt.hashpw(b"newer", bcrypt.gensalt(4)).decode()})
        assert status(server.url, "prometheus", "right") == 401
        assert status(server.url, "prometheus", "newer") == 200


def test_what_is_no_bcrypt_hash_is_a_config_error_without_showing_it() -> None:
    with pytest.raises(ConfigError, match=r"server\.basic_auth\.anna: no bcrypt hash") as caught:
        BasicAuth(lambda *_: None, {"anna": "plain-secret"})  # type: ignore[arg-type]
    assert "plain-secret" not in str(caught.value)


def test_a_hash_is_taken_when_bcrypt_itself_takes_it_and_is_whole() -> None:
    alphabet = "./" + string.ascii_letters + string.digits
    good = bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode()
    salts = [
        good[:28] + last + good[29:] for last in alphabet
    ]  # of the last character only two bits are salt
    heads = [head + good[len(head) :] for head in ("$2a$", "$2x$", "$2y$", "$2c$", "$2b$03", "$2b$32", "$1")]
    broken = (good[:-1], good + ".", good[:-1] + "!")  # bcrypt takes these, and then no password is right
    for text in (*salts, *heads, *broken):
        try:
            taken = not bcrypt.checkpw(b"another", text.encode()) and text not in broken
        except ValueError:
            taken = False
        if taken:
            BasicAuth(lambda *_: None, {"anna": text})  # type: ignore[arg-type]
            continue
        with pytest.raises(ConfigError, match="no bcrypt hash"):
            BasicAuth(lambda *_: None, {"anna": text})  # type: ignore[arg-type]
