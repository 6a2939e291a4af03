"""Every transition of every alert is delivered, whatever the receiver does, whenever the daemon is killed."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections import defaultdict
from pathlib import Path

import duckdb
import pytest
from daemon_process import DaemonProcess, until
from faulty_receiver import FAULTS, FaultyReceiver, receiving

from monitor.actions.signing import new_secret
from monitor.time import HOUR_US, to_rfc3339

pytestmark = pytest.mark.slow
TRANSITIONS = int(os.environ.get("MODEL_MONITOR_TEST_TRANSITIONS", "1000"))  # a release is tested with 10000
SEED = int(os.environ.get("MODEL_MONITOR_TEST_SEED", "41"))
RULES, SERIES = 20, 5  # alerts, and features of each
FEATURES = [f"f{n:03}" for n in range(RULES * SERIES)]
HOURS = TRANSITIONS // len(FEATURES)
KILLS = max(6, HOURS // 2)
START_US = 1_748_736_000_000_000
PROGRAM = [sys.executable, str(Path(__file__).parent / "paced_daemon.py")]


def write_config(folder: Path, url: str, secret: str) -> Path:
    rules = [
        f"{{name: a{n:02}, metric: missing_ratio, above: 0.5, min_samples: 1, feature: "
        f"[{', '.join(FEATURES[n * SERIES : (n + 1) * SERIES])}]}}"
        for n in range(RULES)
    ]
    path = folder / "monitor.yaml"
    path.write_text(f"""
store: {{path: monitor.duckdb, retention: 36500d}}
server: {{listen: "127.0.0.1:0"}}
scheduler: {{tick: 200ms}}
sources: {{logs: {{kind: files, poll: 100ms, idle_timeout: 500ms}}}}
models:
  - name: credit
    task: binary
    predictions: {{source: logs, path: "events.jsonl"}}
    features: {{{", ".join(f"{name}: numeric" for name in FEATURES)}}}
    window: {{size: 1h, lateness: 0s}}
    checks: {{quality: {{}}}}
    notify: [hook]
    alerts: [{", ".join(rules)}]
actions: {{hook: {{kind: webhook, url: "{url}", secret: {secret}, timeout: 500ms}}}}
""")
    return path


def add_hour(folder: Path, number: int) -> None:
    """Append an hour's events: in even hours every feature is missing, in odd ones none."""
    features = dict.fromkeys(FEATURES, None if number % 2 == 0 else 1.0)
    with (folder / "events.jsonl").open("a") as file:
        for n in range(2):
            event = {"event_id": f"{number}-{n}", "timestamp": to_rfc3339(START_US + number * HOUR_US + n),
                     "prediction": "1", "features": features}  # fmt: skip
            file.write(json.dumps(event) + "\n")


def kill_again_and_again(folder: Path, config: Path, receiver: FaultyReceiver) -> int:
    """Run and kill the daemon while hours are added; return how many kills hit undelivered messages."""
    chance, hits, added = random.Random(SEED), 0, 0
    for number in range(KILLS):
        daemon = DaemonProcess(config, program=PROGRAM)
        share = (number + 1) * HOURS // KILLS
        while added < share:
            add_hour(folder, added)
            added += 1
        if number % 4 == 3:  # this one dies while it starts
            time.sleep(chance.uniform(0.2, 2.0))
        else:
            before = len(receiver.acknowledged)
            until(lambda: len(receiver.acknowledged) > before, 60)  # noqa: B023
            time.sleep(chance.uniform(0.0, 1.5))
        hits += len(receiver.acknowledged) < added * len(FEATURES)
        daemon.kill()
    return hits


def test_every_transition_is_delivered_through_kills_and_a_faulty_receiver(tmp_path: Path) -> None:
    secret = new_secret()
    with receiving(secret, SEED) as receiver:
        config = write_config(tmp_path, receiver.url, secret)
        (tmp_path / "events.jsonl").touch()
        hits = kill_again_and_again(tmp_path, config, receiver)
        last = DaemonProcess(config, program=PROGRAM)
        try:
            until(lambda: len(receiver.acknowledged) >= HOURS * len(FEATURES), 60 + TRANSITIONS / 10)
            until(lambda: last.metrics("outbox_pending") == {"": 0.0}, 60)
            assert last.stop() == 0
        finally:
            if last.process.poll() is None:
                last.kill()
    print(f"{KILLS} kills, {hits} of them with messages under way; {sum(receiver.times.values())} requests")
    print(f"for {len(receiver.acknowledged)} messages; {dict(receiver.faults)}")
    check(receiver, tmp_path / "monitor.duckdb")
    assert hits >= KILLS // 2
    assert set(FAULTS) <= set(receiver.faults)


def check(receiver: FaultyReceiver, store: Path) -> None:
    assert receiver.unverified == []
    with duckdb.connect(str(store), read_only=True) as connection:
        [(changes,)] = connection.execute("SELECT count(*) FROM transitions").fetchall()
        rows = connection.execute("SELECT id, body, state FROM outbox ORDER BY seq").fetchall()
    expected = HOURS * len(FEATURES)  # every hour flips every feature
    assert (changes, len(rows), len(receiver.acknowledged)) == (expected, expected, expected)
    assert {state for _, _, state in rows} == {"delivered"}
    assert receiver.acknowledged == {id: body for id, body, _ in rows}
    assert receiver.bodies == {id: {body} for id, body, _ in rows}  # also of what was not acknowledged
    assert max(receiver.times.values()) > 1
    by_rule, by_series = defaultdict(list), defaultdict(list)
    for body in receiver.acknowledged.values():
        data = json.loads(body)["data"]
        by_rule[data["alert"]].append(data["window"]["start"])
        by_series[data["feature"]].append((data["window"]["start"], data["status"]))
    starts = [to_rfc3339(START_US + n * HOUR_US) for n in range(HOURS)]
    statuses = ["firing" if n % 2 == 0 else "resolved" for n in range(HOURS)]
    assert by_series == {name: list(zip(starts, statuses, strict=True)) for name in FEATURES}
    assert {name: sorted(windows) for name, windows in by_rule.items()} == by_rule
