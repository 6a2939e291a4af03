"""What can befall a Kafka source: brokers that come and go, holes, lost offsets, broken batches."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka_broker import PASSWORD, USER, Broker, Cluster, admin, produce, quiet, unique
from source_harness import Log, read, read_to_end

from monitor.sources import Source
from monitor.sources.kafka import KafkaSettings, Security
from monitor.sources.kafka_open import open_kafka
from monitor.types import Partition

# kafka-python leaves the socket of a refused connection to the garbage collector.
pytestmark = [
    pytest.mark.kafka,
    pytest.mark.filterwarnings("ignore:Exception ignored.*socket:pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.fixture(params=["confluent", "kafka-python"])
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., Source]]:
    """Open sources over some topics with one of the clients; closes them all."""
    opened: list[Source] = []

    def connect(bootstrap: str, *topics: str, start: Log | None = None, **settings: Any) -> Source:
        given = {"refresh_s": 0.5, "client": request.param, **settings}
        source = open_kafka("s", KafkaSettings(bootstrap, **given), topics)
        source.start(start.positions if start else {})
        opened.append(source)
        return source

    yield connect
    for each in opened:
        each.close()
    opened.clear()
    gc.collect()


def numbered(first: int, count: int) -> list[bytes]:
    return [b"%d" % i for i in range(first, first + count)]


def test_a_broker_that_is_away_at_the_start_is_a_status_and_reading_begins_when_it_comes(
    own_broker: Callable[[], Broker], connect: Callable[..., Source]
) -> None:
    broker = own_broker()
    broker.create_topic("t")
    produce(broker.bootstrap, "t", numbered(0, 10))
    broker.stop()
    source, log = connect(broker.bootstrap, "t"), Log()
    for _ in range(4):
        started = time.monotonic()
        assert source.poll(0.3) is None
        assert 0.2 < time.monotonic() - started < 1.0
    assert not source.status().connected
    assert source.status().error
    broker.start()
    back = time.monotonic()
    read(source, log, lambda: log.count == 10, timeout_s=30)
    assert time.monotonic() - back < 30
    assert log.values("0") == numbered(0, 10)
    assert source.status().connected


@pytest.mark.parametrize("violently", [False, True], ids=["stopped", "killed"])
def test_a_broker_that_goes_and_comes_back_in_the_middle_loses_and_doubles_nothing(
    own_broker: Callable[[], Broker], connect: Callable[..., Source], violently: bool
) -> None:
    broker = own_broker()
    broker.create_topic("t", 3)
    for number in range(3):
        produce(broker.bootstrap, "t", numbered(0, 2000), partition=number)
    source, log = connect(broker.bootstrap, "t", max_batch_records=500), Log()
    read(source, log, lambda: log.count >= 1000)
    if violently and broker.process:
        broker.process.kill()
        broker.process.wait()
    broker.stop()
    away = time.monotonic()
    while time.monotonic() - away < 3 or source.status().connected:
        assert time.monotonic() - away < 20
        if batch := source.poll(0.3):
            log.store(batch)
    assert not source.status().connected
    broker.start()
    writer = threading.Thread(target=produce, args=(broker.bootstrap, "t", numbered(2000, 1000)))
    writer.start()
    read(source, log, lambda: log.count >= 7000, timeout_s=30)
    writer.join()
    read_to_end(source, log)
    assert log.values("0") == numbered(0, 3000)
    assert log.values("1") == log.values("2") == numbered(0, 2000)


def test_records_of_aborted_transactions_are_left_out_and_the_end_is_reached_over_the_markers(
    broker: Cluster, connect: Callable[..., Source]
) -> None:
    from confluent_kafka import Producer

    topic = broker.create_topic(unique("transactions"))
    options = {"bootstrap.servers": broker.bootstrap, "log_level": 0, "error_cb": quiet}
    producer = Producer({**options, "transactional.id": topic})
    producer.init_transactions(30)
    for first, finish in ((0, producer.commit_transaction), (10, producer.abort_transaction)):
        producer.begin_transaction()
        for value in numbered(first, 10):
            producer.produce(topic, value)
        producer.flush(10)
        finish(30)
    source, log = connect(broker.bootstrap, topic), Log()
    read_to_end(source, log)
    assert log.values("0") == numbered(0, 10)
    partition = Partition("s", topic, "0")
    # 10 records, a commit marker, 10 aborted records, an abort marker: the next offset is 22.
    assert log.positions[partition].offset == 22
    assert source.status().lag_records[partition] == 0
    producer.begin_transaction()
    producer.produce(topic, b"open")
    producer.flush(10)
    assert source.poll(1.0) is None  # not committed yet: still at the end
    assert partition in source.status().caught_up
    producer.commit_transaction(30)
    read(source, log, lambda: log.count == 11)
    assert log.records["0"][-1] == (22, b"open")
    again = Log()
    other = connect(broker.bootstrap, topic, isolation="read_uncommitted")
    read_to_end(other, again)
    assert again.count == 21


def test_holes_that_compaction_left_are_stepped_over(broker: Cluster, connect: Callable[..., Source]) -> None:
    config = {"cleanup.policy": "compact", "segment.ms": "200", "min.cleanable.dirty.ratio": "0.01"}
    topic = broker.create_topic(unique("compacted"), config=config | {"max.compaction.lag.ms": "200"})
    for round_ in range(3):
        keys = [b"%d" % i for i in range(10)]
        produce(broker.bootstrap, topic, numbered(round_ * 10, 10), keys=keys)
        time.sleep(0.4)
    log, deadline = Log(), time.monotonic() + 30
    while time.monotonic() < deadline:
        produce(broker.bootstrap, topic, [b"tail"], keys=[b"tail"])  # rolls the segment
        log = Log()
        source = connect(broker.bootstrap, topic, group_id="")
        read_to_end(source, log)
        source.close()
        if log.offsets("0")[0] > 0:
            break
        time.sleep(0.5)
    offsets = log.offsets("0")
    assert offsets[0] > 0, "the broker did not compact in time"
    assert offsets == sorted(set(offsets))
    assert set(log.values("0")) >= set(numbered(20, 10))


def test_lost_offsets_halt_their_partition_alone_and_the_reason_names_the_choices(
    broker: Cluster, connect: Callable[..., Source]
) -> None:
    topic = broker.create_topic(unique("lost"), 2)
    produce(broker.bootstrap, topic, numbered(0, 20))
    produce(broker.bootstrap, topic, numbered(0, 20), partition=1)
    log = Log()
    source = connect(broker.bootstrap, topic)
    read_to_end(source, log)
    source.close()
    produce(broker.bootstrap, topic, numbered(20, 80))
    produce(broker.bootstrap, topic, numbered(20, 5), partition=1)
    broker.delete_records(topic, before=50)
    halted = Log(positions=dict(log.positions))
    source = connect(broker.bootstrap, topic, start=halted)
    lost = Partition("s", topic, "0")
    read(source, halted, lambda: lost in source.status().halted and halted.count == 5)
    assert halted.values("1") == numbered(20, 5)
    reason = source.status().halted[lost]
    for part in (topic, "partition 0", "offset 20", "50 to 100", "on_offset_loss", "earliest", "latest"):
        assert part in reason
    assert halted.positions[lost] == log.positions[lost]
    assert lost not in source.status().caught_up
    for policy, expected in (("earliest", numbered(50, 51)), ("latest", [b"100"])):
        chosen = Log(positions=dict(log.positions))
        source = connect(broker.bootstrap, topic, start=chosen, on_offset_loss=policy)
        read_to_end(source, chosen)
        if policy == "earliest":
            produce(broker.bootstrap, topic, [b"100"])
            read_to_end(source, chosen)
            assert chosen.values("0") == expected
        else:
            assert chosen.positions[lost].offset == 101
        source.close()


@pytest.mark.parametrize("count", [5, 60], ids=["shorter", "longer"])
@pytest.mark.parametrize("running", [False, True], ids=["while-away", "while-running"])
def test_a_topic_created_anew_halts_even_where_it_has_the_stored_offset(
    broker: Cluster, connect: Callable[..., Source], count: int, running: bool
) -> None:
    topic = broker.create_topic(unique("recreated"))
    produce(broker.bootstrap, topic, numbered(0, 20))
    source, log = connect(broker.bootstrap, topic), Log()
    read_to_end(source, log)
    if not running:
        source.close()
    stored = dict(log.positions)
    broker.delete_topic(topic)
    if running:
        read(source, log, lambda: "does not exist" in source.status().error)
    broker.create_topic(topic)
    produce(broker.bootstrap, topic, numbered(100, count))
    if not running:
        source = connect(broker.bootstrap, topic, start=log)
    partition = Partition("s", topic, "0")
    read(source, log, lambda: partition in source.status().halted)
    assert "deleted and created again" in source.status().halted[partition]
    assert log.values("0") == numbered(0, 20)
    assert log.positions == stored
    source.close()
    source = connect(broker.bootstrap, topic, start=log, on_offset_loss="earliest")
    read(source, log, lambda: log.count == 20 + count)
    assert log.values("0")[20:] == numbered(100, count)
    source.close()
    source = connect(broker.bootstrap, topic, start=log)
    read_to_end(source, log)
    assert not source.status().halted
    assert log.count == 20 + count


def test_a_broken_batch_is_rejected_and_reading_goes_on_without_spinning(
    own_broker: Callable[[], Broker], connect: Callable[..., Source]
) -> None:
    broker = own_broker()
    broker.create_topic("t", 2)
    for batch in range(6):
        produce(broker.bootstrap, "t", [b"batch-%d-%03d" % (batch, i) for i in range(100)])
    produce(broker.bootstrap, "t", numbered(0, 10), partition=1)
    broker.stop()
    (segment,) = (broker.data / "t-0").glob("*.log")
    content = bytearray(segment.read_bytes())
    for victim in (b"batch-2-050", b"batch-3-001", b"batch-5-099"):
        content[content.index(victim)] ^= 0xFF
    segment.write_bytes(content)
    broker.start()
    source, log = connect(broker.bootstrap, "t"), Log()
    cpu = time.process_time()
    started = time.monotonic()
    read(source, log, lambda: len(log.rejected) == 3, timeout_s=60)
    assert time.process_time() - cpu < 0.8 * (time.monotonic() - started) + 1
    produce(broker.bootstrap, "t", [b"after"])
    read_to_end(source, log, timeout_s=30)
    sound = [b"batch-%d-%03d" % (batch, i) for batch in (0, 1, 4) for i in range(100)]
    assert log.values("0") == [*sound, b"after"]
    assert log.values("1") == numbered(0, 10)
    assert [(r.offset, r.reason) for r in log.rejected] == [
        (200, "corrupt"),
        (300, "corrupt"),
        (500, "corrupt"),
    ]
    assert [r.detail.split(" failed")[0] for r in log.rejected] == [
        "offsets 200 to 299",
        "offsets 300 to 399",
        "offsets 500 to 599",
    ]


def test_latest_skips_what_was_there_before_the_first_start_and_nothing_after_it(
    broker: Cluster, connect: Callable[..., Source]
) -> None:
    topic = broker.create_topic(unique("latest"))
    produce(broker.bootstrap, topic, numbered(0, 10))
    source, log = connect(broker.bootstrap, topic, auto_offset_reset="latest"), Log()
    read(source, log, lambda: bool(log.positions))
    source.close()
    assert log.positions[Partition("s", topic, "0")].offset == 10
    produce(broker.bootstrap, topic, numbered(10, 5))
    broker.add_partitions(topic, 2)
    produce(broker.bootstrap, topic, numbered(0, 3), partition=1)
    source = connect(broker.bootstrap, topic, start=log, auto_offset_reset="latest")
    read(source, log, lambda: log.count == 8)
    assert log.values("0") == numbered(10, 5)
    assert log.values("1") == numbered(0, 3)


def test_a_topic_that_does_not_exist_yet_is_read_from_its_first_record(
    broker: Cluster, connect: Callable[..., Source]
) -> None:
    topic, present = unique("later"), broker.create_topic(unique("present"))
    produce(broker.bootstrap, present, numbered(0, 3))
    source, log = connect(broker.bootstrap, topic, present, auto_offset_reset="latest"), Log()
    read(source, log, lambda: topic in source.status().error)
    assert source.status().connected
    assert topic not in admin(broker.bootstrap).list_topics(timeout=10).topics
    broker.create_topic(topic)
    produce(broker.bootstrap, topic, numbered(0, 7))
    read(source, log, lambda: log.count == 7)
    assert log.values("0") == numbered(0, 7)


def test_a_batch_of_large_records_keeps_to_its_bytes(broker: Cluster, connect: Callable[..., Source]) -> None:
    topic = broker.create_topic(unique("large"))
    produce(broker.bootstrap, topic, [b"%05d" % i + b"x" * 100_000 for i in range(300)])
    source, log = connect(broker.bootstrap, topic, max_batch_bytes=2_000_000), Log()
    read_to_end(source, log)
    assert log.offsets("0") == list(range(300))
    sizes = [batch.records["value"].nbytes for batch in log.batches if batch.records.num_rows]
    # One chunk may overshoot, as the size of its records is not known before; later ones know.
    assert max(sizes[1:]) < 4_000_000


def test_offsets_are_committed_for_lag_displays(broker: Cluster, connect: Callable[..., Source]) -> None:
    from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

    topic, group = broker.create_topic(unique("committed")), unique("group")
    produce(broker.bootstrap, topic, numbered(0, 12))
    source, log = connect(broker.bootstrap, topic, group_id=group), Log()
    read(source, log, lambda: log.count == 12)

    client = admin(broker.bootstrap)

    def committed() -> int:
        asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0)])
        answer = client.list_consumer_group_offsets([asked])[group].result(10)
        return int(answer.topic_partitions[0].offset)

    deadline = time.monotonic() + 15
    while committed() != 12:
        assert time.monotonic() < deadline
        source.poll(0.2)


def test_a_wrong_password_is_a_status_and_the_right_one_reads(
    broker: Cluster, connect: Callable[..., Source]
) -> None:
    if not isinstance(broker, Broker):
        pytest.skip("an outside broker has no known login")
    topic = broker.create_topic(unique("sasl"))
    produce(broker.bootstrap, topic, numbered(0, 9))

    def login(password: str) -> Security:
        return Security("SASL_PLAINTEXT", "PLAIN", USER, password=lambda: password)

    source = connect(broker.sasl_bootstrap, topic, security=login("wrong"))
    deadline = time.monotonic() + 15
    while "uthenti" not in source.status().error:
        assert time.monotonic() < deadline, source.status()
        assert source.poll(0.3) is None
    assert not source.status().connected
    assert "wrong" not in source.status().error
    source, log = connect(broker.sasl_bootstrap, topic, security=login(PASSWORD)), Log()
    read_to_end(source, log)
    assert log.values("0") == numbered(0, 9)
