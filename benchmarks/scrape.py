"""How long a scrape takes while the daemon ingests at full speed, under attack, and after a start.

    python benchmarks/scrape.py [--rows 1000000] [--json]

A real daemon, over TLS and with a password, holds the results of a model of 400 numeric features (more than
5,000 series) and ingests another model's topic from a real Kafka as fast as it can. Meanwhile `/metrics` is
scraped, over a kept connection as Prometheus does, and over a new one each time. Then, with nothing to
ingest, the scrapes go on beside a process with 1,000 connections that say nothing, 200 that drip a TLS
hello, 100 that read no answer, and four clients that guess passwords. At last the daemon is started again on
its store. Beside: prometheus_client's own HTTP server with as many gauges, idle.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from daemon_process import DaemonProcess
from ingest import FEATURES, PARTITIONS, TOPIC, produce
from kafka_broker import Broker
from test_web_server import make_certificate

from monitor.time import to_rfc3339

WIDE, WIDE_ROWS = 400, 4_000
AUTH = ("prometheus", "benchmark")
CONFIG = """
store: {{path: store.duckdb}}
server:
  listen: "127.0.0.1:0"
  tls: {{cert_file: cert.pem, key_file: key.pem}}
  basic_auth_users: {{prometheus: "{hash}"}}
sources:
  logs: {{kind: files}}
  events: {{kind: kafka, bootstrap_servers: "{bootstrap}"}}
models:
  - name: wide
    task: regression
    predictions: {{source: logs, path: wide.parquet}}
    reference: {{path: reference.parquet}}
    window: {{size: 1d}}
    checks: {{drift: {{}}, quality: {{}}}}
  - name: credit
    task: binary
    predictions: {{source: events, topic: {topic}}}
    features: {features}
    window: {{size: 1h}}
    checks: {{quality: {{}}}}
"""


def prepare(folder: Path, bootstrap: str) -> Path:
    """Write the wide model's data, the certificate and the configuration."""
    rng, now_us = np.random.default_rng(5), time.time_ns() // 1_000 - 3 * 86_400_000_000
    columns = {f"f{i}": rng.normal(size=WIDE_ROWS) for i in range(WIDE)}
    pq.write_table(
        pa.table({**columns, "prediction": rng.normal(size=WIDE_ROWS)}), folder / "reference.parquet"
    )
    ids = {"event_id": [f"w-{i}" for i in range(WIDE_ROWS)], "timestamp": [to_rfc3339(now_us)] * WIDE_ROWS}
    pq.write_table(
        pa.table({**ids, **columns, "prediction": rng.normal(size=WIDE_ROWS)}), folder / "wide.parquet"
    )
    make_certificate(folder, "local")
    hashed = bcrypt.hashpw(AUTH[1].encode(), bcrypt.gensalt(10)).decode()
    features = "{" + ", ".join(f"{name}: {kind}" for name, kind in FEATURES.items()) + "}"
    path = folder / "config.yaml"
    path.write_text(CONFIG.format(hash=hashed, bootstrap=bootstrap, topic=TOPIC, features=features))
    return path


class Scraped:
    """The daemon's `/metrics`, over connections that are kept or new."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.context = url, ssl.create_default_context(cafile=str(folder / "cert.pem"))
        self.kept = self.client()

    def client(self) -> httpx.Client:
        return httpx.Client(auth=AUTH, verify=self.context, timeout=30, headers={"Accept-Encoding": "gzip"})

    def once(self, client: httpx.Client) -> tuple[float, str]:
        """Return (seconds, body)."""
        began = time.perf_counter()
        answer = client.get(self.url + "/metrics").raise_for_status()
        return time.perf_counter() - began, answer.text

    def while_true(self, test: Callable[[str], bool], pause_s: float = 0.1) -> dict[str, float]:
        """Scrape over both kinds of connection as long as the body passes ``test``."""
        kept, new, body = [], [], self.once(self.kept)[1]
        while test(body):
            seconds, body = self.once(self.kept)
            kept.append(seconds)
            began = time.perf_counter()
            with self.client() as client:
                self.once(client)
            new.append(time.perf_counter() - began)
            time.sleep(pause_s)
        return {**spread("kept", kept), **spread("new", new)}


def spread(name: str, seconds: list[float]) -> dict[str, float]:
    """Return median and 99th percentile in milliseconds."""
    if not seconds:
        return {}
    p99 = float(np.quantile(seconds, 0.99))
    return {f"{name}_median_ms": statistics.median(seconds) * 1e3, f"{name}_p99_ms": p99 * 1e3,
            f"{name}_scrapes": len(seconds)}  # fmt: skip


def sample(body: str, start: str) -> float:
    """Return the sum of the samples whose line starts so."""
    return sum(float(line.rpartition(" ")[2]) for line in body.splitlines() if line.startswith(start))


def attack(scraped: Scraped) -> None:
    """Open all of them and keep them busy until killed."""
    host, port = scraped.url.removeprefix("https://").rsplit(":", 1)

    def opened(count: int) -> list[socket.socket]:
        return [socket.create_connection((host, int(port)), timeout=10) for _ in range(count)]

    def drip() -> None:
        slow = opened(200)
        while True:
            for i, sock in enumerate(slow):
                try:
                    sock.send(b"\x16")  # one byte of a TLS hello at a time
                except OSError:
                    slow[i] = opened(1)[0]
            time.sleep(0.2)

    def deaf() -> None:
        held = []
        while len(held) < 100:
            with suppress(OSError):
                sock = scraped.context.wrap_socket(opened(1)[0], server_hostname=host)
                sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
                held.append(sock)
            time.sleep(0.1)
        time.sleep(3600)

    def guess(n: int) -> None:
        with httpx.Client(verify=scraped.context, timeout=30) as client:
            while True:
                with suppress(httpx.HTTPError):
                    client.get(scraped.url + "/metrics", auth=("prometheus", f"guess{n}"))
                time.sleep(0.02)

    idle = opened(1_000)
    for run in (drip, deaf, *(partial(guess, n) for n in range(4))):
        threading.Thread(target=run, daemon=True).start()
    print(len(idle), "connections", flush=True)
    time.sleep(3600)


@contextmanager
def attacked(scraped: Scraped, folder: Path) -> Iterator[None]:
    """Be attacked by another process while the block runs."""
    command = [sys.executable, __file__, "--attack", scraped.url, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def started(config: Path, folder: Path) -> tuple[DaemonProcess, Scraped, float]:
    """Start the daemon, wait for the wide model's results; return it with the seconds to the first scrape."""
    began = time.perf_counter()
    daemon = DaemonProcess(config)
    scraped = Scraped(daemon.url, folder)
    scraped.once(scraped.kept)
    seconds = time.perf_counter() - began
    while "model_monitor_feature_psi{" not in scraped.once(scraped.kept)[1]:
        time.sleep(0.1)
    return daemon, scraped, seconds


PEER = """
import sys, time
from prometheus_client import Gauge, start_http_server
gauge = Gauge("model_monitor_feature_psi", "p", ["model", "version", "feature"])
for i in range(int(sys.argv[1])): gauge.labels("wide", "*", f"f{i}").set(i / 7)
server, _ = start_http_server(0, "127.0.0.1")
print(server.server_port, flush=True)
time.sleep(600)
"""


def peer(series: int) -> dict[str, float]:
    """Scrape prometheus_client's own server with as many series."""
    with subprocess.Popen(
        [sys.executable, "-c", PEER, str(series)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url, taken = f"http://127.0.0.1:{process.stdout.readline().strip()}/metrics", []
        with httpx.Client(timeout=30, headers={"Accept-Encoding": "gzip"}) as client:
            for _ in range(60):
                began = time.perf_counter()
                client.get(url).raise_for_status()
                taken.append(time.perf_counter() - began)
        process.terminate()
    return spread("kept", taken)


def measure(folder: Path, rows: int) -> dict[str, Any]:
    """Run all parts; return their figures."""
    row: dict[str, Any] = {"benchmark": "scrape", "rows": rows}
    with Broker() as broker:
        broker.create_topic(TOPIC, partitions=PARTITIONS)
        config = prepare(folder, broker.bootstrap)
        daemon, scraped, row["first_start_s"] = started(config, folder)
        produce(broker.bootstrap, rows)  # and the daemon reads along
        landed = 'model_monitor_events_total{kind="prediction",model="credit",outcome="landed"}'
        row["while_ingesting"] = scraped.while_true(lambda body: sample(body, landed) < rows, 0.05)
        row["series"] = sum(not line.startswith("#") for line in scraped.once(scraped.kept)[1].splitlines())
        ends = time.monotonic() + 5
        row["idle"] = scraped.while_true(lambda _: time.monotonic() < ends)
        with attacked(scraped, folder):
            ends = time.monotonic() + 20
            row["under_attack"] = scraped.while_true(lambda _: time.monotonic() < ends)
        daemon.process.send_signal(signal.SIGTERM)
        row["stop_exit_code"] = daemon.process.wait(60)
        daemon, _, row["start_on_existing_store_s"] = started(config, folder)
        daemon.stop(60)
    row["prometheus_client_idle"] = peer(row["series"])
    row["idle_times_of_prometheus_client"] = (
        row["idle"]["kept_median_ms"] / row["prometheus_client_idle"]["kept_median_ms"]
    )
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    parser.add_argument("--attack", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.attack:
        attack(Scraped(given.attack[0], Path(given.attack[1])))
    with tempfile.TemporaryDirectory(prefix="model-monitor-benchmark-") as folder:
        row = measure(Path(folder), given.rows)
    if given.json:
        print(json.dumps(row))
        return
    for key, value in row.items():
        for name, figure in value.items() if isinstance(value, dict) else [("", value)]:
            print(
                f"{key + ' ' + name:50} {figure:,.2f}" if isinstance(figure, float) else f"{key:50} {figure}"
            )


if __name__ == "__main__":
    main()
