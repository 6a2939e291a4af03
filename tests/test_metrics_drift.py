"""Drift metrics against scipy and hand-worked numbers, on the raw rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from chance_by_hand import limit
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr

from monitor.metrics import ColumnPair, Outcome, WindowFacts, find
from monitor.metrics.columns import bin_boundaries
from monitor.metrics.examples import numbers, words
from monitor.summaries.categorical import CategoricalSummary
from monitor.summaries.numeric import NumericSummary, count_cells, cuts_from, ordered

Sample = Callable[[np.random.Generator, int], np.ndarray]
SHAPES: dict[str, Sample] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "heavy tails": lambda rng, n: rng.standard_cauchy(size=n) * 100,
    "ties": lambda rng, n: rng.poisson(3, size=n).astype(float),
    "mostly zero": lambda rng, n: np.where(rng.random(n) < 0.9, 0.0, rng.normal(size=n)),
    "two values": lambda rng, n: (rng.random(n) < 0.95).astype(float),
    "constant": lambda rng, n: np.full(n, 4.0),
}
NUMERIC = ("psi", "psi_critical", "ks_statistic", "ks_pvalue", "js_distance", "hellinger", "wasserstein")
CATEGORICAL = ("psi", "psi_critical", "js_distance", "hellinger", "l_infinity", "chi2_pvalue", "cramers_v")
every_shape = pytest.mark.parametrize("shape", SHAPES)


def ask(name: str, pair: ColumnPair) -> Outcome:
    return find(name)(pair)


def value(name: str, pair: ColumnPair) -> float:
    outcome = ask(name, pair)
    assert outcome.state == "ok" and outcome.value is not None, outcome
    return outcome.value


@every_shape
@pytest.mark.parametrize("n, m", [(1, 1000), (40, 1000), (700, 60), (1500, 1)])
def test_ks_equals_scipy_while_the_reference_has_few_distinct_values(shape: str, n: int, m: int) -> None:
    rng = np.random.default_rng(n)
    reference, current = SHAPES[shape](rng, m), SHAPES[shape](rng, n) + 0.3 * (shape != "constant")
    expected = stats.ks_2samp(reference, current, method="asymp")
    pair = numbers(reference, current)
    assert value("ks_statistic", pair) == pytest.approx(expected.statistic, abs=1e-15)
    assert value("ks_pvalue", pair) == pytest.approx(expected.pvalue, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("shift", [0.0, 0.02, 1.0])
def test_ks_of_a_large_reference_is_at_most_one_cut_too_small(shift: float) -> None:
    rng = np.random.default_rng(11)
    reference, current = rng.normal(size=100_000), rng.normal(shift, size=20_000)
    expected = stats.ks_2samp(reference, current, method="asymp").statistic
    assert expected - 1 / 1023 <= value("ks_statistic", numbers(reference, current)) <= expected + 1e-15


def test_ks_critical_is_the_value_whose_pvalue_is_alpha() -> None:
    pair = numbers(np.arange(500.0), np.arange(300.0))
    limit = ask("ks_statistic", pair).detail["critical"]
    assert stats.kstwo.sf(limit, round(500 * 300 / 800)) == pytest.approx(0.01, rel=1e-4)


def binned_by_hand(reference: np.ndarray, current: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bin continuous values at the reference's deciles, each edge in the bin below it."""
    edges = np.quantile(reference, np.arange(1, 10) / 10, method="inverted_cdf")
    counts = [
        np.bincount(np.searchsorted(edges, side, side="left"), minlength=10) for side in (reference, current)
    ]
    return counts[0], counts[1]


def psi_by_hand(p: np.ndarray, q: np.ndarray) -> float:
    p, q = (p + 0.5) / (p.sum() + 0.5 * len(p)), (q + 0.5) / (q.sum() + 0.5 * len(q))
    return math.fsum((b - a) * math.log(b / a) for a, b in zip(p.tolist(), q.tolist(), strict=True))


@pytest.mark.parametrize("shape", ["normal", "heavy tails"])
@pytest.mark.parametrize("n", [1, 30, 900])
def test_binned_distances_are_those_of_the_references_deciles(shape: str, n: int) -> None:
    rng = np.random.default_rng(n)
    reference, current = SHAPES[shape](rng, 1000), SHAPES[shape](rng, n) * 1.5 + 0.2
    p, q = binned_by_hand(reference, current)
    pair = numbers(reference, current)
    assert value("psi", pair) == pytest.approx(psi_by_hand(p, q), rel=1e-12)
    assert value("js_distance", pair) == pytest.approx(jensenshannon(p, q, base=2), rel=1e-9)
    a, b = np.sqrt(p / p.sum()), np.sqrt(q / q.sum())
    assert value("hellinger", pair) == pytest.approx(np.linalg.norm(a - b) / math.sqrt(2), rel=1e-12)
    assert value("psi_critical", pair) == pytest.approx(limit(p, q, 0.01), rel=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "term", "curvature", "pseudocount"),
    [
        ("psi", lambda p, q: (q - p) * np.log(q / p), 1, 0.5),
        ("hellinger", lambda p, q: (np.sqrt(p) - np.sqrt(q)) ** 2 / 2, 1 / 8, 0),
        ("js_distance", lambda p, q: (rel_entr(p, (p + q) / 2) + rel_entr(q, (p + q) / 2)) / 2 / math.log(2),
         1 / 8 / math.log(2), 0),
    ],
    ids=["psi", "hellinger", "js_distance"],
)  # fmt: skip
def test_critical_values_are_fitted_to_all_counts_that_bins_can_have(
    name: str, term: Any, curvature: float, pseudocount: float
) -> None:
    rng = np.random.default_rng(17)
    shares = 1 / np.arange(1, 21)
    before, now = (rng.choice(list("abcdefghijklmnopqrst"), k, p=shares / shares.sum()) for k in (900, 150))
    pair = words(before.tolist(), now.tolist())
    wanted = limit(*pair.binned, 0.01, term=term, curvature=curvature, pseudocount=pseudocount)
    critical = find(name)(pair).detail["critical"]
    assert critical == pytest.approx(wanted if name == "psi" else math.sqrt(wanted), rel=1e-6)
    many = words(before.tolist() * 10_000, now.tolist() * 10_000)  # the textbook's, where rows abound
    held = int((many.binned[0] + many.binned[1] > 0).sum())
    textbook = stats.chi2.ppf(0.99, held - 1) * curvature * (1 / many.n + 1 / many.n_reference)
    found = find(name)(many).detail["critical"]
    assert (found if name == "psi" else found**2) == pytest.approx(textbook, rel=0.01)


def test_psi_of_categories_is_that_of_their_counts_with_new_and_missing_as_bins() -> None:
    pair = words(["a"] * 60 + ["b"] * 40, ["a"] * 20 + ["b"] * 10 + ["z"] * 5 + [None] * 5)
    expected = psi_by_hand(np.array([60, 40, 0, 0]), np.array([20, 10, 5, 5]))
    assert value("psi", pair) == pytest.approx(expected, rel=1e-12)
    assert pair.bin_labels == ("a", "b", "never seen before", "missing")


def test_a_bin_that_is_empty_on_both_sides_does_not_count() -> None:
    with_spare = words(["a"] * 60 + ["b"] * 40, ["a"] * 2 + ["b"] * 2)
    assert value("psi", with_spare) == pytest.approx(psi_by_hand(np.array([60, 40]), np.array([2, 2])))
    assert value("psi_critical", with_spare) == pytest.approx(
        limit(np.array([60, 40]), np.array([2, 2]), 0.01)
    )


def test_missing_rows_alone_are_drift() -> None:
    reference = list(np.linspace(0, 1, 500))
    half_gone = [x if i % 2 else None for i, x in enumerate(reference)]
    assert value("psi", numbers(reference, half_gone)) > 1
    assert value("ks_statistic", numbers(reference, half_gone)) < 0.01


@every_shape
def test_bins_partition_the_rows_and_no_large_atom_shares_one(shape: str) -> None:
    values = ordered(SHAPES[shape](np.random.default_rng(3), 5000))
    cuts = cuts_from(values)
    pair = ColumnPair(*(NumericSummary.lift(values, cuts=cuts) for _ in range(2)))
    counts = pair.binned[0]
    assert counts.sum() == 5000 and len(counts) == len(pair.bin_labels)
    atoms, sizes = np.unique(values, return_counts=True)
    large = [(atom, size) for atom, size in zip(atoms, sizes, strict=True) if size >= 1000]
    labelled = dict(zip(pair.bin_labels, counts.tolist(), strict=True))
    assert all(labelled[f"= {atom:g}"] == size for atom, size in large)


def test_few_zeros_among_ones_have_a_bin_of_their_own() -> None:
    pair = numbers([1.0] * 95 + [0.0] * 5, [1.0] * 50 + [0.0] * 50)
    assert value("psi", pair) > 1


def test_bins_do_not_depend_on_the_window() -> None:
    cells = count_cells(np.arange(100.0), np.arange(100.0))
    assert bin_boundaries(cells, 4).tolist() == [0, 2 * 24 + 2, 2 * 49 + 2, 2 * 74 + 2]


@every_shape
@pytest.mark.parametrize("n", [1, 300])
def test_wasserstein_equals_scipy_while_values_lie_on_cuts_or_beyond(shape: str, n: int) -> None:
    rng = np.random.default_rng(n)
    reference = SHAPES[shape](rng, 800)
    current = np.concatenate([rng.choice(reference, n), [reference.min() - 50, reference.max() + 1e4]])
    pair = numbers(reference, current)
    if shape == "constant":
        assert ask("wasserstein", pair).state == "not_applicable"
        return
    expected = stats.wasserstein_distance(reference, current) / reference.std()
    assert value("wasserstein", pair) == pytest.approx(expected, rel=1e-9)


def test_wasserstein_of_continuous_values_is_close_to_scipy() -> None:
    rng = np.random.default_rng(5)
    reference, current = rng.normal(size=50_000), rng.normal(0.1, 1.2, size=20_000)
    expected = stats.wasserstein_distance(reference, current) / reference.std()
    assert value("wasserstein", numbers(reference, current)) == pytest.approx(expected, rel=1e-4)


def test_chi2_and_cramers_v_equal_scipy() -> None:
    rng = np.random.default_rng(6)
    reference, current = rng.choice(list("abcd"), 500), rng.choice(list("abcdz"), 300)
    table = np.array([[(side == name).sum() for name in "abcdz"] for side in (reference, current)])
    expected = stats.chi2_contingency(table, correction=False)
    pair = words(reference.tolist(), current.tolist())
    assert value("chi2_pvalue", pair) == pytest.approx(expected.pvalue, rel=1e-9)
    assert value("cramers_v", pair) == pytest.approx(stats.contingency.association(table, method="cramer"))
    assert ask("chi2_pvalue", pair).detail["degrees_of_freedom"] == expected.dof


def test_chi2_pools_categories_with_fewer_than_five_expected() -> None:
    # Expected on the smaller side: c 2.0, d 1.5, e 1.0. They make less than 5 together, so that the pool
    # takes in the smallest other one, a.
    reference, current = "a" * 50 + "b" * 50 + "ccde", "a" * 40 + "b" * 60 + "ccdde"
    expected = stats.chi2_contingency([[54, 50], [45, 60]], correction=False)
    pair = words(reference, current)
    assert value("chi2_pvalue", pair) == pytest.approx(expected.pvalue)
    assert ask("chi2_pvalue", pair).detail["degrees_of_freedom"] == expected.dof == 1


def test_chi2_of_one_category_on_both_sides_is_one() -> None:
    assert value("chi2_pvalue", words("aaaa", "aa")) == 1.0


def test_l_infinity_names_the_category_that_moved_most() -> None:
    outcome = ask("l_infinity", words("aabb", "abbb" + "z" * 4))
    assert (outcome.value, outcome.detail["category"]) == (0.5, "never seen before")


def test_more_than_fifty_categories_pool_the_rare_ones() -> None:
    names = [f"c{i:02d}" for i in range(60)]
    counts = [100 - i for i in range(60)]
    pair = ColumnPair(*(CategoricalSummary.lift(names, counts, categories=tuple(names)) for _ in range(2)))
    assert len(pair.binned[0]) == 53 == len(pair.bin_labels)
    assert pair.binned[0][50] == sum(counts[50:])


@given(
    reference=st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)), max_size=30),
    current=st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)), max_size=30),
)
@settings(max_examples=80, deadline=None)
def test_any_numeric_columns_give_a_value_in_range_or_a_reason(
    reference: list[float | None], current: list[float | None]
) -> None:
    pair = numbers(reference, current)
    for name in NUMERIC:
        outcome, metric = ask(name, pair), find(name)
        assert (outcome.state == "ok") == (outcome.value is not None)
        if outcome.value is None:
            assert outcome.detail["reason"]
        else:
            assert metric.low <= outcome.value <= metric.high


@given(*[st.lists(st.sampled_from(["a", "b", "", "ü", None]), max_size=20)] * 2)
@settings(max_examples=80, deadline=None)
def test_any_categorical_columns_give_a_value_in_range_or_a_reason(
    reference: list[str | None], current: list[str | None]
) -> None:
    pair = words(reference, current)
    for name in CATEGORICAL:
        outcome = ask(name, pair)
        assert (outcome.state == "ok") == (outcome.value is not None)
        assert outcome.value is None or find(name).low <= outcome.value <= find(name).high


def test_no_reference_and_no_rows_are_said_so() -> None:
    empty = numbers([], [1.0])
    assert ask("psi", empty).state == "no_reference"
    assert ask("psi", ColumnPair(None, empty.current)).state == "no_reference"
    assert ask("psi", numbers([1.0], [])).state == "insufficient_samples"
    assert ask("ks_statistic", numbers([1.0], [None])).state == "insufficient_samples"
    assert ask("ks_statistic", words("a", "a")).state == "not_applicable"


def test_drifted_share_is_that_of_benjamini_and_hochberg() -> None:
    rng = np.random.default_rng(8)
    pvalues = {f"f{i}": float(p) for i, p in enumerate([*rng.random(30), 1e-5, 1e-4, 0.001, 0.004])}
    adjusted = stats.false_discovery_control(list(pvalues.values()))
    outcome = find("drifted_share")(WindowFacts(100, pvalues=pvalues))
    assert outcome.value == (adjusted <= 0.05).mean()
    assert set(outcome.detail["drifted"]) == {n for n, p in zip(pvalues, adjusted, strict=True) if p <= 0.05}
    assert find("drifted_share")(WindowFacts(100)).state == "not_applicable"


@pytest.mark.slow
@pytest.mark.parametrize("n", [100, 200, 500, 5_000])
def test_drift_free_windows_pass_psi_critical_about_as_often_as_alpha_says(n: int) -> None:
    rng = np.random.default_rng(n)
    reference = ordered(rng.normal(size=100_000))
    cuts = cuts_from(reference)
    profile = NumericSummary.lift(reference, cuts=cuts)
    trials, passed = 4_000, 0
    for _ in range(trials):
        pair = ColumnPair(profile, NumericSummary.lift(rng.normal(size=n), cuts=cuts), alpha=0.05)
        passed += value("psi", pair) > value("psi_critical", pair)
    assert stats.binomtest(passed, trials, 0.05).proportion_ci(0.999).low < 0.06
    assert 0.03 < passed / trials < 0.07
