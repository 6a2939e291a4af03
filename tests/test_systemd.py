"""Under systemd the daemon says over the notification socket when it is ready, reloading, alive, stopping."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest
from daemon_process import ENVIRONMENT, DaemonProcess
from streams import write_config

from monitor.systemd import notify, watchdog_interval_s


def said(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().split("\n")


def test_the_daemon_says_ready_reloading_alive_and_stopping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("predictions.jsonl", "feedback.jsonl"):
        (tmp_path / name).touch()
    config = write_config(
        tmp_path, source="{kind: files}", predictions="path: predictions.jsonl",
        feedback="path: feedback.jsonl", rows=5000, tick="500ms", store="s.duckdb", light=True,
    )  # fmt: skip
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        monkeypatch.setitem(ENVIRONMENT, "NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setitem(ENVIRONMENT, "WATCHDOG_USEC", "1000000")
        daemon = DaemonProcess(config)
        try:
            assert said(manager)[0] == "READY=1"
            assert said(manager) == ["WATCHDOG=1"]
            before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            daemon.process.send_signal(signal.SIGHUP)
            while (message := said(manager)) == ["WATCHDOG=1"]:
                pass
            assert message[0] == "RELOADING=1"
            assert int(message[1].removeprefix("MONOTONIC_USEC=")) >= before_us
            while (message := said(manager)) == ["WATCHDOG=1"]:
                pass
            assert message == ["READY=1"]
            daemon.process.send_signal(signal.SIGTERM)
            while (message := said(manager)) == ["WATCHDOG=1"]:
                pass
            assert message == ["STOPPING=1"]
            assert daemon.process.wait(30) == 0
        finally:
            if daemon.process.poll() is None:
                daemon.kill()


def test_an_abstract_socket_is_reached_too(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"model-monitor-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        assert notify("READY=1", "STATUS=here")
        assert manager.recv(100) == b"READY=1\nSTATUS=here"


def test_a_manager_that_is_gone_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert not notify("READY=1")


@pytest.mark.parametrize(
    ("limit", "pid", "expected"),
    [("4000000", None, 2.0), ("4000000", "1", None), ("0", None, None), ("soon", None, None)],
)
def test_the_watchdog_is_told_twice_in_its_time_and_only_by_the_process_it_asks(
    limit: str, pid: str | None, expected: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", limit)
    monkeypatch.setenv("WATCHDOG_PID", pid or str(os.getpid()))
    assert watchdog_interval_s() == expected
