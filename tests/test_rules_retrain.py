"""The decision to retrain: edges, cooldown, weekly cap, and ids that a restored backup repeats."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import StoreError
from monitor.rules.condition import AllOf, AnyOf, Not, alert_names, holds, parse_condition
from monitor.rules.retrain import Decision, RetrainRule, RetrainState, Verdict, decide
from monitor.rules.silences import Silence
from monitor.time import DAY_US, HOUR_US
from monitor.types import Transition, Window

RULE = RetrainRule("credit", AnyOf(("acc", AllOf(("psi", "parity")))), ("pipeline",), cooldown_us=DAY_US)
ACC, NONE = frozenset({"acc"}), frozenset[str]()


def window(index: int) -> Window:
    return Window(index * HOUR_US, (index + 1) * HOUR_US)


def play(rule: RetrainRule, hourly: list[frozenset[str]]) -> tuple[RetrainState, list[Decision]]:
    state, decisions = RetrainState(), []
    for hour, firing in enumerate(hourly):
        state, verdict = decide(rule, state, firing, window=window(hour), at_us=hour * HOUR_US)
        decisions += [verdict.decision] if verdict.decision else []
    return state, decisions


@pytest.mark.parametrize(
    ("firing", "expected"),
    [(set(), False), ({"acc"}, True), ({"psi"}, False), ({"psi", "parity"}, True), ({"other"}, False)],
)
def test_conditions_combine_alerts(firing: set[str], expected: bool) -> None:
    assert holds(RULE.when, frozenset(firing)) is expected
    assert holds(Not(RULE.when), frozenset(firing)) is not expected
    assert alert_names(RULE.when) == {"acc", "psi", "parity"}


def test_conditions_are_read_as_configured() -> None:
    raw = {"any": ["acc", {"all": ["psi", {"not": "parity"}]}]}
    assert parse_condition(raw) == AnyOf(("acc", AllOf(("psi", Not("parity")))))


@pytest.mark.parametrize(
    "raw", [None, "", 3, [], {}, {"any": []}, {"some": ["a"]}, {"any": ["a"], "all": ["b"]}]
)
def test_other_conditions_are_refused(raw: object) -> None:
    with pytest.raises(ValueError, match="allowed are an alert's name"):
        parse_condition(raw)


def test_it_fires_on_the_edge_only() -> None:
    _, decisions = play(RULE, [NONE, NONE, ACC, ACC, ACC, *[ACC] * 100])
    assert [(d.at_us // HOUR_US, d.window, d.alerts) for d in decisions] == [(2, window(2), ("acc",))]


def test_only_alerts_of_the_condition_are_named() -> None:
    _, (decision,) = play(RULE, [ACC | {"psi", "unrelated"}])
    assert decision.alerts == ("acc", "psi")


def test_an_edge_in_the_cooldown_is_held_and_fires_when_it_ends() -> None:
    state, decisions = play(RULE, [ACC, NONE, ACC, *[ACC] * 20])
    assert state.held
    assert len(decisions) == 1
    state, decisions = play(RULE, [ACC, NONE, ACC, *[ACC] * 30])
    assert [(d.at_us // HOUR_US, d.window) for d in decisions] == [(0, window(0)), (24, window(2))]
    assert not state.held


def test_a_held_edge_is_dropped_when_the_condition_ends() -> None:
    _, decisions = play(RULE, [ACC, NONE, ACC, *[NONE] * 30])
    assert [d.at_us // HOUR_US for d in decisions] == [0]


def test_the_weekly_cap_holds_over_any_seven_days() -> None:
    rule = RetrainRule("credit", "acc", ("pipeline",), cooldown_us=0, max_per_week=2)
    _, decisions = play(rule, [ACC if hour % 2 else NONE for hour in range(24 * 15)])
    assert [d.at_us // HOUR_US for d in decisions] == [1, 3, 169, 171, 337, 339]


@given(
    st.lists(st.booleans(), max_size=200),
    st.integers(0, 30),
    st.one_of(st.none(), st.integers(1, 3)),
)
def test_never_more_than_one_per_cooldown_nor_than_edges(
    bits: list[bool], cooldown_h: int, cap: int | None
) -> None:
    rule = RetrainRule("credit", "acc", ("p",), cooldown_us=cooldown_h * HOUR_US, max_per_week=cap)
    state, decisions = play(rule, [ACC if bit else NONE for bit in bits])
    at = [d.at_us // HOUR_US for d in decisions]
    assert all(later - earlier >= cooldown_h for earlier, later in zip(at, at[1:], strict=False))
    assert all(bits[hour] for hour in at)
    edges = [hour for hour, bit in enumerate(bits) if bit and (hour == 0 or not bits[hour - 1])]
    assert len(at) <= len(edges)
    assert len({d.id for d in decisions}) == len(decisions)
    if edges:
        assert at[0] == edges[0]
    if cap:
        assert all(len([h for h in at if first <= h < first + 168]) <= cap for first in at)
    assert state.held == (bool(bits) and bits[-1] and (not at or at[-1] < edges[-1]))


def test_ids_are_stable_and_differ_by_model_rule_window_alerts_and_transition() -> None:
    series = ("credit", "*", "accuracy", "", "", "", "")
    moved = Transition("credit", "acc", "critical", series, window(0), "ok", "firing", 0.7, 0.8, 5)
    cases = [
        (RULE, window(0), ACC, ()),
        (RetrainRule("fraud", RULE.when, RULE.actions), window(0), ACC, ()),
        (RetrainRule("credit", RULE.when, RULE.actions, name="second"), window(0), ACC, ()),
        (RULE, window(1), ACC, ()),
        (RULE, window(0), ACC | {"psi"}, ()),
        (RULE, window(0), ACC, (moved,)),
    ]
    ids = []
    for rule, at, firing, transitions in cases:
        for at_us in (0, 10**15):  # a restored backup decides again, at another moment
            _, verdict = decide(rule, RetrainState(), firing, window=at, transitions=transitions, at_us=at_us)
            assert verdict.decision is not None
            ids.append(verdict.decision.id)
    assert ids[::2] == ids[1::2]
    assert len(set(ids)) == len(cases)
    assert all(i.startswith("msg_") and len(i) == 36 and int(i[4:], 16) >= 0 for i in ids)


def test_the_same_edge_restated_away_and_back_is_one_request() -> None:
    rule = RetrainRule("credit", "acc", ("pipeline",), cooldown_us=0)
    state, decisions = RetrainState(), []
    for at_us, firing in enumerate([ACC, NONE, ACC]):
        state, verdict = decide(rule, state, firing, window=window(0), at_us=at_us)
        decisions += [verdict.decision] if verdict.decision else []
    assert len(decisions) == 1


def test_the_state_survives_its_json_form() -> None:
    state, _ = play(RULE, [ACC, NONE, ACC])
    assert RetrainState.from_json(json.loads(json.dumps(state.to_json()))) == state
    with pytest.raises(StoreError, match="format 9"):
        RetrainState.from_json(state.to_json() | {"format": 9})


def verdicts(rule: RetrainRule, hourly: list[frozenset[str]]) -> list[Verdict]:
    """Return the verdict of each hour."""
    state, found = RetrainState(), []
    for hour, firing in enumerate(hourly):
        state, verdict = decide(rule, state, firing, window=window(hour), at_us=hour * HOUR_US)
        found.append(verdict)
    return found


def test_every_look_says_why_also_when_nothing_is_asked_for() -> None:
    found = verdicts(RULE, [NONE, frozenset({"psi"}), ACC, ACC, NONE, ACC])
    assert [(v.outcome, v.alerts) for v in found] == [
        ("calm", ()), ("unmet", ("psi",)), ("requested", ("acc",)), ("standing", ("acc",)), ("calm", ()),
        ("held", ("acc",)),
    ]  # fmt: skip
    assert found[3].why.endswith("asked for at 1970-01-01T02:00:00Z")
    assert found[5].why == "cooldown until 1970-01-02T02:00:00Z"


def test_in_quiet_hours_a_request_is_held_until_they_end() -> None:
    quiet = (Silence(daily=(22 * HOUR_US, 6 * HOUR_US)),)
    rule = RetrainRule("credit", "acc", ("pipeline",), quiet=quiet)
    found = verdicts(rule, [NONE] * 23 + [ACC] * 8)
    assert [v.why for v in found[23:30]] == ["quiet hours"] * 7
    assert found[30].outcome == "requested"
    assert found[30].decision is not None
    assert (found[30].decision.window, found[30].decision.at_us) == (window(23), 30 * HOUR_US)


def test_a_dry_run_decides_as_it_would_and_says_so() -> None:
    dry, wet = (RetrainRule("credit", "acc", ("pipeline",), dry_run=d) for d in (True, False))
    hours = [ACC, NONE, ACC, *[ACC] * 30]
    assert {v.outcome for v in verdicts(dry, hours) if v.decision} == {"dry_run"}
    assert [v.decision for v in verdicts(dry, hours)] == [v.decision for v in verdicts(wet, hours)]


def test_alerts_that_do_not_count_ask_for_nothing_until_they_do() -> None:
    state, verdict = decide(
        RULE, RetrainState(), ACC, window=window(0), at_us=0, discounted={"acc": "is silenced"}
    )
    assert (verdict.outcome, verdict.why, verdict.decision) == ("discounted", "acc is silenced", None)
    both = ACC | {"psi", "parity"}
    _, verdict = decide(
        RULE, RetrainState(), both, window=window(0), at_us=0, discounted={"acc": "is silenced"}
    )
    assert verdict.decision is not None
    assert verdict.decision.alerts == ("parity", "psi")
    _, verdict = decide(RULE, state, ACC, window=window(1), at_us=HOUR_US)
    assert verdict.outcome == "requested"
