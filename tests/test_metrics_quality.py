"""Quality metrics against hand-worked numbers and scipy's Wilson interval."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from monitor.metrics import ColumnPair, WindowFacts, find
from monitor.metrics.examples import numbers, words
from monitor.metrics.intervals import wilson
from monitor.summaries.categorical import CategoricalSummary


@pytest.mark.parametrize("k, n", [(0, 1), (1, 1), (0, 50), (3, 50), (50, 50), (12, 100_000)])
def test_wilson_is_scipys(k: int, n: int) -> None:
    expected = stats.binomtest(k, n).proportion_ci(method="wilson")
    assert wilson(k, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_missing_ratio_counts_rows_of_numbers_and_of_words() -> None:
    for pair in (numbers([1, None], [1, None, None, 2]), words(["a", None], ["a", None, None, "b"])):
        outcome = find("missing_ratio")(pair)
        assert (outcome.value, outcome.n, outcome.detail["reference"]) == (0.5, 4, 0.5)
        assert (outcome.lower, outcome.upper) == wilson(2, 4)


def test_missing_ratio_needs_no_reference_but_rows() -> None:
    alone = ColumnPair(None, numbers([1], [None, 1]).current)
    assert find("missing_ratio")(alone).value == 0.5
    assert find("missing_ratio")(numbers([1], [])).state == "insufficient_samples"


def test_a_column_that_is_gone_is_all_missing() -> None:
    assert find("missing_ratio")(numbers([1, 2], [None, None])).value == 1.0


def test_new_categories_are_counted_among_the_values_only() -> None:
    outcome = find("new_category_ratio")(words("aab", ["a", "z", "y", "b", None]))
    assert (outcome.value, outcome.n) == (0.5, 4)
    assert find("new_category_ratio")(words("ab", [None])).state == "insufficient_samples"


def test_new_categories_cannot_be_told_where_the_reference_was_cut_short() -> None:
    cut_short = CategoricalSummary(("a",), np.array([5]), unseen=2, missing=0)
    outcome = find("new_category_ratio")(ColumnPair(cut_short, cut_short))
    assert outcome.state == "not_applicable"


def test_out_of_range_counts_both_sides_and_not_the_bounds() -> None:
    outcome = find("out_of_range_ratio")(numbers([1, 5, 9], [0.9, 1, 9, 9.1, 1e9, 5, None]))
    assert (outcome.value, outcome.n) == (0.5, 6)
    assert outcome.detail == {"below": 1, "above": 2}


def test_type_mismatches_are_a_share_of_all_rows() -> None:
    pair = numbers([1], [1, None, None, 2])
    counted = ColumnPair(pair.reference, pair.current, mismatched=1)
    assert find("type_mismatch_ratio")(counted).value == 0.25
    assert find("type_mismatch_ratio")(pair).state == "not_applicable"


def test_constant_fires_only_when_a_varying_column_stops() -> None:
    answers = [
        find("constant")(pair)
        for pair in (
            numbers([1, 2], [3, 3]), numbers([1, 2], [3, 4]), numbers([1, 1], [1, 1]), numbers([1, 2], [1]),
            words("ab", "aa"), words("ab", "az"), words("ab", "zz"),
        )
    ]  # fmt: skip
    assert [a.value for a in answers] == [1.0, 0.0, None, None, 1.0, 0.0, None]
    assert [a.state for a in answers if a.value is None] == [
        "not_applicable",
        "insufficient_samples",
        "not_applicable",
    ]


def test_window_facts_become_ratios_of_rows_and_of_events() -> None:
    facts = WindowFacts(
        80, duplicates=20, conflicts=5, late=8, dated=80, unexpected_fields=2, missing_fields=0,
        median_rows=100.0, last_event_us=1_000_000, end_us=4_500_000, label_delays_s={"0.5": 60.0, "0.9":
        90.0},
    )  # fmt: skip
    expected = {
        "row_count": 80.0, "row_count_ratio": 0.8, "duplicate_ratio": 0.2, "conflict_ratio": 0.05,
        "late_ratio": 0.1, "unexpected_fields": 2.0, "missing_fields": 0.0, "staleness_seconds": 3.5,
        "label_delay_seconds": 60.0,
    }  # fmt: skip
    assert {name: find(name)(facts).value for name in expected} == expected


def test_what_the_store_does_not_know_has_no_value() -> None:
    unknown = WindowFacts(0)
    assert find("row_count")(unknown).value == 0.0
    for name in (
        "duplicate_ratio",
        "late_ratio",
        "unexpected_fields",
        "staleness_seconds",
        "row_count_ratio",
    ):
        assert find(name)(unknown).state == "not_applicable"
    assert find("late_ratio")(WindowFacts(0, late=0, dated=0)).state == "insufficient_samples"
