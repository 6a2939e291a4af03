"""The alert machine beside its definition: any order of windows, restatements, restarts, changes, silences.

The definition looks at the whole history each time: of every window that counted the last version before a
newer one counted, under the rule then in force. It knows neither memories nor previous states.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.rules.alerts import evaluate_rules
from monitor.rules.rule import AlertRule
from monitor.rules.silences import Silence
from monitor.rules.state import AlertState
from monitor.types import Result, Transition, Window

SERIES = ("m", "*", "psi", "age", "", "", "")
VALUES = (0.05, 0.12, 0.15, 0.19, 0.2, 0.21, 0.3, 0.4)
RULES = tuple(
    AlertRule(name="a", metric="psi", min_samples=100, needed=needed, of=of, confident=confident, **bound)
    for needed, of in ((1, 1), (2, 2), (2, 3), (1, 3), (3, 5))
    for confident in (False, True)
    for bound in (
        {"above": 0.2},
        {"above": 0.2, "clear": 0.12},
        {"below": 0.15},
        {"below": 0.15, "clear": 0.2},
        {"outside": (0.12, 0.21)},
        {"outside": (0.1, 0.3), "clear": (0.15, 0.2)},
    )
)
ALL = Silence()
KINDS = (("ok", 500), ("ok", 99), ("no_reference", 0), ("awaiting_labels", 500))
Version = tuple[float, float, AlertRule]  # value, half the interval's width, the rule then in force


@dataclass
class Definition:
    """What the documentation says, of one instance."""

    counted: dict[int, list[tuple[float, float, AlertRule]]] = field(
        default_factory=dict
    )  # value, half width
    complete: dict[int, bool] = field(default_factory=dict)  # window -> was its last version usable?
    phase: str = "ok"
    told: str = "ok"

    def see(self, index: int, state: str, value: float, half: float, n: int, rule: AlertRule) -> None:
        if state == "awaiting_labels" or (self.counted and index < max(self.counted)):
            return
        usable = state == "ok" and n >= 100
        self.complete[index] = usable
        if usable:
            self.counted.setdefault(index, []).append((value, half, rule))

    def now(self) -> str:
        phase, flags = "ok", []
        for index in sorted(self.counted):
            value, half, rule = self.counted[index][-1]
            low, high = rule.outside or (rule.below, rule.above)  # type: ignore[misc]
            reach = half if rule.confident else 0.0
            bad = (low is not None and value + reach < low) or (high is not None and value - reach > high)
            if phase == "firing":
                calm = rule.clear if rule.clear is not None else None
                inner = (low, high)
                if isinstance(calm, tuple):
                    inner = calm
                elif calm is not None:
                    inner = (None, calm) if low is None else (calm, None)
                at_ease = (inner[0] is None or value >= inner[0]) and (inner[1] is None or value <= inner[1])
                bad = bad or not at_ease
            flags = [*flags, bad][-rule.of :]
            phase = "firing" if sum(flags) >= rule.needed else "pending" if bad else "ok"
        return phase

    def no_data(self) -> bool:
        return bool(self.complete) and not self.complete[max(self.complete)]


def decoded(code: int) -> tuple[int, ...]:
    """Cut one number into the fields of a step: what is done, and six small numbers."""
    parts = []
    for size in (8, 4, 8, 3, 4, len(RULES), 2):
        code, part = divmod(code, size)
        parts.append(part)
    return tuple(parts)


def follow(codes: list[int]) -> None:
    """Do the steps on both sides and compare after each."""
    rule, silences, newest, revision = RULES[codes[0] % len(RULES)], (), 0, 1
    states: dict[tuple[str, tuple], AlertState] = {}
    told: list[Transition] = []
    model = Definition()
    for at_us, code in enumerate(codes):
        what, back, value_at, half_at, kind, rule_at, quiet = decoded(code)
        if what == 6:
            rule = RULES[rule_at]
        elif what == 7:
            silences = (ALL,) if quiet else ()
        elif what == 5:  # a restart: everything through its stored form
            rows = json.loads(json.dumps([state.to_json() for state in states.values()]))
            states = {(s.alert, s.series): s for s in map(AlertState.from_json, rows)}
        newest += what in (0, 1, 2)
        index = max(newest - back, 0) if what in (3, 4) else newest
        value, half = VALUES[value_at], (0.0, 0.02, 0.1)[half_at]
        state, n = (("ok", 500), ("ok", 99), ("no_reference", 0), ("awaiting_labels", 500))[
            kind if what else 0
        ]
        revision += 1
        result = Result(
            "m", "*", Window(index * 10, index * 10 + 10), "psi", state,  # type: ignore[arg-type]
            value if state == "ok" else None, "age", lower=value - half, upper=value + half, n=n,
            revision=revision,
        )  # fmt: skip
        before = model.phase
        model.see(index, state, value, half, n, rule)
        model.phase = model.now()
        expected = []
        if not silences and model.told != before:
            expected.append((model.told, before, False))
        if model.phase != before:
            expected.append((before, model.phase, bool(silences)))
        model.told = model.told if silences else model.phase
        states, transitions = evaluate_rules([rule], states, [result], at_us, silences=silences)
        assert [(t.before, t.after, t.silenced) for t in transitions] == expected
        told += [t for t in transitions if not t.silenced]
        found = states[("a", SERIES)]
        assert (found.phase, found.told, found.no_data) == (model.phase, model.told, model.no_data())
        assert found.no_data == bool(found.reason)
        again, more = evaluate_rules([rule], states, [result], at_us, silences=silences)
        assert (again, more) == (states, [])  # the same result again changes nothing
    for one, other in zip(told, told[1:], strict=False):
        assert one.after == other.before  # what people are told adds up, whatever was silenced or restated


codes_st = st.lists(st.integers(0, 8 * 4 * 8 * 3 * 4 * len(RULES) * 2 - 1), min_size=1, max_size=40)


@given(codes_st)
@settings(max_examples=300, deadline=None)
def test_the_machine_does_what_the_definition_says(codes: list[int]) -> None:
    follow(codes)


@pytest.mark.slow
@given(codes_st)
@settings(max_examples=10_000, deadline=None)
def test_the_machine_does_what_the_definition_says_in_ten_thousand_sequences(codes: list[int]) -> None:
    follow(codes)


def test_the_definition_forgets_what_a_restatement_took_back() -> None:
    """Fires, is restated to ok, and then is pending; a machine that forgot what was before would fire."""
    model = Definition()
    rule = replace(RULES[0], needed=2, of=2)
    for index, value in ((0, 0.3), (1, 0.3), (1, 0.1), (2, 0.3)):
        model.see(index, "ok", value, 0.0, 500, rule)
    assert model.now() == "pending"


def test_an_alert_that_fires_in_a_silence_is_told_when_it_ends() -> None:
    rule = replace(RULES[0], of=1, needed=1)
    bad = Result("m", "*", Window(0, 10), "psi", "ok", 0.4, "age", n=500)
    states, quiet = evaluate_rules([rule], {}, [bad], 5, silences=[Silence(to_us=10)])
    assert [(t.before, t.after, t.silenced) for t in quiet] == [("ok", "firing", True)]
    states, loud = evaluate_rules([rule], states, [], 10, silences=[Silence(to_us=10)])
    assert [(t.before, t.after, t.silenced, t.at_us) for t in loud] == [("ok", "firing", False, 10)]
    assert evaluate_rules([rule], states, [], 11)[1] == []
