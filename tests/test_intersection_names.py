"""Groups of an intersection whose values contain the separator."""

from __future__ import annotations

from dataclasses import replace

import pytest
from in_process import PREDICTIONS, SMALL, InProcess, prediction


@pytest.mark.parametrize(("task", "yes", "metric"), [("binary", "1", "group_count"), ("regression", 1, None)])
def test_two_groups_are_not_merged_because_their_values_contain_a_bar(
    task: str, yes: object, metric: str | None
) -> None:
    checks = replace(SMALL.checks, sensitive=(("sex", "region"),))
    one = InProcess(replace(SMALL, task=task, checks=checks))
    first, second = {"sex": "x|y", "region": "z"}, {"sex": "x", "region": "y|z"}
    events = [
        prediction("a", segments=first, prediction=yes),
        prediction("b", segments=second, prediction=yes),
    ]
    one.land({PREDICTIONS: events})
    one.turn()
    groups = {row["group"] for row in one.results() if row["group"] and metric in (None, row["metric"])}
    assert groups == {r"x\|y|z", r"x|y\|z"}
