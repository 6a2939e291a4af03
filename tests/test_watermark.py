"""Event time of a model: the least of its partitions that still speak, never going back."""

from __future__ import annotations

import pytest
from daemon_process import until
from hypothesis import given
from hypothesis import strategies as st
from in_process import NOW_US, SMALL, prediction

from monitor.ingest import Ingest
from monitor.sources.memory import MemorySource
from monitor.store.landing import Route
from monitor.store.store import Store
from monitor.time import ManualClock
from monitor.watermark import PartitionProgress, watermark

IDLE, SPEAKS = True, False


def mark(*partitions: tuple[int | None, bool], previous: int | None = None, clock: int = 1000) -> int | None:
    found = [PartitionProgress(us, idle) for us, idle in partitions]
    return watermark(found, previous_us=previous, clock_us=clock, idle_timeout_us=60)


@pytest.mark.parametrize(
    ("partitions", "expected"),
    [
        ([(500, SPEAKS)], 500),
        ([(500, SPEAKS), (300, SPEAKS)], 300),
        ([(500, SPEAKS), (300, IDLE)], 500),
        ([(500, SPEAKS), (None, IDLE)], 500),
        ([(500, SPEAKS), (None, SPEAKS)], None),
        ([(500, IDLE), (300, IDLE)], 940),
        ([(None, IDLE)], 940),
        ([], None),
    ],
)
def test_event_time_is_the_least_of_the_partitions_that_are_not_idle_and_the_clock_when_all_are(
    partitions: list[tuple[int | None, bool]], expected: int | None
) -> None:
    assert mark(*partitions) == expected


def test_a_partition_that_wakes_with_old_data_does_not_turn_event_time_back() -> None:
    assert mark((500, SPEAKS), (300, IDLE), previous=500) == 500
    assert mark((500, SPEAKS), (300, SPEAKS), previous=500) == 500
    assert mark((None, SPEAKS), (500, SPEAKS), previous=450) == 450


def test_a_clock_set_back_does_not_turn_event_time_back() -> None:
    assert mark((500, IDLE), previous=940, clock=100) == 940


def test_while_a_source_is_away_no_partition_is_idle_and_silence_counts_from_its_return() -> None:
    source, clock, store = MemorySource("events"), ManualClock(NOW_US), Store(None)
    store.register(SMALL)
    routes = {"p": [Route(SMALL, frozenset({"prediction"}))]}
    partition = source.append("p", "0", [prediction("a")])
    ingest = Ingest("events", source, routes, store, clock, idle_timeout_s=60.0)
    ingest.start()

    def idle() -> bool:
        return ingest.idle(partition, ingest.status())

    try:
        until(lambda: store.positions("events"), 10)
        assert not idle()
        clock.advance(61)
        until(idle, 5)
        source.disconnect()
        assert not idle()
        for seconds in (600, 1):  # the second poll begins when the first has been dealt with
            clock.advance(seconds)
            until(lambda: ingest.progress_s["read"] == clock.monotonic_s(), 5)
        source.reconnect()
        assert not idle()
        clock.advance(61)
        until(idle, 5)
    finally:
        ingest.stop()
        store.close()


STEPS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 900)), st.booleans()), max_size=4),
        st.integers(0, 2000),
    ),
    max_size=20,
)


@given(STEPS)
def test_event_time_never_goes_back_whatever_happens(
    steps: list[tuple[list[tuple[int | None, bool]], int]],
) -> None:
    now: int | None = None
    for partitions, clock in steps:
        before, now = now, mark(*partitions, previous=now, clock=clock)
        assert before is None or (now is not None and now >= before)


@given(st.lists(st.tuples(st.integers(0, 900), st.booleans()), min_size=1))
def test_event_time_passes_no_partition_that_speaks(partitions: list[tuple[int, bool]]) -> None:
    found = mark(*partitions)
    assert found is not None
    assert all(found <= us for us, idle in partitions if not idle)
