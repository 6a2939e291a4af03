"""Fairness metrics against fairlearn on the raw rows, row by row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fairlearn import metrics as fair
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as skm

from monitor.metrics import GroupData, Outcome, find, metrics
from monitor.metrics.contrasts import Proportions, largest_difference
from monitor.metrics.examples import grouped
from monitor.metrics.groups import MAX_GROUPS
from monitor.summaries.confusion import Confusion

GAPS = {
    "demographic_parity_difference": fair.demographic_parity_difference,
    "demographic_parity_ratio": fair.demographic_parity_ratio,
    "equalized_odds_difference": fair.equalized_odds_difference,
    "equalized_odds_ratio": fair.equalized_odds_ratio,
    "equal_opportunity_difference": fair.equal_opportunity_difference,
    "equal_opportunity_ratio": fair.equal_opportunity_ratio,
}
RATES = {
    "group_selection_rate": fair.selection_rate,
    "group_tpr": fair.true_positive_rate,
    "group_fpr": fair.false_positive_rate,
    "group_fnr": fair.false_negative_rate,
    "group_accuracy": skm.accuracy_score,
    "group_precision": skm.precision_score,
}
GAP_OF = {
    "selection_rate": "demographic_parity",
    "tpr": "equal_opportunity",
    "fnr": None,  # the mirror of tpr
    "fpr": "false_positive_rate",
    "precision": "predictive_parity",
    "accuracy": "accuracy_parity",
}


def ask(name: str, data: GroupData) -> Outcome:
    return find(name)(data)


def rows(seed: int, n: int = 600) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    groups = rng.choice(["F", "M", "X|north"], size=n, p=[0.5, 0.4, 0.1])
    truths = rng.integers(0, 2, size=n)
    predictions = np.where(rng.random(n) < 0.7 + 0.2 * (groups == "M"), truths, 1 - truths)
    return groups, truths, predictions


def data_of(groups: Any, truths: Any, predictions: Any, **options: Any) -> GroupData:
    as_names = [None if t is None else str(t) for t in truths]
    return grouped(list(groups), as_names, [str(p) for p in predictions], **options)


@pytest.mark.parametrize("name", GAPS)
@pytest.mark.parametrize("seed", range(3))
def test_gaps_are_exactly_fairlearns_on_the_rows(name: str, seed: int) -> None:
    groups, truths, predictions = rows(seed)
    outcome = ask(name, data_of(groups, truths, predictions))
    assert outcome.value == GAPS[name](truths, predictions, sensitive_features=groups)
    assert outcome.n == len(groups)
    assert outcome.lower is not None and outcome.upper is not None
    assert 0 <= outcome.lower <= outcome.value <= outcome.upper <= 1


@pytest.mark.parametrize("name", RATES)
def test_group_rates_are_exactly_fairlearns_on_the_rows(name: str) -> None:
    groups, truths, predictions = rows(4)
    frame = fair.MetricFrame(
        metrics=RATES[name], y_true=truths, y_pred=predictions, sensitive_features=groups
    )
    outcomes = find(name).by_group(data_of(groups, truths, predictions))
    assert {group: outcome.value for group, outcome in outcomes.items()} == frame.by_group.to_dict()


CELLS = [("1", "1"), ("1", "0"), ("0", "1"), ("0", "0")]
DIVIDED_BY = {"tpr": ("truth", 1), "fnr": ("truth", 1), "fpr": ("truth", 0), "precision": ("prediction", 1)}


@given(counts=st.lists(st.lists(st.integers(0, 10**9) | st.just(0), min_size=4, max_size=4), max_size=5))
@settings(max_examples=25, deadline=None)
def test_any_counted_cells_give_exactly_what_fairlearn_gives_with_sample_weight(
    counts: list[list[int]],
) -> None:
    rows = [(f"g{i}", *cell, n) for i, four in enumerate(counts) for cell, n in zip(CELLS, four, strict=True)]
    table = pd.DataFrame(rows, columns=["group", "truth", "prediction", "n"])
    columns = [table[name].tolist() for name in table]
    data = GroupData(Confusion.lift(*columns), "1", np.random.default_rng(0), min_group_size=1)  # type: ignore[arg-type]
    table = table[table.groupby("group")["n"].transform("sum") > 0]
    if table.empty:
        assert all(o.value is None for name in RATES for o in find(name).by_group(data).values())
        return
    frame = weighted(table.astype({"truth": int, "prediction": int}))
    for name in RATES:
        rate = name.removeprefix("group_")
        outcomes = find(name).by_group(data)
        known = frame.by_group[rate].dropna().to_dict()
        assert {group: o.value for group, o in outcomes.items() if o.state == "ok"} == known
        if (gap := GAP_OF[rate]) and len(known) > 1:
            assert ask(f"{gap}_difference", data).value == frame.difference()[rate]
            ratio = frame.ratio()[rate]
            assert ask(f"{gap}_ratio", data).value == (None if np.isnan(ratio) else ratio)


def weighted(table: pd.DataFrame) -> Any:
    """Return fairlearn's frame of all rates over the cells; NaN where a group has none to divide by."""

    def defined(base: Any) -> Any:
        def rate(truth: Any, prediction: Any, *, sample_weight: Any, divided_by: Any) -> float:
            none = not sample_weight[divided_by].sum()
            return float("nan") if none else float(base(truth, prediction, sample_weight=sample_weight))

        return rate

    names = {name.removeprefix("group_"): base for name, base in RATES.items()}
    of = {n: table[at[0]] == at[1] if (at := DIVIDED_BY.get(n)) else table["n"] >= 0 for n in names}
    return fair.MetricFrame(
        metrics={name: defined(base) for name, base in names.items()},
        y_true=table["truth"],
        y_pred=table["prediction"],
        sensitive_features=table["group"],
        sample_params={n: {"sample_weight": table["n"], "divided_by": of[n]} for n in names},
    )


@pytest.mark.parametrize(
    "name, base", [("accuracy_parity", skm.accuracy_score), ("predictive_parity", skm.precision_score)]
)
def test_parities_without_a_fairlearn_name_are_its_metric_frames(name: str, base: Any) -> None:
    groups, truths, predictions = rows(5)
    frame = fair.MetricFrame(metrics=base, y_true=truths, y_pred=predictions, sensitive_features=groups)
    data = data_of(groups, truths, predictions)
    assert ask(f"{name}_difference", data).value == frame.difference()
    assert ask(f"{name}_ratio", data).value == frame.ratio()


def test_false_positive_rate_gap_is_worked_by_hand() -> None:
    data = data_of("aaaabbbb", [0, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 1, 1, 0, 0])
    assert ask("false_positive_rate_difference", data).value == 0.25
    assert ask("false_positive_rate_ratio", data).value == 0.5
    assert ask("equal_opportunity_difference", data).state == "insufficient_samples"


@given(
    cells=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from([None, "0", "1"]), st.sampled_from("01")),
        max_size=30,
    ),
    min_group_size=st.sampled_from([1, 5]),
)
@settings(max_examples=40, deadline=None)
def test_any_rows_give_values_in_range_or_reasons(
    cells: list[tuple[str, str | None, str]], min_group_size: int
) -> None:
    columns = [[row[i] for row in cells] for i in range(3)]
    data = grouped(*columns, min_group_size=min_group_size)  # type: ignore[arg-type]
    for metric in metrics("fairness"):
        outcomes = metric.by_group(data).values() if metric.subject == "group" else [metric(data)]
        for outcome in outcomes:
            assert (outcome.state == "ok") == (outcome.value is not None)
            if outcome.value is None:
                assert outcome.detail["reason"]
                continue
            assert metric.low <= outcome.value <= metric.high
            if outcome.lower is not None and outcome.upper is not None:
                assert outcome.lower <= outcome.value + 1e-12 and outcome.value <= outcome.upper + 1e-12


def test_selection_rates_count_rows_without_labels() -> None:
    data = data_of("aabb", [None, 1, None, None], [1, 0, 1, 1])
    assert ask("demographic_parity_difference", data).value == 0.5
    assert ask("equalized_odds_difference", data).state == "insufficient_samples"
    unlabelled = data_of("aabb", [None] * 4, [1, 0, 1, 1])
    assert ask("equalized_odds_difference", unlabelled).state == "no_labels"
    assert {g: o.value for g, o in find("group_label_coverage").by_group(data).items()} == {
        "a": 0.5,
        "b": 0.0,
    }


def test_small_groups_are_withheld_and_listed() -> None:
    groups = ["a"] * 60 + ["b"] * 60 + ["tiny"]
    data = data_of(groups, [1] * 121, [1] * 60 + [0, 1] * 30 + [0], min_group_size=50)
    outcome = ask("demographic_parity_difference", data)
    assert (outcome.value, outcome.n, outcome.detail["left_out"]) == (0.5, 120, {"tiny": 1})
    assert (outcome.detail["lowest"], outcome.detail["highest"]) == ("b", "a")
    rates = find("group_selection_rate").by_group(data)
    assert (rates["tiny"].state, rates["a"].value) == ("insufficient_samples", 1.0)
    assert find("group_count").by_group(data)["tiny"].value == 1.0


def test_one_group_is_no_gap() -> None:
    assert ask("demographic_parity_difference", data_of("aa", [1, 0], [1, 0])).state == "insufficient_samples"
    assert ask("demographic_parity_difference", data_of("", [], [])).state == "insufficient_samples"


def test_a_group_without_positives_has_no_tpr_and_is_named() -> None:
    data = data_of("aabbcc", [1, 1, 1, 1, 0, 0], [1, 0, 1, 1, 0, 1])
    outcome = ask("equal_opportunity_difference", data)
    assert (outcome.value, outcome.detail["undefined"]) == (0.5, ["c"])
    assert find("group_tpr").by_group(data)["c"].state == "single_class"


def test_ratio_of_rates_that_are_all_zero_is_not_one() -> None:
    outcome = ask("demographic_parity_ratio", data_of("aabb", [1, 0, 1, 0], [0, 0, 0, 0]))
    assert (outcome.value, outcome.state) == (None, "single_class")


def test_disparate_impact_compares_with_the_privileged_group() -> None:
    groups, predictions = ["M"] * 100 + ["F"] * 100 + ["X"] * 100, [1, 0] * 50 + [1, 0, 0, 0] * 25 + [1] * 100
    truths = [1] * 300
    outcome = ask("disparate_impact", data_of(groups, truths, predictions, privileged="M"))
    assert (outcome.value, outcome.detail["lowest"]) == (0.5, "F")
    assert (
        outcome.lower is not None and outcome.upper is not None and outcome.lower < 0.5 < outcome.upper < 0.8
    )
    assert ask("disparate_impact", data_of(groups, truths, predictions, privileged="F")).value == 2.0
    assert ask("disparate_impact", data_of(groups, truths, predictions)).value == 0.25
    missing = ask("disparate_impact", data_of(groups, truths, predictions, privileged="Z"))
    assert missing.state == "insufficient_samples" and "'Z'" in missing.detail["reason"]


def test_multiclass_rates_are_of_the_positive_class_and_accuracy_of_all() -> None:
    rng = np.random.default_rng(9)
    groups, truths, predictions = (rng.choice(list(names), 300) for names in ("ab", "xyz", "xyz"))
    data = grouped(groups.tolist(), truths.tolist(), predictions.tolist(), positive="x", task="multiclass")
    expected = fair.equalized_odds_difference(truths == "x", predictions == "x", sensitive_features=groups)
    assert ask("equalized_odds_difference", data).value == expected
    frame = fair.MetricFrame(
        metrics=skm.accuracy_score, y_true=truths, y_pred=predictions, sensitive_features=groups
    )
    assert ask("accuracy_parity_difference", data).value == pytest.approx(frame.difference(), abs=1e-15)
    absent = grouped(groups.tolist(), truths.tolist(), predictions.tolist(), positive="q", task="multiclass")
    assert ask("demographic_parity_difference", absent).state == "not_applicable"


def test_mean_score_is_the_mean_of_the_groups_scores() -> None:
    scores = np.random.default_rng(10).random(40)
    groups = ["a", "b"] * 20
    outcomes = find("group_mean_score").by_group(grouped(groups, ["1"] * 40, ["1"] * 40, scores.tolist()))
    assert outcomes["a"].value == pytest.approx(scores[::2].mean(), abs=1e-9)
    without = grouped(groups, ["1"] * 40, ["1"] * 40)
    assert find("group_mean_score").by_group(without)["a"].state == "not_applicable"


def test_a_hundred_groups_are_the_limit_and_the_largest_stay() -> None:
    names = [f"g{i:03d}" for i in range(MAX_GROUPS + 5) for _ in range(2 if i < 5 else 3)]
    data = data_of(names, [1] * len(names), [1] * len(names))
    assert len(data.names) == MAX_GROUPS and "g000" not in data.names
    assert ask("demographic_parity_difference", data).detail["groups_beyond_limit"] == 5


def test_bounds_of_two_groups_are_about_the_textbook_interval() -> None:
    groups = ["a"] * 400 + ["b"] * 400
    predictions = [1] * 160 + [0] * 240 + [1] * 200 + [0] * 200
    outcome = ask("demographic_parity_difference", data_of(groups, [1] * 800, predictions))
    half = 1.96 * math.sqrt(0.4 * 0.6 / 400 + 0.5 * 0.5 / 400)
    assert outcome.value == pytest.approx(0.1)
    assert (outcome.lower, outcome.upper) == (
        pytest.approx(0.1 - half, abs=0.01),
        pytest.approx(0.1 + half, abs=0.01),
    )


@pytest.mark.parametrize("shift", [0.0, 0.02, 0.2])
def test_bounds_cover_the_true_gap_even_when_groups_are_close(shift: float) -> None:
    rng = np.random.default_rng(11)
    true, n, covered = np.array([0.3, 0.3 + shift]), 500, 0
    for _ in range(400):
        side = Proportions(rng.binomial(n, true), np.full(2, n), rng.normal(size=(2, 400)))
        lower, upper = largest_difference([side])
        covered += lower <= shift <= upper
    assert covered / 400 > 0.92


def test_the_same_seed_gives_the_same_bounds_whatever_was_asked_before() -> None:
    columns = rows(12)
    forward, backward = data_of(*columns), data_of(*columns)
    gaps = metrics("fairness", "gap")
    assert [m(forward) for m in gaps] == [m(backward) for m in reversed(gaps)][::-1]
