"""The evaluation thread: what it shows while it catches up on many windows."""

from __future__ import annotations

from pathlib import Path

import pytest
from in_process import NOW_US, InProcess, prediction
from streams import HOUR_US, START_US
from test_start import CONFIG, write_reference

from monitor.types import Partition
from monitor.web.snapshot import Current, Snapshot
from monitor.web.telemetry import Telemetry
from monitor.worker import Worker

HOURS = 4


class Clock:
    """A clock that moves by a given time whenever it is asked."""

    def __init__(self, step_s: float) -> None:
        self.step_s, self.s = step_s, 100.0

    def now_us(self) -> int:
        return NOW_US

    def monotonic_s(self) -> float:
        self.s += self.step_s
        return self.s


@pytest.mark.parametrize(("step_s", "published"), [(10.0, [1, 2, 3, 4, 4]), (0.0, [4])])
def test_a_long_tick_publishes_between_windows_and_a_short_one_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_s: float, published: list[int]
) -> None:
    write_reference(tmp_path, seed=1)
    (tmp_path / "config.yaml").write_text(CONFIG)
    world = InProcess.configured(tmp_path / "config.yaml", tmp_path / "store.duckdb")
    events = [
        prediction(f"e-{i}", i * 60.0 * HOURS / 240, features={"age": 30 + i % 20, "plan": "gold"})
        for i in range(240)
    ]
    (topic,) = world.routes
    world.land({Partition("events", topic, "0"): events})
    worker = Worker(world.store, Clock(step_s), Telemetry(), Current(), [world.cycle.monitored], {},
                    retention_us=10**15, quarantine_rows=10)  # fmt: skip
    monkeypatch.setattr(worker, "_watermark", lambda cycle, statuses: START_US + (HOURS + 1) * HOUR_US)
    shown: list[Snapshot] = []
    worker.prepare = shown.append
    worker.current.publish(Snapshot())
    if not step_s:
        worker.publish({})  # as at the start; the next is due five seconds later
        shown.clear()
    worker.tick()
    ends = [max(r.window.end_us for r in one.results) for one in shown]
    assert [(end - START_US) // HOUR_US for end in ends] == published
