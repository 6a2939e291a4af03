"""A model in the configuration: ``check`` tries it, ``replay`` asks it, and a bad one harms nothing else."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from daemon_process import ENVIRONMENT, command
from explaining import FEATURES, people, tree_shap, truth
from test_explain_worker import mischief

__all__ = ["mischief"]
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

CONFIG = """
store: {{path: unused.duckdb, retention: 36500d}}
sources: {{files: {{kind: files, idle_timeout: 1s}}}}
models:
  - name: credit
    task: binary
    predictions: {{source: files, path: "events.jsonl"}}
    features: {{age: numeric, plan: categorical, income: numeric, member: boolean}}
    reference: {{path: reference.parquet}}
    window: {{size: 1h, lateness: 0s}}
    checks:
      quality: {{}}
      explain: {explain}
"""


def prepare(folder: Path, explain: dict[str, Any]) -> list[str]:
    """Write events of one window, a reference and the configuration; return the arguments naming it."""
    frame, reference = people(1), people(2)
    with (folder / "events.jsonl").open("w") as file:
        for i, row in enumerate(frame[list(FEATURES)].to_dict("records")):
            given = {name: None if value != value else value for name, value in row.items()}
            event = {"event_id": f"e{i}", "timestamp": f"2026-01-01T00:{i % 60:02d}:00Z", "prediction": "1"}
            file.write(json.dumps({**event, "features": given}) + "\n")
        late = {"event_id": "late", "timestamp": "2026-01-01T05:00:00Z", "prediction": "1", "features": given}
        file.write(json.dumps(late) + "\n")
    reference[list(FEATURES)].to_parquet(folder / "reference.parquet")
    (folder / "config.yaml").write_text(CONFIG.format(explain=json.dumps(explain)))
    return ["-c", str(folder / "config.yaml")]


def replayed(folder: Path, words: list[str]) -> list[dict[str, Any]]:
    done = command("replay", *words, "--output", str(folder / "results.jsonl"))
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    return [row for row in rows if row["window_start"] == "2026-01-01T00:00:00Z"]


def test_a_window_is_explained_by_the_model_of_the_configuration(tmp_path: Path) -> None:
    import lightgbm

    train = people(0)
    mixed = train[list(FEATURES)].astype({"plan": "category"})
    options = {"objective": "binary", "verbose": -1, "num_threads": 1, "min_data_per_group": 5}
    booster = lightgbm.train(options, lightgbm.Dataset(mixed, truth(train)), 6)
    booster.save_model(tmp_path / "model.txt")
    digest = hashlib.sha256((tmp_path / "model.txt").read_bytes()).hexdigest()
    model = {"kind": "lightgbm", "path": "model.txt", "sha256": digest}
    words = prepare(tmp_path, {"model": model})
    assert command("check", *words).returncode == 0
    rows = replayed(tmp_path, words)
    window = people(1)[list(FEATURES)]
    codes = window.assign(plan=np.searchsorted(["free", "gold", "silver"], window["plan"]))
    direct, _ = tree_shap(booster, codes.astype(float).to_numpy())
    found = {r["feature"]: r["value"] for r in rows if r["metric"] == "attribution_mean_abs"}
    expected = dict(zip(FEATURES, np.abs(direct).mean(axis=0), strict=True))
    assert found == pytest.approx(expected, rel=1e-6)

    wrong = prepare(tmp_path, {"model": model | {"sha256": "0" * 64}})
    done = command("check", *wrong)
    assert done.returncode == 1
    assert f"sha256 is {digest}, not the configured {'0' * 64}; it is not loaded" in done.stderr.replace(
        "\n", " "
    )


def test_a_model_that_hangs_leaves_the_other_metrics_as_they_are(
    tmp_path: Path, mischief: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = os.pathsep.join([str(tmp_path), ENVIRONMENT["PYTHONPATH"]])  # where the pickle's module is
    monkeypatch.setitem(ENVIRONMENT, "PYTHONPATH", paths)
    path = mischief(("hang",))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    model = {"kind": "sklearn-joblib", "path": str(path), "sha256": digest, "allow_pickle": True}
    rows = replayed(tmp_path, prepare(tmp_path, {"model": model, "deadline": "6s"}))
    explained = [r for r in rows if r["metric"].startswith("attribution_")]
    assert {r["state"] for r in explained} == {"failed"}
    assert {r["detail"]["error"] for r in explained} == {"no answer by the deadline"}
    others = [
        r for r in rows if not r["metric"].startswith("attribution_") and "attribution" not in r["metric"]
    ]
    assert {r["state"] for r in others if r["metric"] == "missing_ratio"} == {"ok"}
