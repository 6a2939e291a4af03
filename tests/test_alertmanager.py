"""A real Alertmanager: it receives, groups, keeps and resolves our alerts; silence from us ends them."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from daemon_process import DaemonProcess, command, running, until
from webhook_peer import Peer, closed_port, serving

from monitor.time import HOUR_US, to_rfc3339

START_US = 1_748_736_000_000_000
CONFIG = """
store: {{path: monitor.duckdb, retention: 36500d}}
server: {{listen: "127.0.0.1:0", external_url: "https://monitor.example/"}}
scheduler: {{tick: 200ms}}
sources: {{logs: {{kind: files, poll: 100ms, idle_timeout: 500ms}}}}
models:
  - name: credit
    task: binary
    predictions: {{source: logs, path: "events.jsonl"}}
    features: {{age: numeric, income: numeric, plan: categorical}}
    window: {{size: 1h, lateness: 0s}}
    checks: {{quality: {{}}}}
    notify: [alerts]
    alerts:
      - name: missing
        metric: missing_ratio
        feature: [age, income]
        above: 0.5
        min_samples: 1
        severity: critical
        description: Nothing arrives.
        labels: {{team: risk}}
actions: {{alerts: {{kind: alertmanager, url: [{urls}], repeat: 1s, labels: {{env: test}}}}}}
"""


@contextmanager
def alertmanager(folder: Path, *, resolve_timeout: str, told: str) -> Iterator[str]:
    """Run an Alertmanager that tells ``told`` of groups; yields its address."""
    binary = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if binary is None:
        assert not os.environ.get("CI"), "alertmanager is needed in CI"
        pytest.skip("needs alertmanager, as from Debian's prometheus-alertmanager")
    folder.mkdir()
    (folder / "alertmanager.yml").write_text(
        f"global: {{resolve_timeout: {resolve_timeout}}}\n"
        "route: {receiver: us, group_by: [alertname, model], group_wait: 1s, group_interval: 1s}\n"
        f"receivers: [{{name: us, webhook_configs: [{{url: '{told}', send_resolved: true}}]}}]\n"
    )
    listen = f"127.0.0.1:{closed_port()}"
    options = [f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}",
               f"--web.listen-address={listen}", "--cluster.listen-address="]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([binary, *options], stdout=log, stderr=log)
        try:
            until(lambda: process.poll() is None and "Listening on" in (folder / "log").read_text(), 30)
            yield f"http://{listen}"
        finally:
            process.terminate()
            process.wait(10)


def active(url: str) -> dict[str, dict[str, Any]]:
    """Return the active alerts of an Alertmanager by their feature."""
    with urllib.request.urlopen(f"{url}/api/v2/alerts?active=true", timeout=10) as answer:
        return {alert["labels"]["feature"]: alert for alert in json.load(answer)}


def notified(peer: Peer) -> list[tuple[str, list[str]]]:
    """Return status and features of each group that the Alertmanager has told of."""
    groups = [json.loads(body) for _, _, body in peer.requests]
    return [(g["status"], sorted(a["labels"]["feature"] for a in g["alerts"])) for g in groups]


def add_hour(folder: Path, number: int, features: dict[str, object]) -> None:
    event = {"event_id": f"e{number}", "timestamp": to_rfc3339(START_US + number * HOUR_US),
             "prediction": "1", "features": features}  # fmt: skip
    with (folder / "events.jsonl").open("a") as file:
        file.write(json.dumps(event) + "\n")


@pytest.mark.slow
def test_alerts_are_received_grouped_kept_and_resolved(tmp_path: Path) -> None:
    with (
        serving() as quick_page,
        serving() as slow_page,
        alertmanager(
            tmp_path / "quick", resolve_timeout="3s", told=f"http://127.0.0.1:{quick_page.port}"
        ) as quick,
        alertmanager(
            tmp_path / "slow", resolve_timeout="5m", told=f"http://127.0.0.1:{slow_page.port}"
        ) as slow,
    ):
        config = tmp_path / "monitor.yaml"
        config.write_text(CONFIG.format(urls=f'"{quick}", "{slow}/"'))
        add_hour(tmp_path, 0, {"age": None, "income": None, "plan": "gold"})
        first = DaemonProcess(config)
        try:
            received_and_kept(quick, slow, quick_page)
        finally:
            first.kill()
        until(lambda: not active(quick), 20)  # nobody repeats it any more
        assert set(active(slow)) == {"age", "income"}
        with running(config) as second:
            until(lambda: set(active(quick)) == {"age", "income"}, 30)
            add_hour(tmp_path, 1, {"age": 41, "income": None, "plan": "gold"})
            until(lambda: set(active(slow)) == {"income"}, 30)  # not by its time-out of five minutes
            add_hour(tmp_path, 2, {"age": 41, "income": 1, "plan": "gold"})
            until(lambda: not active(slow) and not active(quick), 30)
            until(lambda: notified(slow_page)[-1] == ("resolved", ["income"]), 30)
            assert second.metrics("outbox_pending") == {"": 0.0}
            assert second.stop() == 0
        assert notified(slow_page)[0] == ("firing", ["age", "income"])
        assert ("firing", ["age", "income"]) in notified(slow_page)
        assert outbox(config) == [f"alerts/{n}" for n in (1, 2)] * 4  # two fired, two were resolved


def received_and_kept(quick: str, slow: str, page: Peer) -> None:
    until(lambda: len(active(quick)) == len(active(slow)) == 2, 60)
    age = active(quick)["age"]
    assert age["labels"] == {
        "alertname": "missing", "model": "credit", "severity": "critical", "metric": "missing_ratio",
        "feature": "age", "team": "risk", "env": "test",
    }  # fmt: skip
    assert age["annotations"]["summary"] == "missing_ratio of age is 1, the bound is 0.5"
    assert age["annotations"]["description"] == "Nothing arrives."
    assert age["generatorURL"] == "https://monitor.example/"
    until(lambda: page.requests, 30)
    assert notified(page) == [("firing", ["age", "income"])]  # one group, one message
    began, updated = age["startsAt"], age["updatedAt"]
    until(lambda: _seconds(active(quick)["age"]["updatedAt"]) > _seconds(updated) + 6, 30)
    assert active(quick)["age"]["startsAt"] == began  # twice its time-out later it is the same alert
    assert [status for status, _ in notified(page)] == ["firing"]


def _seconds(moment: str) -> float:
    return dt.datetime.fromisoformat(moment).timestamp()


def outbox(config: Path) -> list[str]:
    done = command("webhook", "list", "-c", str(config), "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["action"] for line in done.stdout.splitlines()]
