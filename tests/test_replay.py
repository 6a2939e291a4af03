"""Replay: the same events give the same files, byte for byte, and nothing is known before its time."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import oracle
import pandas as pd
import pytest
from daemon_process import command, running, stored_results
from in_process import feedback, prediction
from streams import CATEGORICAL, NUMERIC, Scenario, generate, write_config, write_files

from monitor import config
from monitor.build import plan
from monitor.replay import Replayed, replay

MODEL = oracle.Model(NUMERIC, list(CATEGORICAL), [("sex",), ("region",), ("sex", "region")], "plan")
SMALL = """
store: {path: unused.duckdb, retention: 36500d}
sources: {files: {kind: files, idle_timeout: 1s}}
models:
  - name: credit
    task: binary
    predictions: {source: files, path: "p*.jsonl"}
    feedback: {source: files, path: "f*.jsonl"}
    features: {age: numeric, plan: categorical}
    window: {size: 1h, lateness: 5m, label_wait: 8h, min_label_coverage: 0.5}
    checks: {performance: {}, quality: {}}
    alerts: [{name: inaccurate, metric: accuracy, below: 0.8, min_samples: 1}]
    retrain: {when: inaccurate, actions: [hook], cooldown: 1h}
actions: {hook: {kind: webhook, url: "https://127.0.0.1:1/never", secret_file: secret}}
"""


def folder_of(parent: Path, name: str, scenario: Scenario) -> Path:
    """Write a scenario and its configuration into a folder of its own."""
    folder = parent / name
    folder.mkdir()
    write_files(folder, scenario)
    streams = {"predictions": 'path: "p-*.jsonl"', "feedback": 'path: "f-*.jsonl"'}
    write_config(folder, source="{kind: files, idle_timeout: 1s}", rows=3000, **streams)
    return folder


def outputs(folder: Path) -> tuple[bytes, bytes]:
    """Run ``model-monitor replay``; return the bytes of its two files."""
    files = folder / "results.jsonl", folder / "alerts.jsonl"
    words = [
        "replay",
        "-c",
        str(folder / "config.yaml"),
        "--output",
        str(files[0]),
        "--alerts",
        str(files[1]),
    ]
    done = command(*words)
    assert done.returncode == 0, done.stderr
    return files[0].read_bytes(), files[1].read_bytes()


def shuffled(scenario: Scenario, seed: int, *, files: int, copies: int) -> Scenario:
    """Return the same events in any order, over any number of files, some of them several times over."""
    rng = random.Random(seed)

    def spread(logs: list[list[bytes]]) -> list[list[bytes]]:
        values = [value for log in logs for value in log]
        values += rng.choices(values, k=copies)
        rng.shuffle(values)
        return [values[i::files] for i in range(files)]

    return Scenario(spread(scenario.predictions), spread(scenario.feedback))


def without_counts_of_duplicates(results: bytes) -> list[bytes]:
    about = b'"duplicate_ratio"', b'"conflict_ratio"'
    return [line for line in results.splitlines() if not any(name in line for name in about)]


@pytest.mark.slow
def test_events_shuffled_over_lines_and_files_and_duplicated_give_the_same_bytes(
    tmp_path: Path,
) -> None:
    scenario = generate(21, 2500, windows=3, contested=False)
    results, alerts = outputs(folder_of(tmp_path, "straight", scenario))
    assert results.count(b"\n") > 3000 and alerts.count(b"\n") >= 2
    for seed, files in ((1, 1), (2, 5)):
        folder = folder_of(tmp_path, f"shuffled-{seed}", shuffled(scenario, seed, files=files, copies=0))
        assert outputs(folder) == (results, alerts)
    twice = outputs(folder_of(tmp_path, "twice", shuffled(scenario, 3, files=3, copies=2000)))
    assert without_counts_of_duplicates(twice[0]) == without_counts_of_duplicates(results)
    assert twice[1] == alerts


def lasting(rows: list[dict[str, Any]]) -> list[str]:
    """Return what depends on no clock: the daemon's goes on after the last event, and windows stay empty."""
    empty = {row["window_start"] for row in rows if row["metric"] == "row_count" and row["value"] == 0}
    return [json.dumps(row) for row in rows if row["window_start"] not in empty]


@pytest.mark.slow
def test_replay_the_daemon_and_the_oracle_agree(tmp_path: Path) -> None:
    scenario = generate(22, 2500, windows=3)
    folder = folder_of(tmp_path, "all", scenario)
    replayed = [json.loads(line) for line in outputs(folder)[0].splitlines()]
    reference = pd.read_parquet(folder / "reference.parquet")
    wrong = oracle.differences(
        replayed, oracle.oracle(scenario.predictions, scenario.feedback, reference, MODEL)
    )
    assert not wrong, "\n".join(wrong[:20])
    with running(folder / "config.yaml") as daemon:
        daemon.wait_quiet()
        assert daemon.stop() == 0
    for row in replayed:
        del row["revision"]
    keys = ("model", "window_start", "version", "metric", "feature", "attribute", "group", "segment")
    replayed.sort(key=lambda row: [row[k] or "" for k in keys])
    assert lasting(stored_results(folder / "config.yaml")) == lasting(replayed)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(SMALL)
    (tmp_path / "secret").write_text("whsec_" + "A" * 32)
    return tmp_path


def run(folder: Path, predictions: list[bytes], labels: list[bytes], **limits: int) -> Replayed:
    (folder / "p.jsonl").write_bytes(b"\n".join(predictions) + b"\n")
    (folder / "f.jsonl").write_bytes(b"\n".join(labels) + b"\n")
    return replay(plan(config.load(folder / "config.yaml")), folder=folder, **limits)


def alerts_of(outcome: Replayed) -> list[tuple[Any, ...]]:
    return [(row["at"], row["before"], row["after"], row["value"]) for row in outcome.transitions
            if row["kind"] == "alert"]  # fmt: skip


def test_an_alert_knows_no_label_that_had_not_arrived_by_then(small: Path) -> None:
    predictions = [prediction(str(i), 10) for i in range(10)]
    early = [feedback(str(i), "1", 70) for i in range(6)]  # all right: known when the window closes at 01:05
    late = [feedback(str(i), "0", 250) for i in range(6, 10)]  # all wrong: known at 04:10, seen at 05:05
    outcome = run(small, predictions, early + late)
    assert alerts_of(outcome) == [("2025-06-01T05:05:00Z", "ok", "firing", 0.6)]
    (accuracy,) = [r for r in outcome.results if r.metric == "accuracy"]
    assert (accuracy.value, accuracy.n) == (0.6, 10)


def test_a_correction_is_seen_from_its_own_time_on(small: Path) -> None:
    predictions = [prediction(str(i), 10) for i in range(4)]
    labels = [feedback(str(i), "0", 62) for i in range(4)] + [feedback(str(i), "1", 130) for i in range(4)]
    outcome = run(small, predictions, labels)
    assert alerts_of(outcome) == [
        ("2025-06-01T01:05:00Z", "ok", "firing", 0.0),
        ("2025-06-01T03:05:00Z", "firing", "ok", 1.0),
    ]


def test_what_waits_for_labels_is_decided_when_enough_have_come(small: Path) -> None:
    predictions = [prediction(str(i), 10) for i in range(4)]
    labels = [feedback("0", "0", 70), feedback("1", "0", 190), feedback("2", "0", 400)]
    outcome = run(small, predictions, labels)
    assert alerts_of(outcome) == [("2025-06-01T04:05:00Z", "ok", "firing", 0.0)]


def test_a_decision_to_retrain_is_in_the_output_and_is_sent_nowhere(small: Path) -> None:
    predictions = [prediction(str(i), 10) for i in range(4)]
    outcome = run(small, predictions, [feedback(str(i), "0", 70) for i in range(4)])
    kinds = [row["kind"] for row in outcome.transitions]
    assert sorted(kinds) == ["alert", "retrain", "retrain_verdict"]
    assert not (small / "unused.duckdb").exists()


def test_only_whole_windows_between_the_limits_are_asked(small: Path) -> None:
    from monitor.time import from_rfc3339

    predictions = [prediction(str(i), 10 + 60 * i) for i in range(5)]
    limits = {"from_us": from_rfc3339("2025-06-01T00:30:00Z"), "to_us": from_rfc3339("2025-06-01T04:00:00Z")}
    outcome = run(small, predictions, [feedback("0", "1", 70)], **limits)
    starts = sorted({r.window.start_us // 3_600_000_000 % 24 for r in outcome.results})
    assert starts == [1, 2, 3]


def test_refused_records_are_counted_and_do_not_stop_a_replay(small: Path) -> None:
    outcome = run(small, [prediction("a", 10), b"no json", b"\xff"], [feedback("a", "1", 70)])
    assert (outcome.read, outcome.quarantined) == (4, 2)
    assert [r.value for r in outcome.results if r.metric == "row_count"] == [1.0]
    assert not list(small.glob("model-monitor-replay-*"))
