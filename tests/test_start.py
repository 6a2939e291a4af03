"""A start on an existing store: what was stored is served at once, and nothing known is computed again."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
from in_process import NOW_US, InProcess, prediction

import monitor
from monitor import config, references
from monitor.build import plan
from monitor.daemon import Daemon
from monitor.reference.data import LazyBaselines, Reference
from monitor.store.store import Store
from monitor.types import Partition

CONFIG = """
store: {path: store.duckdb}
server: {listen: "127.0.0.1:0"}
scheduler: {tick: 1h}
sources: {events: {kind: files}}
models:
  - name: credit
    task: binary
    predictions: {source: events, path: nothing-yet-*.jsonl}
    features: {age: numeric, plan: categorical}
    reference: {path: reference.parquet}
    window: {size: 1h}
    checks: {drift: {}, quality: {}, estimate: {}}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_reference(tmp_path, seed=1)
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path / "config.yaml"


def write_reference(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    score = np.round(rng.random(600), 3)
    rows = {
        "age": rng.normal(40, 5, 600), "plan": rng.choice(["gold", "tin"], 600), "score": score,
        "prediction": (score >= 0.5).astype(int), "label": (rng.random(600) < score).astype(int),
    }  # fmt: skip
    pd.DataFrame(rows).to_parquet(folder / "reference.parquet")


def reference(path: Path, store: Store | None = None) -> Reference:
    found = plan(config.load(path), store).references["credit"]
    assert found is not None
    return found


def stored(path: Path) -> Store:
    """Return a store that holds results of one window, and so the profile they rest on."""
    world = InProcess.configured(path, path.parent / "store.duckdb")
    events = [prediction(f"e-{i}", i / 10, features={"age": 30 + i % 20, "plan": "gold"}) for i in range(300)]
    (topic,) = world.routes
    world.land({Partition("events", topic, "0"): events})
    world.turn(NOW_US)
    return world.store


def test_the_profile_of_an_unchanged_file_is_not_made_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, store = reference(path), stored(path)
    with monkeypatch.context() as patched:
        patched.setattr(references, "build", lambda *_, **__: pytest.fail("made again"))
        known = reference(path, store)
    assert known.to_json() == made.to_json() and known.learned is not None
    assert isinstance(known.baselines, LazyBaselines) and not known.baselines.known
    assert dict(known.baselines) == dict(made.baselines) != {}  # computed from the file when looked at


def test_a_changed_file_or_another_program_makes_the_profile_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, built = stored(path), []
    really = references.build
    monkeypatch.setattr(references, "build", lambda *a, **k: built.append(1) or really(*a, **k))
    before = reference(path, store)
    assert not built
    write_reference(path.parent, seed=2)
    assert reference(path, store).id != before.id
    assert len(built) == 1
    write_reference(path.parent, seed=1)
    assert reference(path, store).id == before.id
    assert len(built) == 1
    monkeypatch.setattr(monitor, "__version__", "0.0.0")
    assert reference(path, store).id == before.id
    assert len(built) == 2


def test_stored_results_are_served_before_the_first_tick(path: Path) -> None:
    store = stored(path)
    psi = (
        store.cursor()
        .execute("SELECT value FROM results WHERE metric = 'psi' AND feature = 'age'")
        .fetchall()
    )
    store.close()
    daemon = Daemon(config.load(path), lambda: config.load(path))
    daemon.start()
    try:
        body = httpx.get(daemon.server.url + "/metrics").text
        assert daemon.worker.ticks == 0
        assert (
            httpx.get(daemon.server.url + "/-/ready").status_code == 503
        )  # it has not looked for itself yet
    finally:
        daemon.drain()
    (line,) = [x for x in body.splitlines() if x.startswith('model_monitor_feature_psi{feature="age"')]
    assert float(line.rpartition(" ")[2]) == psi[0][0] > 0
