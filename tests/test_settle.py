"""Identity: of predictions with one id the first in log order stays, whenever and however they came."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from in_process import FEEDBACK, NOW_US, PREDICTIONS, SMALL, InProcess, feedback, prediction
from streams import HOUR_US, START_US

from monitor.store.landing import Route
from monitor.store.results import dirty_windows
from monitor.store.upkeep import expire
from monitor.types import Partition, WindowSpec

P = [Partition("events", "p", str(i)) for i in range(3)]


def kept(core: InProcess) -> list[tuple[str, int]]:
    """Return the (partition, offset) of every stored prediction."""
    query = "SELECT key, off FROM predictions_1 x JOIN partitions p ON p.id = x.part ORDER BY key, off"
    return core.rows(query)  # type: ignore[return-value]


def test_a_redelivery_in_the_same_batch_is_counted_once() -> None:
    core = InProcess()
    core.land({PREDICTIONS: [prediction("a"), prediction("b", 1), prediction("a")]})
    settled = core.turn()
    assert (settled.duplicates, settled.conflicts) == (1, 0)
    assert kept(core) == [("0", 0), ("0", 1)]
    assert core.value("row_count") == 2


def test_a_redelivery_in_a_later_batch_changes_nothing_but_the_count_of_duplicates() -> None:
    core = InProcess()
    core.land({PREDICTIONS: [prediction("a")]})
    core.turn()
    before = core.results()
    assert core.value("duplicate_ratio") == 0.0
    core.land({PREDICTIONS: [prediction("a")]})
    assert core.turn().duplicates == 1
    assert core.value("duplicate_ratio") == 0.5
    changed = [r["metric"] for r, old in zip(core.results(), before, strict=True) if r != old]
    assert sorted(changed) == ["conflict_ratio", "duplicate_ratio"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_conflicts_are_counted_against_the_first_in_the_log_in_whatever_order_the_copies_arrive(
    order: tuple[int, ...],
) -> None:
    said = ["1", "0", "0"]  # the second and third differ from the first, not from one another
    core = InProcess()
    for part in order:
        core.land({P[part]: [prediction("a", prediction=said[part])]})
        core.turn()
    assert core.value("duplicate_ratio") == 2 / 3
    assert core.value("conflict_ratio") == 2 / 3


def test_a_different_payload_under_one_id_is_a_conflict_and_the_first_stays() -> None:
    core = InProcess()
    core.land({PREDICTIONS: [prediction("a", prediction="1"), prediction("a", prediction="0")]})
    settled = core.turn()
    assert (settled.duplicates, settled.conflicts) == (1, 1)
    assert core.rows("SELECT prediction FROM predictions_1") == [("1",)]


@pytest.mark.parametrize("field", ["score", "scores", "features", "segments", "timestamp", "version"])
def test_any_field_that_differs_makes_a_conflict(field: str) -> None:
    changed = {
        "score": 0.7, "scores": {"1": 0.3}, "features": {"age": 42, "plan": "gold"}, "version": "9",
        "segments": {"sex": "M"}, "timestamp": "2025-06-01T00:30:00Z",
    }  # fmt: skip
    core = InProcess()
    core.land({PREDICTIONS: [prediction("a"), prediction("a", **{field: changed[field]})]})
    assert core.turn().conflicts == 1


def test_key_order_and_number_spelling_are_no_conflict() -> None:
    core = InProcess()
    body = b'{"prediction":1.0,"timestamp":"2025-06-01T02:00:00+02:00","segments":{"sex":"F"},'
    body += b'"features":{"plan":"gold","age":4.1e1},"event_id":"a"}'
    core.land({PREDICTIONS: [prediction("a"), body]})
    settled = core.turn()
    assert (settled.duplicates, settled.conflicts) == (1, 0)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_first_partition_in_log_order_wins_in_whatever_order_the_copies_arrive(
    order: tuple[int, ...],
) -> None:
    core = InProcess()
    for part in order:
        core.land({P[part]: [prediction("a", part, prediction=str(part % 2), score=part / 10)]})
        core.turn()
    assert kept(core) == [("0", 0)]
    assert core.rows("SELECT score FROM predictions_1") == [(0.0,)]
    assert core.violations() == []


def test_partition_ten_comes_after_partition_nine() -> None:
    core = InProcess()
    nine, ten = Partition("events", "p", "9"), Partition("events", "p", "10")
    core.land({ten: [prediction("a", score=0.1)]})
    core.land({nine: [prediction("a", score=0.9)]})
    core.turn()
    assert core.rows("SELECT score FROM predictions_1") == [(0.9,)]


def test_a_window_that_loses_a_row_to_an_earlier_place_in_the_log_is_asked_again() -> None:
    core = InProcess()
    core.land({P[1]: [prediction("a", 10), prediction("b", 20)]})
    core.turn()
    assert core.value("row_count") == 2
    core.land({P[0]: [prediction("a", 70)]})  # the same id, earlier in the log, an hour later in time
    core.turn()
    assert core.value("row_count") == 1
    assert core.value("row_count", START_US + HOUR_US) == 1


def test_a_window_emptied_by_an_earlier_place_in_the_log_says_so() -> None:
    core = InProcess()
    core.land({P[1]: [prediction("a", 10)]})
    core.turn()
    core.land({P[0]: [prediction("a", 70)]})
    core.turn()
    assert core.value("row_count") == 0


@pytest.mark.parametrize("early", [False, True])
def test_a_label_counts_whether_it_comes_before_or_after_its_prediction(early: bool) -> None:
    core = InProcess()
    batches = [{FEEDBACK: [feedback("a", "0")]}, {PREDICTIONS: [prediction("a")]}]
    for batch in batches if early else reversed(batches):
        core.land(batch)
        core.turn()
    assert core.value("accuracy") == 0.0
    assert core.value("label_coverage") == 1.0


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_of_three_labels_the_latest_by_time_counts_in_whatever_order_they_arrive(
    order: tuple[int, ...],
) -> None:
    said = [feedback("a", "0", 60), feedback("a", "0", 61), feedback("a", "1", 62)]
    core = InProcess()
    core.land({PREDICTIONS: [prediction("a")]})
    for i in order:
        core.land({FEEDBACK: [said[i]]})
        core.turn()
    assert core.value("accuracy") == 1.0


def test_of_labels_with_one_time_the_last_in_log_order_counts() -> None:
    core = InProcess()
    parts = [Partition("events", "f", str(i)) for i in range(2)]
    core.land({PREDICTIONS: [prediction("a")], parts[1]: [feedback("a", "1", 60)]})
    core.land({parts[0]: [feedback("a", "0", 60), feedback("a", "0", 60)]})
    core.turn()
    assert core.value("accuracy") == 1.0


def test_a_withdrawn_label_is_gone_and_coverage_falls() -> None:
    core = InProcess()
    core.land({PREDICTIONS: [prediction("a"), prediction("b"), prediction("c")]})
    core.land({FEEDBACK: [feedback(i, "1") for i in "abc"]})
    core.turn()
    assert core.value("label_coverage") == 1.0
    core.land({FEEDBACK: [feedback("b", None, 61)]})
    core.turn()
    assert core.value("label_coverage") == 2 / 3
    core.land({FEEDBACK: [feedback("b", "0", 62)]})
    core.turn()
    assert core.value("label_coverage") == 1.0
    assert core.value("accuracy") == 2 / 3


def test_a_label_for_an_unknown_id_changes_nothing_and_leaves_with_retention() -> None:
    core = InProcess()
    core.land({PREDICTIONS: [prediction("a")], FEEDBACK: [feedback("nobody", "1")]})
    core.turn()
    before = core.results()
    core.land({FEEDBACK: [feedback("stranger", "0")]})
    core.turn()
    assert core.answers == [] and core.results() == before
    expire(core.store, core.cursor, before_us=START_US + 3 * HOUR_US)
    assert core.rows("SELECT count(*) FROM labels_1") == [(0,)]
    assert core.violations() == []


def test_settling_twice_finds_nothing_the_second_time() -> None:
    core = InProcess()
    core.land({PREDICTIONS: [prediction("a"), prediction("a")], FEEDBACK: [feedback("a", "1")]})
    assert core.cycle.settle().duplicates == 1
    second = core.cycle.settle()
    assert (second.duplicates, second.conflicts, second.late, second.dirty) == (0, 0, 0, 0)


def test_events_that_come_after_their_window_was_asked_are_counted_late() -> None:
    core = InProcess(replace(SMALL, window=WindowSpec(HOUR_US, HOUR_US, HOUR_US // 2, 0)))
    core.land({PREDICTIONS: [prediction("a", 10)]})
    core.turn(START_US + 2 * HOUR_US)
    core.land({PREDICTIONS: [prediction("late", 20), prediction("in time", 70)]})
    assert core.cycle.settle().late == 1


def test_a_bucket_dirties_every_sliding_window_that_contains_it() -> None:
    core = InProcess(replace(SMALL, window=WindowSpec(HOUR_US, HOUR_US // 4, 0, 0)))
    core.land({PREDICTIONS: [prediction("a", 50)]})
    core.cycle.settle()
    first = START_US // (HOUR_US // 4)
    assert sorted(dirty_windows(core.cursor, 1)) == [first, first + 1, first + 2, first + 3]


EVENTS = st.tuples(
    st.sampled_from("abcd"), st.integers(0, 1), st.sampled_from([5.0, 65.0]), st.sampled_from(["0", "1"])
)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.lists(EVENTS, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_any_interleaving_of_two_partitions_keeps_the_least_place_of_each_id(
    events: list[tuple[str, int, float, str]], random: object
) -> None:
    logs: list[list[bytes]] = [[], []]
    least: dict[str, tuple[int, int]] = {}
    for name, part, minute, said in events:
        place = (part, len(logs[part]))
        least[name] = min(place, least.get(name, place))
        logs[part].append(prediction(name, minute, prediction=said))
    core, at = InProcess(), [0, 0]
    while at != [len(log) for log in logs]:
        part = random.choice([i for i in (0, 1) if at[i] < len(logs[i])])  # type: ignore[attr-defined]
        count = random.randint(1, 3)  # type: ignore[attr-defined]
        core.land({P[part]: logs[part][at[part] : at[part] + count]})
        at[part] = min(at[part] + count, len(logs[part]))
        if random.random() < 0.5:  # type: ignore[attr-defined]
            core.turn()
    core.turn()
    assert kept(core) == [(str(part), off) for part, off in sorted(least.values())]
    duplicates = len(events) - len(least)
    assert core.rows("SELECT sum(duplicates) FROM partitions") == [(duplicates,)]
    assert core.violations() == []
    core.store.close()


def test_predictions_and_labels_on_one_stream_are_joined_like_any_other() -> None:
    core = InProcess(routes={"p": [Route(SMALL, frozenset({"prediction", "feedback"}))]})
    core.land({PREDICTIONS: [prediction("a"), feedback("a", "0"), prediction("a"), feedback("a", "1", 61)]})
    core.turn(NOW_US)
    assert core.value("accuracy") == 1.0
    assert core.violations() == []
