"""Attributions that events carry: how they land, and what is counted of those that cannot."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from in_process import PREDICTIONS, SMALL, InProcess, prediction

from monitor.types import ChecksSpec

CHECKS = ChecksSpec(quality=True, explain=True, logged_attributions=True)
SPEC = replace(SMALL, checks=CHECKS)
CLASSES = replace(SPEC, task="multiclass")


def landed(*attributions: Any, spec: Any = SPEC) -> InProcess:
    """Land an event for each; ``...`` is one without attributions."""
    core = InProcess(spec, has_feedback=False)
    given = [{} if a is ... else {"attributions": a} for a in attributions]
    core.land({PREDICTIONS: [prediction(f"e{i}", 1, **one) for i, one in enumerate(given)]})
    return core


def stored(core: InProcess) -> list[tuple[Any, ...]]:
    return core.rows('SELECT "a:age", "a:plan", faults FROM predictions_1 ORDER BY off')


def test_numbers_land_under_their_features_and_clean_rows_have_no_faults() -> None:
    core = landed({"age": 0.25, "plan": -3}, {"age": "1e-3"}, ...)
    assert stored(core) == [(0.25, -3.0, None), (0.001, None, None), (None, None, None)]


@pytest.mark.parametrize(
    "attributions, kept, faults",
    [
        ({"age": "much", "plan": 1}, (None, 1.0), ["type_mismatch:attributions.age"]),
        ({"age": {"0": 1}, "plan": 2}, (None, 2.0), ["type_mismatch:attributions.age"]),
        ({"age": 1, "shoe": 2}, (1.0, None), ["unknown:attributions.shoe"]),
        ([1, 2], (None, None), ["type_mismatch:attributions"]),
        ("none", (None, None), ["type_mismatch:attributions"]),
        ({"age": "Infinity", "plan": 1}, (None, 1.0), ["non_finite:attributions.age"]),
        ({}, (None, None), None),
        (None, (None, None), None),
        ({"age": None}, (None, None), None),
    ],
)  # fmt: skip
def test_what_is_wrong_is_missing_and_counted(attributions: Any, kept: Any, faults: Any) -> None:
    assert stored(landed(attributions)) == [(*kept, faults)]


def test_of_several_classes_each_feature_has_one_number_a_class() -> None:
    core = landed(
        {"age": {"a": 1, "b": -1}, "plan": {"a": 0.5}},
        {"age": 1, "plan": {"a": "x", "b": 2}},
        {"plan": {"a": "NaN", "b": 3}},
        spec=CLASSES,
    )
    assert stored(core) == [
        ({"a": 1.0, "b": -1.0}, {"a": 0.5}, None),
        (None, {"b": 2.0}, ["type_mismatch:attributions.age", "type_mismatch:attributions.plan"]),
        (None, {"b": 3.0}, ["non_finite:attributions.plan"]),
    ]


def test_nothing_is_stored_or_counted_where_explanations_are_not_from_the_log() -> None:
    core = landed({"shoe": 1}, "none", spec=SMALL)
    assert core.rows("SELECT faults FROM predictions_1") == [(None,), (None,)]
    columns = {row[0] for row in core.rows("DESCRIBE predictions_1")}
    assert not [name for name in columns if name.startswith("a:")]


def test_a_name_with_every_kind_of_quote_is_a_feature_like_any_other() -> None:
    name = """a/b~c "d" 'e'"""
    core = landed({name: 0.5}, {name: "x"}, spec=replace(SPEC, features={name: "numeric"}))
    assert [row[0] for row in core.rows("SELECT count(*) FROM predictions_1")] == [2]
    faults = core.rows("SELECT unnest(faults) FROM predictions_1 ORDER BY off")
    assert (f"type_mismatch:attributions.{name}",) in faults
