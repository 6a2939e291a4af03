"""What is said of a window as a whole: late rows, how usual its size is, how stale the stream, silence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from in_process import FEEDBACK, HOUR_US, PREDICTIONS, SMALL, START_US, InProcess, feedback, prediction

from monitor import config as cfg
from monitor.alerting import alert_rule
from monitor.report.material import standing_of
from monitor.rules.rule import AlertRule
from monitor.store.landing import land
from monitor.store.results import latest_results
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
    for hour in (0, 1):  # the first may have begun before the stream did, and is not what is usual
        assert state(core, "row_count_ratio", START_US + hour * HOUR_US) == ("not_applicable", None)
    assert state(core, "row_count_ratio", START_US + 3 * HOUR_US) == ("ok", 5 / 3)  # of 0 and 6
    assert state(core, "row_count_ratio", START_US + 4 * HOUR_US) == ("ok", 9 / 5)  # of 0, 5 and 6


def test_what_is_usual_is_told_by_twenty_windows() -> None:
    core, rows = InProcess(), [90, *[2] * 11, *[3] * 10]
    events = [prediction(f"{hour}-{i}", 60 * hour + i / 2) for hour, n in enumerate(rows) for i in range(n)]
    core.land({PREDICTIONS: events})
    core.turn()
    assert state(core, "row_count_ratio", START_US + 20 * HOUR_US) == ("ok", 3 / 2)  # 11 twos, 8 threes
    assert state(core, "row_count_ratio", START_US + 21 * HOUR_US) == ("ok", 3 / 2)  # 11 twos, 9 threes
    core.land({PREDICTIONS: [prediction("next", 22 * 60)]})
    core.turn()
    assert state(core, "row_count_ratio", START_US + 22 * HOUR_US) == ("ok", 1 / 2.5)  # 10 of each


def test_staleness_is_the_time_from_the_latest_event_to_the_end_of_the_window() -> None:
    core = InProcess(replace(SMALL, checks=replace(SMALL.checks, silent_windows=2)))
    core.land({PREDICTIONS: [prediction("a", 10), prediction("b", 50)]})
    core.turn(START_US + 9 * HOUR_US)
    found = [state(core, "staleness_seconds", START_US + hour * HOUR_US) for hour in range(3)]
    assert found == [("ok", minutes * 60.0) for minutes in (10, 70, 130)]
    assert core.cycle.latest_event() == START_US + 50 * MINUTE_US


def test_windows_asked_before_are_restated_when_events_land_late_before_them() -> None:
    core = InProcess(replace(SMALL, checks=replace(SMALL.checks, silent_windows=1)))
    core.land({PREDICTIONS: [prediction(f"{m}", m) for m in (0, 70, 130, 250)]})
    core.turn(START_US + 4 * HOUR_US)
    ratio, staleness = (
        state(core, m, START_US + 3 * HOUR_US) for m in ("row_count_ratio", "staleness_seconds")
    )
    assert ratio == ("ok", 0.0) and staleness == ("ok", 110 * 60.0)
    core.land({PREDICTIONS: [prediction(f"late-{m}", m) for m in (75, 80, 140)]})
    core.turn(START_US + 4 * HOUR_US)
    by_hour = {(a.window.start_us - START_US) // HOUR_US: {r.metric for r in a.results} for a in core.answers}
    assert by_hour[3] == {"staleness_seconds"}  # the median of 2 and 3 leaves 0 at 0
    assert "row_count" in by_hour[1] and "row_count" in by_hour[2] and sorted(by_hour) == [1, 2, 3]
    assert state(core, "staleness_seconds", START_US + 3 * HOUR_US) == ("ok", 100 * 60.0)
    assert state(core, "row_count", START_US + 3 * HOUR_US) == ("ok", 0.0)
    core.turn(START_US + 4 * HOUR_US)
    assert core.answers == [] and core.rows("SELECT * FROM dirty WHERE idx < 100") == []


def alert(**about: object) -> AlertRule:
    given = {"name": "silence", "metric": "row_count", "below": 1} | about
    return alert_rule(cfg.Alert.model_validate(given))


def test_an_alert_fires_when_a_stream_goes_silent_and_ends_when_it_comes_back() -> None:
    core = InProcess(replace(SMALL, checks=replace(SMALL.checks, silent_windows=3)))
    core.cycle.monitored = replace(core.cycle.monitored, alerts=(alert(),))
    core.land({PREDICTIONS: [prediction("a", 10)]})
    core.turn(START_US + HOUR_US)
    assert [t.after for a in core.answers for t in a.transitions] == []
    core.turn(START_US + 3 * HOUR_US)
    assert [t.after for a in core.answers for t in a.transitions] == ["firing"]
    core.land({PREDICTIONS: [prediction("b", 190)]})
    core.turn(START_US + 4 * HOUR_US)
    assert [t.after for a in core.answers for t in a.transitions] == ["ok"]


def test_silence_neither_fires_nor_ends_an_alert_on_what_rows_say() -> None:
    core = InProcess(replace(SMALL, checks=replace(SMALL.checks, silent_windows=3)))
    missing = alert(name="gone", metric="missing_ratio", below=None, above=0.5, min_samples=1)
    core.cycle.monitored = replace(core.cycle.monitored, alerts=(missing,))
    core.land({PREDICTIONS: [prediction("a", 10, features={"plan": "gold"})]})
    core.turn(START_US + HOUR_US)
    (firing,) = [s for s in core.cycle.states.values() if s.phase == "firing"]
    core.turn(START_US + 4 * HOUR_US)
    assert sum(not a.labelled_only for a in core.answers) == 3
    assert core.cycle.states["gone", firing.series] == firing


def test_what_was_known_of_rows_stays_the_newest_when_the_stream_is_silent() -> None:
    core = InProcess(replace(SMALL, checks=replace(SMALL.checks, silent_windows=3)))
    core.land({PREDICTIONS: [prediction("a", 10)], FEEDBACK: [feedback("a", "1")]})
    core.turn(START_US + 3 * HOUR_US)
    newest = {r.metric: r.window.start_us for r in latest_results(core.cursor)}
    assert newest["row_count"] == START_US + 2 * HOUR_US
    assert {newest[m] for m in ("accuracy", "label_coverage", "missing_ratio")} == {START_US}
    assert standing_of(core.cursor, core.cycle.monitored, None).window.start_us == START_US


def test_alerts_that_look_for_few_rows_need_none() -> None:
    needed = {m: alert(metric=m).min_samples for m in ("row_count", "staleness_seconds", "late_ratio")}
    assert needed == {"row_count": 0, "staleness_seconds": 0, "late_ratio": 100}
    assert alert(min_samples=7).min_samples == 7


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
        assert state(core, "row_count_ratio", START_US + 3 * HOUR_US) == ("ok", 0.0)
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
