"""Explanation metrics of whole windows: logged attributions against direct computation from the raw rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from in_process import PREDICTIONS, SMALL, InProcess, prediction
from sklearn.metrics import ndcg_score
from streams import START_US

from monitor.reference.profile import Reference
from monitor.store.results import read_results
from monitor.summaries.attributions import AttributionSummary, spread_keys
from monitor.types import ChecksSpec, Result

CHECKS = ChecksSpec(explain=True, logged_attributions=True)
SPEC = replace(SMALL, checks=CHECKS, segments=("plan",))
METRICS = ("attribution_mean_abs", "attribution_share", "attribution_mean")


def frame(n: int, seed: int = 0) -> pd.DataFrame:
    """Draw attributions of two features, some missing, with a version and a segment for each row."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({"age": rng.normal(0.3, 1, n), "plan": rng.exponential(0.2, n)})
    rows.loc[rng.random(n) < 0.1, "age"] = np.nan
    rows["version"], rows["kind"] = rng.choice(["1", "2"], n), rng.choice(["gold", "tin"], n)
    return rows


def known(rows: pd.DataFrame) -> Reference:
    """Return a reference that knows nothing but attributions."""
    values = rows[["age", "plan"]].to_numpy()[:, None, :]
    summary = AttributionSummary.lift(spread_keys(len(rows)), values, features=("age", "plan"), outputs=("",))
    return Reference("r", len(rows), {}, attributions=summary)


def asked(rows: pd.DataFrame, reference: Reference | None = None, spec: Any = SPEC) -> list[Result]:
    """Land the rows as events of one window, ask it, and return its results."""
    core = InProcess(spec, reference=reference, has_feedback=False)
    events = []
    for i, row in enumerate(rows.to_dict("records")):
        given = {n: row[n] for n in ("age", "plan") if not (isinstance(row[n], float) and np.isnan(row[n]))}
        features = {"age": 1, "plan": row["kind"]}
        events.append(
            prediction(f"e{i}", i % 60, version=row["version"], features=features, attributions=given)
        )
    core.land({PREDICTIONS: events})
    core.turn(START_US + 3600_000_000 + 1)
    return [r for r in read_results(core.cursor) if r.metric.startswith(("attribution", "drifted_attr"))]


def of(results: Sequence[Result], metric: str, **labels: str) -> Result:
    """Return the one result with exactly these labels."""
    names = ("version", "feature", "group", "segment")
    wanted = {"version": "*", "feature": None, "group": None, "segment": None} | labels
    found = [r for r in results if r.metric == metric and all(getattr(r, n) == wanted[n] for n in names)]
    assert len(found) == 1, (metric, labels, found)
    return found[0]


def expected(rows: pd.DataFrame) -> dict[tuple[str, str], float]:
    size = rows[["age", "plan"]].abs().mean()
    columns = zip(METRICS, (size, size / size.sum(), rows[["age", "plan"]].mean()), strict=True)
    return {(metric, name): column[name] for metric, column in columns for name in ("age", "plan")}


def test_logged_attributions_equal_pandas_on_the_raw_rows_of_every_slice() -> None:
    rows, reference = frame(3000), frame(2000, 1)
    results = asked(rows, known(reference))
    slices = {("*", None): rows}
    slices |= {(v, None): rows[rows["version"] == v] for v in ("1", "2")}
    slices |= {("*", f"plan={k}"): rows[rows["kind"] == k] for k in ("gold", "tin")}
    for (version, segment), some in slices.items():
        labels: dict[str, Any] = {"version": version, "segment": segment}
        for (metric, feature), value in expected(some).items():
            found = of(results, metric, feature=feature, **labels)
            assert found.value == pytest.approx(value, rel=1e-12), (metric, feature, labels)
            assert found.n == some[feature].count() and found.lower < found.value < found.upper  # type: ignore[operator]
        old, new = reference[["age", "plan"]].abs().mean(), some[["age", "plan"]].abs().mean()
        distance = (old / old.sum() - new / new.sum()).abs().sum() / 2
        assert of(results, "attribution_distance", **labels).value == pytest.approx(distance, rel=1e-12)
        order = ndcg_score([old.to_numpy()], [new.to_numpy()])
        assert of(results, "attribution_ndcg", **labels).value == pytest.approx(order, rel=1e-12)
    shown = of(results, "attribution_share", feature="age").detail["reference_value"]
    assert shown == pytest.approx(old["age"] / old.sum())


def test_several_classes_are_pooled_and_each_asked_for_itself() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(400, 2, 3))  # features, classes
    rows = pd.DataFrame({"version": ["1"] * 400, "kind": ["tin"] * 400})
    for j, name in enumerate(("age", "plan")):
        rows[name] = [dict(zip("abc", row, strict=True)) for row in values[:, j].tolist()]
    spec = replace(SPEC, task="multiclass", segments=())
    results = asked(rows, spec=spec)
    size = np.abs(values).mean(axis=0)
    for j, name in enumerate(("age", "plan")):
        found = of(results, "attribution_mean_abs", feature=name).value
        assert found == pytest.approx(np.abs(values[:, j]).mean())
        for c, group in enumerate("abc"):
            share = of(results, "attribution_share", feature=name, group=group).value
            assert share == pytest.approx(size[j, c] / size[:, c].sum())
            mean = of(results, "attribution_mean", feature=name, group=group).value
            assert mean == pytest.approx(values[:, j, c].mean())
    assert not [r for r in results if r.metric == "attribution_mean" and r.group is None]
    assert of(results, "attribution_ndcg", group="b").state == "no_reference"


def test_events_without_attributions_have_no_numbers_and_a_reason() -> None:
    rows = frame(20)
    rows[["age", "plan"]] = np.nan
    results = asked(rows, known(frame(50)))
    assert {r.state for r in results} == {"insufficient_samples"}
    assert of(results, "attribution_share", feature="age").detail["reason"].startswith("no row")
