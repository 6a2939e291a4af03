"""Kafka through confluent-kafka (librdkafka): the fast client."""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection
from confluent_kafka import TopicPartition as Assigned
from confluent_kafka.admin import AdminClient

from monitor.errors import SourceError
from monitor.sources.kafka import (
    MIB,
    Chunk,
    KafkaSettings,
    Security,
    Topic,
    TopicPartition,
    Unreachable,
    merged_options,
)
from monitor.sources.kafka_driver import KafkaSource

log = logging.getLogger(__name__)

PROTECTED = frozenset(
    {
        *("auto.offset.reset", "check.crcs", "enable.auto.commit", "enable.auto.offset.store"),
        *("enable.partition.eof", "isolation.level", "bootstrap.servers", "group.id"),
    }
)
_BROKEN = {
    *(KafkaError._BAD_MSG, KafkaError._BAD_COMPRESSION, KafkaError._NOT_IMPLEMENTED),
    *(KafkaError.INVALID_MSG, KafkaError._UNDERFLOW),
}
_GONE = {
    *(KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION),
    *(KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError.UNKNOWN_TOPIC_ID),
}
CLOSE_S = 1.5
_NO_ID = "AAAAAAAAAAAAAAAAAAAAAA"  # what brokers before 2.8 amount to


def security_options(security: Security) -> dict[str, object]:
    """Translate the security settings to librdkafka's options."""
    given: dict[str, object] = {
        "security.protocol": security.protocol,
        "sasl.mechanisms": security.mechanism,
        "sasl.username": security.username,
        "sasl.password": security.password() if security.password else "",
        "ssl.ca.location": security.ca_file,
        "ssl.certificate.location": security.cert_file,
        "ssl.key.location": security.key_file,
        "ssl.key.password": security.key_password() if security.key_password else "",
    }
    options = {key: value for key, value in given.items() if value}
    if token := security.token:
        options["oauth_cb"] = lambda _: token()
    return options


def consumer_options(name: str, settings: KafkaSettings) -> dict[str, object]:
    """Return librdkafka's options for a source; the ``queued`` and ``fetch`` sizes bound its memory."""
    ours: dict[str, object] = {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": f"model-monitor-{name}",
        "group.id": settings.group_id
        or f"model-monitor-{name}",  # required; unused unless offsets are committed
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",  # never jump silently
        "isolation.level": settings.isolation,
        "check.crcs": True,  # librdkafka's default is not to
        "enable.partition.eof": True,
        "allow.auto.create.topics": False,
        "queued.min.messages": 200_000,
        "queued.max.messages.kbytes": 64 * 1024,
        "fetch.message.max.bytes": 4 * MIB,
        "fetch.max.bytes": 16 * MIB,
        "fetch.wait.max.ms": 100,
        "fetch.queue.backoff.ms": 5,  # the default second of waiting at a full queue halves the rate
        "reconnect.backoff.max.ms": 2_000,
        "socket.timeout.ms": 15_000,
        "topic.metadata.refresh.interval.ms": int(settings.refresh_s * 1000),
        "log.connection.close": False,
        **security_options(settings.security),
    }
    return merged_options(ours, settings.extra, PROTECTED, f"source {name!r}")


class ConfluentClient:
    """librdkafka behind :class:`monitor.sources.kafka.Client`."""

    def __init__(self, name: str, settings: KafkaSettings, topics: Sequence[str]) -> None:
        self._topics, self._commits = list(topics), bool(settings.group_id)
        self._failure, self._closed = "", False
        self._options = consumer_options(name, settings) | {"error_cb": self._on_error}
        try:
            self._consumer = Consumer(self._options, logger=log)
            self._admin = AdminClient(_connection_only(self._options), logger=log)
        except (KafkaException, TypeError, ValueError) as error:
            raise SourceError(f"source {name!r}: librdkafka refuses its options: {_text(error)}") from None
        self._assigned: dict[TopicPartition, Assigned] = {}

    def _on_error(self, error: KafkaError) -> None:
        self._failure = error.str()

    def describe(self, timeout_s: float) -> dict[str, Topic]:
        self._admin.poll(0)  # serves its log and, with OAUTHBEARER, its token
        answers = self._admin.describe_topics(
            TopicCollection(self._topics), request_timeout=max(timeout_s, 0.1)
        )
        found = {}
        for name, answer in answers.items():
            try:
                topic = answer.result(timeout_s + 0.2)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise Unreachable(self._failure or _text(error)) from None
            except concurrent.futures.TimeoutError:
                raise Unreachable(self._failure or "no answer in time") from None
            else:
                identity = str(topic.topic_id) if topic.topic_id else ""
                numbers = frozenset(p.id for p in topic.partitions)
                found[name] = Topic("" if identity == _NO_ID else identity, numbers)
        self._failure = ""
        return found

    def assign(self, starts: Mapping[TopicPartition, int]) -> None:
        self._assigned = {key: Assigned(key.topic, key.number, offset) for key, offset in starts.items()}
        with _kafka_errors():
            self._consumer.assign(list(self._assigned.values()))

    def consume(self, limit: int, timeout_s: float) -> Chunk:
        with _kafka_errors():
            messages = self._consumer.consume(limit, 0) or self._consumer.consume(1, timeout_s)
        chunk = Chunk()
        if any([m.error() is not None for m in messages]):
            messages = self._sort_out(messages, chunk)
        # Plain tuples equal TopicPartition and cost a third of it.
        chunk.keys = cast(list[TopicPartition], [(m.topic(), m.partition()) for m in messages])
        chunk.offsets = cast(list[int], [m.offset() for m in messages])
        chunk.times_ms = [m.timestamp()[1] for m in messages]
        chunk.values = [m.value() for m in messages]
        if self._failure:
            chunk.stale, chunk.error = not messages, self._failure
        return chunk

    def _sort_out(self, messages: Sequence[Any], chunk: Chunk) -> list[Any]:
        """Return the records and note the events; nothing after a corrupt batch is believed."""
        records = []
        for message in messages:
            error = message.error()
            key = TopicPartition(message.topic() or "", message.partition())
            if key in chunk.corrupt:
                continue
            if error is None:
                records.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                chunk.at_end.add(key)
                chunk.moved[key] = message.offset()
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                chunk.lost.add(key)
            elif error.code() in _BROKEN:
                chunk.corrupt[key] = message.offset()
            else:
                chunk.stale |= error.code() in _GONE
                chunk.error = error.str()
        return records

    def bounds(
        self, partitions: Sequence[TopicPartition], timeout_s: float
    ) -> dict[TopicPartition, tuple[int, int]]:
        found = {}
        for key in partitions:
            with _kafka_errors():
                answer = self._consumer.get_watermark_offsets(Assigned(*key), timeout=timeout_s, cached=False)
            if answer is None:
                raise Unreachable(self._failure or "the broker did not tell its offsets in time")
            found[key] = answer
        return found

    def ends(self) -> dict[TopicPartition, int]:
        with _kafka_errors():
            known = {
                k: self._consumer.get_watermark_offsets(a, cached=True) for k, a in self._assigned.items()
            }
        return {key: bounds[1] for key, bounds in known.items() if bounds and bounds[1] >= 0}

    def corrupt_at(self, partition: TopicPartition, offset: int, timeout_s: float) -> int | None:
        # A consumer of its own for each look: after a broken batch librdkafka leaves garbage in its queues.
        probe = Consumer(self._options | {"fetch.message.max.bytes": 1, "fetch.max.bytes": MIB}, logger=log)
        try:
            with _kafka_errors():
                probe.assign([Assigned(*partition, offset)])
                messages = probe.consume(1, timeout_s)
        finally:
            _close(probe)
        if not messages:
            raise Unreachable(self._failure or "the broker did not answer in time")
        error = messages[0].error()
        if error is None or error.code() == KafkaError._PARTITION_EOF:
            return None
        if error.code() in _BROKEN:
            return int(messages[0].offset() or 0)
        raise Unreachable(error.str())

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        if self._commits:
            with contextlib.suppress(KafkaException):
                self._consumer.commit(
                    offsets=[Assigned(*k, o) for k, o in offsets.items()], asynchronous=True
                )

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            _close(self._consumer)


def _close(consumer: Consumer) -> None:
    """Close on a thread: after a broken batch librdkafka 2.16 sometimes never returns from it."""

    def close() -> None:
        with contextlib.suppress(KafkaException, RuntimeError):
            consumer.close()

    closing = threading.Thread(target=close, name="kafka-close", daemon=True)
    closing.start()
    closing.join(CLOSE_S)
    if closing.is_alive():
        log.warning("librdkafka did not close its consumer within %s s; it is left behind", CLOSE_S)


@contextlib.contextmanager
def _kafka_errors() -> Any:
    try:
        yield
    except KafkaException as error:
        raise Unreachable(_text(error)) from None


def _text(error: Exception) -> str:
    first = error.args[0] if error.args else error
    return first.str() if isinstance(first, KafkaError) else str(first)


def _connection_only(options: Mapping[str, object]) -> dict[str, Any]:
    """Return the options that also hold for an admin client."""
    wanted = (
        "bootstrap.",
        "client.",
        "security.",
        "sasl.",
        "ssl.",
        "socket.",
        "reconnect.",
        "log",
        "error_cb",
        "oauth",
    )
    return {key: value for key, value in options.items() if key.startswith(wanted)}


class ConfluentSource(KafkaSource):
    """Kafka topics read with confluent-kafka."""

    def __init__(self, name: str, settings: KafkaSettings, topics: Sequence[str]) -> None:
        super().__init__(name, settings, topics, lambda: ConfluentClient(name, settings, self.topics))
