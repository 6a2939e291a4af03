"""What `check` says of a rule beforehand, against the laws of the normal, binomial and chi-squared."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy import stats

from monitor.metrics.examples import classified, grouped, numbers, words
from monitor.reference.data import Reference
from monitor.rules.bounds import Critical, FalseAlarms
from monitor.rules.calibrate import frame
from monitor.rules.power import Outlook, outlook
from monitor.rules.rates import MONTH_US, alarm_rate
from monitor.rules.rule import AlertRule
from monitor.time import HOUR_US
from monitor.types import ChecksSpec, ModelSpec, WindowSpec

RNG = np.random.default_rng(23)
SPEC = ModelSpec(
    "m", "binary", {"a": "numeric", "b": "numeric", "plan": "categorical"},
    WindowSpec(HOUR_US, HOUR_US, 0, 0), ChecksSpec(min_group_size=10),
)  # fmt: skip
TRUTH = np.repeat(["1", "0"], 20_000)
GUESS = np.where(np.arange(40_000) % 5 == 0, np.where(TRUTH == "1", "0", "1"), TRUTH)
REFERENCE = Reference(
    "r", 40_000,
    {
        "a": numbers(RNG.normal(size=40_000).tolist(), [0.0]).reference,
        "b": numbers(RNG.exponential(size=40_000).tolist(), [0.0]).reference,
        "plan": words(RNG.choice(list("xyz"), 40_000).tolist(), "x").reference,
    },
    cells={
        "": classified(TRUTH.tolist(), GUESS.tolist()).confusion,
        "sex": grouped(RNG.choice(["F", "M"], 40_000).tolist(), TRUTH.tolist(), GUESS.tolist()).cells,
    },
)  # fmt: skip


def ahead(n: int, **parts: object) -> Outlook:
    rule = AlertRule(**{"name": "a", "min_samples": 1, **parts})  # type: ignore[arg-type]
    return outlook(rule, SPEC, REFERENCE, frame(REFERENCE, SPEC), n)


def last_number(text: str) -> float:
    return float(re.findall(r"[0-9.]+[0-9]", text)[-1])


def test_false_alarms_of_a_number_are_those_of_the_binomial() -> None:
    found = ahead(2_000, metric="accuracy", below=0.78)
    spread = np.sqrt(0.16 * (1 / 2_000 + 1 / 40_000))
    expected = 720 * alarm_rate(stats.norm.cdf(0.78, 0.8, spread))
    assert found.false_alarms == pytest.approx(expected, rel=0.2)


def test_the_smallest_fall_of_accuracy_is_where_four_of_five_windows_are_below() -> None:
    found = ahead(2_000, metric="accuracy", below=0.78)
    p = next(p for p in np.linspace(0.78, 0.7, 800) if stats.binom.cdf(0.78 * 2_000, 2_000, p) > 0.8)
    assert last_number(found.drift) == pytest.approx(p, abs=0.002)


@pytest.mark.slow
def test_a_calibrated_rule_says_the_rate_it_was_given_whatever_it_covers() -> None:
    for needed, of in ((1, 1), (2, 3)):
        found = ahead(1_000, metric="psi", above=FalseAlarms(2, MONTH_US), needed=needed, of=of)
        assert (found.series, found.simulated) == (3, 3)
        assert found.false_alarms == pytest.approx(2, rel=0.35)


@pytest.mark.slow
def test_critical_values_raise_alpha_false_alarms_in_each_series() -> None:
    found = ahead(1_000, metric="ks_statistic", above=Critical(0.001))
    assert found.series == 2
    assert found.false_alarms == pytest.approx(2 * 720 * alarm_rate(0.001), rel=0.05)
    bound = float(stats.kstwo.isf(0.001, round(1_000 * 40_000 / 41_000)))
    same = ahead(1_000, metric="ks_statistic", above=bound)
    assert same.false_alarms == pytest.approx(found.false_alarms, rel=0.05)


@pytest.mark.slow
def test_the_smallest_shift_is_one_that_shifted_rows_show_in_four_of_five_windows() -> None:
    found = ahead(1_000, metric="ks_statistic", above=Critical(0.001), feature="a")
    size = last_number(found.drift)
    limit = stats.kstwo.isf(0.001, round(1_000 * 40_000 / 41_000))
    rng, rows = np.random.default_rng(5), RNG.normal(size=40_000)
    seen = [stats.ks_2samp(rows, rng.normal(size, 1, 1_000)).statistic > limit for _ in range(200)]
    assert 0.68 < np.mean(seen) < 0.92


def test_more_rows_see_smaller_drifts() -> None:
    sizes = [
        last_number(ahead(n, metric="psi", above=Critical(0.001), feature="a").drift) for n in (500, 5_000)
    ]
    assert sizes[1] < sizes[0] / 2


def test_gaps_say_how_far_they_must_grow_and_what_is_not_there_is_said() -> None:
    found = ahead(2_000, metric="demographic_parity_difference", above=0.1)
    assert "the gap in selection rate growing" in found.drift
    assert 0.1 < last_number(found.drift) < 0.16
    nothing = ahead(2_000, metric="psi", above=0.1, feature="gone")
    assert (nothing.series, nothing.false_alarms) == (0, None)
    assert ahead(2_000, metric="roc_auc", below=0.5).false_alarms is None


def test_a_confident_rule_alarms_less_and_sees_later() -> None:
    for confident, low, high in ((False, 0.3, 500.0), (True, -1.0, 0.05)):
        found = ahead(2_000, metric="accuracy", below=0.78, confident=confident)
        assert low < (found.false_alarms or 0.0) < high
