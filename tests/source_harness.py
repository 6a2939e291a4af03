"""One harness over every source, so that one suite of tests can hold them all to the contract."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from kafka_broker import Cluster, produce, unique

from monitor.sources import Source
from monitor.sources.files import FilesSource
from monitor.sources.kafka import KafkaSettings
from monitor.sources.kafka_open import open_kafka
from monitor.sources.memory import MemorySource
from monitor.types import Partition, Position, RawBatch, Rejected


@dataclass
class Log:
    """What a reader has stored: every record and rejection in order, and the positions."""

    records: dict[str, list[tuple[int, bytes | None]]] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)
    positions: dict[Partition, Position] = field(default_factory=dict)
    batches: list[RawBatch] = field(default_factory=list)

    def store(self, batch: RawBatch) -> None:
        """Take in a batch as the store would: records, rejections and positions together."""
        for part, off, value in zip(
            *(batch.records.column(n).to_pylist() for n in ("part", "off", "value")), strict=True
        ):
            self.records.setdefault(batch.partitions[part].key, []).append((off, value))
        self.rejected += batch.rejected
        self.positions.update(batch.positions)
        self.batches.append(batch)

    @property
    def count(self) -> int:
        return sum(map(len, self.records.values()))

    def values(self, key: str) -> list[bytes | None]:
        return [value for _, value in self.records.get(key, [])]

    def offsets(self, key: str) -> list[int]:
        return [offset for offset, _ in self.records.get(key, [])]


def read(source: Source, log: Log, until: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Poll and store until ``until()`` holds; fail when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not until():
        assert time.monotonic() < deadline, f"not reached: {log.count} records, {source.status()}"
        before = time.monotonic()
        batch = source.poll(0.2)
        assert time.monotonic() - before < 3.0
        if batch is not None:
            log.store(batch)
            source.stored(batch.positions)


def read_to_end(source: Source, log: Log, timeout_s: float = 20.0) -> None:
    """Poll and store until every known partition is caught up, and nothing more comes."""
    last = [0]

    def done() -> bool:
        status = source.status()
        quiet = last[0] == len(log.batches)
        last[0] = len(log.batches)
        return quiet and bool(status.caught_up) and status.caught_up >= set(log.positions)

    read(source, log, done, timeout_s)


class Harness(Protocol):
    """How the tests make logs, and sources over them."""

    def write(self, key: str, values: Sequence[bytes | None]) -> None: ...

    def open(self, positions: Mapping[Partition, Position] | None = None, **limits: Any) -> Source: ...

    def close(self) -> None: ...


class MemoryHarness:
    def __init__(self) -> None:
        self.logs = MemorySource("s")

    def write(self, key: str, values: Sequence[bytes | None]) -> None:
        self.logs.append("t", key, values)

    def open(self, positions: Mapping[Partition, Position] | None = None, **limits: Any) -> Source:
        source = self.logs.reopened()
        for name, value in limits.items():
            setattr(source, name, value)
        source.start(positions or {})
        return source

    def close(self) -> None: ...


class FilesHarness:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def key(self, key: str) -> str:
        return str(self.folder / f"{key}.jsonl")

    def write(self, key: str, values: Sequence[bytes | None]) -> None:
        with Path(self.key(key)).open("ab") as file:
            file.writelines(value + b"\n" for value in values if value is not None)

    def open(self, positions: Mapping[Partition, Position] | None = None, **limits: Any) -> Source:
        source = FilesSource("s", [str(self.folder / "*.jsonl")], poll_s=0.05, **limits)
        source.start(positions or {})
        return source

    def close(self) -> None: ...


class KafkaHarness:
    def __init__(self, broker: Cluster, client: str) -> None:
        self.broker, self.client = broker, client
        self.topic = broker.create_topic(unique("contract"))
        self._partitions = 1

    def write(self, key: str, values: Sequence[bytes | None]) -> None:
        if int(key) >= self._partitions:
            self._partitions = int(key) + 1
            self.broker.add_partitions(self.topic, self._partitions)
        produce(self.broker.bootstrap, self.topic, values, partition=int(key))

    def open(self, positions: Mapping[Partition, Position] | None = None, **limits: Any) -> Source:
        limits = {"refresh_s": 0.5, **limits}
        source = open_kafka(
            "s",
            KafkaSettings(self.broker.bootstrap, client=self.client, **limits),
            [self.topic],  # type: ignore[arg-type]
        )
        source.start(positions or {})
        return source

    def close(self) -> None:
        self.broker.delete_topic(self.topic)
