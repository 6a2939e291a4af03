"""The contract of sources, one suite over all of them: memory, files, and Kafka with both clients."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from source_harness import FilesHarness, Harness, KafkaHarness, Log, MemoryHarness, read, read_to_end

from monitor.sources import Source
from monitor.types import RAW_SCHEMA, Partition, Position

KAFKA = [pytest.param(client, marks=pytest.mark.kafka) for client in ("confluent", "kafka-python")]


@pytest.fixture(params=["memory", "files", *KAFKA])
def logs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Harness]:
    harness: Harness
    if request.param == "memory":
        harness = MemoryHarness()
    elif request.param == "files":
        harness = FilesHarness(tmp_path)
    else:
        harness = KafkaHarness(request.getfixturevalue("broker"), request.param)
    yield harness
    harness.close()


def numbered(first: int, count: int) -> list[bytes]:
    return [b'{"n":%d}' % i for i in range(first, first + count)]


def key_of(logs: Harness, key: str) -> str:
    return logs.key(key) if isinstance(logs, FilesHarness) else key


def closing(source: Source, log: Log) -> Log:
    try:
        read_to_end(source, log)
    finally:
        source.close()
    return log


def test_every_record_comes_once_and_in_offset_order(logs: Harness) -> None:
    logs.write("0", numbered(0, 500))
    logs.write("1", numbered(1000, 300))
    log = closing(logs.open(), Log())
    assert log.values(key_of(logs, "0")) == numbered(0, 500)
    assert log.values(key_of(logs, "1")) == numbered(1000, 300)
    for key in ("0", "1"):
        offsets = log.offsets(key_of(logs, key))
        assert offsets == sorted(set(offsets))


def test_batches_have_the_raw_schema_and_name_only_partitions_they_hold(logs: Harness) -> None:
    logs.write("0", numbered(0, 20))
    log = closing(logs.open(), Log())
    for batch in log.batches:
        assert batch.records.schema.equals(RAW_SCHEMA)
        assert set(batch.records["part"].to_pylist()) == set(range(len(batch.partitions)))
        assert set(batch.partitions) <= set(batch.positions)


def test_reading_resumes_exactly_at_the_stored_position(logs: Harness) -> None:
    logs.write("0", numbered(0, 100))
    first = Log()
    source = logs.open(max_batch_records=30)
    read(source, first, lambda: first.count >= 30)
    source.close()
    assert 30 <= first.count < 100
    logs.write("0", numbered(100, 50))
    second = closing(logs.open(first.positions), Log())
    key = key_of(logs, "0")
    assert first.values(key) + second.values(key) == numbered(0, 150)


def test_a_position_that_was_polled_but_never_stored_does_not_count(logs: Harness) -> None:
    logs.write("0", numbered(0, 10))
    lost = logs.open()
    read_to_end(lost, Log())
    lost.close()
    log = closing(logs.open({}), Log())
    assert log.values(key_of(logs, "0")) == numbered(0, 10)


def test_batches_hold_no_more_records_than_allowed(logs: Harness) -> None:
    logs.write("0", numbered(0, 100))
    logs.write("1", numbered(100, 100))
    log = closing(logs.open(max_batch_records=7), Log())
    assert log.count == 200
    assert max(batch.records.num_rows for batch in log.batches) == 7


def test_a_partition_that_appears_later_is_read_from_its_beginning(logs: Harness) -> None:
    logs.write("0", numbered(0, 5))
    source, log = logs.open(), Log()
    read_to_end(source, log)
    logs.write("1", numbered(50, 5))
    read(source, log, lambda: log.count == 10)
    source.close()
    assert log.values(key_of(logs, "1")) == numbered(50, 5)


def test_records_written_while_reading_are_picked_up(logs: Harness) -> None:
    logs.write("0", numbered(0, 5))
    source, log = logs.open(), Log()
    read(source, log, lambda: log.count == 5)
    logs.write("0", numbered(5, 5))
    read(source, log, lambda: log.count == 10)
    source.close()
    assert log.values(key_of(logs, "0")) == numbered(0, 10)


def test_an_oversize_record_is_rejected_with_its_beginning_and_the_rest_comes_through(logs: Harness) -> None:
    big = b'{"big":"' + b"x" * 20_000 + b'"}'
    logs.write("0", [*numbered(0, 3), big, *numbered(3, 3)])
    log = closing(logs.open(max_record_bytes=10_000), Log())
    assert log.values(key_of(logs, "0")) == numbered(0, 6)
    (rejected,) = log.rejected
    assert (rejected.reason, rejected.size, rejected.payload) == ("oversize", len(big), big[:4096])
    before, after = log.offsets(key_of(logs, "0"))[2:4]
    assert before < rejected.offset < after
    assert "20010" in rejected.detail
    assert "10000" in rejected.detail


def test_a_tombstone_passes_with_a_null_value(logs: Harness) -> None:
    if isinstance(logs, FilesHarness):
        pytest.skip("a file has no records without a value")
    logs.write("0", [b"a", None, b"", b"c"])
    log = closing(logs.open(), Log())
    assert log.records["0"] == [(0, b"a"), (1, None), (2, b""), (3, b"c")]


def test_status_tells_who_is_caught_up_and_how_far_the_rest_is_behind(logs: Harness) -> None:
    logs.write("0", numbered(0, 60))
    source, log = logs.open(max_batch_records=10), Log()
    assert not source.status().caught_up
    read(source, log, lambda: log.count > 0)
    (partition,) = log.positions
    assert partition not in source.status().caught_up
    read_to_end(source, log)
    status = source.status()
    assert status.connected
    assert status.caught_up == {partition}
    assert status.lag_records.get(partition, 0) == 0
    logs.write("0", numbered(60, 10))
    read(source, log, lambda: log.count == 70)
    source.close()


def test_poll_returns_within_its_time_out_when_there_is_nothing(logs: Harness) -> None:
    logs.write("0", numbered(0, 1))
    source = logs.open()
    read_to_end(source, Log())
    started = time.monotonic()
    assert source.poll(0.3) is None
    assert time.monotonic() - started < 1.0
    source.close()


def test_positions_of_other_sources_and_topics_are_left_alone(logs: Harness) -> None:
    logs.write("0", numbered(0, 4))
    strange = {
        Partition("another", "t", "0"): Position(99),
        Partition("s", "no-such-topic", "0"): Position(99),
    }
    log = closing(logs.open(strange), Log())
    assert log.count == 4
    assert not set(log.positions) & set(strange)


def test_close_may_be_called_twice_and_poll_then_returns_nothing(logs: Harness) -> None:
    logs.write("0", numbered(0, 4))
    source = logs.open()
    started = time.monotonic()
    source.close()
    source.close()
    assert time.monotonic() - started < 2.0
    assert source.poll(0.05) is None
