"""The page on adding a metric: its code registers a metric, which a window is then asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from daemon_process import ENVIRONMENT
from pages import DOCS, blocks

from monitor.time import HOUR_US, to_rfc3339

PAGE = DOCS / "add-a-metric.md"
START_US = 1_748_736_000_000_000
CONFIG = """
sources: {logs: {kind: files}}
models:
  - name: credit
    task: regression
    predictions: {source: logs, path: events.jsonl}
    features: {income: numeric}
    reference: {path: reference.parquet}
    window: {size: 1h}
    checks: {drift: {}}
"""
REPLAY = """
import doctest, json, pathlib, sys
import mean_shift
from monitor.build import plan
from monitor.config import load
from monitor.replay import replay
assert doctest.testmod(mean_shift) == (0, 2), "the example of the page"
found = replay(plan(load(pathlib.Path("monitor.yaml")))).results
print(json.dumps({r.metric: r.value for r in found if r.metric.endswith("mean_shift")}))
"""


@pytest.mark.slow
def test_the_metric_of_the_page_is_registered_and_computed(tmp_path: Path) -> None:
    (source,) = [block.text for block in blocks(PAGE) if block.language == "python"]
    (tmp_path / "mean_shift.py").write_text(source)
    (tmp_path / "monitor.yaml").write_text(CONFIG)
    rng = np.random.default_rng(0)
    before, now = rng.normal(50, 10, 500), rng.normal(65, 10, 300)
    pd.DataFrame({"income": before, "prediction": before}).to_parquet(tmp_path / "reference.parquet")
    lines = [
        {"event_id": str(i), "timestamp": to_rfc3339(START_US + i * HOUR_US // 600), "prediction": value,
         "features": {"income": value}}
        for i, value in enumerate(now.tolist())
    ]  # fmt: skip
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = subprocess.run(
        [sys.executable, "-c", REPLAY], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    expected = abs(now.mean() - before.mean()) / before.std()
    assert json.loads(done.stdout.splitlines()[-1]) == pytest.approx(
        {"mean_shift": expected, "prediction_mean_shift": expected}
    )
