"""Alert rules: which results they watch, when they fire, and that order and repetition do not matter."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import StoreError
from monitor.rules.alerts import evaluate_rules, step
from monitor.rules.bounds import bounds
from monitor.rules.rule import AlertRule, matches
from monitor.rules.state import AlertState, firing
from monitor.types import Result, Transition, Window

PSI = AlertRule(name="drift", metric="psi", above=0.2)


def result(index: int = 0, value: float | None = 0.1, **changes: object) -> Result:
    state = "ok" if value is not None else "no_reference"
    made = Result("credit", "*", Window(index * 10, index * 10 + 10), "psi", state, value, "income", n=500)
    return replace(made, **changes)  # type: ignore[arg-type]


def fold(rule: AlertRule, results: list[Result]) -> tuple[AlertState | None, list[Transition]]:
    state, transitions = None, []
    for at_us, each in enumerate(results):
        state, transition = step(rule, state, each, at_us=at_us)
        transitions += [transition] if transition else []
    return state, transitions


def phases(rule: AlertRule, values: list[float | None]) -> list[str]:
    state, seen = None, []
    for index, value in enumerate(values):
        state, _ = step(rule, state, result(index, value), at_us=index)
        seen.append(state.phase)
    return seen


@pytest.mark.parametrize(
    ("selectors", "changes", "watched"),
    [
        ({}, {}, True),
        ({}, {"feature": None}, True),
        ({}, {"metric": "ks_statistic"}, False),
        ({"feature": "income"}, {}, True),
        ({"feature": "age"}, {}, False),
        ({}, {"version": "3"}, False),
        ({"version": "3"}, {"version": "3"}, True),
        ({"version": "3"}, {}, False),
        ({}, {"segment": "plan=gold"}, False),
        ({"segment": "plan=gold"}, {"segment": "plan=gold"}, True),
        ({}, {"attribute": "sex", "group": "F"}, True),
        ({"attribute": "region"}, {"attribute": "sex"}, False),
        ({"group": "F"}, {"attribute": "sex", "group": "M"}, False),
    ],
)
def test_a_rule_watches_the_series_it_names(selectors: dict, changes: dict, watched: bool) -> None:
    assert matches(replace(PSI, **selectors), result(**changes)) is watched


@pytest.mark.parametrize(
    ("bound", "bad", "fine"),
    [
        ({"above": 0.2}, [0.2001, 7.0], [0.2, -1.0]),
        ({"below": 0.2}, [0.1999, -7.0], [0.2, 1.0]),
        ({"outside": (0.2, 0.4)}, [0.1999, 0.4001], [0.2, 0.3, 0.4]),
    ],
)
def test_only_values_beyond_the_bound_fire(bound: dict, bad: list[float], fine: list[float]) -> None:
    rule = AlertRule(name="a", metric="psi", **bound)
    assert [phases(rule, [v]) for v in bad] == [["firing"]] * len(bad)
    assert [phases(rule, [v]) for v in fine] == [["ok"]] * len(fine)


def test_bounds_are_the_healthy_range() -> None:
    assert bounds(PSI, result()) == (None, 0.2)
    assert bounds(AlertRule(name="a", metric="m", below=0.8), result()) == (0.8, None)
    assert bounds(AlertRule(name="a", metric="m", outside=(1.0, 2.0)), result()) == (1.0, 2.0)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({}, "exactly one of above, below, outside; got 0"),
        ({"above": 1.0, "below": 0.0}, "got 2"),
        ({"above": float("nan")}, "finite"),
        ({"above": 1.0, "needed": 3, "of": 2}, "'for: 3 of 2'"),
        ({"above": 1.0, "needed": 0}, "1 ≤ m ≤ n"),
        ({"above": 1.0, "clear": 1.5}, "healthy side"),
        ({"below": 1.0, "clear": 0.5}, "healthy side"),
        ({"outside": (1.0, 2.0), "clear": 1.5}, "pair"),
        ({"outside": (1.0, 2.0), "clear": (0.5, 1.5)}, "healthy side"),
        ({"outside": (2.0, 1.0)}, "healthy side"),
    ],
)
def test_contradictory_rules_are_refused_with_what_is_allowed(wrong: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match="alert 'a'") as caught:
        AlertRule(name="a", metric="m", **wrong)
    assert sentence in str(caught.value)


def test_two_of_three_waits_pending_and_fires_at_the_second_bad_window() -> None:
    rule = replace(PSI, needed=2, of=3)
    values = [0.1, 0.3, 0.1, 0.3, 0.3, 0.1, 0.1, 0.3, 0.1, 0.1]
    assert phases(rule, values) == [
        *("ok", "pending", "ok", "firing", "firing", "firing", "ok", "pending", "ok", "ok")
    ]


def test_transitions_tell_value_bound_window_and_moment() -> None:
    _, transitions = fold(PSI, [result(0, 0.1), result(1, 0.3), result(2, 0.1)])
    series = ("credit", "*", "psi", "income", "", "", "")
    assert transitions == [
        Transition("credit", "drift", "warning", series, Window(10, 20), "ok", "firing", 0.3, 0.2, 1),
        Transition("credit", "drift", "warning", series, Window(20, 30), "firing", "ok", 0.1, 0.2, 2),
    ]


def test_hysteresis_keeps_firing_until_the_clear_bound() -> None:
    rule = replace(PSI, clear=0.1)
    assert phases(rule, [0.15, 0.21, 0.15, 0.11, 0.1, 0.15]) == [
        *("ok", "firing", "firing", "firing", "ok", "ok")
    ]
    band = AlertRule(name="a", metric="psi", outside=(0.0, 1.0), clear=(0.2, 0.8))
    assert phases(band, [0.1, -0.1, 0.1, 0.9, 0.5, 1.1]) == [
        *("ok", "firing", "firing", "firing", "ok", "firing")
    ]


def test_a_confident_rule_needs_the_whole_interval_beyond_the_bound() -> None:
    sure = replace(PSI, confident=True)
    for rule, lower, upper, phase in [
        (sure, 0.21, 0.5, "firing"),
        (sure, 0.19, 0.5, "ok"),
        (sure, None, None, "ok"),
        (AlertRule(name="a", metric="psi", below=0.6, confident=True), 0.2, 0.5, "firing"),
        (AlertRule(name="a", metric="psi", below=0.6, confident=True), 0.2, 0.7, "ok"),
    ]:
        state, _ = step(rule, None, result(0, 0.4, lower=lower, upper=upper), at_us=0)
        assert state.phase == phase, (lower, upper)


def test_no_value_and_too_few_rows_keep_the_phase_and_are_shown() -> None:
    fired, _ = fold(PSI, [result(0, 0.3)])
    for blank in (result(1, None), result(1, 0.1, n=99), result(1, None, state="failed")):
        state, transition = step(PSI, fired, blank, at_us=9)
        assert (state.phase, state.no_data, state.window, transition) == ("firing", True, Window(0, 10), None)
        back, transition = step(PSI, state, result(1, 0.1), at_us=10)
        assert (back.phase, back.no_data, transition is not None) == ("ok", False, True)


def test_no_data_is_about_the_newest_window_whatever_arrives_after_it() -> None:
    state, _ = fold(PSI, [result(0, 0.3), result(2, None), result(1, 0.1)])
    assert state is not None
    assert (state.phase, state.window, state.no_data) == ("ok", Window(10, 20), True)


def test_a_window_counts_when_its_labels_arrive_even_after_newer_windows_were_asked() -> None:
    waiting = [result(i, None, state="awaiting_labels") for i in range(3)]
    state, transitions = fold(PSI, [*waiting, result(0, 0.3), result(1, 0.1)])
    assert [(t.window, t.after) for t in transitions] == [(Window(0, 10), "firing"), (Window(10, 20), "ok")]
    assert state is not None
    assert not state.no_data


def test_older_windows_change_nothing() -> None:
    state, _ = fold(PSI, [result(0, 0.1), result(2, 0.1)])
    for late in (result(0, 0.9), result(1, 0.9), result(1, None)):
        assert step(PSI, state, late, at_us=9) == (state, None)


values_st = st.lists(st.one_of(st.none(), st.sampled_from([0.0, 0.1, 0.15, 0.2, 0.25, 0.3])), max_size=25)
rules_st = st.builds(
    lambda needed, extra, clear: replace(PSI, needed=needed, of=needed + extra, clear=clear),
    st.integers(1, 3),
    st.integers(0, 3),
    st.sampled_from([None, 0.1, 0.2]),
)


@given(rules_st, values_st)
def test_folding_in_order_equals_the_definition(rule: AlertRule, values: list[float | None]) -> None:
    counted = [v for v in values if v is not None]
    clear = 0.2 if rule.clear is None else rule.clear

    @cache
    def is_bad(i: int) -> bool:
        return counted[i] > 0.2 or (i > 0 and is_firing(i - 1) and counted[i] > clear)

    @cache
    def is_firing(i: int) -> bool:
        first = max(0, i - rule.of + 1)
        return len([j for j in range(first, i + 1) if is_bad(j)]) >= rule.needed

    expected, latest, at = [], "ok", 0
    for value in values:
        if value is not None:
            latest = "firing" if is_firing(at) else "pending" if is_bad(at) else "ok"
            at += 1
        expected.append(latest)
    assert phases(rule, values) == expected


@given(rules_st, values_st)
def test_the_same_result_again_changes_nothing(rule: AlertRule, values: list[float | None]) -> None:
    state = None
    for index, value in enumerate(values):
        state, _ = step(rule, state, result(index, value), at_us=index)
        assert step(rule, state, result(index, value), at_us=index + 1) == (state, None)


@given(rules_st, values_st, st.lists(st.sampled_from([0.0, 0.15, 0.3]), min_size=1, max_size=4))
def test_restating_the_newest_window_equals_having_seen_the_last_value_first(
    rule: AlertRule, values: list[float | None], restated: list[float]
) -> None:
    before = [result(i, v) for i, v in enumerate(values)]
    newest = [result(len(values), v, revision=r) for r, v in enumerate(restated)]
    told, transitions = fold(rule, [*before, *newest])
    first, _ = fold(rule, [*before, newest[-1]])
    assert told is not None
    assert first is not None
    assert replace(told, since_us=0) == replace(first, since_us=0)
    for one, other in zip(transitions, transitions[1:], strict=False):
        assert one.after == other.before  # what was told adds up, whatever was restated


@given(st.lists(st.sampled_from([0.12, 0.19, 0.21, 0.3]), max_size=50))
def test_flapping_above_the_clear_bound_fires_at_most_once(values: list[float]) -> None:
    _, transitions = fold(replace(PSI, clear=0.1), [result(i, v) for i, v in enumerate(values)])
    assert len(transitions) == (max(values, default=0) > 0.2)


@given(rules_st, values_st)
def test_a_state_survives_its_json_form(rule: AlertRule, values: list[float | None]) -> None:
    state, _ = fold(rule, [result(i, v) for i, v in enumerate(values)] or [result()])
    assert state is not None
    assert AlertState.from_json(json.loads(json.dumps(state.to_json()))) == state


def test_a_state_of_a_newer_program_is_refused() -> None:
    row = AlertState("drift", result().series).to_json() | {"format": 3}
    with pytest.raises(StoreError, match=r"'drift'.*format 3.*formats up to 2"):
        AlertState.from_json(row)


def test_each_series_is_an_instance_and_rules_do_not_mix() -> None:
    rules = [PSI, replace(PSI, name="income only", feature="income", above=0.5)]
    results = [result(0, 0.3, feature="b"), result(0, 0.6), result(0, 0.1, feature="c")]
    states, transitions = evaluate_rules(rules, {}, results, 7)
    assert [(t.alert, t.series[3]) for t in transitions] == [
        ("drift", "b"),
        ("drift", "income"),
        ("income only", "income"),
    ]
    assert {(name, series[3]): s.phase for (name, series), s in states.items()} == {
        ("drift", "b"): "firing",
        ("drift", "c"): "ok",
        ("drift", "income"): "firing",
        ("income only", "income"): "firing",
    }
    assert firing(states.values()) == {"drift", "income only"}


def test_untouched_states_stay_and_those_of_removed_rules_go() -> None:
    states, _ = evaluate_rules([PSI, replace(PSI, name="old")], {}, [result(0, 0.3)], 0)
    again, transitions = evaluate_rules([PSI], states, [result(1, 0.3, feature="age")], 1)
    key = ("drift", result().series)
    assert again[key] is states[key]
    assert [name for name, _ in again] == ["drift", "drift"]
    assert len(transitions) == 1
