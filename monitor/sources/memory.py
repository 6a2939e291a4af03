"""Logs held in memory, for tests: the whole contract of a source, with faults on demand."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Mapping, Sequence

import pyarrow as pa

from monitor.sources import SourceStatus
from monitor.sources.kafka_batch import oversize
from monitor.types import RAW_SCHEMA, Partition, Position, RawBatch, Rejected


class MemorySource:
    """A source whose logs are appended to by the test; a :class:`monitor.sources.Source`.

    The logs outlive ``close``, as a broker's would: :meth:`reopened` returns a new source over the same logs.
    """

    def __init__(
        self, name: str, *, max_record_bytes: int = 1 << 20, max_batch_records: int = 50_000
    ) -> None:
        self.name, self.max_record_bytes, self.max_batch_records = name, max_record_bytes, max_batch_records
        self.logs: dict[Partition, list[tuple[int, int | None, bytes | None]]] = {}
        self._ends: dict[Partition, int] = {}
        self._next: dict[Partition, int] = {}
        self._changed = threading.Event()
        self._reachable, self._closed = True, False
        self.committed: dict[Partition, Position] = {}

    def append(
        self, topic: str, key: str, values: Sequence[bytes | None], record_us: int | None = None
    ) -> Partition:
        """Append values to a partition, which comes into being with its first one."""
        partition = Partition(self.name, topic, key)
        log, end = self.logs.setdefault(partition, []), self._ends.get(partition, 0)
        log += [(end + i, record_us, value) for i, value in enumerate(values)]
        self._ends[partition] = end + len(values)
        self._changed.set()
        return partition

    def skip(self, partition: Partition, count: int) -> None:
        """Leave a hole of ``count`` offsets, as a transaction marker or compaction does."""
        self._ends[partition] += count
        self._changed.set()

    def disconnect(self) -> None:
        """Make the logs unreachable."""
        self._reachable = False

    def reconnect(self) -> None:
        """Make the logs reachable again."""
        self._reachable = True
        self._changed.set()

    def reopened(self) -> MemorySource:
        """Return a new, unstarted source over the same logs."""
        other = MemorySource(
            self.name, max_record_bytes=self.max_record_bytes, max_batch_records=self.max_batch_records
        )
        other.logs, other._ends = self.logs, self._ends
        return other

    def start(self, positions: Mapping[Partition, Position]) -> None:
        self._next = {p: position.offset for p, position in positions.items() if p.source == self.name}

    def poll(self, timeout_s: float) -> RawBatch | None:
        if not self._closed and self._reachable and (batch := self._take()):
            return batch
        self._changed.clear()
        if not self._closed:
            self._changed.wait(min(timeout_s, 1.0))
        return self._take() if self._reachable and not self._closed else None

    def _take(self) -> RawBatch | None:
        rows: list[tuple[int, int, int | None, bytes | None]] = []
        partitions: list[Partition] = []
        positions: dict[Partition, Position] = {}
        rejected: list[Rejected] = []
        room = self.max_batch_records
        for partition in sorted(self.logs, key=lambda p: p.log_rank):
            at, end = self._next.get(partition, 0), self._ends[partition]
            log = self.logs[partition]
            first = bisect_left(log, at, key=lambda row: row[0])
            found = log[first : first + room]
            room -= len(found)
            complete = not found or found[-1] is log[-1]
            reached = end if complete else found[-1][0] + 1
            if reached == at and partition in self._next or room == 0 and not found:
                continue
            self._next[partition] = reached
            positions[partition] = Position(reached)
            partitions.append(partition)
            for offset, record_us, value in found:
                if value is not None and len(value) > self.max_record_bytes:
                    rejected.append(oversize(partition, offset, value, self.max_record_bytes))
                else:
                    rows.append((len(partitions) - 1, offset, record_us, value))
        if not positions:
            return None
        columns = list(zip(*rows, strict=True)) or [()] * 4
        table = pa.Table.from_arrays(
            [pa.array(c, f.type) for c, f in zip(columns, RAW_SCHEMA, strict=True)], schema=RAW_SCHEMA
        )
        return RawBatch(tuple(partitions), table, positions, tuple(rejected))

    def stored(self, positions: Mapping[Partition, Position]) -> None:
        self.committed.update(positions)

    def status(self) -> SourceStatus:
        lags = {p: end - self._next.get(p, 0) for p, end in list(self._ends.items())}
        return SourceStatus(
            connected=self._reachable and not self._closed,
            caught_up=frozenset(p for p, lag in lags.items() if lag == 0 and p in self._next),
            lag_records=lags,
            error="" if self._reachable else "the logs are unreachable (on purpose)",
        )

    def close(self) -> None:
        self._closed = True
        self._changed.set()
