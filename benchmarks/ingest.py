"""How fast events go from a Kafka topic into the committed store; beside a naive loop over the same topic.

    python benchmarks/ingest.py --rows 1000000 [--json]

A real broker on the same machine holds ``--rows`` JSON events of 12 numeric and 4 categorical features in
four partitions. Each contender then reads the topic from its beginning, in a fresh process: our ingest
(reader and lander, everything committed) with either client, and what one writes first: kafka-python,
``json.loads``, and a pandas frame per poll, nothing stored. The naive loop runs twice: with kafka-python as
``pip install kafka-python`` gives it, whose checksums are pure Python, and with its ``crc32c`` extra. Events
per second count from the start of reading to the last commit; CPU seconds are the process's own, so the
broker's share of the two cores is not in them.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from monitor.ingest import Ingest
from monitor.sources.kafka import KafkaSettings
from monitor.sources.kafka_open import open_kafka
from monitor.store.landing import Route
from monitor.store.store import Store
from monitor.time import SystemClock, to_rfc3339
from monitor.types import Kind, ModelSpec, WindowSpec

TOPIC, PARTITIONS, NUMERIC, CATEGORICAL = "credit.predictions", 4, 12, 4
HOUR_US = 3_600_000_000
FEATURES: dict[str, Kind] = {
    **{f"n{i}": "numeric" for i in range(NUMERIC)},
    **{f"c{i}": "categorical" for i in range(CATEGORICAL)},
}
SPEC = ModelSpec("credit", "binary", FEATURES, WindowSpec(HOUR_US, HOUR_US, 0, 0))


def events(rows: int) -> Iterator[bytes]:
    """Yield seeded events of about 480 bytes, one millisecond apart, ending now."""
    rng, now_us = random.Random(7), SystemClock().now_us()
    bodies = []
    for _ in range(2_000):
        features = {f"n{i}": round(rng.gauss(0, 1), 9) for i in range(NUMERIC)}
        features |= {f"c{i}": rng.choice("abcdefgh") for i in range(CATEGORICAL)}
        score = round(rng.random(), 9)
        bodies.append(
            json.dumps({"features": features, "prediction": str(int(score > 0.5)), "score": score})[1:]
        )
    for i in range(rows):
        at = to_rfc3339(now_us - (rows - i) * 1_000)
        head = f'{{"event_id": "e-{i:012d}", "model": "credit", "version": "3", "timestamp": "{at}", '
        yield (head + bodies[i % len(bodies)]).encode()


def produce(bootstrap: str, rows: int) -> float:
    """Fill the topic; return the mean size of an event in bytes."""
    from confluent_kafka import Producer

    settings = {"bootstrap.servers": bootstrap, "linger.ms": 50, "batch.size": 1 << 20, "acks": "1"}
    producer, size = Producer(settings | {"queue.buffering.max.messages": 1_000_000}), 0
    for i, value in enumerate(events(rows)):
        size += len(value)
        producer.produce(TOPIC, value, partition=i % PARTITIONS)
        if i % 50_000 == 0:
            producer.poll(0)
            while len(producer) > 500_000:
                producer.poll(0.1)
    producer.flush(120)
    return size / rows


def ours(client: Any, bootstrap: str, rows: int) -> dict[str, float]:
    """Land the whole topic with one of the clients."""
    with tempfile.TemporaryDirectory(prefix="model-monitor-benchmark-") as folder:
        store, landed = Store(Path(folder) / "store.duckdb"), 0
        store.register(SPEC)

        def count(report: Any) -> None:
            nonlocal landed
            landed += sum(report.landed.values())

        source = open_kafka("events", KafkaSettings(bootstrap, client=client), [TOPIC])
        routes = {TOPIC: [Route(SPEC, frozenset({"prediction"}))]}
        ingest = Ingest("events", source, routes, store, SystemClock(), on_landed=count)
        started, cpu = time.perf_counter(), time.process_time()
        ingest.start()
        while landed < rows:
            time.sleep(0.005)
            if time.perf_counter() - started > 600:
                raise SystemExit(f"only {landed} of {rows} landed in 10 minutes: {source.status()}")
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        ingest.stop()
        store.close()
    return measured(landed, seconds, cpu)


def naive(bootstrap: str, rows: int, *, crc32c: bool) -> dict[str, float]:
    """Poll, ``json.loads``, make a frame; store nothing."""
    if not crc32c:
        sys.modules["crc32c"] = None  # type: ignore[assignment]  # as if the extra were not installed
    import pandas as pd
    from kafka import KafkaConsumer

    consumer = KafkaConsumer(TOPIC, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    seen, started, cpu = 0, time.perf_counter(), time.process_time()
    while seen < rows:
        for records in consumer.poll(timeout_ms=500).values():
            parsed = [json.loads(record.value) for record in records]
            frame = pd.DataFrame([p.pop("features") | p for p in parsed])
            frame["timestamp"] = pd.to_datetime(frame["timestamp"])
            seen += len(frame)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    consumer.close()
    return measured(seen, seconds, cpu)


def measured(rows: int, seconds: float, cpu: float) -> dict[str, float]:
    """Return the figures of one contender."""
    return {
        "events_per_s": rows / seconds,
        "cpu_s_per_million": cpu / rows * 1e6,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def run(contender: str, bootstrap: str, rows: int) -> dict[str, float]:
    """Measure a contender in a fresh process."""
    command = [
        sys.executable,
        __file__,
        "--contender",
        contender,
        "--bootstrap",
        bootstrap,
        "--rows",
        str(rows),
    ]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(answer.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--naive-rows", type=int, default=100_000)
    parser.add_argument("--python-rows", type=int, default=300_000, help="rows for our loop on kafka-python")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--bootstrap", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.contender:
        sides = {"naive": partial(naive, crc32c=False), "naive-crc32c": partial(naive, crc32c=True)}
        side = sides.get(given.contender)
        figures = (
            side(given.bootstrap, given.rows) if side else ours(given.contender, given.bootstrap, given.rows)
        )
        print(json.dumps(figures))
        return
    from kafka_broker import Broker

    row: dict[str, Any] = {"benchmark": "ingest", "rows": given.rows, "features": NUMERIC + CATEGORICAL}
    with Broker() as broker:
        broker.create_topic(TOPIC, partitions=PARTITIONS)
        row["bytes_per_event"] = produce(broker.bootstrap, given.rows)
        sizes = {"confluent": given.rows, "kafka-python": given.python_rows}
        sizes |= dict.fromkeys(("naive", "naive-crc32c"), given.naive_rows)
        for contender, rows in sizes.items():
            figures = run(contender, broker.bootstrap, min(rows, given.rows))
            row |= {f"{contender.replace('-', '_')}_{key}": value for key, value in figures.items()}
    for other in ("naive", "naive_crc32c", "kafka_python"):
        row[f"times_faster_than_{other}"] = row["confluent_events_per_s"] / row[f"{other}_events_per_s"]
    if given.json:
        print(json.dumps(row))
        return
    for key, value in row.items():
        print(f"{key:34} {value:,.2f}" if isinstance(value, float) else f"{key:34} {value}")


if __name__ == "__main__":
    main()
