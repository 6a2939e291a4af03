"""The store as a file: one process at a time, clear refusals, full disks, schema versions, retention."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from daemon_process import ENVIRONMENT, command, ledger, running, unfinished, until
from in_process import FEEDBACK, PREDICTIONS, SMALL, InProcess, feedback, prediction
from streams import HOUR_US, START_US, Scenario, generate, write_config, write_files

from monitor.errors import StoreError
from monitor.store import schema
from monitor.store.store import Store
from monitor.store.upkeep import expire


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a small stream in files and a configuration that reads it."""
    return with_files(tmp_path, generate(3, 600, windows=2))


def with_files(folder: Path, scenario: Scenario) -> Path:
    write_files(folder, scenario)
    streams = {"predictions": 'path: "p-*.jsonl"', "feedback": 'path: "f-*.jsonl"'}
    write_config(folder, source="{kind: files, idle_timeout: 1s}", rows=2000, **streams)
    return folder


def refusal(path: Path) -> str:
    with pytest.raises(StoreError) as caught:
        Store(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_second_daemon_on_one_store_exits_at_once_with_a_clear_line(folder: Path) -> None:
    with running(folder / "config.yaml") as first:
        assert first.url
        second = command("run", "-c", str(folder / "config.yaml"), timeout_s=60)
        assert second.returncode == 1
        (line,) = second.stderr.splitlines()
        assert "monitor.duckdb: in use by another process" in line and "stop it first" in line
        assert first.process.poll() is None


def test_a_damaged_file_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "m.duckdb"
    InProcess(path=path).store.close()
    content = bytearray(path.read_bytes())
    content[4096:12288] = os.urandom(8192)
    path.write_bytes(content)
    said = refusal(path)
    assert said.startswith(f"{path}: ") and "restore a backup" in said
    path.write_bytes(b"this is no database at all, but a text of some length\n" * 1000)
    assert "restore a backup" in refusal(path)


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.duckdb"
    path.mkdir()
    assert "m.duckdb" in refusal(path)
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert "cannot create the store's folder" in refusal(blocked / "state" / "m.duckdb")


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("chattr") is None, reason="needs root and chattr")
def test_a_read_only_file_is_refused_even_for_root(tmp_path: Path) -> None:
    path = tmp_path / "m.duckdb"
    InProcess(path=path).store.close()
    if subprocess.run(["chattr", "+i", str(path)], capture_output=True).returncode:
        pytest.skip("this file system has no immutable flag")
    try:
        assert "cannot be written" in refusal(path)
    finally:
        subprocess.run(["chattr", "-i", str(path)], check=True)


def test_a_store_of_a_newer_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "m.duckdb"
    InProcess(path=path).store.close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE meta SET schema_version = 99")
    before = path.read_bytes()
    said = refusal(path)
    assert "newer model-monitor (schema 99" in said and "upgrade" in said
    assert path.read_bytes() == before


def test_a_migration_that_is_interrupted_leaves_the_old_version_and_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.duckdb"
    core = InProcess(path=path)
    core.land({PREDICTIONS: [prediction("a")]})
    core.store.close()
    known = schema.MIGRATIONS
    better = "ALTER TABLE models ADD COLUMN note VARCHAR DEFAULT 'kept';"
    monkeypatch.setattr(schema, "MIGRATIONS", (*known, better + "SELECT no_such_function();"))
    refusal(path)
    with duckdb.connect(str(path)) as connection:
        assert connection.execute("SELECT schema_version FROM meta").fetchall() == [(len(known),)]
    monkeypatch.setattr(schema, "MIGRATIONS", (*known, better))
    store = Store(path)
    assert store.cursor().execute("SELECT name, note FROM models").fetchall() == [("credit", "kept")]
    assert store.cursor().execute("SELECT schema_version FROM meta").fetchall() == [(len(known) + 1,)]
    store.close()


def test_a_model_may_gain_features_but_not_another_kind_of_label(tmp_path: Path) -> None:
    from dataclasses import replace

    core = InProcess()
    core.land({PREDICTIONS: [prediction("a")]})
    core.store.register(
        replace(SMALL, features={**SMALL.features, "income": "numeric", "age": "categorical"})
    )
    assert core.rows('SELECT "n:age", "c:age", "n:income" FROM predictions_1') == [(41.0, None, None)]
    with pytest.raises(StoreError, match="'credit' is stored with task binary, the configuration says regr"):
        core.store.register(replace(SMALL, task="regression"))


@pytest.mark.slow
def test_a_killed_process_leaves_whole_batches_only(tmp_path: Path) -> None:
    path, script = tmp_path / "m.duckdb", tmp_path / "lander.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom in_process import InProcess, PREDICTIONS, prediction\n"
        "core = InProcess(path=Path(sys.argv[1]))\n"
        "at = core.store.positions('events').get(PREDICTIONS)\n"
        "n = at.offset if at else 0\ncore._ends[PREDICTIONS] = n\n"
        "while True:\n"
        "    core.land({PREDICTIONS: [prediction(f'e-{n + i}', i % 50) for i in range(200)]})\n"
        "    n += 200\n    print(n, flush=True)\n"
    )
    environment = {**ENVIRONMENT, "PYTHONPATH": f"{ENVIRONMENT['PYTHONPATH']}:{Path(__file__).parent}"}
    for round_ in range(6):
        command_ = [sys.executable, str(script), str(path)]
        process = subprocess.Popen(command_, stdout=subprocess.PIPE, env=environment, text=True)
        assert process.stdout is not None
        for _ in range(2 + round_):
            process.stdout.readline()
        time.sleep(0.013 * round_)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    core = InProcess(path=path)
    position = core.store.positions("events")[PREDICTIONS].offset
    assert position % 200 == 0 and position >= 200 * 27
    assert core.rows("SELECT count(*), count(DISTINCT off), max(off) + 1, count(DISTINCT seq) FROM"
                     " predictions_1") == [(position,) * 4]  # fmt: skip
    assert core.violations() == []
    core.store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 48 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if mounted.returncode:
        if os.environ.get("CI") == "true" and os.geteuid() == 0:
            pytest.fail(f"root in CI must be able to mount a small disk: {mounted.stderr}")
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.slow
def test_a_full_disk_pauses_landing_while_metrics_stay_up_and_space_lets_it_go_on(
    tmp_path: Path, small_disk: Path
) -> None:
    scenario = generate(5, 12_000, windows=2)
    with_files(tmp_path, scenario)
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space left"), ballast.open("wb") as file:
        while True:
            file.write(bytes(1 << 16))
    with ballast.open("r+b") as file:
        file.truncate(ballast.stat().st_size - 3 * (1 << 20))  # enough to make the store, not to fill it
    streams = {"predictions": 'path: "p-*.jsonl"', "feedback": 'path: "f-*.jsonl"'}
    source, store = "{kind: files, idle_timeout: 1s, max_batch_records: 1000}", str(small_disk / "m.duckdb")
    config = write_config(tmp_path, source=source, store=store, **streams)
    with running(config) as daemon:
        until(lambda: "landing paused" in daemon.said, 60)
        assert "landing paused" in daemon.get("/-/ready")
        assert "model_monitor_build_info" in daemon.get("/metrics")
        assert json.loads(daemon.get("/-/healthy")).get("healthy", True)
        ballast.unlink()
        until(lambda: "landing goes on" in daemon.said, 60)
        daemon.wait_quiet()
        assert daemon.stop() == 0
    rows = ledger(small_disk / "m.duckdb")
    found = sorted((key.rpartition("/")[2], landed) for _, key, _, _, landed, *_ in rows)
    logs = {"f": scenario.feedback, "p": scenario.predictions}
    assert found == [(f"{k}-{i}.jsonl", len(log)) for k, some in logs.items() for i, log in enumerate(some)]
    assert unfinished(small_disk / "m.duckdb") == 0


def test_a_read_only_copy_of_a_stopped_store_can_be_asked_by_any_duckdb(tmp_path: Path) -> None:
    path = tmp_path / "m.duckdb"
    core = InProcess(path=path)
    core.land({PREDICTIONS: [prediction("a")]})
    core.turn()
    core.store.close()
    assert not path.with_name("m.duckdb.wal").exists()
    with duckdb.connect(str(path), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM results").fetchall()[0][0] > 0


def test_retention_takes_whole_windows_and_those_that_stay_keep_all_their_events() -> None:
    core = InProcess()
    minutes = (10, 50, 70, 100, 130)
    core.land({PREDICTIONS: [prediction(str(i), minute) for i, minute in enumerate(minutes)]})
    core.land({FEEDBACK: [feedback(str(i), "1", 140) for i in range(5)]})
    core.turn()
    cut = START_US + HOUR_US + HOUR_US // 2
    expire(core.store, core.cursor, before_us=cut)
    assert {r["window_start"] for r in core.results()} == {"2025-06-01T01:00:00Z", "2025-06-01T02:00:00Z"}
    core.land({FEEDBACK: [feedback("3", "0", 150)]})  # it touches the window that the cut goes through
    core.turn()
    assert core.value("accuracy", START_US + HOUR_US) == 0.5
    assert expire(core.store, core.cursor, before_us=cut + 9 * HOUR_US) >= 5
    assert core.results() == [] and core.violations() == []


def test_an_event_older_than_retention_does_not_bring_a_window_back() -> None:
    core = InProcess()
    core.land({PREDICTIONS: [prediction("a", 10), prediction("b", 130)]})
    core.turn()
    core.cycle.expired_us = cut = START_US + HOUR_US
    expire(core.store, core.cursor, before_us=cut)
    core.land({PREDICTIONS: [prediction("late", 20)]})
    core.turn()
    assert core.answers == []
    assert {r["window_start"] for r in core.results()} == {"2025-06-01T02:00:00Z"}
    expire(core.store, core.cursor, before_us=cut)
    assert core.rows("SELECT count(*) FROM dirty") == [(0,)]
    assert core.violations() == []


@pytest.mark.slow
def test_sigterm_under_load_ends_within_25_seconds_with_exit_0_and_nothing_lost(tmp_path: Path) -> None:
    scenario = generate(7, 60_000, windows=3)
    with_files(tmp_path, scenario)
    config = tmp_path / "config.yaml"
    with running(config) as daemon:
        until(lambda: sum(daemon.metrics("events_total").values()) > 0, 60, 0.01)
        started = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - started <= 25
    part = ledger(tmp_path / "monitor.duckdb")
    assert part and all(
        read == landed + quarantined + ignored for *_, read, landed, quarantined, ignored in part
    )
    with running(config) as daemon:
        daemon.wait_quiet()
        assert daemon.stop() == 0
    assert sum(landed for *_, landed, _, _ in ledger(tmp_path / "monitor.duckdb")) == scenario.records
