"""The client-neutral Kafka source: which partitions, from where, what to do about loss and corruption.

One ``poll`` is: (1) connect, or look at the topics again when it is time; (2) settle where new and lost
partitions go on, and where a corrupt batch ends; (3) assign anew if any of that changed; (4) consume until
the batch is full or the linger is over. Positions move only together with the records that are returned.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from monitor.errors import SourceError
from monitor.sources import SourceStatus
from monitor.sources.kafka import (
    Chunk,
    Client,
    KafkaSettings,
    Topic,
    TopicPartition,
    Unreachable,
    check_files,
)
from monitor.sources.kafka_batch import Columns
from monitor.sources.kafka_part import CorruptSpan, Part, loss_sentence, search_end, status_of
from monitor.types import Partition, Position, RawBatch, Rejected

LINGER_S = 0.05  # after the first records, how long to wait for a fuller batch
CHUNK_RECORDS = 2_048  # the client makes objects of so many before anybody else gets the interpreter
IDLE_CHECK_S = 5.0  # how often an idle source makes sure that the broker is still there
RENEW_AFTER_S = 12.0  # a client cut off for so long is replaced: credentials and addresses may have changed
EVERY_S = 1.0  # how often offsets are committed and the ends of the logs looked at

log = logging.getLogger(__name__)


class KafkaSource:
    """Every partition of some topics; a :class:`monitor.sources.Source`.

    Parameters
    ----------
    connect
        Returns a new client without blocking.
    """

    def __init__(
        self, name: str, settings: KafkaSettings, topics: Sequence[str], connect: Callable[[], Client]
    ) -> None:
        self.name, self.settings, self.topics = name, settings, tuple(dict.fromkeys(topics))
        self._connect = connect
        self._client: Client | None = None
        self._parts: dict[TopicPartition, Part] = {}
        self._rejected: list[Rejected] = []
        self._moved: set[TopicPartition] = set()
        self._uncommitted: dict[TopicPartition, int] = {}
        self._described = self._connected = self._closed = False
        self._reassign = True
        self._look_at = self._down_since = self._tick_at = self._read_at = 0.0
        self._mean_bytes = 16_384.0
        self._error = ""
        self._status = SourceStatus()

    def start(self, positions: Mapping[Partition, Position]) -> None:
        for partition, position in positions.items():
            if partition.source == self.name and partition.topic in self.topics:
                key = TopicPartition(partition.topic, int(partition.key))
                self._parts[key] = Part(partition, position.detail, position.offset)
        check_files(self.settings.security, f"source {self.name!r}")
        self._renew()

    def poll(self, timeout_s: float) -> RawBatch | None:
        deadline = time.monotonic() + min(timeout_s, 1.0)
        chunks: list[Chunk] = []
        try:
            if not self._closed:
                client = self._prepare(deadline)
                self._read(client, chunks, deadline)
        except (Unreachable, SourceError) as error:
            self._down(str(error))
        batch = self._finish(chunks)
        self._status = status_of(self._parts.values(), self._connected and not self._closed, self._error)
        if batch is None and not self._connected:
            time.sleep(max(0.0, deadline - time.monotonic()))
        return batch

    def stored(self, positions: Mapping[Partition, Position]) -> None:
        if self.settings.group_id:
            for partition, position in positions.items():
                self._uncommitted[TopicPartition(partition.topic, int(partition.key))] = position.offset

    def status(self) -> SourceStatus:
        return self._status

    def close(self) -> None:
        self._closed = True
        if self._client is not None:
            self._client.close()
            self._client = None
        self._status = status_of(self._parts.values(), False, "closed")

    # -- the connection and the partitions -----------------------------------------------------------------

    def _renew(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        self._look_at, self._down_since, self._reassign = 0.0, time.monotonic(), True
        self._client = self._connect()

    def _down(self, error: str) -> None:
        if self._connected:
            log.warning("source %s: the broker cannot be reached: %s", self.name, error)
            self._down_since = time.monotonic()
        self._connected, self._error = False, error

    def _prepare(self, deadline: float) -> Client:
        now = time.monotonic()
        if self._client is None or (not self._connected and now - self._down_since > RENEW_AFTER_S):
            self._renew()
        client = self._client
        assert client is not None
        if not self._connected or now >= self._look_at:
            self._look(client, max(0.05, deadline - now))
        self._settle(client, deadline)
        for key, part in self._parts.items():
            if part.bad and part.exists:
                self._find_end(client, key, part, deadline)
        if self._reassign:
            starts = {k: p.position for k, p in self._parts.items() if p.readable and p.position is not None}
            client.assign(starts)
            self._reassign = False
        if now >= self._tick_at:
            self._tick(client, now)
        return client

    def _tick(self, client: Client, now: float) -> None:
        self._tick_at = now + EVERY_S
        for key, end in client.ends().items():
            if key in self._parts:
                self._parts[key].end = end
        if self._uncommitted:
            client.commit(self._uncommitted)
            self._uncommitted = {}

    def _look(self, client: Client, timeout_s: float) -> None:
        """See which topics and partitions there are."""
        now = time.monotonic()
        flowing = self._connected and now - self._read_at < IDLE_CHECK_S
        try:
            topics = client.describe(timeout_s)
        except Unreachable:
            if not flowing:
                raise
            self._look_at = now + EVERY_S  # records still come: slow, not gone
            return
        if not self._connected:
            log.info("source %s: connected to %s", self.name, self.settings.bootstrap_servers)
        self._connected, self._error = True, ""
        self._look_at = now + (
            self.settings.refresh_s if flowing else min(IDLE_CHECK_S, self.settings.refresh_s)
        )
        for name in self.topics:
            self._adopt(name, topics.get(name))
            if name not in topics:
                self._error = f"topic {name!r} does not exist (yet) on {self.settings.bootstrap_servers}"
        self._described = True

    def _adopt(self, name: str, topic: Topic | None) -> None:
        """Take in what is new about a topic; with another id it is another topic of the same name."""
        known = any(key.topic == name for key in self._parts)
        for number in sorted(topic.partitions if topic else ()):
            key = TopicPartition(name, number)
            if key not in self._parts:
                # Only a partition that was there when we first looked may begin at "latest": what comes up
                # later holds nothing but records that were written under our eyes.
                first = not known and not self._described
                start_at = self.settings.auto_offset_reset if first else "earliest"
                self._parts[key] = Part(Partition(self.name, name, str(number)), start_at=start_at)
        for key, part in self._parts.items():
            if key.topic == name:
                exists = topic is not None and key.number in topic.partitions
                self._reassign |= exists != part.exists
                part.exists = exists
                if topic is not None and topic.id and topic.id != part.topic_id and not part.halted:
                    if part.topic_id:
                        part.lost, self._reassign = "the topic was deleted and created again", True
                    part.topic_id = part.topic_id if part.lost and self._halts else topic.id

    @property
    def _halts(self) -> bool:
        return self.settings.on_offset_loss == "halt"

    def _settle(self, client: Client, deadline: float) -> None:
        """Give partitions without a valid position one, by the configured policies."""
        open_ = [
            key
            for key, part in self._parts.items()
            if part.exists and not part.halted and (part.lost or part.position is None)
        ]
        if not open_:
            return
        bounds = client.bounds(open_, max(0.05, deadline - time.monotonic()))
        self._reassign = True
        for key, (low, high) in bounds.items():
            part = self._parts[key]
            policy = self.settings.on_offset_loss if part.lost else part.start_at
            if policy == "halt":
                part.halted = loss_sentence(key, part, low, high)
                log.error("source %s: %s", self.name, part.halted)
                continue
            if part.lost:
                log.warning(
                    "source %s: %s; going on at the %s",
                    self.name,
                    loss_sentence(key, part, low, high),
                    policy,
                )
            part.position, part.lost = (low if policy == "earliest" else high), ""
            self._moved.add(key)

    def _find_end(self, client: Client, key: TopicPartition, part: Part, deadline: float) -> None:
        span = part.bad
        assert span is not None
        if not search_end(client, key, span, deadline):
            return
        detail = (
            f"offsets {span.start} to {span.low} failed their checksum or decompression and were passed over"
        )
        log.warning("source %s: topic %s partition %s: %s", self.name, *key, detail)
        self._rejected.append(Rejected(part.partition, span.start, "corrupt", detail))
        part.position, part.bad, self._reassign = span.high, None, True
        self._moved.add(key)

    # -- the records ---------------------------------------------------------------------------------------

    def _read(self, client: Client, chunks: list[Chunk], deadline: float) -> None:
        records, size = 0, 0
        while records < self.settings.max_batch_records and size < self.settings.max_batch_bytes:
            fitting = int((self.settings.max_batch_bytes - size) / self._mean_bytes) + 1
            limit = min(self.settings.max_batch_records - records, CHUNK_RECORDS, fitting)
            chunk = client.consume(limit, max(0.0, deadline - time.monotonic()))
            chunks.append(chunk)
            if chunk.keys:
                chunk_bytes = sum(map(len, filter(None, chunk.values)))
                self._mean_bytes = max(64.0, chunk_bytes / len(chunk.keys))
                if not records:
                    deadline = min(deadline, time.monotonic() + LINGER_S)
                records, size = records + len(chunk.keys), size + chunk_bytes
            if chunk.eventful or time.monotonic() >= deadline:
                return

    def _finish(self, chunks: Sequence[Chunk]) -> RawBatch | None:
        """Turn the chunks into a batch, move the positions, and note what is in the way of the next poll."""
        floors = {k: p.position for k, p in self._parts.items() if p.readable and p.position is not None}
        columns = Columns(chunks, floors)
        reached = columns.next_offsets()
        if reached:
            self._read_at = time.monotonic()
        for chunk in chunks:
            for key, offset in chunk.moved.items():
                if key in floors:
                    reached[key] = max(offset, reached.get(key, floors[key]))
        for key, offset in reached.items():
            part = self._parts[key]
            part.at_end = any(key in c.at_end and c.moved.get(key, -1) >= offset for c in chunks)
            if offset > floors[key]:
                part.position = offset
                self._moved.add(key)
        for chunk in chunks:
            self._note(chunk, floors)
        partitions = {key: part.partition for key, part in self._parts.items()}
        rejected = self._rejected + columns.refuse_oversize(self.settings.max_record_bytes, partitions)
        if not self._moved and not rejected:
            return None
        names, table = columns.table(partitions)
        moved, self._moved, self._rejected = self._moved, set(), []
        positions = {
            p.partition: Position(p.position, p.topic_id)
            for k, p in self._parts.items()
            if k in moved and p.position is not None
        }
        return RawBatch(names, table, positions, tuple(rejected))

    def _note(self, chunk: Chunk, floors: Mapping[TopicPartition, int]) -> None:
        for key in chunk.lost & floors.keys():
            self._parts[key].lost, self._reassign = "the broker does not have that offset", True
        for key in chunk.corrupt.keys() & floors.keys():
            start = max(chunk.corrupt[key], self._parts[key].position or 0)
            self._parts[key].bad = CorruptSpan(start, start)
            if self._client is not None:  # librdkafka reads garbage after a broken batch: start afresh
                self._client.close()
                self._client = None
        if chunk.stale:
            self._look_at = min(self._look_at, time.monotonic() + 0.2)
        self._error = chunk.error or self._error
