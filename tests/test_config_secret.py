"""Secrets in the configuration: they can be used, and are shown nowhere."""

from __future__ import annotations

import pickle
import traceback
from pathlib import Path

import pytest

from monitor.config import Config, KafkaSource, Secret, json_schema, load
from monitor.errors import ConfigError

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SMALL = """
sources: {events: {kind: kafka, bootstrap_servers: "localhost:9092"}}
models:
  - {name: m, task: binary, predictions: {source: events, topic: p}, window: {size: 1h}}
"""


def written(folder: Path, text: str, environ: dict[str, str] | None = None) -> Config:
    file = folder / "a.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file, environ=environ or {})


def everything_shown(config: Config) -> str:
    return f"{config!r} {config} {config.model_dump()} {config.model_dump_json()} {json_schema()}"


def test_secrets_are_used_but_never_shown(tmp_path: Path) -> None:
    hashed = "$2y$10$" + "a" * 53
    text = f"""{SMALL}
server: {{basic_auth: {{users: {{me: "{hashed}"}}}}}}
actions:
  a:
    kind: webhook
    url: https://user:url-password@ci.example/hook?token=url-token
    secret: ["${{HOOK}}"]
    secret_env: [HOOK]
    headers: {{X-Token: header-token}}
  b: {{kind: slack, url: "https://hooks.slack.com/services/slack-secret"}}
  c: {{kind: webhook, url: "https://ci.example", sign: false, authorization: {{token: bearer-token}}}}
  d: {{kind: alertmanager, url: "https://am-user:am-password@am.example", basic_auth: null}}
  e: {{kind: alertmanager, url: "https://am.example", basic_auth: {{username: u, password: basic-password}}}}
"""
    text = text.replace(
        '"localhost:9092"',
        '"localhost:9092", security: {protocol: SASL_SSL, mechanism: PLAIN, '
        "username: u, password: kafka-password}",
    )
    config = written(tmp_path, text, {"HOOK": SECRET})
    source, action = config.sources["events"], config.actions["a"]
    assert isinstance(source, KafkaSource) and source.security.sasl_password is not None
    assert source.security.sasl_password.reveal() == "kafka-password"
    assert [s.reveal() for s in action.secrets] == [SECRET, SECRET]
    assert action.headers["X-Token"].reveal() == "header-token"
    assert config.server.users["me"].reveal() == hashed
    shown = everything_shown(config)
    hidden = (SECRET, hashed, "url-password", "url-token", "header-token", "kafka-password")
    hidden += ("slack-secret", "bearer-token", "am-password", "basic-password")
    assert [word for word in hidden if word in shown] == []
    assert "**********" in shown


def test_a_secret_cannot_be_printed_formatted_or_pickled() -> None:
    secret = Secret("hunter2")
    assert {repr(secret), str(secret), f"{secret}", f"{secret:>10}"} == {"Secret('**********')", "**********"}
    assert secret == Secret("hunter2") and secret != Secret("other")
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret)


def test_a_secret_file_is_read_again_at_each_use(tmp_path: Path) -> None:
    file = tmp_path / "hook"
    file.write_text(SECRET + "\n")
    config = written(
        tmp_path, SMALL + 'actions: {a: {kind: webhook, url: "https://ci.example", secret_file: hook}}'
    )
    (secret,) = config.actions["a"].secrets
    assert secret.reveal() == SECRET
    file.write_text("whsec_rotated\r\n")
    assert secret.reveal() == "whsec_rotated"
    file.unlink()
    with pytest.raises(ConfigError, match=r"hook: the secret cannot be read: No such file"):
        secret.reveal()


def test_wrong_values_in_private_places_are_not_repeated(tmp_path: Path) -> None:
    text = (
        SMALL
        + """
server: {basic_auth_users: {me: hunter2}}
actions:
  a: {kind: webhook, url: "hunter2", secret: [[hunter2]], headers: hunter2, secret_env: hunter2}
  b: {kind: webhook, url: "https://hunter2:hunter2@:0/", secret: hunter2, headers: {X: [hunter2]}}
"""
    )
    with pytest.raises(ConfigError) as caught:
        written(tmp_path, text)
    found = [one.removeprefix(f"{tmp_path}/a.yaml:") for one in caught.value.problems]
    assert [one.partition(":")[0] for one in found] == [
        "6 server.basic_auth_users.me",
        "8 actions.a.url",
        "8 actions.a.headers",
        "8 actions.a.secret[0]",
        "8 actions.a.secret_env",
        "9 actions.b.url",
        "9 actions.b.headers.X",
    ]
    assert [one for one in found if "hunter2" in one] == []


def test_a_traceback_with_local_variables_holds_no_secret(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SMALL + "actions: {a: {kind: webhook, secret: hunter2, bad: 1}}")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "a.yaml")
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "environ = None" in shown and "unknown key 'bad'" in shown
    assert "hunter2" not in shown
