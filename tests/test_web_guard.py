"""Logins, writes and headers: exporter-toolkit's file, probes without a password, no write from elsewhere."""

from __future__ import annotations

import asyncio
import shutil
import signal
import ssl
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import pytest
from daemon_process import running, until
from starlette.responses import PlainTextResponse
from test_web_server import make_certificate
from web_backend import MemoryBackend, serving

from monitor import config
from monitor.errors import ConfigError
from monitor.web.auth import BasicAuth
from monitor.web.guard import Guard

USERS = {"prometheus": bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()}
MODEL = """
sources: {logs: {kind: files}}
models:
  - name: credit
    task: binary
    predictions: {source: logs, path: p.jsonl}
    features: {age: numeric}
    window: {size: 1h}
"""


def asked(client: tuple[str, int], method: str, users: dict[str, str]) -> tuple[int, dict[bytes, bytes]]:
    """Ask the guard directly, as uvicorn would for a client at this address."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    app = PlainTextResponse("done")
    scope = {"type": "http", "method": method, "path": "/-/reload", "headers": [], "client": client}
    asyncio.run(Guard(app, BasicAuth(app, users))(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"])


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("::1", 200),
        ("::ffff:127.0.0.1", 200),
        ("10.0.0.7", 403),
        ("2001:db8::1", 403),
        ("", 403),
    ],
)
def test_without_users_only_this_machine_may_write(host: str, status: int) -> None:
    assert asked((host, 4000), "POST", {})[0] == status


def test_with_users_a_write_needs_a_login_wherever_it_comes_from() -> None:
    assert asked(("10.0.0.7", 4000), "POST", USERS)[0] == 401
    assert asked(("127.0.0.1", 4000), "POST", USERS)[0] == 401


def test_every_answer_has_security_headers_and_the_page_keeps_its_own_policy() -> None:
    with serving(MemoryBackend(), headers={"Strict-Transport-Security": "max-age=60"}) as server:
        for path in ("/", "/metrics", "/api/v1/status", "/nothing"):
            headers = httpx.get(server.url + path).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["strict-transport-security"] == "max-age=60"
            assert ("nonce-" in headers["content-security-policy"]) == (path == "/")


def test_open_probes_answer_without_a_password_and_nothing_else_does() -> None:
    probes = frozenset(("/-/healthy", "/-/ready"))
    with serving(MemoryBackend(), basic_auth=USERS, open_paths=probes) as server:
        found = {p: httpx.get(server.url + p).status_code for p in (*probes, "/metrics", "/", "/-/healthy/")}
        assert found == {"/-/healthy": 200, "/-/ready": 200, "/metrics": 401, "/": 401, "/-/healthy/": 401}
        assert httpx.post(server.url + "/-/healthy").status_code == 401


def write(folder: Path, web: str, server: str = "{listen: '127.0.0.1:0', web_config_file: web.yml}") -> Path:
    (folder / "web.yml").write_text(web)
    (folder / "p.jsonl").touch()
    (folder / "config.yaml").write_text(f"server: {server}\n{MODEL}")
    return folder / "config.yaml"


def test_a_daemon_takes_tls_and_users_from_an_exporter_toolkit_file_and_new_users_at_a_reload(
    tmp_path: Path,
) -> None:
    tls = make_certificate(tmp_path, "monitor")
    shutil.copy(tls.cert_file, tmp_path / "server.crt")
    shutil.copy(tls.key_file, tmp_path / "server.key")
    text = "tls_server_config: {cert_file: server.crt, key_file: server.key, min_version: TLS13}\n"
    text += "http_server_config: {headers: {Strict-Transport-Security: max-age=60}}\n"
    text += "basic_auth_users: {prometheus: '"
    path = write(tmp_path, f"{text}{USERS['prometheus']}'}}\n")
    trusted = ssl.create_default_context(cafile=str(tls.cert_file))
    with running(path) as daemon, httpx.Client(verify=trusted, timeout=10) as client:
        answer = client.get(daemon.url + "/metrics", auth=("prometheus", "right"))
        assert answer.status_code == 200
        assert answer.headers["strict-transport-security"] == "max-age=60"
        assert client.get(daemon.url + "/metrics").status_code == 401
        renewed = bcrypt.hashpw(b"newer", bcrypt.gensalt(4)).decode()
        (tmp_path / "web.yml").write_text(f"{text}{renewed}'}}\n")
        daemon.process.send_signal(signal.SIGHUP)

        def status(password: str) -> int:
            return client.get(daemon.url + "/metrics", auth=("prometheus", password)).status_code

        until(lambda: status("newer") == 200, 30, 1.1)
        assert status("right") == 401


@pytest.mark.parametrize(
    ("web", "says"),
    [
        ("basic_auth_users: {me: plain}", r"web\.yml:1 basic_auth_users\.me: must be a bcrypt hash"),
        ("tls_server_config:\n  cert_file: none.crt", r"web\.yml:2 tls_server_config\.cert_file: must be"),
        ("http_server_config: {http2: true}", r"web\.yml:1 http_server_config\.http2: must be"),
        (
            "tls_server_confg: {}",
            r"web\.yml:1 tls_server_confg: unknown key .*did you mean 'tls_server_config'",
        ),
    ],
)
def test_what_is_wrong_with_the_file_is_said_with_its_line(tmp_path: Path, web: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config.load(write(tmp_path, web))


def test_users_here_and_in_the_file_are_a_contradiction(tmp_path: Path) -> None:
    server = "{web_config_file: web.yml, basic_auth_users: {me: '" + USERS["prometheus"] + "'}}"
    with pytest.raises(ConfigError, match=r"basic_auth_users: is given beside web_config_file"):
        config.load(write(tmp_path, "{}", server))
