"""Names that differ only in case: refused when the configuration is read, not found out by SQL."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from in_process import PREDICTIONS, SMALL, InProcess, prediction
from test_replay import SMALL as CONFIG

from monitor import config
from monitor.build import plan
from monitor.errors import ConfigError


@pytest.mark.parametrize("more", ["segments: [Plan]", "segments: [sex, SEX]"])
def test_segments_that_differ_from_another_name_in_case_alone_are_refused(tmp_path: Path, more: str) -> None:
    """Landing could read no event of such a model, or the store could not make its table."""
    (tmp_path / "secret").write_text("whsec_" + "A" * 32)
    text = CONFIG
    (tmp_path / "config.yaml").write_text(text.replace("    window:", f"    {more}\n    window:"))
    with pytest.raises(ConfigError, match="differ only in case"):
        plan(config.load(tmp_path / "config.yaml"))


def test_a_feature_whose_name_changes_its_case_between_restarts_is_still_stored(tmp_path: Path) -> None:
    path = tmp_path / "monitor.duckdb"
    one = InProcess(path=path)
    one.land({PREDICTIONS: [prediction("a")]})
    one.store.close()
    two = InProcess(replace(SMALL, features={"Age": "numeric", "plan": "categorical"}), path=path)
    two._ends[PREDICTIONS] = 1
    report = two.land({PREDICTIONS: [prediction("b", features={"Age": None, "plan": "gold"})]})
    assert report.landed["credit", "prediction"] == 1
    two.turn()
    assert two.value("missing_ratio", feature="Age") == 0.5
