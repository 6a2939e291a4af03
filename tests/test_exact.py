"""Sums and places without sorting: the same in any order, and what math.fsum and searchsorted say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.summaries.exact import GRID_ROWS, chunks, exact_total, placing, scale_for
from monitor.summaries.moments import Moments
from monitor.summaries.numeric import LARGE_ROWS, NumericSummary, count_cells, cuts_from, lift_pieces

ROWS = 3 * GRID_ROWS
SHAPES = {
    "normal": lambda rng, n: rng.normal(size=n),
    "far from zero": lambda rng, n: 1e9 + rng.normal(size=n),
    "heavy tails": lambda rng, n: rng.standard_cauchy(size=n) ** 3,
    "skewed": lambda rng, n: rng.lognormal(0, 3, size=n),
    "ties": lambda rng, n: rng.integers(-300, 300, size=n).astype(np.float64),
    "mostly one value": lambda rng, n: np.where(rng.random(n) < 0.9, 0.0, rng.normal(size=n)),
    "two clumps": lambda rng, n: rng.choice([0.0, 1e12], n) + rng.normal(size=n),
    "huge": lambda rng, n: rng.normal(size=n) * 1e307,
    "tiny": lambda rng, n: rng.normal(size=n) * 1e-290,
    "two values": lambda rng, n: rng.choice([-1.0, 7.0], n),
    "one value": lambda rng, n: np.full(n, 0.1),
}
every_shape = pytest.mark.parametrize("shape", SHAPES)


def drawn(shape: str) -> tuple[np.ndarray, np.ndarray]:
    """Return cut points, and values of the same shape: on them, next to them, and beyond them."""
    rng = np.random.default_rng(8)
    cuts = cuts_from(np.sort(SHAPES[shape](rng, 20_000)))
    beside = np.concatenate([cuts, np.nextafter(cuts, -np.inf), np.nextafter(cuts, np.inf)])
    values = np.concatenate([SHAPES[shape](rng, ROWS), beside, 3 * cuts[:1], 3 * cuts[-1:]])
    return cuts, rng.permutation(values[np.isfinite(values)])


@every_shape
def test_values_find_the_first_cut_at_or_above_them(shape: str) -> None:
    cuts, values = drawn(shape)
    assert len(values) > GRID_ROWS
    assert np.array_equal(placing(cuts, len(values))(values), np.searchsorted(cuts, values, side="left"))
    assert np.array_equal(NumericSummary.lift(values, cuts=cuts).cells, count_cells(np.sort(values), cuts))


@every_shape
def test_a_summary_is_the_same_to_the_bit_in_any_order(shape: str) -> None:
    cuts, values = drawn(shape)
    summaries = {
        NumericSummary.lift(one, cuts=cuts).to_bytes() for one in (values, values[::-1], np.sort(values))
    }
    assert len(summaries) == 1


@every_shape
def test_sums_and_moments_are_those_of_exact_summation(shape: str) -> None:
    cuts, values = drawn(shape)
    values = values[np.abs(values) < 1e305]  # so that their sum is a number
    found = NumericSummary.lift(values, cuts=cuts)
    size = np.abs(values).max()
    mean = math.fsum(values / len(values))
    assert found.moments.mean == pytest.approx(mean, rel=1e-14, abs=1e-18 * size)
    with np.errstate(over="ignore", under="ignore"):
        squares = np.square(values - mean)
    expected = math.inf if np.isinf(squares).any() else math.fsum(squares)
    assert found.moments.m2 == pytest.approx(expected, rel=1e-12, abs=0)
    assert (found.moments.minimum, found.moments.maximum) == (values.min(), values.max())
    for i in range(0, len(cuts) + 1, 97):
        low, high = np.r_[-np.inf, cuts, np.inf][i : i + 2]
        between = math.fsum(values[(values > low) & (values < high)])
        assert found.sums[i] == pytest.approx(between, rel=1e-12, abs=len(values) * size * 2.0**-64)


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=50))
@settings(max_examples=200, deadline=None)
def test_a_total_is_exact_to_the_last_bit_of_its_unit(numbers: list[float]) -> None:
    values = np.array(numbers)
    scale = scale_for(float(np.abs(values).max()))
    total = exact_total(chunks(values), scale) / (1 << 32) / scale
    assert total == pytest.approx(
        math.fsum(numbers), rel=1e-15, abs=len(numbers) * max(np.abs(values).max() * 2**-64, 2**-1055)
    )


def test_infinite_numbers_make_infinite_moments_and_no_warning() -> None:
    assert Moments.lift(np.array([1.0, np.inf])).m2 == math.inf
    assert Moments.lift(np.array([1.7e308, 1.7e308, 1.6e308])).mean == pytest.approx(1.6666666666666667e308)


def test_large_pieces_are_lifted_in_threads_and_merged_in_their_order() -> None:
    rng, cuts = np.random.default_rng(9), np.linspace(-2, 2, 50)
    sizes = [LARGE_ROWS, 10, LARGE_ROWS + 1, 0, 5, 2 * LARGE_ROWS, LARGE_ROWS]
    pieces = [("ab"[i % 2], rng.normal(size=size), i) for i, size in enumerate(sizes)]
    lifted = lift_pieces(iter(pieces), lambda key: cuts)
    for name in "ab":
        expected = NumericSummary.zero(cuts)
        for key, values, missing in pieces:
            if key == name:
                expected = expected.merge(NumericSummary.lift(values, cuts=cuts, missing=missing))
        assert lifted[name].to_bytes() == expected.to_bytes()


def test_a_piece_that_cannot_be_lifted_fails_its_caller() -> None:
    pieces = [("a", np.zeros(LARGE_ROWS), 0), ("b", np.array(["x"] * LARGE_ROWS), 0)]
    with pytest.raises(ValueError):
        lift_pieces(pieces, lambda key: np.arange(3.0))  # type: ignore[arg-type]
