"""The whole job on a real Kafka: produce, run the daemon, and compare every number with the oracle."""

from __future__ import annotations

import json
import os
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import oracle
import pandas as pd
import pytest
from daemon_process import DaemonProcess, ledger, running, stored_results, unfinished, until
from kafka_broker import Broker, Cluster, produce, unique
from streams import CATEGORICAL, NUMERIC, Scenario, generate, write_config

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
MODEL = oracle.Model(NUMERIC, list(CATEGORICAL), [("sex",), ("region",), ("sex", "region")], "plan")
EVENTS = int(os.environ.get("MODEL_MONITOR_TEST_EVENTS", "1000000"))


class Topics:
    """The two topics of one scenario, and a configuration that reads them."""

    def __init__(self, cluster: Cluster, folder: Path, scenario: Scenario, *, client: str = "auto") -> None:
        self.cluster, self.scenario, self.folder = cluster, scenario, folder
        self.predictions, self.feedback = unique("predictions"), unique("feedback")
        for topic, logs in self.logs().items():
            cluster.create_topic(topic, partitions=len(logs))
        where = f'bootstrap_servers: "{cluster.bootstrap}", client: {client}, idle_timeout: 4s'
        streams = {"predictions": f"topic: {self.predictions}", "feedback": f"topic: {self.feedback}"}
        self.config = write_config(
            folder, source="{kind: kafka, " + where + "}", rows=50_000, tick="2s", **streams
        )

    def logs(self) -> dict[str, list[list[bytes]]]:
        return {self.predictions: self.scenario.predictions, self.feedback: self.scenario.feedback}

    def produce(self, start: float = 0.0, end: float = 1.0) -> None:
        """Produce a share of every partition's log, in its order."""
        for topic, logs in self.logs().items():
            for i, log in enumerate(logs):
                some = log[int(start * len(log)) : int(end * len(log))]
                produce(self.cluster.bootstrap, topic, some, partition=i)

    def consumed(self) -> None:
        """Assert of the stopped store that every record was read once and nothing is left to ask."""
        expected = [
            (topic, str(i), len(log), len(log), len(log), 0, 0)
            for topic, logs in sorted(self.logs().items())
            for i, log in enumerate(logs)
        ]
        assert ledger(self.folder / "monitor.duckdb") == expected
        assert unfinished(self.folder / "monitor.duckdb") == 0

    def agree_with_the_oracle(self) -> None:
        reference = pd.read_parquet(self.folder / "reference.parquet")
        expected = oracle.oracle(self.scenario.predictions, self.scenario.feedback, reference, MODEL)
        wrong = oracle.differences(stored_results(self.config), expected)
        assert not wrong, f"{len(wrong)} of {len(expected)} differ:\n" + "\n".join(wrong[:20])


def asked(daemon: DaemonProcess, **parameters: str) -> list[dict[str, object]]:
    """Return results from the HTTP API."""
    answer = json.loads(daemon.get("/api/v1/results?" + urllib.parse.urlencode(parameters)))
    rows: list[dict[str, object]] = answer["results"]
    return rows


def test_a_million_predictions_and_half_a_million_labels_give_the_oracles_numbers(
    broker: Cluster, tmp_path: Path
) -> None:
    topics = Topics(broker, tmp_path, generate(31, EVENTS))
    assert sum(map(len, topics.scenario.predictions)) >= EVENTS
    assert sum(map(len, topics.scenario.feedback)) >= EVENTS // 2
    with running(topics.config) as daemon:
        topics.produce()  # while it reads
        daemon.wait_quiet(600)
        served = asked(daemon, metric="accuracy", version="*", window="all")
        assert daemon.metrics("conservation_violations_total") == {"": 0.0}
        assert daemon.stop() == 0
    topics.consumed()
    topics.agree_with_the_oracle()
    stored = [r for r in stored_results(topics.config) if r["metric"] == "accuracy" and r["version"] == "*"]
    assert {(r["window_start"], r["segment"], r["value"]) for r in served} == {
        (r["window_start"], r["segment"], r["value"]) for r in stored
    }


@pytest.mark.parametrize("client", ["confluent", "kafka-python"])
def test_either_client_brings_the_oracles_numbers_and_the_same_ones(
    broker: Cluster, tmp_path: Path, client: str
) -> None:
    topics = Topics(broker, tmp_path, generate(32, 20_000), client=client)
    topics.produce()
    with running(topics.config) as daemon:
        daemon.wait_quiet(300)
        assert daemon.stop() == 0
    topics.consumed()
    topics.agree_with_the_oracle()


def test_a_broker_that_is_down_at_the_start_and_goes_away_in_between_costs_no_record(
    own_broker: Callable[[], Broker], tmp_path: Path
) -> None:
    broker = own_broker()
    topics = Topics(broker, tmp_path, generate(33, 20_000))
    broker.stop()
    with running(topics.config) as daemon:
        until(lambda: "not connected" in daemon.get("/-/ready"), 30)
        assert "model_monitor_build_info" in daemon.get("/metrics")
        broker.start()
        topics.produce(0.0, 0.4)
        until(lambda: sum(daemon.metrics("events_total").values()) > 0, 30)
        broker.stop()
        until(lambda: "not connected" in daemon.get("/-/ready"), 60)
        assert json.loads(daemon.get("/-/healthy"))["healthy"]
        broker.start()
        topics.produce(0.4, 0.7)
        broker.stop()
        broker.start()
        topics.produce(0.7, 1.0)
        daemon.wait_quiet(300)
        assert daemon.stop() == 0
    topics.consumed()
    topics.agree_with_the_oracle()


def test_a_daemon_that_is_stopped_and_started_goes_on_where_its_store_says(
    broker: Cluster, tmp_path: Path
) -> None:
    topics = Topics(broker, tmp_path, generate(34, 20_000))
    for start in (0.0, 0.25, 0.5, 0.75):
        topics.produce(start, start + 0.25)
        with running(topics.config) as daemon:
            until(lambda d=daemon: sum(d.metrics("events_total").values()) > 0, 60)
            assert daemon.stop() == 0
    with running(topics.config) as daemon:
        daemon.wait_quiet(300)
        assert daemon.stop() == 0
    topics.consumed()
    topics.agree_with_the_oracle()
