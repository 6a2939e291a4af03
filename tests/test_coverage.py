"""Intervals hold the truth, and drift-free windows stay below critical values, as often as they say.

Windows come from the populations of ``benchmarks/``, whose truths are computed apart from the metrics. With
2,000 windows a share of 95 % has a standard error of 0.5 points; seeds are fixed, so a run repeats another.
docs/uncertainty.md and docs/statistics.md have the whole tables, and what lies outside of them and why.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from monitor.metrics import metrics

ROOT = Path(__file__).parent.parent
WINDOWS = 2_000
LINES = {  # what is simulated of each family, and at how many rows
    "performance": (("binary", 1_000), ("regression", 1_000), ("ranking", 1_000)),
    "estimate": (("other scores, reference 2,000", 1_000), ("regression, reference 2,000", 1_000)),
    "fairness": (("groups", 1_000), ("regression, 2 groups", 1_000)),
    "quality": (("shares of 30 %", 1_000),),
    "explain": (("attributions, same as the reference's", 200),),
}  # fmt: skip
CASES = [pytest.param(family, *line, id=line[0]) for family, lines in LINES.items() for line in lines]
DRIFT_FREE = ("normal", "30 categories, Zipf")


@pytest.fixture
def intervals(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import intervals

    return intervals


def held(intervals: Any, population: Any, n: int) -> dict[str, float]:
    """Return the share of windows whose interval holds the truth, by metric; edges left out."""
    found = intervals.simulate(population, n, WINDOWS)
    assert all(line.windows == WINDOWS for line in found.values())
    return {name: line.share for name, line in found.items() if name not in population.edge}


@pytest.mark.slow
@pytest.mark.parametrize(("family", "name", "n"), CASES)
def test_intervals_hold_the_truth_in_93_to_97_of_100_windows(
    intervals: Any, family: str, name: str, n: int
) -> None:
    (population,) = (one for one in intervals.POPULATIONS if (one.family, one.name) == (family, name))
    shares = held(intervals, population, n)
    assert shares and all(0.93 <= share <= 0.97 for share in shares.values()), shares


@pytest.mark.slow
def test_gaps_between_groups_hold_the_truth_although_the_extremes_are_picked_after_looking(
    intervals: Any,
) -> None:
    some = [gap for gap in intervals.GAPS if gap.name in ("accuracy_parity", "equal_opportunity")]
    groups = intervals.Groups([4, 3, 3], [0.4, 0.35, 0.3], [0.85, 0.75, 0.65], [0.2, 0.2, 0.1], some)
    shares = held(intervals, intervals.Population("fairness", "3 groups", groups.window), 1_000)
    assert len(shares) == 4 and all(0.93 <= share <= 0.97 for share in shares.values()), shares


@pytest.mark.slow
def test_every_metric_with_an_interval_is_simulated_in_a_family_with_a_line(intervals: Any) -> None:
    simulated = intervals.covered_metrics()
    known = {one.name.replace("@k", "@10"): one for one in metrics()}
    described = {name for name, one in known.items() if re.search(r"(?<!No )[Ii]nterval", one.doc)}
    assert simulated == described
    families = {known[name].check for name in simulated} - {"drift"}  # that is psi_critical's, below
    assert families == set(LINES)


@pytest.mark.slow
@pytest.mark.parametrize("name", DRIFT_FREE)
@pytest.mark.parametrize("n", [100, 200, 500, 5_000])
def test_about_one_drift_free_window_in_a_hundred_is_past_psi_critical(
    monkeypatch: pytest.MonkeyPatch, name: str, n: int
) -> None:
    """At 1 % the standard error over 2,000 windows is 0.22 points; windows share a reference by twenty."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import power

    (column,) = (one for one in power.COLUMNS if one.name == name)
    assert power.ALPHA == 0.01
    share = power.simulate(column, column.reference, n, WINDOWS, names=("psi",))["psi"]
    assert 0.003 <= share <= 0.02
