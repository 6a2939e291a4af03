"""Kafka through kafka-python: the pure Python client, for where librdkafka cannot be installed."""

from __future__ import annotations

import base64
import contextlib
import logging
import re
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from monitor.errors import SourceError
from monitor.sources.kafka import Chunk, KafkaSettings, Topic, TopicPartition, Unreachable
from monitor.sources.kafka_driver import EVERY_S, KafkaSource
from monitor.sources.kafka_python_options import consumer_options

with warnings.catch_warnings():  # kafka-python 3.0.12 loads its schemas in a way Python 3.11 deprecates
    warnings.simplefilter("ignore", DeprecationWarning)
    from kafka import KafkaConsumer, OffsetAndMetadata
    from kafka import TopicPartition as Assigned
    from kafka.errors import (
        CorruptRecordError,
        KafkaError,
        LogTruncationError,
        OffsetOutOfRangeError,
        UnknownTopicOrPartitionError,
    )
    from kafka.net.compat import KafkaNetClient

# Every refused connection is several errors in its log; ours has one line and the status its reason.
logging.getLogger("kafka").setLevel(logging.CRITICAL)

_PLACE = re.compile(r"partition=(\d+)\) at offset (\d+)")


class KafkaPythonClient:
    """kafka-python behind :class:`monitor.sources.kafka.Client`.

    ``KafkaConsumer(...)`` blocks until it has met a broker, so it is made on a thread of its own; from then
    on only the source's thread uses it.
    """

    def __init__(self, name: str, settings: KafkaSettings, topics: Sequence[str]) -> None:
        self._topics, self._commits = list(topics), bool(settings.group_id)
        self._committed = settings.isolation == "read_committed"
        self._options = consumer_options(name, settings)
        if unknown := sorted(set(self._options) - set(KafkaConsumer.DEFAULT_CONFIG)):
            raise SourceError(
                f"source {name!r}: kafka-python has no option {unknown[0]!r}; "
                "allowed are those of its KafkaConsumer"
            )
        self._failure = ""
        self._net: Any = None
        self._consumer: Any = None
        self._probe: Any = None
        self._assigned: list[Assigned] = []
        self._asked_ends = 0.0
        self._lock, self._stop, self._ready = threading.Lock(), threading.Event(), threading.Event()
        self._opener = threading.Thread(target=self._open, name=f"kafka-connect-{name}", daemon=True)
        self._opener.start()

    def _make_net(self, **configs: Any) -> Any:
        self._net = KafkaNetClient(**configs)
        # KafkaConsumer takes allow_auto_create_topics but (3.0.12) does not hand it on.
        self._net.cluster.config["allow_auto_create_topics"] = False
        self._watch(self._net._manager)
        return self._net

    def _watch(self, manager: Any) -> None:
        """Learn why connections fail: KafkaConsumer only says that they do."""
        connect = manager.get_connection
        known: dict[object, Any] = {}

        def get_connection(node: object, *args: Any, **kwargs: Any) -> Any:
            connection = connect(node, *args, **kwargs)
            if known.get(node) is not connection:
                known[node] = connection
                connection.close_future.add_errback(self._note_failure)
            return connection

        manager.get_connection = get_connection

    def _note_failure(self, error: object) -> None:
        text = str(error)
        if "uthenti" in text or "uthenti" not in self._failure:  # what follows a refused login says nothing
            self._failure = text

    def _open(self) -> None:
        while not self._stop.is_set():
            try:
                consumer = KafkaConsumer(kafka_client=self._make_net, **self._options)
            except Exception as error:  # whatever it is, it is tried again and shown in the status
                self._failure = self._failure or str(error) or repr(error)
                if self._net is not None:
                    self._net.close()
                self._stop.wait(0.5)
                continue
            with self._lock:
                self._consumer = consumer
                closed = self._stop.is_set()
            self._ready.set()
            if closed:
                consumer.close(autocommit=False, timeout_ms=500)
            return

    def describe(self, timeout_s: float) -> dict[str, Topic]:
        deadline = time.monotonic() + timeout_s
        if not self._ready.wait(timeout_s):
            raise Unreachable(self._failure or "not connected yet")
        cluster = self._net.cluster
        cluster.set_topics(self._topics)
        update = cluster.request_update()
        while not update.is_done and time.monotonic() < deadline:
            time.sleep(0.002)
        absent = isinstance(update.exception, UnknownTopicOrPartitionError)  # an answer, not a failure
        if not update.is_done or (update.failed() and not absent):
            raise Unreachable(self._failure or str(update.exception or "the broker did not answer in time"))
        self._failure = ""
        found = {}
        for name in self._topics:
            if numbers := cluster.partitions_for_topic(name):
                identity = cluster.topic_id(name)
                text = base64.urlsafe_b64encode(identity.bytes).decode().rstrip("=") if identity else ""
                found[name] = Topic(text, frozenset(numbers))
        return found

    def assign(self, starts: Mapping[TopicPartition, int]) -> None:
        self._assigned = [Assigned(*key) for key in starts]
        self._consumer.assign(self._assigned)
        for key, offset in starts.items():
            self._consumer.seek(Assigned(*key), offset)

    def consume(self, limit: int, timeout_s: float) -> Chunk:
        chunk = Chunk()
        try:
            polled = self._consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=limit)
            if not polled:
                self._look_around(chunk)
        except CorruptRecordError as error:
            self._note_corrupt(chunk, error)
            return chunk
        except OffsetOutOfRangeError as error:
            chunk.lost = {TopicPartition(*key) for key in error.args[0]}
            return chunk
        except LogTruncationError as error:
            chunk.lost = {TopicPartition(*key) for key in error.divergent_offsets}
            return chunk
        except KafkaError as error:
            raise Unreachable(str(error)) from None
        for key, records in polled.items():
            chunk.keys += [TopicPartition(*key)] * len(records)
            chunk.offsets += [r.offset for r in records]
            chunk.times_ms += [r.timestamp for r in records]
            chunk.values += [r.value for r in records]
        return chunk

    def _look_around(self, chunk: Chunk) -> None:
        """After an empty poll: where the positions have got to over holes, and who is at the end."""
        behind = {}
        for key in self._assigned:
            position, end = self._consumer.position(key, timeout_ms=0), self._consumer.highwater(key)
            if position is None or end is None:
                continue
            chunk.moved[TopicPartition(*key)] = position
            if position >= end:
                chunk.at_end.add(TopicPartition(*key))
            else:
                behind[key] = position
        now = time.monotonic()
        if behind and self._committed and now - self._asked_ends > EVERY_S:  # an open transaction?
            self._asked_ends = now
            with contextlib.suppress(KafkaError):
                ends = self._consumer.end_offsets(list(behind), timeout_ms=500)
                chunk.at_end |= {TopicPartition(*k) for k, position in behind.items() if position >= ends[k]}

    def _note_corrupt(self, chunk: Chunk, error: Exception) -> None:
        # kafka-python would spin for ever on this partition; the driver drops this client and steps over.
        match = _PLACE.search(str(error))
        topic = next((t for t in self._topics if f"'{t}'" in str(error)), None)
        if match is None or topic is None:
            self.close()
            raise Unreachable(f"a corrupt batch at an unknown place: {error}")
        chunk.corrupt[TopicPartition(topic, int(match[1]))] = int(match[2])

    def bounds(
        self, partitions: Sequence[TopicPartition], timeout_s: float
    ) -> dict[TopicPartition, tuple[int, int]]:
        asked, timeout_ms = [Assigned(*key) for key in partitions], int(timeout_s * 1000)
        try:
            low = self._consumer.beginning_offsets(asked, timeout_ms=timeout_ms)
            high = self._consumer.end_offsets(asked, timeout_ms=timeout_ms)
        except KafkaError as error:
            raise Unreachable(str(error)) from None
        return {TopicPartition(*key): (low[key], high[key]) for key in asked}

    def ends(self) -> dict[TopicPartition, int]:
        known = {TopicPartition(*key): self._consumer.highwater(key) for key in self._assigned}
        return {key: end for key, end in known.items() if end is not None}

    def corrupt_at(self, partition: TopicPartition, offset: int, timeout_s: float) -> int | None:
        key = Assigned(*partition)
        try:
            if self._probe is None:
                self._probe = KafkaConsumer(**self._options)
            self._probe.assign([key])
            self._probe.seek(key, offset)
            if self._probe.poll(timeout_ms=int(timeout_s * 1000), max_records=1):
                return None
            position, end = self._probe.position(key, timeout_ms=0), self._probe.highwater(key)
        except CorruptRecordError as error:
            match = _PLACE.search(str(error))
            return int(match[2]) if match else offset
        except KafkaError as error:
            raise Unreachable(str(error)) from None
        if position is not None and end is not None and (position > offset or position >= end):
            return None
        raise Unreachable("the broker did not answer in time")

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        if self._commits:
            with contextlib.suppress(KafkaError):
                self._consumer.commit_async({Assigned(*k): OffsetAndMetadata(o) for k, o in offsets.items()})

    def close(self) -> None:
        self._stop.set()
        give_up = time.monotonic() + 1.0
        while self._opener.is_alive() and not self._ready.is_set() and time.monotonic() < give_up:
            if self._net is not None:
                with contextlib.suppress(RuntimeError):  # its thread has not started yet
                    self._net.close()  # ends the attempt that is under way
            self._opener.join(0.1)
        with self._lock:
            consumers = [c for c in (self._consumer, self._probe) if c is not None]
        for consumer in consumers:
            with contextlib.suppress(KafkaError):
                consumer.close(autocommit=False, timeout_ms=500)


class KafkaPythonSource(KafkaSource):
    """Kafka topics read with kafka-python."""

    def __init__(self, name: str, settings: KafkaSettings, topics: Sequence[str]) -> None:
        super().__init__(name, settings, topics, lambda: KafkaPythonClient(name, settings, self.topics))
