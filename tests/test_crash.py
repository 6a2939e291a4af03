"""SIGKILL at random moments under load: the final results are those of a run that nothing disturbed."""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import oracle
import pandas as pd
import pytest
from daemon_process import DaemonProcess, ledger, running, stored_results, unfinished
from kafka_broker import Cluster, produce, unique
from streams import CATEGORICAL, NUMERIC, Scenario, generate, write_config

from monitor.store.store import Store
from monitor.store.upkeep import violations

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
MODEL = oracle.Model(NUMERIC, list(CATEGORICAL), [("sex",)], segment="")
KILLS = int(os.environ.get("MODEL_MONITOR_TEST_KILLS", "50"))  # a release is tested with 1000
SEED = int(os.environ.get("MODEL_MONITOR_TEST_SEED", "41"))


class Stage:
    """One scenario's topics; any number of stores that read them."""

    def __init__(self, cluster: Cluster, folder: Path, scenario: Scenario) -> None:
        self.cluster, self.folder = cluster, folder
        self.logs = {unique("predictions"): scenario.predictions, unique("feedback"): scenario.feedback}
        for topic, logs in self.logs.items():
            cluster.create_topic(topic, partitions=len(logs))
        self.done: dict[tuple[str, int], int] = {}

    def config(self, name: str) -> Path:
        predictions, feedback = self.logs
        where = f'bootstrap_servers: "{self.cluster.bootstrap}", idle_timeout: 2s, max_batch_records: 200'
        return write_config(
            self.folder, source="{kind: kafka, " + where + "}", predictions=f"topic: {predictions}",
            feedback=f"topic: {feedback}", rows=5000, tick="500ms", store=f"{name}.duckdb",
            name=f"{name}.yaml", light=True,
        )  # fmt: skip

    def produce(self, share: float) -> None:
        """Produce every partition's log up to this share of it."""
        for topic, logs in self.logs.items():
            for i, log in enumerate(logs):
                at, end = self.done.get((topic, i), 0), round(share * len(log))
                produce(self.cluster.bootstrap, topic, log[at:end], partition=i)
                self.done[topic, i] = end

    def finish(self, name: str) -> list[dict[str, object]]:
        """Let a store read everything, stop it, and check its books; return its results."""
        config, store = self.config(name), self.folder / f"{name}.duckdb"
        with running(config) as daemon:
            daemon.wait_quiet(240)
            assert daemon.metrics("conservation_violations_total") == {"": 0.0}
            assert daemon.stop() == 0
        expected = [
            (topic, str(i), len(log), len(log), len(log), 0, 0)
            for topic, logs in sorted(self.logs.items())
            for i, log in enumerate(logs)
        ]
        assert ledger(store) == expected
        assert unfinished(store) == 0
        opened = Store(store)
        assert violations(opened.cursor()) == []
        opened.close()
        return stored_results(config)


def phase(daemon: DaemonProcess) -> str:
    """Tell from its log how far a killed daemon had come."""
    said = daemon.said
    return "evaluating" if " asked: " in said else "landing" if "serving" in said else "starting"


def kill_repeatedly(stage: Stage, config: Path, moments_s: Sequence[float]) -> Counter[str]:
    """Start the daemon and kill it after each of these times, while records keep coming.

    Every fifth dies after a sixth of its time, which is while it starts; its records are there before.
    """
    phases: Counter[str] = Counter()
    for i, after_s in enumerate(moments_s):
        early = i % 5 == 4
        if early:
            stage.produce((i + 1) / len(moments_s))
        daemon, started = DaemonProcess(config), time.monotonic()
        stage.produce((i + 1) / len(moments_s))
        due_s = after_s / 6 if early else after_s
        time.sleep(max(due_s - (time.monotonic() - started), 0))
        daemon.kill()
        phases[phase(daemon)] += 1
    return phases


def test_kills_at_random_moments_leave_no_trace_in_the_results(broker: Cluster, tmp_path: Path) -> None:
    scenario = generate(SEED, max(1000 * KILLS // 2, 5000) if KILLS <= 100 else 60_000, windows=4)
    stage = Stage(broker, tmp_path, scenario)
    rng = random.Random(SEED)
    phases = kill_repeatedly(stage, stage.config("killed"), [rng.uniform(0.4, 6.0) for _ in range(KILLS)])
    assert min(phases[p] for p in ("starting", "landing", "evaluating")) >= KILLS // 25, phases
    killed, undisturbed = stage.finish("killed"), stage.finish("undisturbed")
    assert [json.dumps(row) for row in killed] == [json.dumps(row) for row in undisturbed]
    reference = pd.read_parquet(tmp_path / "reference.parquet")
    expected = oracle.oracle(scenario.predictions, scenario.feedback, reference, MODEL)
    wrong = oracle.differences(killed, expected)
    assert not wrong, f"{len(wrong)} of {len(expected)} differ:\n" + "\n".join(wrong[:20])
