"""The registry: names, families, and the documentation made from it."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.metrics import (
    Metric,
    Outcome,
    check_of,
    family_of,
    find,
    metric,
    metric_names,
    metrics,
    needs_labels,
)
from monitor.metrics.docs import pages

DOCS = Path(__file__).parents[1] / "docs" / "metrics"
every = pytest.mark.parametrize("entry", metrics(), ids=lambda entry: entry.name)


@pytest.mark.parametrize(
    "result, family",
    {
        "psi": "model_monitor_feature_psi",
        "prediction_psi": "model_monitor_prediction_psi",
        "score_ks_statistic": "model_monitor_score_ks_statistic",
        "label_psi": "model_monitor_label_psi",
        "missing_ratio": "model_monitor_feature_missing_ratio",
        "accuracy": "model_monitor_accuracy",
        "roc_auc": "model_monitor_roc_auc",
        "demographic_parity_difference": "model_monitor_fairness_demographic_parity_difference",
        "group_selection_rate": "model_monitor_group_selection_rate",
        "label_coverage": "model_monitor_label_coverage_ratio",
        "label_delay_seconds": "model_monitor_label_delay_seconds",
    }.items(),
)
def test_families_are_those_of_the_design(result: str, family: str) -> None:
    assert family_of(result) == family


def test_every_result_name_has_a_check_and_a_family_of_its_own() -> None:
    families = {name: family_of(name) for name in metric_names()}
    assert len(set(families.values())) == len(families)
    assert all(re.fullmatch("model_monitor_[a-z0-9_]+", family) for family in families.values())
    checks = {"drift", "performance", "estimate", "fairness", "quality", "explain"}
    assert {check_of(name) for name in metric_names()} == checks
    with pytest.raises(KeyError):
        check_of("pis")


def test_labels_are_needed_by_what_is_made_of_them() -> None:
    wanted = {"accuracy": True, "label_psi": True, "equalized_odds_difference": True}
    free = {"psi": False, "score_psi": False, "demographic_parity_difference": False, "label_coverage": False}
    assert {name: needs_labels(name) for name in wanted | free} == wanted | free
    assert find("label_coverage").follows_labels and not find("psi").follows_labels


def test_importing_the_metrics_loads_no_heavy_library() -> None:
    code = (
        "import monitor.metrics, sys; print(*{'scipy', 'sklearn', 'fairlearn', 'pandas'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


@every
def test_every_docstring_says_what_it_is_and_cites_a_source(entry: Metric) -> None:
    assert entry.help.endswith((".", "?")) and len(entry.help) < 110
    assert "References\n" in entry.doc
    assert entry.low < entry.high and entry.unit


def test_the_pages_in_docs_are_in_step_with_the_code() -> None:
    stored = {path.name: path.read_text(encoding="utf-8") for path in DOCS.glob("*.md")}
    assert stored == pages(), "run: python -m monitor.metrics.docs"


def test_a_name_can_be_registered_once() -> None:
    with pytest.raises(ValueError, match="registered twice"):
        metric("psi", check="drift", subject="column", applies=(), unit="")(
            test_a_name_can_be_registered_once
        )


def test_no_outcome_holds_a_number_that_is_not_finite() -> None:
    nan = Outcome(math.nan, n=3).checked()
    assert (nan.value, nan.state, nan.n) == (None, "not_applicable", 3)
    unbounded = Outcome(1.0, lower=-math.inf, upper=2.0).checked()
    assert (unbounded.value, unbounded.lower, unbounded.upper) == (1.0, None, None)
