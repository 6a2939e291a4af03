"""The daemon as users run it: a process of its own on a configuration file, watched over HTTP."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
COMMAND = [sys.executable, "-m", "monitor"]

LAST_SUCCESS = "last_evaluation_success_timestamp_seconds"


class DaemonProcess:
    """One run of ``model-monitor run``; its log goes to ``config``'s folder."""

    def __init__(self, config: Path, *, program: Sequence[str] = COMMAND) -> None:
        self.config, self.log = config, config.with_suffix(".log")
        self._from = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as out:
            command = [*program, "run", "-c", str(config)]
            self.process = subprocess.Popen(command, stdout=out, stderr=out, env=ENVIRONMENT)
        self._url = ""

    @property
    def said(self) -> str:
        """What this run has logged so far."""
        with self.log.open("rb") as file:
            file.seek(self._from)
            return file.read().decode(errors="replace")

    @property
    def url(self) -> str:
        """Where it serves; waits until it does."""
        if not self._url:
            found = until(lambda: self._exited() or re.search(r"serving (https?://[^/]+)/", self.said), 60)
            assert isinstance(found, re.Match), f"exit {self.process.poll()}: {self.said[-3000:]}"
            self._url = found[1]
        return self._url

    def _exited(self) -> str | None:
        return "exited" if self.process.poll() is not None else None

    def get(self, path: str) -> str:
        """Return the body of a page, also of an answer that is an error."""
        request = urllib.request.Request(self.url + path)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return str(error.read().decode())

    def metrics(self, name: str) -> dict[str, float]:
        """Return the samples of one Prometheus family by their labels as text."""
        pattern = rf"^model_monitor_{name}(?:{{(.*)}})? (\S+)$"
        return {k or "": float(v) for k, v in re.findall(pattern, self.get("/metrics"), re.MULTILINE)}

    def stop(self, timeout_s: float = 30.0) -> int:
        """Ask it to stop; return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        """Kill it at once, as the machine would."""
        self.process.kill()
        self.process.wait()

    def wait_quiet(self, timeout_s: float = 120.0) -> None:
        """Wait until all there is has been read, landed and evaluated, as far as one can see from outside.

        Nothing new for two seconds, event time at the clock (all partitions idle), and a whole tick after.
        """
        deadline, before, since = time.monotonic() + timeout_s, self.metrics("events_total"), time.monotonic()
        while time.monotonic() - since < 2.0:
            assert time.monotonic() < deadline, f"still reading after {timeout_s} s: {before}"
            time.sleep(0.2)
            if (now := self.metrics("events_total")) != before or any(self._lags()):
                before, since = now, time.monotonic()
        while min(self.metrics("watermark_timestamp_seconds").values(), default=0) < time.time() - 3600:
            assert time.monotonic() < deadline, f"event time does not follow the clock after {timeout_s} s"
            time.sleep(0.2)
        for _ in range(2):  # a tick may publish between two windows; it succeeds at its end, and not before
            done = until(lambda: self.metrics(LAST_SUCCESS), timeout_s)
            until(partial(self._succeeded_since, done), timeout_s)

    def _succeeded_since(self, before: dict[str, float]) -> bool:
        now = self.metrics(LAST_SUCCESS)
        return all(now[model] > us for model, us in before.items())

    def _lags(self) -> list[float]:
        return list(self.metrics("consumer_lag_records").values())


@contextmanager
def running(config: Path) -> Iterator[DaemonProcess]:
    """Run the daemon; kill it at the end if it still lives."""
    daemon = DaemonProcess(config)
    try:
        yield daemon
    finally:
        if daemon.process.poll() is None:
            daemon.kill()


def until(test: Callable[[], Any], timeout_s: float, every_s: float = 0.1) -> Any:
    """Return the first true answer of ``test``; fails after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while not (found := test()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(every_s)
    return found


def command(*words: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
    """Run ``model-monitor`` to its end."""
    return subprocess.run(
        [*COMMAND, *words], capture_output=True, text=True, env=ENVIRONMENT, timeout=timeout_s
    )


def stored_results(config: Path) -> list[dict[str, Any]]:
    """Return what ``model-monitor results`` prints, in a fixed order and without revisions."""
    done = command("results", "-c", str(config), "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    for row in rows:
        del row["revision"]
    keys = ("model", "window_start", "version", "metric", "feature", "attribute", "group", "segment")
    return sorted(rows, key=lambda row: [row[k] or "" for k in keys])


def ledger(store: Path) -> list[tuple[Any, ...]]:
    """Return (topic, key, position, read, landed, quarantined, ignored) of a stopped store's partitions."""
    with duckdb.connect(str(store), read_only=True) as connection:
        return connection.execute(
            'SELECT topic, key, position, "read", landed, quarantined, ignored FROM partitions ORDER BY ALL'
        ).fetchall()


def unfinished(store: Path) -> int:
    """Return the number of windows of a stopped store that wait to be asked again."""
    with duckdb.connect(str(store), read_only=True) as connection:
        found = connection.execute("SELECT count(*) FROM dirty").fetchall()[0][0]
    return int(found)
