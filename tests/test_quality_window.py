"""What is said of a window as a whole: late rows, how usual its size is, how stale the stream, silence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from in_process import HOUR_US, PREDICTIONS, SMALL, START_US, InProcess, prediction

from monitor.store.landing import land
from monitor.time import to_rfc3339
from monitor.types import RAW_SCHEMA, Position, RawBatch

MINUTE_US = 60_000_000


def landed_at(core: InProcess, events: list[tuple[bytes, int | None]], first: int = 0) -> None:
    """Land events with the minute after the start at which the log took each; None: it does not say."""
    times = [None if minute is None else START_US + minute * MINUTE_US for _, minute in events]
    columns = {
        "part": [0] * len(events), "off": range(first, first + len(events)), "record_us": times,
        "value": [value for value, _ in events],
    }  # fmt: skip
    positions = {PREDICTIONS: Position(first + len(events))}
    batch = RawBatch((PREDICTIONS,), pa.table(columns, schema=RAW_SCHEMA), positions)
    land(core.store, core.cursor, batch, core.routes, now_us=START_US + 99 * HOUR_US)


def state(core: InProcess, metric: str, window_start_us: int = START_US) -> tuple[str, float | None]:
    start = to_rfc3339(window_start_us)
    (row,) = [r for r in core.results() if r["metric"] == metric and r["window_start"] == start]
    return row["state"], row["value"]


def test_a_row_is_late_when_the_log_took_it_after_its_window_was_due() -> None:
    lateness_us, due = 5 * MINUTE_US, 65
    core = InProcess(replace(SMALL, window=replace(SMALL.window, lateness_us=lateness_us)))
    taken = [(prediction("a", 5), 5), (prediction("b", 59), 61), (prediction("c", 59), due)]
    landed_at(core, [*taken, (prediction("d", 59), due + 1)])
    core.turn(START_US + HOUR_US + lateness_us)
    assert state(core, "late_ratio") == ("ok", 0.25)
    landed_at(core, [(prediction("e", 10), due + 600)], first=4)
    core.turn(START_US + 2 * HOUR_US)
    assert state(core, "late_ratio") == ("ok", 2 / 5)


def test_late_rows_are_the_same_however_often_and_whenever_the_monitor_looked() -> None:
    events = [(prediction(name, 5 + i), 5 + 40 * i) for i, name in enumerate("abcdef")]
    once, often = InProcess(), InProcess()
    landed_at(once, events)
    once.turn()
    for i, event in enumerate(events):
        landed_at(often, [event], first=i)
        often.turn(START_US + (i + 2) * HOUR_US)
    assert state(once, "late_ratio") == state(often, "late_ratio") and state(once, "late_ratio")[1] > 0


def test_a_redelivery_taken_at_another_time_is_no_conflict() -> None:
    core = InProcess()
    landed_at(core, [(prediction("a", 5), 5), (prediction("a", 5), 500)])
    core.turn()
    assert state(core, "conflict_ratio") == ("ok", 0.0) and state(core, "duplicate_ratio") == ("ok", 0.5)
    assert state(core, "late_ratio") == ("ok", 0.0)  # the first in the log is the one that counts


def test_a_log_without_times_says_nothing_of_late_rows() -> None:
    core = InProcess()
    landed_at(core, [(prediction("a", 5), None)])
    core.turn()
    assert state(core, "late_ratio") == ("not_applicable", None)


def test_a_window_is_compared_with_the_median_of_those_before_it() -> None:
    core, rows = InProcess(), [4, 6, 0, 5, 9]  # an hour each; the third is empty
    events = [prediction(f"{hour}-{i}", 60 * hour + i) for hour, n in enumerate(rows) for i in range(n)]
    core.land({PREDICTIONS: events})
    core.turn()
    assert state(core, "row_count_ratio") == ("not_applicable", None)
    assert state(core, "row_count_ratio", START_US + HOUR_US) == ("ok", 6 / 4)
    assert state(core, "row_count_ratio", START_US + 3 * HOUR_US) == ("ok", 5 / 4)  # of 0, 4 and 6
    assert state(core, "row_count_ratio", START_US + 4 * HOUR_US) == ("ok", 9 / 4.5)  # of 0, 4, 5 and 6


def test_a_window_cut_off_by_the_first_event_is_not_what_is_usual() -> None:
    core = InProcess()
    core.land(
        {PREDICTIONS: [prediction("a", 30), prediction("b", 70), prediction("c", 130), prediction("d", 140)]}
    )
    core.turn()
    assert state(core, "row_count_ratio", START_US + HOUR_US) == ("not_applicable", None)
    assert state(core, "row_count_ratio", START_US + 2 * HOUR_US) == ("ok", 2.0)


def test_staleness_is_the_time_from_the_latest_event_to_the_asking() -> None:
    core = InProcess()
    core.land({PREDICTIONS: [prediction("a", 10), prediction("b", 50)]})
    core.turn(START_US + 3 * HOUR_US)
    assert state(core, "staleness_seconds") == ("ok", 130 * 60.0)


@pytest.mark.parametrize("most", [0, 3])
def test_windows_without_events_say_so_for_a_while(most: int) -> None:
    spec = replace(SMALL, checks=replace(SMALL.checks, silent_windows=most))
    core = InProcess(spec)
    core.land({PREDICTIONS: [prediction("a", 0), prediction("b", 130)]})
    core.turn(START_US + 9 * HOUR_US)
    counts = {r["window_start"][11:13]: r["value"] for r in core.results() if r["metric"] == "row_count"}
    silent = {"01": 0.0, "03": 0.0, "04": 0.0, "05": 0.0} if most else {}
    assert counts == {"00": 1.0, "02": 1.0} | silent
    if most:
        assert state(core, "row_count_ratio", START_US + 4 * HOUR_US) == ("ok", 0.0)
    core.turn(START_US + 10 * HOUR_US)
    assert core.answers == []


def test_an_event_that_comes_after_all_makes_a_silent_window_a_full_one() -> None:
    spec = replace(SMALL, checks=replace(SMALL.checks, silent_windows=3))
    core = InProcess(spec, has_feedback=False)
    core.land({PREDICTIONS: [prediction("a", 10), prediction("b", 130)]})
    core.turn(START_US + 4 * HOUR_US)
    assert state(core, "row_count", START_US + HOUR_US) == ("ok", 0.0)
    core.land({PREDICTIONS: [prediction("late", 70)]})
    core.turn(START_US + 4 * HOUR_US)
    assert state(core, "row_count", START_US + HOUR_US) == ("ok", 1.0)
    assert state(core, "late_ratio", START_US + HOUR_US) == ("not_applicable", None)


def test_a_store_from_before_rows_had_a_time_of_arrival_is_read_on(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    core = InProcess(path=path)
    core.land({PREDICTIONS: [prediction("a", 10)]})
    core.cursor.execute("ALTER TABLE predictions_1 DROP COLUMN record_us")
    core.store.close()
    again = InProcess(path=path)
    again.turn()
    assert state(again, "late_ratio") == ("not_applicable", None)
    assert state(again, "row_count") == ("ok", 1.0)
