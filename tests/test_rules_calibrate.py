"""Calibrated limits: rates and tails against scipy, simulation against the metrics, months without drift."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from monitor.metrics import find, metrics
from monitor.metrics.examples import classified, grouped, numbers, words
from monitor.reference.profile import Reference
from monitor.rules import resample
from monitor.rules.bounds import HIGH, LOW, FalseAlarms
from monitor.rules.calibrate import Calibration, chunk_limit
from monitor.rules.rates import (
    MONTH_US,
    alarm_rate,
    bad_chance,
    mixed_rate,
    streak_quantile,
    tail_chance,
    tail_quantile,
)
from monitor.rules.rule import AlertRule
from monitor.time import HOUR_US
from monitor.types import Baseline, ChecksSpec, ModelSpec, Result, Window, WindowSpec

RNG = np.random.default_rng(11)
SPEC = ModelSpec(
    "m", "binary", {"x": "numeric"}, WindowSpec(HOUR_US, HOUR_US, 0, 0), ChecksSpec(min_group_size=10)
)
MONTHLY = FalseAlarms(1, MONTH_US)


def firings(bad: np.ndarray, needed: int, of: int) -> int:
    fires = [bad[max(0, i - of + 1) : i + 1].sum() >= needed for i in range(len(bad))]
    return sum(now and not before for before, now in zip([False, *fires], fires, strict=False))


@pytest.mark.parametrize(("needed", "of", "p"), [(1, 1, 0.1), (2, 2, 0.2), (2, 3, 0.1), (3, 5, 0.3)])
def test_the_rate_of_alarms_is_what_counting_finds(needed: int, of: int, p: float) -> None:
    found = firings(np.random.default_rng(5).random(60_000) < p, needed, of) / 60_000
    assert alarm_rate(p, needed, of) == pytest.approx(found, rel=0.07)
    assert bad_chance(alarm_rate(p, needed, of), needed, of) == pytest.approx(p, rel=1e-6)


def test_a_rate_beyond_reach_gives_the_chance_of_the_most_alarms() -> None:
    assert bad_chance(0.9, 1, 1) == 0.5
    assert bad_chance(0.9, 2, 3) == 0.5


def test_the_rate_over_several_truths_is_the_mean_of_theirs() -> None:
    p = np.linspace(0.01, 0.3, 2_000)
    bad = np.random.default_rng(1).binomial(100, p)
    expected = np.mean([alarm_rate(one, 2, 3) for one in p])
    assert mixed_rate(bad, 100, 2, 3) == pytest.approx(expected, rel=0.02)
    assert mixed_rate(np.array([50]), 10**6, 2, 3) == pytest.approx(alarm_rate(50 / 10**6, 2, 3), rel=0.05)


@pytest.mark.parametrize(
    "law", [stats.chi2(9), stats.chi2(2), stats.norm(), stats.gamma(4)], ids=["chi2(9)", "chi2(2)", "n", "g"]
)
def test_tails_are_right_far_beyond_what_was_simulated(law) -> None:
    draws = law.rvs(20_000, random_state=3)
    for p in (0.1, 0.01, 0.001, 1e-5):
        assert np.log(law.sf(tail_quantile(draws, p)) / p) == pytest.approx(0, abs=0.15 + 0.02 * -np.log(p))
        limit = law.isf(p)
        assert np.log(tail_chance(draws, limit) / p) == pytest.approx(0, abs=0.15 + 0.02 * -np.log(p))


def test_a_limit_for_m_of_n_allows_for_what_all_windows_share() -> None:
    """Normal windows whose mean is itself drawn: with 2 of 3 the limit lies higher than for one p."""
    rng = np.random.default_rng(2)
    windows = rng.normal(0, 0.5, (10_000, 1)) + rng.normal(0, 1, (10_000, 20))
    rate = 1 / 720
    limit = streak_quantile(windows, rate, 2, 3)
    means = np.random.default_rng(4).normal(0, 0.5, 200_000)
    assert np.mean(alarm_rate_of(stats.norm.sf(limit - means))) == pytest.approx(rate, rel=0.12)
    alone = stats.norm.isf(bad_chance(rate, 2, 3), scale=np.sqrt(1.25))
    assert limit > alone + 0.05


def alarm_rate_of(p: np.ndarray) -> np.ndarray:
    return 2 * p**2 * (1 - p) ** 2


@pytest.mark.parametrize("name", [m.name for m in metrics() if m.statistic])
def test_what_is_simulated_is_the_metric_itself(name: str) -> None:
    entry = find(name)
    texts = "aaaabbbccd", "aabbbbddz"
    pair = words(*texts) if "numeric" not in entry.applies else numbers([1, 2, 2, 3, 9, None], [2, 2, 3, 8])
    value = entry(pair).value
    sides = (pair.reference.cells, pair.current.cells) if name == "ks_statistic" else pair.binned
    assert float(entry.statistic(*sides)) == pytest.approx(value, rel=1e-12)
    stacked = entry.statistic(sides[0], np.stack([sides[1], sides[0]]))
    assert stacked == pytest.approx([value, 0.0], abs=1e-12)


@pytest.mark.parametrize("name", ["accuracy", "precision", "recall", "f1", "mcc", "balanced_accuracy"])
def test_simulated_performance_is_the_metrics_own_on_the_same_cells(name: str) -> None:
    truth = RNG.integers(0, 2, 400)
    guess = np.where(RNG.random(400) < 0.8, truth, 1 - truth)
    data = classified(truth.astype(str).tolist(), guess.astype(str).tolist())
    source = resample.performance(find(name), data.confusion, "binary", "1")
    assert source is not None
    found = source.value(np.stack([source.counts, source.counts]))
    assert found == pytest.approx([find(name)(data).value] * 2)


@pytest.mark.parametrize("name", ["roc_auc", "log_loss", "label_coverage", "mae"])
def test_what_is_made_of_more_than_cells_is_not_simulated_from_them(name: str) -> None:
    data = classified("1010", "1100", [0.9, 0.8, 0.7, 0.1])
    assert resample.performance(find(name), data.confusion, "binary", "1") is None


@pytest.mark.parametrize(
    "name", ["demographic_parity_difference", "equalized_odds_difference", "equal_opportunity_ratio"]
)
def test_simulated_gaps_are_the_metrics_own_on_the_same_cells(name: str) -> None:
    sex = RNG.choice(["F", "M", "X"], 600, p=[0.48, 0.48, 0.04])
    truth, guess = RNG.integers(0, 2, (2, 600)).astype(str)
    data = grouped(sex.tolist(), truth.tolist(), guess.tolist(), min_group_size=50)
    source = resample.between_groups(find(name), data)
    assert source is not None
    assert source.value(source.counts[None])[0] == pytest.approx(find(name)(data).value)


def about(metric: str, n: int, **more: object) -> Result:
    return Result("m", "*", Window(0, 1), metric, "ok", 0.0, n=n, n_reference=10_000, **more)  # type: ignore[arg-type]


def limit(calibration: Calibration, rule: AlertRule, result: Result, series: int = 1) -> float:
    side = HIGH if rule.above is not None else LOW
    bound = rule.above if side == HIGH else rule.below
    found = calibration.limit(rule, bound, result, side, series)  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.mark.slow
def test_psi_limits_are_the_chi_squared_law_of_both_sample_sizes() -> None:
    reference = Reference("r", 5_000, {"x": numbers(RNG.normal(size=5_000).tolist(), [0.0]).reference})
    calibration, rule = Calibration(reference, SPEC), AlertRule(name="a", metric="psi", above=MONTHLY)
    for n in (2_000, 3_000, 9_000):
        found = limit(calibration, rule, about("psi", n, feature="x"))
        law = stats.chi2.isf(bad_chance(1 / 720), 9) * (1 / n + 1 / 5_000)
        assert found == pytest.approx(law, rel=0.03)


def test_a_rule_over_many_series_keeps_its_own_rate_not_theirs() -> None:
    reference = Reference("r", 5_000, {"x": numbers(RNG.normal(size=5_000).tolist(), [0.0]).reference})
    calibration, rule = Calibration(reference, SPEC), AlertRule(name="a", metric="psi", above=MONTHLY)
    twenty = limit(calibration, rule, about("psi", 2_000, feature="x"), series=20)
    law = stats.chi2.isf(bad_chance(1 / 720 / 20), 9) * (1 / 2_000 + 1 / 5_000)
    assert twenty == pytest.approx(law, rel=0.05)


def test_accuracy_limits_are_binomial_with_the_references_own_error() -> None:
    truth = np.repeat(["1", "0"], 5_000)
    guess = np.where(np.arange(10_000) % 5 == 0, np.where(truth == "1", "0", "1"), truth)  # 0.8
    cells = classified(truth.tolist(), guess.tolist()).confusion
    calibration = Calibration(Reference("r", 10_000, {}, cells={"": cells}), SPEC)
    found = limit(
        calibration, AlertRule(name="a", metric="accuracy", below=MONTHLY), about("accuracy", 3_000)
    )
    spread = np.sqrt(0.16 * (1 / 3_000 + 1 / 10_000))
    assert found == pytest.approx(stats.norm.ppf(bad_chance(1 / 720), 0.8, spread), abs=0.002)


def test_a_continuous_ks_limit_is_the_exact_law_at_the_effective_size() -> None:
    reference = Reference("r", 9_000, {"x": numbers(RNG.normal(size=9_000).tolist(), [0.0]).reference})
    rule = AlertRule(name="a", metric="ks_statistic", above=MONTHLY)
    result = Result("m", "*", Window(0, 1), "ks_statistic", "ok", 0.0, "x", n=1_000, n_reference=9_000)
    assert limit(Calibration(reference, SPEC), rule, result) == pytest.approx(
        stats.kstwo.isf(bad_chance(1 / 720), 900), rel=1e-9
    )


def test_of_a_column_with_few_values_ks_is_simulated_and_lower_than_the_law_for_continuous_ones() -> None:
    values = RNG.integers(0, 3, 9_000).tolist()
    reference = Reference("r", 9_000, {"x": numbers(values, [0]).reference})
    rule = AlertRule(name="a", metric="ks_statistic", above=MONTHLY)
    found = limit(Calibration(reference, SPEC), rule, about("ks_statistic", 1_000, feature="x"))
    assert 0.7 < found / stats.kstwo.isf(bad_chance(1 / 720), 900) < 0.95


def test_what_cannot_be_simulated_takes_students_t_from_the_chunks() -> None:
    known = Baseline(2.0, 2.1, 0.1, 20, 500)
    expected = 2.1 + stats.t.isf(0.001, 19) * 0.1 * np.sqrt(500 / 2_000 + 1 / 20)
    assert chunk_limit(known, 0.001, HIGH, 2_000) == pytest.approx(expected)
    assert chunk_limit(Baseline(2.0, None, None, 1, 500), 0.001, HIGH, 2_000) is None


def test_limits_are_the_same_each_time_and_do_not_depend_on_the_order_of_questions() -> None:
    column = numbers(RNG.normal(size=3_000).tolist(), [0.0]).reference
    rule = AlertRule(name="a", metric="psi", above=MONTHLY, needed=2, of=3)
    found = []
    for sizes in ((700, 1_500), (1_500, 700)):
        calibration = Calibration(Reference("r", 3_000, {"x": column}), SPEC)
        found.append({n: limit(calibration, rule, about("psi", n, feature="x")) for n in sizes})
    assert found[0] == found[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["psi", "psi, 2 of 3", "accuracy", "demographic parity"])
def test_months_without_drift_raise_as_many_alarms_as_stated(name: str) -> None:
    """As many alarms as months; the standard error of 400, with what references differ, is about 7 %."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
    try:
        from calibration import cases, run
    finally:
        sys.path.pop(0)
    case = next(one for one in cases() if one.name == name)
    months = 400 if name.startswith("psi") else 200  # other limits are simulated for each reference anew
    assert 0.8 <= run(case, months=months, block=4, seed=1)["per_month"] <= 1.2
