"""Errors of a regression by group, from logged events: equal to fairlearn on the raw rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fairlearn.metrics import MetricFrame
from in_process import FEEDBACK, PREDICTIONS, SMALL, InProcess, feedback, prediction
from sklearn.metrics import mean_absolute_error

from monitor.engine import duckdb as engine
from monitor.metrics import find
from monitor.metrics.group_errors import GroupErrorData, GroupErrors
from monitor.store.results import read_results
from monitor.types import ChecksSpec, Result

CHECKS = ChecksSpec(fairness=True, sensitive=(("sex",), ("sex", "plan")), min_group_size=30)
SPEC = replace(SMALL, task="regression", checks=CHECKS)
Rows = dict[str, np.ndarray]


def draw(rows: int, seed: int) -> Rows:
    """Return rows whose error depends on the group; ``X`` is a small group, some have no sex."""
    rng = np.random.default_rng(seed)
    sex = rng.choice(np.array(["F", "M", "X", None], dtype=object), rows, p=[0.45, 0.45, 0.02, 0.08])
    truth = rng.lognormal(3, 1, rows)
    error = rng.normal(np.where(sex == "F", 1.5, 0.0), np.where(sex == "M", 2.0, 1.0))
    plan = rng.choice(np.array(["basic", "gold"], dtype=object), rows)
    return {
        "sex": sex,
        "plan": plan,
        "truth": truth,
        "prediction": truth + error,
        "labelled": rng.random(rows) < 0.9,
    }


def ran(rows: Rows, *, backwards: bool = False) -> InProcess:
    monitor = InProcess(SPEC)
    events, labels = [], []
    for i in range(len(rows["truth"])):
        segments = {"sex": rows["sex"][i]} if rows["sex"][i] else {}
        features = {"age": 1, "plan": rows["plan"][i]}
        events.append(
            prediction(
                f"e{i}", i % 60, prediction=rows["prediction"][i], segments=segments, features=features
            )
        )
        labels += [feedback(f"e{i}", rows["truth"][i])] * bool(rows["labelled"][i])
    step = -1 if backwards else 1
    monitor.land({PREDICTIONS: events[::step], FEEDBACK: labels[::step]})
    monitor.turn()
    return monitor


def found(monitor: InProcess, metric: str, attribute: str, group: str | None = None) -> Result:
    (one,) = [
        r for r in read_results(monitor.cursor)
        if (r.metric, r.attribute, r.group) == (metric, attribute, group)
    ]  # fmt: skip
    return one


def oracle(rows: Rows, attribute: str) -> MetricFrame:
    """Return fairlearn's frame over the labelled rows of groups that are large enough."""
    names = rows["sex"]
    if attribute != "sex":
        names = np.array([f"{s}|{p}" if s else None for s, p in zip(rows["sex"], rows["plan"], strict=True)])
    held = np.array([n is not None for n in names]) & rows["labelled"]
    sizes = {n: (names[held] == n).sum() for n in set(names[held])}
    held &= np.array([sizes.get(n, 0) >= CHECKS.min_group_size for n in names])
    bias = lambda y_true, y_pred: float(np.mean(y_pred - y_true))  # noqa: E731
    return MetricFrame(
        metrics={"mean_error": bias, "mae": mean_absolute_error},
        y_true=rows["truth"][held],
        y_pred=rows["prediction"][held],
        sensitive_features=names[held],
    )


@pytest.mark.parametrize("attribute", ["sex", "sex|plan"])
def test_groups_and_gaps_are_those_of_fairlearn(attribute: str) -> None:
    rows = draw(1000, 1)
    monitor, frame = ran(rows), oracle(rows, attribute)
    for base in ("mean_error", "mae"):
        for group, value in frame.by_group[base].items():
            assert found(monitor, f"group_{base}", attribute, group).value == pytest.approx(value, rel=1e-12)
        gap = found(monitor, f"{base}_difference", attribute)
        assert gap.value == pytest.approx(frame.difference()[base], rel=1e-12)
        assert gap.lower is not None and gap.upper is not None and gap.lower <= gap.value <= gap.upper
        assert gap.detail["highest"] == frame.by_group[base].idxmax()


def test_a_small_group_is_withheld_and_listed() -> None:
    rows = draw(1000, 2)
    monitor = ran(rows)
    small = int(((rows["sex"] == "X") & rows["labelled"]).sum())
    assert 0 < small < CHECKS.min_group_size
    assert found(monitor, "group_mae", "sex", "X").state == "insufficient_samples"
    assert found(monitor, "mae_difference", "sex").detail["left_out"] == {"X": small}


def test_sizes_and_label_coverage_are_counted_by_group() -> None:
    rows = draw(600, 3)
    monitor, women = ran(rows), rows["sex"] == "F"
    assert found(monitor, "group_count", "sex", "F").value == women.sum()
    coverage = found(monitor, "group_label_coverage", "sex", "F").value
    assert coverage == pytest.approx(rows["labelled"][women].mean())


def test_one_group_leaves_no_gap() -> None:
    rows = draw(200, 4)
    rows["sex"][:] = "F"
    assert found(ran(rows), "mae_difference", "sex").state == "insufficient_samples"


def test_without_labels_there_is_no_error_of_a_group() -> None:
    rows = draw(200, 5)
    rows["labelled"][:] = False
    monitor = ran(rows)
    assert found(monitor, "mean_error_difference", "sex").state == "no_labels"
    assert found(monitor, "group_count", "sex", "F").value == (rows["sex"] == "F").sum()


def test_panes_and_the_order_of_arrival_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = draw(500, 6)
    one, two = ran(rows), ran(rows, backwards=True)
    monkeypatch.setattr(engine, "PANE_ROWS", 60)
    cut = ran(rows)
    for metric in ("mae_difference", "mean_error_difference"):
        value = found(one, metric, "sex").value
        assert found(two, metric, "sex").value == value
        assert found(cut, metric, "sex").value == pytest.approx(value, rel=1e-12)


def gaps(groups: int, windows: int, rows: int, metric: str, truth: float) -> float:
    """Return how often the interval of a gap holds the true one; spreads differ by group."""
    rng, inside = np.random.default_rng(groups), 0
    for seed in range(windows):
        parts = {str(g): GroupErrors.lift(rng.normal(float(g == 0), 1.0 + g, rows)) for g in range(groups)}
        data = GroupErrorData(parts, np.random.default_rng(seed), 10)
        outcome = find(metric)(data)
        inside += outcome.lower <= truth <= outcome.upper
    return inside / windows


@pytest.mark.slow
def test_the_interval_of_a_gap_of_two_groups_holds_it_in_95_of_100_windows() -> None:
    assert 0.93 <= gaps(2, 1000, 200, "mean_error_difference", 1.0) <= 0.97


def test_with_more_groups_the_interval_is_no_narrower_than_it_says() -> None:
    assert gaps(5, 500, 300, "mean_error_difference", 1.0) >= 0.93


def test_a_group_of_one_row_has_a_value_without_an_interval() -> None:
    groups = {"a": GroupErrors.lift(np.array([2.0])), "b": GroupErrors.lift(np.array([-1.0, -1.0]))}
    data = GroupErrorData(groups, np.random.default_rng(0), 1)
    by_group = find("group_mean_error").by_group(data)
    assert (by_group["a"].value, by_group["a"].lower) == (2.0, None)
    assert find("mean_error_difference")(data).value == 3.0


def test_equal_constant_errors_have_no_gap() -> None:
    data = GroupErrorData({g: GroupErrors.lift(np.full(50, 2.0)) for g in "ab"}, np.random.default_rng(0), 1)
    outcome = find("mae_difference")(data)
    assert (outcome.value, outcome.lower, outcome.upper) == (0.0, 0.0, pytest.approx(0.0, abs=1e-300))
