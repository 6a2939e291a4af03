"""``webhook list``, ``retry`` and ``test``: with the daemon running (its store is locked), and without it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from daemon_process import command, running, until
from test_alertmanager import add_hour
from test_web_server import make_certificate
from typer.testing import CliRunner
from webhook_peer import SECRET, Peer, assert_signed, closed_port, reply, serving

from monitor.access import send_test
from monitor.admin import State
from monitor.admin import webhook as commands
from monitor.config import load
from monitor.errors import ConfigError
from monitor.store.outbox import STATES

CONFIG = """
store: {{path: monitor.duckdb, retention: 36500d}}
server:
  listen: ":{port}"
  tls: {{cert_file: cert.pem, key_file: key.pem}}
  basic_auth_users: {{me: "{hashed}"}}
scheduler: {{tick: 200ms}}
sources: {{logs: {{kind: files, poll: 100ms, idle_timeout: 500ms}}}}
models:
  - name: credit
    task: binary
    predictions: {{source: logs, path: "events.jsonl"}}
    features: {{age: numeric}}
    window: {{size: 1h, lateness: 0s}}
    checks: {{quality: {{}}}}
    notify: [hook]
    alerts: [{{name: missing, metric: missing_ratio, above: 0.5, min_samples: 1}}]
actions:
  hook: {{kind: webhook, url: "{url}", secret: {secret}}}
  plain: {{kind: webhook, url: "{url}", sign: false, template: '{{"text": {{{{ data.model | tojson }}}}}}'}}
  am: {{kind: alertmanager, url: ["{url}1", "{url}2"]}}
"""


@pytest.fixture
def peer() -> Iterator[Peer]:
    with serving() as peer:
        yield peer


@pytest.fixture
def config(peer: Peer, tmp_path: Path) -> Path:
    make_certificate(tmp_path, "monitor")
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    path = tmp_path / "monitor.yaml"
    url = f"http://127.0.0.1:{peer.port}/"
    path.write_text(CONFIG.format(port=closed_port(), hashed=hashed, url=url, secret=SECRET))
    (tmp_path / "events.jsonl").touch()
    return path


def webhook(config: Path, *words: str) -> str:
    done = command("webhook", *words, "-c", str(config))
    assert done.returncode == 0, done.stderr
    return done.stdout


def listed(config: Path, *words: str) -> list[dict[str, Any]]:
    lines = webhook(config, "list", "--format", "jsonl", *words).splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.slow
def test_the_outbox_is_listed_and_retried_through_the_running_daemon(
    config: Path, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer.script = reply(404)
    add_hour(config.parent, 0, {"age": None})
    with running(config) as daemon:
        until(lambda: peer.requests, 60)
        refused = command("webhook", "list", "-c", str(config))
        assert refused.returncode == 1
        assert "asks for a login: set MODEL_MONITOR_LOGIN=user:password" in refused.stderr
        monkeypatch.setattr("daemon_process.ENVIRONMENT", login())
        [row] = until(lambda: listed(config, "--state", "dead"), 30)
        assert (row["action"], row["rule"], row["attempts"]) == ("hook", "missing", 1)
        assert "status 404" in row["last_error"]
        peer.script = reply(204)
        assert webhook(config, "retry", "--action", "other") == "0 due again\n"
        assert webhook(config, "retry") == "1 due again\n"
        until(lambda: len(peer.requests) == 2, 30)
        assert daemon.stop() == 0
    assert [row["state"] for row in listed(config)] == ["delivered"]
    (_, first, body), (_, second, again) = peer.requests
    assert (first["webhook-id"], body) == (second["webhook-id"], again) == (row["id"], body)


def login() -> dict[str, str]:
    from daemon_process import ENVIRONMENT

    return {**ENVIRONMENT, "MODEL_MONITOR_LOGIN": "me:secret"}


def test_a_test_message_goes_to_every_endpoint_in_the_form_of_its_kind(config: Path, peer: Peer) -> None:
    settings = load(config)
    told = [sentence for action in settings.actions for sentence in send_test(settings, action)]
    assert [sentence.partition(" to ")[2] for sentence in told] == [
        "hook: delivered", "plain: delivered", "am/1: delivered", "am/2: delivered"
    ]  # fmt: skip
    (_, headers, body), (_, bare, text), *alerts = peer.requests
    assert_signed(headers, body)
    assert json.loads(body)["data"]["model"] == "model-monitor-test"
    assert "webhook-id" not in bare
    assert json.loads(text) == {"text": "model-monitor-test"}
    assert [path for path, _, _ in alerts] == ["/1/api/v2/alerts", "/2/api/v2/alerts"]
    assert json.loads(alerts[0][2])[0]["labels"]["alertname"] == "income-drift"


def test_an_unknown_action_or_state_is_named_with_what_there_is(config: Path) -> None:
    done = CliRunner().invoke(commands, ["test", "hok", "-c", str(config)])
    assert isinstance(done.exception, ConfigError)
    assert "unknown action 'hok'; configured are hook, plain, am" in str(done.exception)
    done = CliRunner().invoke(commands, ["list", "--state", "lost", "-c", str(config)])
    assert done.exit_code == 2
    assert all(state in done.stderr for state in ("lost", *STATES))
    assert tuple(State) == STATES
