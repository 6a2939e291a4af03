"""Summaries: the laws of all of them, then what each one counts."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import math
import pkgutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import CASES, CUTS, EDGES, Case, differences

import monitor.summaries
from monitor.errors import StoreError
from monitor.metrics.group_errors import GroupErrors
from monitor.summaries.categorical import CategoricalSummary, categories_from
from monitor.summaries.confusion import Confusion
from monitor.summaries.moments import Moments
from monitor.summaries.numeric import NumericSummary, count_cells, cuts_from, ordered
from monitor.summaries.residuals import ResidualSummary
from monitor.summaries.scores import ScoreSummary

REL = 1e-9
every = pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind.__name__)


def test_every_summary_there_is_has_a_case_in_the_laws() -> None:
    found = set()
    for info in pkgutil.iter_modules(monitor.summaries.__path__, "monitor.summaries."):
        module = importlib.import_module(info.name)
        found |= {c for c in vars(module).values() if dataclasses.is_dataclass(c) and hasattr(c, "merge")}
    assert found == {case.kind for case in CASES}


def test_nothing_else_merges_but_what_is_made_of_summaries_alone() -> None:
    """Any class with a method ``merge``, anywhere in the package, keeps laws that are tested."""
    classes = [
        node
        for path in Path(monitor.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    ]
    merging = {
        c.name for c in classes for f in c.body if isinstance(f, ast.FunctionDef) and f.name == "merge"
    }
    assert merging == {case.kind.__name__ for case in CASES} | {
        "GroupErrors",
        "Summary",
    }  # that is the protocol


@given(seed=st.integers(0, 2**32), sizes=st.tuples(*[st.integers(0, 40)] * 3))
@settings(max_examples=40, deadline=None)
def test_the_errors_of_groups_keep_the_laws_too(seed: int, sizes: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(seed)
    rows = [rng.standard_cauchy(n) * 1e3 for n in sizes]
    a, b, c = (GroupErrors.lift(part, n) for n, part in enumerate(rows))
    assert not differences(a.merge(b), b.merge(a), rel=0)
    assert not differences(a.merge(GroupErrors()), a, rel=0)
    assert not differences(a.merge(b).merge(c), a.merge(b.merge(c)), rel=REL)
    assert not differences(a.merge(b).merge(c), GroupErrors.lift(np.concatenate(rows), 3), rel=REL)


@every
@given(seed=st.integers(0, 2**32), sizes=st.tuples(*[st.integers(0, 40)] * 3))
@settings(max_examples=40, deadline=None)
def test_merging_is_associative_commutative_and_the_same_as_lifting_all_at_once(
    case: Case, seed: int, sizes: tuple[int, int, int]
) -> None:
    rng = np.random.default_rng(seed)
    rows = [case.rows(rng, n) for n in sizes]
    a, b, c = (case.lift(part) for part in rows)
    assert not differences(a.merge(b), b.merge(a), rel=0)
    assert not differences(a.merge(b).merge(c), a.merge(b.merge(c)), rel=REL)
    assert not differences(a.merge(b).merge(c), case.lift([*rows[0], *rows[1], *rows[2]]), rel=REL)


@every
def test_zero_is_neutral_to_the_bit(case: Case) -> None:
    summary = case.lift(case.rows(np.random.default_rng(1), 50))
    assert not differences(summary.merge(case.zero()), summary, rel=0)
    assert not differences(case.zero().merge(summary), summary, rel=0)


@every
def test_the_order_of_rows_changes_no_bit(case: Case) -> None:
    rng = np.random.default_rng(2)
    rows = case.rows(rng, 500)
    shuffled = [rows[i] for i in rng.permutation(len(rows))]
    assert not differences(case.lift(rows), case.lift(shuffled), rel=0)


@every
@pytest.mark.parametrize("n", [0, 1, 200])
def test_bytes_give_the_same_summary_back_to_the_bit(case: Case, n: int) -> None:
    summary = case.lift(case.rows(np.random.default_rng(3), n))
    stored = summary.to_bytes()
    assert not differences(case.kind.from_bytes(stored), summary, rel=0)
    assert case.kind.from_bytes(stored).to_bytes() == stored


@every
def test_damaged_or_foreign_bytes_are_a_clear_error(case: Case) -> None:
    stored = case.lift(case.rows(np.random.default_rng(4), 20)).to_bytes()
    other = next(c for c in CASES if c.kind is not case.kind).zero().to_bytes()
    for broken in (b"", b"pickle", stored[:-1], stored + b"x", stored[:9] + b"\xff" + stored[10:], other):
        with pytest.raises(StoreError, match="stored .* summary"):
            case.kind.from_bytes(broken)


def test_different_recipes_do_not_merge() -> None:
    for a, b in (
        (NumericSummary.zero(CUTS), NumericSummary.zero(CUTS[1:])),
        (CategoricalSummary.zero(("a",)), CategoricalSummary.zero(("b",))),
        (ScoreSummary.zero(EDGES), ScoreSummary.zero(EDGES[1:])),
        (ResidualSummary.zero(0.0), ResidualSummary.zero(1.0)),
    ):
        with pytest.raises(ValueError, match="cannot merge"):
            a.merge(b)


def test_moments_do_not_cancel_when_the_mean_is_large() -> None:
    values = 1e9 + np.random.default_rng(5).normal(size=10_000)
    parts = [Moments.lift(np.sort(part)) for part in np.array_split(values, 100)]
    total = Moments.zero()
    for part in parts:
        total = total.merge(part)
    centred = values - 1e9
    assert total.variance == pytest.approx(centred.var(), rel=1e-6)
    assert total.standard_error == pytest.approx(centred.std(ddof=1) / 100, rel=1e-6)
    assert (total.n, total.minimum, total.maximum) == (10_000, values.min(), values.max())


def test_moments_of_a_constant_have_no_spread_and_its_exact_mean() -> None:
    part = Moments.lift(np.full(7, 0.1)).merge(Moments.lift(np.full(3, 0.1)))
    assert (part.mean, part.m2) == (0.1, 0.0)


def test_moments_of_huge_numbers_do_not_raise() -> None:
    assert Moments.lift(np.array([-1e308, 1e308])).m2 == math.inf


def test_cuts_are_all_distinct_values_when_few() -> None:
    assert cuts_from(np.array([1.0, 1.0, 2.0, 5.0, 5.0])).tolist() == [1.0, 2.0, 5.0]
    assert cuts_from(np.empty(0)).tolist() == []


def test_cuts_are_at_most_the_limit_and_hold_the_extremes_and_even_shares() -> None:
    values = ordered(np.random.default_rng(6).lognormal(0, 3, size=50_000))
    cuts = cuts_from(values)
    assert len(cuts) == 1024
    assert (cuts[0], cuts[-1]) == (values[0], values[-1])
    assert count_cells(values, cuts)[::2].max() <= math.ceil(50_000 / 1023)


@given(
    st.lists(st.floats(-5, 5, width=16), max_size=60),
    st.lists(st.floats(-5, 5, width=16), unique=True, max_size=9),
)
@settings(max_examples=60, deadline=None)
def test_cells_count_points_and_open_intervals(values: list[float], points: list[float]) -> None:
    cuts = np.unique(np.array(points, dtype=np.float64))
    cells = count_cells(ordered(np.array(values, dtype=np.float64)), cuts)
    walls = [-math.inf, *cuts.tolist(), math.inf]
    for i, (low, high) in enumerate(zip(walls, walls[1:], strict=False)):
        assert cells[2 * i] == sum(low < x < high for x in values)
    assert cells[1::2].tolist() == [sum(x == c for x in values) for c in cuts]


def test_minus_zero_is_zero_whatever_came_first() -> None:
    for values in ([0.0, -0.0], [-0.0, 0.0]):
        assert math.copysign(1, NumericSummary.lift(np.array(values), cuts=CUTS).moments.minimum) == 1


def test_categories_are_the_most_frequent_with_ties_by_name() -> None:
    assert categories_from([("d", 1), ("c", 1), ("b", 9), ("a", 0)], limit=2) == ("b", "c")


def test_confusion_keeps_unlabelled_rows_apart_and_counts_coverage() -> None:
    cells = Confusion.lift(["", "", ""], ["1", "0", None], ["1", "1", "0"], [3, 2, 5], classes=["2"])
    assert cells.classes == ("0", "1", "2")
    assert cells.counts[0].tolist() == [[0, 2, 0], [0, 3, 0], [0, 0, 0]]
    assert (cells.unlabelled.tolist(), cells.coverage) == ([[5, 0, 0]], 0.5)
    assert Confusion.zero().coverage is None


def test_score_losses_are_those_of_the_rows() -> None:
    scores, truths = np.array([0.9, 0.2, 0.6, 1.0]), np.array([True, False, False, True])
    summary = ScoreSummary.lift(scores, truths, edges=EDGES)
    negatives, positives = summary.log_loss
    assert negatives.mean == pytest.approx((-math.log(0.8) - math.log(0.4)) / 2)
    assert positives.mean == pytest.approx(-math.log(0.9) / 2, abs=1e-9)
    assert [m.mean for m in summary.brier] == pytest.approx([(0.04 + 0.36) / 2, 0.01 / 2])
    assert summary.score_sums.sum() / 2**32 == pytest.approx(2.7)
    assert (summary.n, summary.out_of_range) == (4, 0)


def test_scores_outside_the_unit_interval_are_counted() -> None:
    scores = np.array([-0.1, 0.0, 1.0, 1.1])
    assert ScoreSummary.lift(scores, np.array([True, False, True, False]), edges=EDGES).out_of_range == 2


@pytest.mark.parametrize("q", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_quantiles_of_the_absolute_error_are_within_half_a_percent(q: float) -> None:
    error = np.random.default_rng(7).standard_cauchy(size=5_000)
    residuals = ResidualSummary.lift(error, np.zeros(5_000))
    expected = np.quantile(np.abs(error), q, method="inverted_cdf")
    assert residuals.quantile(q) == pytest.approx(expected, rel=0.005)
    assert residuals.zero_truths == 5_000


def test_a_perfect_regression_has_error_quantiles_of_zero() -> None:
    assert ResidualSummary.lift(np.ones(9), np.ones(9)).quantile(0.99) == 0.0
