"""Column names of CSV and Parquet streams: what ``columns:`` maps arrives as that feature or segment."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from monitor.build import plan
from monitor.config import load
from monitor.replay import replay

CONFIG = """
sources: {logs: {kind: files}}
models:
  - name: credit
    task: binary
    predictions:
      source: logs
      path: scored-*.csv
      columns: {event_id: id, timestamp: at, score: y_proba, features: {age: AGE}, sex: gender}
    features: {age: numeric, plan: categorical}
    reference: {path: reference.parquet}
    window: {size: 1d}
    checks: {quality: {}, fairness: {sensitive: [sex], min_group_size: 1}}
"""


def test_renamed_features_and_sensitive_columns_of_a_table_are_found(tmp_path: Path) -> None:
    day = "2024-10-05T00:00:00Z"
    rows = {"id": ["a", "b", "c"], "at": [day] * 3, "y_proba": [0.2, 0.8, 0.9], "gender": ["F", "M", "M"]}
    rows |= {"AGE": [31, 41, 51], "plan": ["gold", "base", None]}
    pd.DataFrame(rows).to_csv(tmp_path / "scored-1.csv", index=False)
    pd.DataFrame({"age": [30, 40], "plan": ["gold", "base"]}).to_parquet(tmp_path / "reference.parquet")
    (tmp_path / "config.yaml").write_text(CONFIG)
    found = replay(plan(load(tmp_path / "config.yaml"))).results
    missing = {r.feature: r.value for r in found if r.metric == "missing_ratio"}
    rates = {r.group: r.value for r in found if r.metric == "group_selection_rate"}
    assert missing == {"age": 0.0, "plan": 1 / 3}
    assert rates == {"F": 0.0, "M": 1.0}
