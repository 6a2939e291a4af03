"""Looking after every window: plain intervals are wrong sooner or later, anytime-valid ones hardly ever."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from monitor.config.alert_checks import GAPS
from monitor.metrics import find
from monitor.metrics.examples import classified, grouped
from monitor.metrics.intervals import wilson
from monitor.rules.alerts import step
from monitor.rules.anytime import ALPHA, ALTERNATIVES, MEMORY, interval, limits, looked, tallies
from monitor.rules.rule import AlertRule
from monitor.rules.state import AlertState
from monitor.types import Result, Window


def result(index: int, part: int, of: int, **changes: object) -> Result:
    made = Result("m", "*", Window(index * 10, index * 10 + 10), "missing_ratio", "ok", part / of, "x", n=of)
    return replace(made, **changes)  # type: ignore[arg-type]


def looks_of(counts: list[tuple[int, int]]) -> tuple:
    looks: tuple = ()
    for i, pair in enumerate(counts):
        looks = looked(looks, i, {"": pair})
    return looks


def worth_all(parts: np.ndarray, of: int, share: float) -> np.ndarray:
    """Return the most that the bets of many streams, int64[streams, windows], are ever worth."""
    q = share + (1 - share) * ALTERNATIVES
    worth = np.zeros((len(parts), len(q)))
    most = np.zeros(len(parts))
    for t in range(parts.shape[1]):
        ratio = stats.binom.logpmf(parts[:, [t]], of, q) - stats.binom.logpmf(parts[:, [t]], of, share)
        worth = (worth + 1 / ((t + 1) * (t + 2))) * np.exp(ratio)
        most = np.maximum(most, worth.mean(1))
    return most


@pytest.mark.parametrize(
    ("share", "streams"), [(0.2, 300), pytest.param(0.01, 3_000, marks=pytest.mark.slow)]
)
def test_over_a_thousand_windows_the_limit_is_ever_wrong_in_few_streams_and_the_plain_one_in_all(
    share: float, streams: int
) -> None:
    """Streams of 1,000 windows of 200 rows whose share equals the bound."""
    parts = np.random.default_rng(3).binomial(200, share, (streams, 1_000))
    ever = float((worth_all(parts, 200, share) >= 2 / ALPHA).mean())
    assert ever <= ALPHA / 2 + 3 * np.sqrt(ALPHA / 2 / streams)
    lower = np.array([wilson(k, 200)[0] for k in range(201)])
    plain = float((lower[parts] > share).any(axis=1).mean())
    assert plain > 0.99
    total = parts.cumsum(1)
    n = 200 * np.arange(1, 1_001)
    running = total / n - 1.96 * np.sqrt(share * (1 - share) / n)
    assert float((running > share).any(axis=1).mean()) > 0.15  # nor does accumulating help, with plain limits


def test_the_limit_is_where_the_bets_are_worth_one_over_alpha() -> None:
    rng = np.random.default_rng(5)
    parts = rng.binomial(300, 0.1, MEMORY)
    low, high = limits(looks_of([(int(k), 300) for k in parts]), "", 0.025)
    worth, q = np.zeros(len(ALTERNATIVES)), low + (1 - low) * ALTERNATIVES
    for t, k in enumerate(parts):
        ratio = stats.binom.logpmf(k, 300, q) - stats.binom.logpmf(k, 300, low)
        worth = (worth + 1 / ((t + 1) * (t + 2))) * np.exp(ratio)
    assert worth.mean() == pytest.approx(1 / 0.025, rel=1e-4)
    assert low < 0.1 < high
    assert high - low < 0.05


def test_a_change_is_seen_within_a_few_windows_however_long_all_was_well_before() -> None:
    rule = AlertRule(name="a", metric="missing_ratio", above=0.05, anytime=True)
    rng = np.random.default_rng(1)
    state, fired = None, None
    for i in range(400):
        share = 0.04 if i < 390 else 0.1
        state, transition = step(rule, state, result(i, int(rng.binomial(1_000, share)), 1_000), at_us=i)
        if transition and transition.after == "firing":
            fired = i
    assert fired is not None
    assert 390 <= fired <= 393


def test_an_alert_ends_with_the_value_starts_anew_and_restates_exactly() -> None:
    rule = AlertRule(name="a", metric="missing_ratio", above=0.05, anytime=True)
    state, phases = None, []
    for i, part in enumerate((40, 200, 200, 30, 60)):
        state, _ = step(rule, state, result(i, part, 1_000), at_us=i)
        phases.append((state.phase, len(state.looks)))
    assert phases == [("ok", 1), ("firing", 2), ("firing", 3), ("ok", 0), ("ok", 1)]
    assert state is not None
    again, _ = step(rule, state, result(4, 60, 1_000), at_us=9)
    assert again == state
    other, _ = step(rule, state, result(4, 300, 1_000), at_us=9)
    stored = AlertState.from_json(json.loads(json.dumps(other.to_json())))
    first, _ = step(rule, stored, result(4, 60, 1_000), at_us=9)
    assert replace(first, since_us=0) == replace(state, since_us=0)


def test_gaps_are_between_the_limits_of_all_groups_and_hold_the_truth() -> None:
    rng = np.random.default_rng(9)
    looks: tuple = ()
    held = []
    for t in range(40):
        women, men = int(rng.binomial(400, 0.30)), int(rng.binomial(600, 0.36))
        looks = looked(looks, t, {"selection_rate\x1fF": (women, 400), "selection_rate\x1fM": (men, 600)})
        low, high = interval(looks)
        held.append(low <= 0.06 <= high)
    assert all(held)
    assert 0.0 <= low < high < 0.12
    men_low = limits(looks, "selection_rate\x1fM", ALPHA / 4)[0]
    assert low == pytest.approx(max(0.0, men_low - limits(looks, "selection_rate\x1fF", ALPHA / 4)[1]))


def test_counts_are_those_the_value_is_made_of() -> None:
    assert tallies(result(0, 7, 90)) == {"": (7, 90)}
    assert tallies(result(0, 7, 90, value=None, state="no_labels")) is None
    assert tallies(result(0, 7, 90, metric="psi")) is None
    data = grouped("FFFMMMMM", "11011000", "10111000")
    for name in GAPS:
        outcome = find(name)(data)
        counted = tallies(result(0, 1, 2, metric=name, value=outcome.value, detail=outcome.detail))
        assert counted is not None
        rates: dict[str, list[float]] = {}
        for key, (part, of) in counted.items():
            rates.setdefault(key.partition("\x1f")[0], []).append(part / of)
        assert max(max(r) - min(r) for r in rates.values()) == pytest.approx(outcome.value), name
    right = classified("1100", "1000")
    assert tallies(result(0, 1, 4, metric="accuracy", value=find("accuracy")(right).value)) == {"": (3, 4)}
