"""A real Apache Kafka for tests and benchmarks: one KRaft node on loopback, its jars fetched by Maven once.

    with Broker() as broker:
        broker.create_topic("events", partitions=4)
        ...  # broker.bootstrap is "127.0.0.1:PORT"

Set ``MODEL_MONITOR_TEST_KAFKA=host:port`` to use a broker that runs elsewhere (see ``outside_broker``).
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

VERSION = "4.1.0"
USER, PASSWORD = "monitor", "monitor-secret"

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>model-monitor</groupId><artifactId>test-kafka</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{version}</version>
    </dependency>
  </dependencies>
</project>
"""

PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{plain},SASL_PLAINTEXT://127.0.0.1:{sasl},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
required user_{user}="{password}";
log.dirs={data}
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.retention.check.interval.ms=500
log.cleaner.backoff.ms=200
log.cleaner.dedupe.buffer.size=2097152
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=300
"""

LOG4J = """
Configuration:
  status: error
  Appenders: {Console: {name: STDOUT, PatternLayout: {pattern: "[%d] %p %c %m%n"}}}
  Loggers: {Root: {level: warn, AppenderRef: {ref: STDOUT}}}
"""


class KafkaUnavailableError(RuntimeError):
    """There is no way to run a broker here (no Java, no Maven, no network)."""


def outside_broker() -> str | None:
    """Return the address of a broker that somebody else runs, if one is named."""
    return os.environ.get("MODEL_MONITOR_TEST_KAFKA") or None


def kafka_jars(version: str = VERSION) -> Path:
    """Return the folder with Kafka's jars, fetched through Maven the first time.

    Raises
    ------
    KafkaUnavailableError
        When Java or Maven is missing or the jars cannot be fetched.
    """
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            raise KafkaUnavailableError(f"a real Kafka needs {tool} on the PATH; install a JDK 17 and Maven")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "model-monitor"
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / f"kafka-{version}"
    with (cache / f"kafka-{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                _fetch_jars(Path(scratch), version)
                (Path(scratch) / "jars").rename(target)
    return target


def _fetch_jars(scratch: Path, version: str) -> None:
    (scratch / "pom.xml").write_text(POM.format(version=version))
    command = ["mvn", "-B", "-q", "-f", str(scratch / "pom.xml"), "dependency:copy-dependencies"]
    command += [f"-DoutputDirectory={scratch / 'jars'}", "-DincludeScope=runtime"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise KafkaUnavailableError(f"Maven could not fetch Kafka {version}: {done.stdout[-500:]}")


def free_ports(count: int) -> list[int]:
    """Return ports on loopback that nothing listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


class Cluster:
    """A Kafka that is running, and what tests do with its topics."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    def create_topic(self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        """Create a topic, wait until its partitions have leaders, and return its name."""
        from confluent_kafka.admin import NewTopic

        client = admin(self.bootstrap)
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=dict(config or {}))
        client.create_topics([topic])[name].result(20)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            found = client.list_topics(name, timeout=5).topics[name].partitions
            if len(found) == partitions and all(p.leader >= 0 for p in found.values()):
                return name
            time.sleep(0.05)
        raise RuntimeError(f"topic {name} has no leaders after 20 s")

    def add_partitions(self, name: str, total: int) -> None:
        """Raise the number of partitions of a topic."""
        from confluent_kafka.admin import NewPartitions

        client = admin(self.bootstrap)
        client.create_partitions([NewPartitions(name, total)])[name].result(20)

    def delete_topic(self, name: str) -> None:
        """Delete a topic and wait until the broker no longer lists it."""
        client = admin(self.bootstrap)
        client.delete_topics([name])[name].result(20)
        deadline = time.monotonic() + 20
        while name in client.list_topics(timeout=5).topics and time.monotonic() < deadline:
            time.sleep(0.05)

    def delete_records(self, name: str, before: int, partition: int = 0) -> None:
        """Delete the records below an offset, as retention does."""
        from confluent_kafka import TopicPartition

        client = admin(self.bootstrap)
        for done in client.delete_records([TopicPartition(name, partition, before)]).values():
            done.result(20)


class Broker(Cluster):
    """One Kafka node that can be stopped and started again on the same port and data."""

    def __init__(self, heap: str = "512m") -> None:
        self.heap = heap
        self.folder = Path(tempfile.mkdtemp(prefix="model-monitor-kafka-"))
        self.port, self.sasl_port, controller = free_ports(3)
        super().__init__(f"127.0.0.1:{self.port}")
        self.process: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)
        self._java = [
            *("java", "-Xms128m", f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=4"),
            *(f"-Dlog4j2.configurationFile={self.folder / 'log4j2.yaml'}", "-cp", f"{kafka_jars()}/*"),
        ]
        (self.folder / "log4j2.yaml").write_text(LOG4J)
        self.properties = self.folder / "server.properties"
        ports = {"plain": self.port, "sasl": self.sasl_port, "controller": controller}
        self.properties.write_text(
            PROPERTIES.format(**ports, data=self.data, user=USER, password=PASSWORD).lstrip()
        )
        identity = ["-t", "bW9kZWwtbW9uaXRvci0wMQ", "-c", str(self.properties)]
        command = [*self._java, "kafka.tools.StorageTool", "format", *identity]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise KafkaUnavailableError(f"Kafka could not format its storage: {done.stderr or done.stdout}")

    @property
    def sasl_bootstrap(self) -> str:
        return f"127.0.0.1:{self.sasl_port}"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def start(self) -> None:
        """Start the node and wait until it answers."""
        with (self.folder / "broker.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self._java, "kafka.Kafka", str(self.properties)], stdout=log, stderr=log
            )
        self._wait(60.0)

    def _wait(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.process is None or self.process.poll() is not None:
                break
            try:
                if admin(self.bootstrap).list_topics(timeout=2).brokers:
                    return
            except Exception:  # not up yet
                time.sleep(0.1)
        log = (self.folder / "broker.log").read_text(errors="replace")[-2000:]
        self.stop()
        raise RuntimeError(f"Kafka did not start within {timeout_s} s:\n{log}")

    def stop(self) -> None:
        """Stop the node in an orderly way; kill it after 15 s."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def close(self) -> None:
        """Stop the node and delete its data."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Broker:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def quiet(_: object) -> None:
    """Swallow what a client would print about a broker that is away on purpose."""


def admin(bootstrap: str) -> Any:
    """Return an admin client that prints nothing."""
    from confluent_kafka.admin import AdminClient

    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, "error_cb": quiet})


def produce(
    bootstrap: str,
    topic: str,
    values: Sequence[bytes | None],
    *,
    partition: int = 0,
    keys: Sequence[bytes] | None = None,
    config: Mapping[str, object] | None = None,
) -> None:
    """Write values to one partition, in order, and wait for the broker's acknowledgement."""
    from confluent_kafka import Producer

    base: dict[str, object] = {"bootstrap.servers": bootstrap, "linger.ms": 5, "enable.idempotence": True}
    base |= {"message.max.bytes": 64 * 1024 * 1024, "log_level": 0, "error_cb": quiet}
    producer = Producer(base | dict(config or {}))
    failed: list[str] = []
    for i, value in enumerate(values):
        while True:
            try:
                producer.produce(
                    topic,
                    value,
                    keys[i] if keys else None,
                    partition=partition,
                    on_delivery=lambda error, _: failed.append(str(error)) if error else None,
                )
                break
            except BufferError:
                producer.poll(0.05)
        if i % 10_000 == 0:
            producer.poll(0)
    if producer.flush(60) or failed:
        raise RuntimeError(f"the broker did not take every record: {failed[:3]}")


def unique(prefix: str) -> str:
    """Return a topic name that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"
