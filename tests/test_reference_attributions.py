"""Attributions in reference files: from which columns they are taken, and what becomes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from monitor import config
from monitor.build import plan
from monitor.reference.build import build
from monitor.reference.profile import Reference, ReferenceFile
from monitor.summaries.attributions import AttributionSummary
from monitor.types import ChecksSpec, Kind, ModelSpec, Task, WindowSpec

FEATURES: dict[str, Kind] = {"age": "numeric", "a/b~'c": "categorical"}
ROWS = [{"age": 0.5, "a/b~'c": -1.0}, {"age": -1.5, "a/b~'c": None}, {"age": None, "a/b~'c": 3.0}]


def summary(path: Path, columns: dict[str, str] | None = None, task: Task = "binary") -> AttributionSummary:
    found = read(ReferenceFile(path, columns=columns), FEATURES, task)
    assert found is not None
    return found


def read(file: ReferenceFile, features: dict[str, Kind], task: Task = "binary") -> AttributionSummary | None:
    """Return the attributions of a file's profile, for a model whose events carry theirs."""
    checks = ChecksSpec(explain=True, logged_attributions=True)
    with file.rows(ModelSpec("m", task, features, WindowSpec(1, 1, 0, 0), checks)) as query:
        return build(query).attributions


def files(folder: Path) -> dict[str, Path]:
    """Write the same attributions as a struct, as a map and as JSON Lines."""
    struct = pa.array(ROWS, pa.struct([(name, pa.float64()) for name in FEATURES]))
    maps = pa.array([list(row.items()) for row in ROWS], pa.map_(pa.string(), pa.float64()))
    paths = {name: folder / f"{name}.parquet" for name in ("struct", "map")}
    for name, column in {"struct": struct, "map": maps}.items():
        pq.write_table(pa.table({"age": [1, 2, 3], "a/b~'c": ["x"] * 3, "attributions": column}), paths[name])
    paths["jsonl"] = folder / "rows.jsonl"
    pd.DataFrame({"age": [1, 2, 3], "a/b~'c": "x", "attributions": ROWS}).to_json(
        paths["jsonl"], orient="records", lines=True
    )
    return paths


def test_a_column_of_all_attributions_may_be_a_struct_a_map_or_json(tmp_path: Path) -> None:
    for name, path in files(tmp_path).items():
        found = summary(path)
        np.testing.assert_allclose(found.mean_abs, [[1.0, 2.0]], err_msg=name)
        np.testing.assert_allclose(found.mean, [[-0.5, 1.0]])
        assert found.counts.sum(axis=0).tolist() == [[2, 2]]


def test_a_column_a_feature_is_mapped_and_no_feature_itself(tmp_path: Path) -> None:
    pd.DataFrame({"age": [1.0, 2.0], "shap_age": [0.25, -0.75]}).to_csv(tmp_path / "r.csv", index=False)
    file = ReferenceFile(tmp_path / "r.csv", columns={"attributions.age": "shap_age"})
    assert file.infer() == {"age": "numeric"}
    found = read(file, {"age": "numeric"}, "regression")
    assert found is not None and found.mean_abs.tolist() == [[0.5]] and found.features == ("age",)


def test_of_several_classes_each_has_its_own(tmp_path: Path) -> None:
    rows = [{"age": {"x": 1.0, "0": -2.0}}, {"age": {"x": 3.0}}]
    maps = pa.array(
        [[(k, list(v.items())) for k, v in row.items()] for row in rows],
        pa.map_(pa.string(), pa.map_(pa.string(), pa.float64())),
    )
    pq.write_table(pa.table({"age": [1.0, 2.0], "attributions": maps}), tmp_path / "r.parquet")
    found = read(ReferenceFile(tmp_path / "r.parquet"), {"age": "numeric"}, "multiclass")
    assert found is not None and found.outputs == ("0", "x")
    np.testing.assert_allclose(found.mean_abs, [[2.0], [2.0]])


def test_a_file_without_attributions_has_none(tmp_path: Path) -> None:
    pd.DataFrame({"age": [1.0]}).to_csv(tmp_path / "r.csv", index=False)
    assert read(ReferenceFile(tmp_path / "r.csv"), {"age": "numeric"}) is None


def test_a_stored_reference_keeps_them_to_the_bit(tmp_path: Path) -> None:
    one = Reference("r", 3, {}, attributions=summary(files(tmp_path)["struct"]))
    again = Reference.from_json(one.to_json()).attributions
    assert again is not None and one.attributions is not None
    assert again.to_bytes() == one.attributions.to_bytes()


CONFIG = """
sources: {events: {kind: memory}}
models:
  - name: credit
    task: binary
    predictions: {source: events, topic: p}
    reference: {path: r.csv, columns: {attributions: {age: shap_age}}}
    window: {size: 1h}
    checks: {explain: {}}
    alerts: [{name: order, metric: attribution_ndcg, below: 0.9}]
"""


@pytest.mark.parametrize("there", [True, False])
def test_a_configuration_without_a_model_takes_logged_attributions(tmp_path: Path, there: bool) -> None:
    columns = {"age": [1.0, 2.0], "shap_age": [0.25, -0.75]}
    pd.DataFrame(columns).to_csv(tmp_path / "r.csv", index=False)
    text = (
        CONFIG
        if there
        else CONFIG.replace("{path: r.csv, columns: {attributions: {age: shap_age}}}", "{path: r.csv}")
    )
    (tmp_path / "c.yaml").write_text(text)
    the_plan = plan(config.load(tmp_path / "c.yaml"))
    reference = the_plan.references["credit"]
    assert the_plan.specs[0].checks.logged_attributions and reference is not None
    assert (reference.attributions is not None) == there
    assert list(the_plan.specs[0].features) == (["age"] if there else ["age", "shap_age"])
