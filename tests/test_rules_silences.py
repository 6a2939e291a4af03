"""Silences: when they hold, what they cover, and that nothing is lost when they end."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest
from in_process import FEEDBACK, PREDICTIONS, InProcess, feedback, prediction
from streams import HOUR_US, START_US

from monitor.alerting import silence_rules
from monitor.config import load
from monitor.cycle import Cycle
from monitor.errors import ConfigError
from monitor.rules.condition import AllOf, Not
from monitor.rules.retrain import RetrainRule, RetrainState, decide
from monitor.rules.rule import AlertRule
from monitor.rules.silences import Silence
from monitor.store.results import read_transitions
from monitor.time import from_rfc3339
from monitor.types import Window

SERIES = ("credit", "*", "psi", "income", "", "", "")


@pytest.mark.parametrize(
    ("silence", "covered"),
    [
        (Silence(), True),
        (Silence(models="cre*"), True),
        (Silence(models="other"), False),
        (Silence(alerts=("x", "d*")), True),
        (Silence(features="age"), False),
        (Silence(features="income", segments=""), True),
        (Silence(segments="plan=*"), False),
        (Silence(versions="*"), True),
        (Silence(from_us=6), False),
        (Silence(from_us=5, to_us=6), True),
        (Silence(to_us=5), False),
    ],
)
def test_a_silence_covers_what_fits_all_its_patterns_at_its_time(silence: Silence, covered: bool) -> None:
    assert silence.covers("drift", SERIES, 5) is covered


def test_daily_silences_agree_with_the_calendar_for_a_fortnight_of_half_hours() -> None:
    start = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
    for hours, days in (((22, 6), {4, 5}), ((9, 17), {0, 1, 2, 3, 4}), ((0, 24), {6})):
        silence = Silence(daily=(hours[0] * HOUR_US, hours[1] * HOUR_US), days=frozenset(days))
        for step in range(14 * 48):
            at = start + dt.timedelta(minutes=30 * step)
            hour, weekday = at.hour + at.minute / 60, at.weekday()
            tonight = weekday in days and hour >= hours[0] and (hour < hours[1] or hours[1] <= hours[0])
            last_night = hours[1] <= hours[0] and (weekday - 1) % 7 in days and hour < hours[1]
            assert silence.active(from_rfc3339(at.isoformat())) == (tonight or last_night), at


CONFIG = """
sources: {events: {kind: memory}}
models:
  - name: credit
    task: binary
    predictions: {source: events, topic: p}
    features: {age: numeric}
    window: {size: 1h}
    checks: {quality: {}}
silences:
  - SILENCE
"""


def written(folder: Path, silence: str) -> Path:
    (folder / "c.yaml").write_text(CONFIG.replace("SILENCE", silence))
    return folder / "c.yaml"


def test_a_configured_silence_is_the_one_meant(tmp_path: Path) -> None:
    text = (
        '{model: credit, feature: [age, "inc*"], daily: "22:30-06:00", days: fri, to: 2026-12-27T00:00:00Z}'
    )
    (silence,) = silence_rules(load(written(tmp_path, text)).silences)
    assert silence == Silence(
        models=("credit",), features=("age", "inc*"), daily=(22 * HOUR_US + HOUR_US // 2, 6 * HOUR_US),
        days=frozenset({4}), to_us=from_rfc3339("2026-12-27T00:00:00Z"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{daily: 22-6}", "must be two different times of day in UTC, as in 22:00-06:00"),
        ('{daily: "06:00-06:00"}', "must be two different times of day"),
        ("{days: someday}", "mon"),
        ("{from: yesterday}", "must be a moment, as in 2026-11-22T10:00:00Z"),
        ("{to: 2026-12-01, from: 2026-12-02}", "must be after from"),
        ("{model: gone}", "unknown model 'gone'"),
    ],
)
def test_a_wrong_silence_is_refused_with_what_is_allowed(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, text))
    assert said in str(caught.value)


RETRAIN = RetrainRule(model="m", when="a", actions=("x",), cooldown_us=0)
A, B = {"a": "silenced"}, {"b": "silenced"}


def decided(
    rule: RetrainRule, state: RetrainState, at_us: int, names: str, quiet: dict | None = None
) -> tuple:
    window = Window(at_us, at_us)
    state, verdict = decide(rule, state, frozenset(names), window=window, at_us=at_us, discounted=quiet)
    return state, verdict.decision


def test_a_request_because_of_silenced_alerts_waits_for_the_end_of_the_silence() -> None:
    state, made = decided(RETRAIN, RetrainState(), 1, "a", A)
    assert made is None
    assert state.held
    state, made = decided(RETRAIN, state, 90, "a")
    assert (made.window, made.alerts) == (Window(1, 1), ("a",))
    assert decided(RETRAIN, state, 101, "a")[1] is None


def test_a_silence_makes_no_negation_true_and_an_old_request_is_not_made_again() -> None:
    rule = replace(RETRAIN, when=AllOf(("a", Not("b"))))
    assert decided(rule, RetrainState(), 1, "ab", B)[1] is None
    state, made = decided(RETRAIN, RetrainState(), 1, "a")
    assert made is not None
    for at_us, quiet in ((2, A), (3, None)):  # silenced for a while, still firing
        state, made = decided(RETRAIN, state, at_us, "a", quiet)
        assert made is None


def test_a_silence_that_ends_between_two_windows_is_made_up_for_in_the_next_turn() -> None:
    one = InProcess()
    end_us = START_US + 1_001 * HOUR_US
    rule = AlertRule(name="x", metric="accuracy", below=0.9, min_samples=1)
    silenced = replace(one.cycle.monitored, alerts=(rule,), silences=(Silence(to_us=end_us),))
    one.cycle = Cycle(one.store, one.cursor, silenced)
    one.land({PREDICTIONS: [prediction("a")], FEEDBACK: [feedback("a", "0")]})
    one.turn()
    one.cycle = Cycle(one.store, one.cursor, silenced)  # a restart in between
    one.turn(end_us - 1)
    rows = [(t["before"], t["after"], t["silenced"]) for t in read_transitions(one.cursor)]
    assert rows == [("ok", "firing", True)]
    one.turn(end_us)
    one.turn(end_us + 1)
    rows = [(t["before"], t["after"], t["silenced"]) for t in read_transitions(one.cursor)]
    assert rows == [("ok", "firing", True), ("ok", "firing", False)]
