"""Every check by segment: each compared with its own rows of the reference, and the worst one named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from in_process import FEEDBACK, PREDICTIONS, SMALL, InProcess, feedback, prediction
from scipy.stats import ks_2samp

from monitor.engine import slices
from monitor.reference.build import build
from monitor.reference.data import Reference
from monitor.reference.profile import ReferenceFile
from monitor.store.results import read_results
from monitor.types import ChecksSpec, ModelSpec, Result
from monitor.web.exposition import SnapshotCollector
from monitor.worst import with_worst_segments

SPEC = replace(
    SMALL, segments=("city",), checks=ChecksSpec(drift=True, quality=True, performance=True, estimate=False)
)


def people(sizes: dict[str, int], seed: int = 1, shift: dict[str, float] | None = None) -> pd.DataFrame:
    """Return rows whose age lies where the city is, and moves where it is told to."""
    rng = np.random.default_rng(seed)
    parts = []
    for i, (city, n) in enumerate(sizes.items()):
        age = rng.normal(20 * (i + 1) + (shift or {}).get(city, 0.0), 3, n).round(2)
        chosen = rng.choice(["0", "1"], n)
        right = rng.random(n) < 0.9 - 0.2 * i
        label = np.where(right, chosen, np.where(chosen == "1", "0", "1"))
        parts.append(pd.DataFrame({"age": age, "city": city, "prediction": chosen, "label": label}))
    return pd.concat(parts, ignore_index=True).assign(plan="gold")


def reference_of(rows: pd.DataFrame, folder: Path, spec: ModelSpec = SPEC) -> Reference:
    rows.to_parquet(folder / "r.parquet")
    with ReferenceFile(folder / "r.parquet").rows(spec) as query:
        return build(query)


def asked(rows: pd.DataFrame, reference: Reference | None, spec: ModelSpec = SPEC) -> list[Result]:
    core = InProcess(spec, reference=reference)
    events = [
        prediction(f"e{i}", i % 60, prediction=r.prediction, features={"age": r.age, "plan": "gold"},
                   segments={"city": r.city})
        for i, r in enumerate(rows.itertuples())
    ]  # fmt: skip
    core.land({PREDICTIONS: events})
    core.land({FEEDBACK: [feedback(f"e{i}", r.label) for i, r in enumerate(rows.itertuples())]})
    core.turn()
    return read_results(core.cursor)


def one(results: list[Result], metric: str, segment: str | None = None, **more: Any) -> Result:
    (found,) = [
        r for r in results
        if r.metric == metric and r.segment == segment and all(getattr(r, k) == v for k, v in more.items())
    ]  # fmt: skip
    return found


CITIES = {"oslo": 400, "rome": 300}


def test_a_segment_is_compared_with_its_own_rows_of_the_reference(tmp_path: Path) -> None:
    before, now = people(CITIES, 1), people({"oslo": 150, "rome": 600}, 2)
    results = asked(now, reference_of(before, tmp_path))
    for city in CITIES:
        mine = one(results, "ks_statistic", f"city={city}", feature="age")
        sides = [rows[rows["city"] == city]["age"] for rows in (before, now)]
        assert mine.value == pytest.approx(ks_2samp(*sides).statistic, abs=1 / 255)
        assert (mine.n, mine.n_reference) == (len(sides[1]), len(sides[0]))
        assert mine.value < 0.13  # nothing has changed in the city
    whole = one(results, "ks_statistic", feature="age")
    assert whole.value is not None and whole.value > 0.3  # there are more people of Rome: composition


def test_the_worst_segment_is_named_on_the_whole(tmp_path: Path) -> None:
    before = people({**CITIES, "bonn": 200}, 1)
    now = people({"oslo": 300, "rome": 300, "bonn": 99}, 2, shift={"rome": 2.0, "bonn": 9.0})
    results = asked(now, reference_of(before, tmp_path))
    drift = one(results, "ks_statistic", feature="age")
    rome = one(results, "ks_statistic", "city=rome", feature="age")
    assert drift.detail["worst_segment"] == {
        "segment": "city=rome", "value": rome.value, "lower": None, "upper": None, "n": 300, "of": 2,
    }  # fmt: skip  # bonn moved further, but has fewer than 100 rows
    accuracy = one(results, "accuracy").detail["worst_segment"]
    rows = now[now["city"] == "rome"]
    assert accuracy["segment"] == "city=rome"
    assert accuracy["value"] == pytest.approx((rows["prediction"] == rows["label"]).mean())
    pvalue = one(results, "ks_pvalue", feature="age").detail["worst_segment"]
    assert pvalue["segment"] == "city=rome"  # of p-values the smallest is worst
    assert "worst_segment" not in one(results, "psi_critical", feature="age").detail
    assert "worst_segment" not in one(results, "row_count").detail


def test_what_small_segments_reach_by_chance_does_not_make_them_the_worst() -> None:
    base = one(asked(people(CITIES), None), "row_count")
    small = replace(base, metric="psi", segment="a=1", value=0.15, n=100, detail={"critical": 0.2})
    large = replace(base, metric="psi", segment="a=2", value=0.12, n=9000, detail={"critical": 0.01})
    whole = replace(base, metric="psi", segment=None, value=0.01)
    (named, *_) = with_worst_segments([whole, small, large])
    assert named.detail["worst_segment"]["segment"] == "a=2"


def test_the_worst_segment_is_a_series_of_its_own(tmp_path: Path) -> None:
    results = asked(people(CITIES, 2, shift={"rome": 2.0}), reference_of(people(CITIES), tmp_path))
    families = {f.name: f for f in SnapshotCollector(results).collect()}
    (sample,) = [
        s for s in families["model_monitor_accuracy_worst_segment"].samples if s.labels["model"] == "credit"
    ]
    assert sample.labels["segment"] == "city=rome"
    assert sample.value == one(results, "accuracy", "city=rome").value
    assert "worst segment" in families["model_monitor_accuracy_worst_segment"].documentation


def test_a_segment_the_reference_hardly_has_is_not_compared_and_says_so(tmp_path: Path) -> None:
    before = people({**CITIES, "bonn": 99}, 1)
    results = asked(people({**CITIES, "bonn": 200}, 2), reference_of(before, tmp_path))
    drift = one(results, "psi", "city=bonn", feature="age")
    assert (drift.state, drift.value) == ("no_reference", None)
    assert drift.detail["reason"] == "the reference has fewer than 100 rows of city=bonn"
    assert one(results, "missing_ratio", "city=bonn", feature="age").value == 0.0
    assert one(results, "accuracy", "city=bonn").state == "ok"


def test_without_labels_or_reference_segments_still_have_what_needs_neither() -> None:
    results = asked(people(CITIES), None)
    assert one(results, "missing_ratio", "city=oslo", feature="age").value == 0.0
    assert one(results, "psi", "city=oslo", feature="age").state == "no_reference"


def test_values_beyond_the_cap_are_counted_and_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "MAX_SEGMENTS", 2)
    now = people({"oslo": 50, "rome": 40, "bonn": 30, "kyiv": 7})
    results = asked(now, None)
    assert {r.segment for r in results} == {None, "city=oslo", "city=rome"}
    left = one(results, "segments_left_out")
    assert (left.value, left.detail) == (2.0, {"city": {"values": 2, "rows": 37}})


def test_all_values_of_a_segment_come_off_the_store_in_one_pass(tmp_path: Path) -> None:
    reference = reference_of(people({f"c{i}": 120 for i in range(12)}), tmp_path)
    few, many = people({"c0": 400, "c1": 400}), people({f"c{i}": 120 for i in range(12)})
    counted = []
    for rows in (few, many):
        core = InProcess(SPEC, reference=reference, has_feedback=False)
        seen: list[str] = []
        core.land({PREDICTIONS: [
            prediction(f"e{i}", 5, features={"age": r.age, "plan": "gold"}, segments={"city": r.city})
            for i, r in enumerate(rows.itertuples())
        ]})  # fmt: skip
        core.cycle.cursor = _Counting(core.cursor, seen)  # type: ignore[assignment]
        core.turn()
        counted.append(sum('"n:age"' in query for query in seen))
    assert counted[0] == counted[1] == 2  # once for the whole, once for all segments


class _Counting:
    """A cursor that remembers the queries it is given."""

    def __init__(self, cursor: Any, seen: list[str]) -> None:
        self._cursor, self._seen = cursor, seen

    def sql(self, query: str, *rest: Any) -> Any:
        self._seen.append(query)
        return self._cursor.sql(query, *rest)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)
