"""The backtest: what each rule would have done, for how long, from files or a store, beside other rules."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from daemon_process import command, running
from in_process import feedback, prediction
from streams import raw_batch
from test_demo import START_US, told
from test_replay import SMALL

from monitor import config
from monitor.actions.signing import new_secret
from monitor.backtest import compared, tally
from monitor.build import Plan, monitored, plan
from monitor.cycle import Cycle, turn
from monitor.examples import employment
from monitor.replay import replay
from monitor.store.landing import land
from monitor.store.results import read_transitions
from monitor.store.store import Store
from monitor.time import DAY_US, HOUR_US, to_rfc3339
from monitor.types import Partition

OTHER = SMALL.replace("below: 0.8,", "below: 0.8, for: 2 of 2,").replace("name: inaccurate", "name: twice")
OTHER = OTHER.replace("when: inaccurate", "when: twice")


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Five hours of which the second, third and fifth are bad; all labels come 20 minutes later."""
    (tmp_path / "secret").write_text(new_secret())
    (tmp_path / "config.yaml").write_text(SMALL)
    (tmp_path / "other.yaml").write_text(OTHER)
    hours = [(hour, i) for hour in range(5) for i in range(4)]
    bad = {1, 2, 4}
    predictions = [prediction(f"{hour}-{i}", 60 * hour + 10) for hour, i in hours]
    labels = [feedback(f"{hour}-{i}", "0" if hour in bad else "1", 60 * hour + 30) for hour, i in hours]
    (tmp_path / "p.jsonl").write_bytes(b"".join(line + b"\n" for line in predictions))
    (tmp_path / "f.jsonl").write_bytes(b"".join(line + b"\n" for line in labels))
    return tmp_path


def printed(folder: Path, *words: str) -> list[dict[str, str]]:
    done = command("replay", "-c", str(folder / "config.yaml"), "--format", "csv", *words)
    assert done.returncode == 0, done.stderr
    return list(csv.DictReader(io.StringIO(done.stdout)))


def test_it_prints_what_each_rule_did_when_and_for_how_long(history: Path) -> None:
    alert, retrain = printed(history)
    assert alert == {
        "model": "credit", "rule": "inaccurate", "fired": "2", "instances": "1", "firing for": "2h",
        "first": "2025-06-01T02:05:00Z", "last until": "firing at the end",
    }  # fmt: skip
    assert (retrain["rule"], retrain["fired"]) == ("retrain", "2")


def test_two_rule_sets_are_shown_side_by_side(history: Path) -> None:
    rows = printed(history, "--compare", str(history / "other.yaml"))
    shown = {row["rule"]: (row["fired"], row["fired (other)"], row["first (other)"]) for row in rows}
    assert shown == {
        "inaccurate": ("2", "-", "-"),
        "twice": ("-", "1", "2025-06-01T03:05:00Z"),
        "retrain": ("2", "1", "2025-06-01T03:05:00Z"),
    }


@pytest.mark.slow
def test_a_stopped_daemon_s_store_gives_the_same_backtest_as_its_files(history: Path) -> None:
    text = SMALL.replace("unused.duckdb", "kept.duckdb") + 'server: {listen: "127.0.0.1:0"}\n'
    (history / "config.yaml").write_text(text)
    with running(history / "config.yaml") as daemon:
        daemon.wait_quiet()
        busy = command("replay", "-c", str(history / "config.yaml"), "--stored")
        assert busy.returncode == 1
        assert "in use" in busy.stderr
        assert daemon.stop() == 0
    from_files = replay(plan(config.load(history / "config.yaml")))
    for path in history.glob("*.jsonl"):
        path.unlink()
    from_store = replay(plan(config.load(history / "config.yaml")), stored=True)
    assert from_store.transitions == from_files.transitions
    assert [r.to_json() for r in from_store.results] == [r.to_json() for r in from_files.results]
    store = Store(history / "kept.duckdb")
    assert store.cursor().execute("SELECT count(*) FROM windows WHERE coverage IS NOT NULL").fetchall() == [
        (5,)
    ]  # only a copy was asked
    store.close()


def row(instance: str, before: str, after: str, at_s: int) -> dict[str, Any]:
    at = f"1970-01-01T00:00:{at_s:02d}Z"
    told = {"kind": "alert", "model": "m", "alert": "a", "feature": instance}
    return {**told, "before": before, "after": after, "at": at}


def test_instances_that_fire_at_the_same_time_count_their_time_once() -> None:
    rows = [
        row("x", "ok", "firing", 10), row("y", "pending", "firing", 15), row("x", "firing", "ok", 20),
        row("y", "firing", "pending", 30), row("x", "ok", "firing", 50), {"kind": "retrain", "at": ""},
    ]  # fmt: skip
    one = tally(rows, end_us=55_000_000)["m", "a"]
    assert one.episodes == ((10_000_000, 30_000_000), (50_000_000, 55_000_000))
    assert (one.instances, one.firing_us, one.standing) == (2, 25_000_000, True)


def test_a_rule_that_only_one_side_has_is_shown_with_a_dash() -> None:
    mine = [{"model": "m", "rule": "a", "fired": 1, "firing for": "1h", "first": "x"}]
    assert compared(mine, [])[0]["fired (other)"] == "-"


def lived(the_plan: Plan, story: employment.Story, days: int) -> list[dict[str, Any]]:
    """Live through the story day by day: land what is written by then, and make the daemon's turn."""
    store = Store()
    cursor, ends = store.cursor(), dict[Partition, int]()
    cycle = Cycle(store, cursor, monitored(the_plan, store)[0])
    model = the_plan.config.models[0]
    assert model.feedback is not None
    logs = [Partition("logs", str(s.path), str(s.path)) for s in (model.predictions, model.feedback)]
    seen_us = story.start_us - 1
    for day in range(days + 1):
        now_us = story.start_us + day * DAY_US + HOUR_US
        lines = [[line.encode() for line in part] for part in story.between(seen_us, now_us)]
        values = {log: part for log, part in zip(logs, lines, strict=True) if part}
        if values:
            land(store, cursor, raw_batch(values, ends), the_plan.routes["logs"], now_us=now_us)
        for log, part in values.items():
            ends[log] = ends.get(log, 0) + len(part)
        turn(cycle, now_us, now_us=now_us)
        seen_us = now_us
    return [dict(r) for r in read_transitions(cursor)]


@pytest.mark.slow
def test_the_backtest_of_the_employment_story_equals_a_daemon_that_lived_through_it(tmp_path: Path) -> None:
    model = employment.train()
    backtest = told(tmp_path, model, 0)
    story = employment.story(model, START_US, seed=0)
    daemon = lived(plan(config.load(tmp_path / "quickstart.yaml")), story, employment.PAST_DAYS)

    def shown(rows: list[dict[str, Any]]) -> list[str]:
        last = to_rfc3339(START_US + employment.PAST_DAYS * DAY_US + HOUR_US)
        return sorted(json.dumps(row, sort_keys=True) for row in rows if row["at"] <= last)

    assert shown(daemon) == shown(backtest.transitions)
    alerts = {row["alert"] for row in daemon if row["kind"] == "alert" and row["after"] == "firing"}
    assert alerts == {"feature-drift", "accuracy-fall", "fairness-gap"}
    assert [row["kind"] for row in daemon].count("retrain") == 1
