"""Bounds of every kind become the numbers that a hand or scipy says, and say so where they cannot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from monitor.metrics import find, metrics
from monitor.metrics.drift.cramers_v import cramers_v
from monitor.metrics.drift.hellinger import hellinger
from monitor.metrics.drift.js_distance import js_distance
from monitor.metrics.drift.ks_statistic import ks_statistic
from monitor.metrics.drift.psi import psi
from monitor.metrics.examples import numbers, words
from monitor.rules.alerts import evaluate_rules, step
from monitor.rules.bounds import (
    Critical,
    FalseAlarms,
    Frame,
    ReferenceSd,
    RelativeToReference,
    bounds,
)
from monitor.rules.rule import AlertRule, matches
from monitor.types import Baseline, Result, Window

KEY = ("accuracy", "", "", "", "")
FRAME = Frame({KEY: Baseline(0.8, 0.79, 0.01, 20, 500)})


def result(value: float | None = 0.7, **changes: object) -> Result:
    made = Result("m", "*", Window(0, 10), "accuracy", "ok", value, n=500, n_reference=10_000)
    return replace(made, **changes)  # type: ignore[arg-type]


def rule(**parts: object) -> AlertRule:
    return AlertRule(**{"name": "a", "metric": "accuracy", **parts})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"above": ReferenceSd(3)}, (None, 0.82)),
        ({"below": ReferenceSd(3)}, (0.76, None)),
        ({"outside": ReferenceSd(2)}, (0.77, 0.81)),
        ({"below": RelativeToReference(-0.05)}, (0.76, None)),
        ({"above": RelativeToReference(0.1)}, (None, 0.88)),
        ({"outside": RelativeToReference(0.1)}, (0.72, 0.88)),
        ({"outside": RelativeToReference(-0.1)}, (0.72, 0.88)),
        ({"below": (0.75, RelativeToReference(-0.05))}, (0.75, None)),
        ({"above": (0.75, RelativeToReference(0.05))}, (None, 0.84)),
        ({"above": (0.9, 0.7)}, (None, 0.9)),
    ],
)
def test_bounds_from_the_reference_are_what_a_hand_reckons(parts: dict, expected: tuple) -> None:
    assert bounds(rule(**parts), result(), FRAME) == pytest.approx(expected)


def test_of_drift_the_mean_of_the_chunks_stands_for_the_reference() -> None:
    frame = Frame({("psi", "age", "", "", ""): Baseline(None, 0.02, 0.005, 20, 500)})
    psi_of_age = result(metric="psi", feature="age")
    assert bounds(rule(metric="psi", above=RelativeToReference(1.0)), psi_of_age, frame) == (None, 0.04)


def test_a_negative_reference_moves_in_the_direction_of_the_sign() -> None:
    frame = Frame({("mean_error", "", "", "", ""): Baseline(-2.0, -2.0, 0.1, 20, 500)})
    bias = result(metric="mean_error")
    assert bounds(rule(metric="mean_error", below=RelativeToReference(-0.5)), bias, frame) == (-3.0, None)


@pytest.mark.parametrize(
    "bound", [ReferenceSd(3), RelativeToReference(0.1), FalseAlarms(1, 10), Critical(0.01)], ids=repr
)
def test_without_what_it_rests_on_there_is_no_bound_and_the_window_does_not_count(bound: object) -> None:
    for frame in (Frame(), Frame({KEY: Baseline(None, None, None, 0, 0)})):
        assert bounds(rule(above=(0.1, bound)), result(), frame) == (None, None)
        state, transition = step(rule(above=bound), None, result(), at_us=0, frame=frame)
        assert (state.phase, state.no_data, state.reason, transition) == ("ok", True, "no_bound", None)


def test_why_a_window_does_not_count_is_said_and_forgotten_when_one_does() -> None:
    below = rule(below=0.8)
    for blank, reason in (
        (result(None, state="single_class"), "single_class"),
        (result(n=99), "too_few_rows"),
    ):
        state, _ = step(below, None, blank, at_us=0)
        assert (state.no_data, state.reason) == (True, reason)
        again, _ = step(below, state, result(window=Window(10, 20)), at_us=1)
        assert (again.no_data, again.reason) == (False, "")


RNG = np.random.default_rng(7)


def counted(pair_metric: object, pair: object, name: str) -> Result:
    outcome = pair_metric(pair)  # type: ignore[operator]
    return result(
        outcome.value, metric=name, n=outcome.n, n_reference=outcome.n_reference, detail=outcome.detail
    )


def test_critical_values_are_scipys_at_the_windows_own_size() -> None:
    pair = numbers(RNG.normal(size=2_000).tolist(), RNG.normal(size=300).tolist())
    quantile = stats.chi2.ppf(1 - 0.001, 9) * (1 / 300 + 1 / 2_000)
    found = bounds(rule(metric="psi", above=Critical(0.001)), counted(psi, pair, "psi"))
    assert found[1] == pytest.approx(quantile, rel=0.05)  # scipy's is the limit of many rows in every bin
    js = bounds(rule(metric="js_distance", above=Critical(0.001)), counted(js_distance, pair, "js_distance"))
    assert js[1] == pytest.approx(np.sqrt(quantile / (8 * np.log(2))), rel=0.05)
    found = bounds(rule(metric="hellinger", above=Critical(0.001)), counted(hellinger, pair, "hellinger"))
    assert found[1] == pytest.approx(np.sqrt(quantile / 8), rel=0.05)
    ks = bounds(
        rule(metric="ks_statistic", above=Critical(0.02)), counted(ks_statistic, pair, "ks_statistic")
    )
    assert ks == pytest.approx((None, stats.kstwo.ppf(1 - 0.02, round(300 * 2_000 / 2_300))))
    plans = words(RNG.choice(list("abcd"), 900).tolist(), RNG.choice(list("abcd"), 100).tolist())
    v = bounds(rule(metric="cramers_v", above=Critical(0.05)), counted(cramers_v, plans, "cramers_v"))
    assert v == pytest.approx((None, np.sqrt(stats.chi2.ppf(0.95, 3) / 1_000)))


def test_a_p_values_critical_value_is_the_level_and_lies_below() -> None:
    assert bounds(rule(metric="ks_pvalue", below=Critical(0.003)), result(metric="ks_pvalue")) == (
        0.003,
        None,
    )


def test_the_critical_value_at_the_metrics_own_alpha_is_the_one_it_shows() -> None:
    pair = numbers(RNG.normal(size=500).tolist(), RNG.normal(size=200).tolist())
    shown = {name: find(name)(pair) for name in ("psi", "js_distance", "hellinger", "ks_statistic")}
    for name, outcome in shown.items():
        limit = find(name).critical
        assert limit is not None
        assert limit(outcome, 0.01) == pytest.approx(outcome.detail["critical"]), name


def test_drift_free_windows_pass_critical_values_about_as_often_as_alpha_says() -> None:
    """Over 600 drift-free windows at alpha 5 %; the binomial 99.9 % range is 2.4 % to 8.2 %."""
    reference = RNG.normal(size=5_000).tolist()
    passed = dict.fromkeys(("psi", "ks_statistic", "js_distance", "hellinger"), 0)
    for _ in range(600):
        pair = numbers(reference, RNG.normal(size=500).tolist())
        for name in passed:
            outcome = find(name)(pair)
            passed[name] += outcome.value > find(name).critical(outcome, 0.05)
    assert all(0.024 < n / 600 < 0.082 for n in passed.values()), passed


def test_every_p_value_and_only_they_are_critical_downwards() -> None:
    assert {m.name for m in metrics() if m.is_pvalue} == {"ks_pvalue", "chi2_pvalue"}


@pytest.mark.parametrize(
    ("selectors", "changes", "watched"),
    [
        ({"feature": "in*"}, {"feature": "income"}, True),
        ({"feature": "in*"}, {"feature": "main"}, False),
        ({"feature": ("age", "in*me")}, {"feature": "income"}, True),
        ({"feature": "a.b"}, {"feature": "axb"}, False),
        ({"segment": "*"}, {"segment": "plan=gold"}, True),
        ({"segment": "*"}, {}, False),
        ({"segment": "plan=*"}, {"segment": "plan=gold"}, True),
        ({"segment": "plan=*"}, {"segment": "channel=web"}, False),
        ({"version": "*"}, {"version": "3"}, True),
        ({"version": "*"}, {}, False),
        ({"version": ("1", "2*")}, {"version": "20"}, True),
        ({"attribute": "*|*"}, {"attribute": "sex|region"}, True),
        ({"attribute": "*|*"}, {"attribute": "sex"}, False),
        ({"group": ("F", "M")}, {"attribute": "sex", "group": "X"}, False),
    ],
)
def test_patterns_choose_series(selectors: dict, changes: dict, watched: bool) -> None:
    assert matches(rule(below=0.5, **selectors), result(**changes)) is watched


def test_clear_may_be_derived_too_and_never_lies_beyond_the_bound() -> None:
    flap = rule(below=RelativeToReference(-0.05), clear=RelativeToReference(0.0))  # 0.76, 0.80
    state = None
    phases = []
    for index, value in enumerate((0.75, 0.78, 0.799, 0.8)):
        state, _ = step(flap, state, result(value, window=Window(index, index + 1)), at_us=0, frame=FRAME)
        phases.append(state.phase)
    assert phases == ["firing", "firing", "firing", "ok"]
    loose = rule(below=RelativeToReference(-0.05), clear=0.5)  # 0.5 lies beyond 0.76: 0.76 counts
    state, _ = step(loose, None, result(0.7), at_us=0, frame=FRAME)
    assert (state.clear_low, state.low) == pytest.approx((0.76, 0.76))


def test_margin_is_the_distance_to_the_nearest_limit() -> None:
    for value, margin in ((0.78, 0.02), (0.7, -0.06), (0.9, -0.02), (0.87, 0.01)):
        band = rule(outside=(0.76, 0.88))
        state, _ = step(band, None, result(value), at_us=0)
        assert state.margin == pytest.approx(margin)


def test_the_number_of_series_that_a_rule_watches_is_told_to_calibration() -> None:
    asked = []

    def calibrated(one: AlertRule, bound: FalseAlarms, about: Result, side: int, series: int) -> float:
        asked.append((about.feature, side, series))
        return 0.3

    drift = rule(metric="psi", above=FalseAlarms(1, 30), feature=("a", "b"))
    results = [result(0.4, metric="psi", feature=name) for name in "abc"]
    states, transitions = evaluate_rules([drift], {}, results, 0, Frame(calibrated=calibrated))
    assert asked == [("a", 1, 2), ("b", 1, 2)]
    assert [t.bound for t in transitions] == [0.3, 0.3]
