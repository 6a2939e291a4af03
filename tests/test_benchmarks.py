"""The benchmarks of evaluation run, print one JSON line, and name every contender that could not run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def figures(script: str, *options: str) -> dict[str, Any]:
    command = [sys.executable, str(BENCHMARKS / script), *options, "--json"]
    (line,) = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return dict(json.loads(line))


@pytest.mark.slow
def test_a_window_is_measured_at_each_size_and_limit() -> None:
    row = figures("scale.py", "--millions", "0.002,0.004", "--repeat", "1")
    assert [size["rows"] for size in row["sizes"]] == [2000, 4000]
    assert all(size["seconds_256"] > 0 and size["peak_mb_1024"] > 0 for size in row["sizes"])


@pytest.mark.slow
def test_one_window_is_measured_beside_scipy() -> None:
    row = figures("evaluate.py", "--rows", "3000")
    assert row["columns_rows"] == row["fairness_rows"] == 3000
    # at least ten metrics of each feature, and 13 gaps of each attribute and of their intersection
    assert row["columns_results"] > 24 * 10 and row["fairness_results"] > 3 * 13
    assert row["scipy_ks_seconds"] > 0


@pytest.mark.slow
def test_intervals_are_counted_by_metric_population_and_size() -> None:
    row = figures("intervals.py", "--windows", "40", "--only", "quality: shares of 30", "--sizes", "200")
    shares = {line["metric"]: line["by_size"]["200"] for line in row["coverage"]}
    assert len(shares) == 9 and all(0.8 <= share <= 1 for share in shares.values())


@pytest.mark.slow
def test_power_is_counted_by_column_drift_and_size() -> None:
    row = figures("power.py", "--windows", "20", "--sizes", "500")
    past = {(line["column"], line["drift"]): line["psi"] for line in row["columns"]}
    assert past["normal", "none"] <= 0.2 and past["normal", "mean + 0.5 sd"] == 1
    assert [line["drifted"] for line in row["drifted_share"]] == [0, 5]


@pytest.mark.slow
def test_a_peer_that_cannot_be_installed_is_listed_with_pips_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import peers

    monkeypatch.setitem(peers.PEERS, "absent", ("--no-index", "no-such-distribution-of-this-name"))
    found, failed = peers.pythons(tmp_path, ["absent"])
    assert not found and "no-such-distribution-of-this-name" in failed["absent"]
    mine = {check: peers.Line("ours", what, 1.0, 1.0) for check, what in peers.CHECKS.items()}
    (row,) = peers.rows_of([peers.Line("absent", "", None, None, error=failed["absent"])], mine)
    assert any("no-such-distribution-of-this-name" in cell for cell in row)


def test_a_contender_that_fails_in_its_process_gives_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import measuring

    answer = measuring.child(sys.executable, "-c", "raise ImportError('no pandas here')")
    assert answer == {"error": "ImportError: no pandas here"}
