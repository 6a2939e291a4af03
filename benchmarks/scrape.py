"""How long a scrape takes while the daemon ingests at full speed, under attack, and after a start.

    python benchmarks/scrape.py [--rows 3000000] [--json]

A real daemon, over TLS and with a password, holds the results of a model of 400 numeric features (more than
5,000 series). It is stopped, a topic of a real Kafka is filled, and the daemon started again: while it
ingests the topic as fast as it can, `/metrics` is scraped again and again, over a kept connection as
Prometheus does, and over a new one each time. Nothing but broker, daemon and scraper runs then, and fewer
than 300 scrapes are said to be too few. Then, with nothing to ingest, the scrapes go on beside a process with
1,000 connections that say nothing, 200 that drip a TLS hello, 100 that read no answer, and four clients that
guess passwords. At last the daemon is started on its store, which by then has the topic's rows: three times
after SIGKILL, three times after a stop; seconds count from the exec to the last byte of the first scrape,
which has to hold the stored results. Beside: prometheus_client's own HTTP server with as many gauges, idle.
"""

from __future__ import annotations

import argparse
import base64
import compileall
import gzip
import http.client
import json
import os
import re
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

from daemon_process import ROOT, DaemonProcess
from ingest import FEATURES, PARTITIONS, TOPIC, produce
from kafka_broker import Broker, free_ports
from test_web_server import make_certificate

from monitor.time import to_rfc3339

WIDE, WIDE_ROWS = 400, 4_000
RESULT = "model_monitor_feature_psi{"
LANDED = 'model_monitor_events_total{kind="prediction",model="credit",outcome="landed"}'
ENOUGH = 300  # scrapes that a 99th percentile needs
PAUSE_S = 0.01
STARTS = 3
AUTH = ("prometheus", "benchmark")
ACCEPT = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
CONFIG = """
store: {{path: store.duckdb}}
server:
  listen: "127.0.0.1:{port}"
  tls: {{cert_file: cert.pem, key_file: key.pem}}
  basic_auth_users: {{prometheus: "{hash}"}}
sources:
  logs: {{kind: files, idle_timeout: 2s}}
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


def prepare(folder: Path, bootstrap: str, port: int) -> Path:
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
    path.write_text(
        CONFIG.format(hash=hashed, bootstrap=bootstrap, port=port, topic=TOPIC, features=features)
    )
    return path


class Scraped:
    """A `/metrics`, over connections that are kept or new, by a client that does little itself."""

    def __init__(self, url: str, folder: Path | None = None) -> None:
        self.url, self.context = url, None
        if folder:
            self.context = ssl.create_default_context(cafile=str(folder / "cert.pem"))
        self.kept = self.connection()
        login = base64.b64encode(":".join(AUTH).encode()).decode()
        self.headers = {"Authorization": f"Basic {login}", "Accept-Encoding": "gzip", "Accept": ACCEPT}

    def connection(self) -> http.client.HTTPConnection:
        address = self.url.split("//")[1]
        if self.context is None:
            return http.client.HTTPConnection(address, timeout=30)
        return http.client.HTTPSConnection(address, timeout=30, context=self.context)

    def once(self, connection: http.client.HTTPConnection) -> tuple[float, str]:
        """Return (seconds to the last byte, with the handshake if the connection is new; the body)."""
        began = time.perf_counter()
        try:
            connection.request("GET", "/metrics", headers=self.headers)
            answer = connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            connection.close()  # a kept one that was closed meanwhile is opened anew, as Prometheus does
            connection.request("GET", "/metrics", headers=self.headers)
            answer = connection.getresponse()
        body = answer.read()
        seconds = time.perf_counter() - began
        assert answer.status == 200, body[:200]
        return seconds, gzip.decompress(body).decode()

    def while_true(self, test: Callable[[str], bool], pause_s: float = PAUSE_S) -> dict[str, float]:
        """Scrape over both kinds of connection in turn as long as the body passes ``test``."""
        taken: dict[str, list[float]] = {"kept": [], "new": []}
        failed, body = 0, self.once(self.kept)[1]
        while test(body):
            for kind, seconds in taken.items():
                connection = self.kept if kind == "kept" else self.connection()
                try:
                    one, body = self.once(connection)
                    seconds.append(one)
                except (OSError, http.client.HTTPException):
                    failed += 1
                    connection.close()
                if kind == "new":
                    connection.close()
                time.sleep(pause_s)
        return {**spread("kept", taken["kept"]), **spread("new", taken["new"]), "failed_scrapes": failed}


def spread(name: str, seconds: list[float]) -> dict[str, float]:
    """Return quantiles in milliseconds, and of how many scrapes."""
    if not seconds:
        return {}
    figures = {"median": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    found = {f"{name}_{key}_ms": float(np.quantile(seconds, q)) * 1e3 for key, q in figures.items()}
    return found | {f"{name}_scrapes": len(seconds)}


def sample(body: str, start: str) -> float:
    """Return the value of the one sample that starts so; 0 without it."""
    found = re.search(rf"^{re.escape(start)} (\S+)", body, re.MULTILINE)
    return float(found[1]) if found else 0.0


def cpu_s(process: subprocess.Popen[bytes]) -> float:
    """Return the processor seconds that the process has taken so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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


def started(config: Path, scraped: Scraped, *, stored: bool) -> tuple[DaemonProcess, dict[str, float]]:
    """Start the daemon; return it, and the wall and processor seconds from the exec to the first scrape.

    With ``stored`` that has to hold the wide model's results; else they are waited for.
    """
    began = time.perf_counter()
    daemon = DaemonProcess(config)
    scraped.kept = scraped.connection()
    while True:
        try:
            body = scraped.once(scraped.kept)[1]
            break
        except ConnectionRefusedError:
            assert daemon.process.poll() is None, daemon.said[-2000:]
            scraped.kept.close()
            time.sleep(0.005)
    taken = {"s": time.perf_counter() - began, "cpu_s": cpu_s(daemon.process)}
    assert not stored or RESULT in body, "the first scrape lacks the stored results"
    while RESULT not in body:
        time.sleep(0.1)
        body = scraped.once(scraped.kept)[1]
    return daemon, taken


def starts(config: Path, scraped: Scraped, daemon: DaemonProcess, end: Callable[[DaemonProcess], Any]) -> Any:
    """End the daemon and start it again, several times; return it with the medians and the slowest."""
    taken = []
    for _ in range(STARTS):
        end(daemon)
        daemon, one = started(config, scraped, stored=True)
        taken.append(one)
    row = {f"median_{key}": statistics.median(one[key] for one in taken) for key in taken[0]}
    return daemon, row | {"max_s": max(one["s"] for one in taken)}


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
    command = [sys.executable, "-c", PEER, str(series)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        scraped = Scraped(f"http://127.0.0.1:{process.stdout.readline().strip()}")
        taken = [scraped.once(scraped.kept)[0] for _ in range(60)]
        process.terminate()
    return spread("kept", taken)


def ingesting(daemon: DaemonProcess, scraped: Scraped, rows: int) -> dict[str, float]:
    """Scrape until the topic has landed; return how long scrapes took, and what the daemon did meanwhile."""
    while (first := sample(scraped.once(scraped.kept)[1], LANDED)) == 0:
        time.sleep(PAUSE_S)
    began, cpu = time.perf_counter(), cpu_s(daemon.process)
    row = scraped.while_true(lambda body: sample(body, LANDED) < rows)
    seconds, cpu = time.perf_counter() - began, cpu_s(daemon.process) - cpu
    row |= {"events_per_s": (rows - first) / seconds, "daemon_cpu_s_per_million": cpu / (rows - first) * 1e6}
    return row


def measure(folder: Path, rows: int) -> dict[str, Any]:
    """Run all parts; return their figures."""
    compileall.compile_dir(ROOT / "monitor", quiet=1)  # as an installation has it
    row: dict[str, Any] = {"benchmark": "scrape", "rows": rows}
    with Broker() as broker:
        broker.create_topic(TOPIC, partitions=PARTITIONS)
        (port,) = free_ports(1)
        config = prepare(folder, broker.bootstrap, port)
        scraped = Scraped(f"https://127.0.0.1:{port}", folder)
        daemon, first = started(config, scraped, stored=False)
        row["first_start_s"] = first["s"]
        daemon.stop(60)
        produce(broker.bootstrap, rows)
        daemon, _ = started(config, scraped, stored=True)
        row["while_ingesting"] = ingesting(daemon, scraped, rows)
        row["series"] = sum(not line.startswith("#") for line in scraped.once(scraped.kept)[1].splitlines())
        ends = time.monotonic() + 10
        row["idle"] = scraped.while_true(lambda _: time.monotonic() < ends)
        with attacked(scraped, folder):
            ends = time.monotonic() + 20
            row["under_attack"] = scraped.while_true(lambda _: time.monotonic() < ends)
        daemon, row["start_after_kill"] = starts(config, scraped, daemon, DaemonProcess.kill)
        daemon, row["start_after_stop"] = starts(config, scraped, daemon, lambda one: one.stop(60))
        row["stop_exit_code"] = daemon.stop(60)
    row["prometheus_client_idle"] = peer(row["series"])
    row["idle_times_of_prometheus_client"] = (
        row["idle"]["kept_median_ms"] / row["prometheus_client_idle"]["kept_median_ms"]
    )
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=3_000_000)
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
    taken = min(row["while_ingesting"][f"{kind}_scrapes"] for kind in ("kept", "new"))
    if taken < ENOUGH:
        print(f"only {taken} scrapes while ingesting; a 99th percentile takes {ENOUGH}: give more --rows")
    for key, value in row.items():
        for name, figure in value.items() if isinstance(value, dict) else [("", value)]:
            shown = f"{figure:,.2f}" if isinstance(figure, float) else figure
            print(f"{key + ' ' + name:50} {shown}")


if __name__ == "__main__":
    main()
