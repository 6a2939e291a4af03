"""Seconds per 1,000 explained rows by kind of model, in the worker and by plain shap; ingest beside it.

    python benchmarks/explain.py [--json] [--rows 1000]
    python benchmarks/explain.py --ingest [--json]

20 numeric features. *worker* is a request to a running worker, from the rows in this process to the
attributions back in it; *start* is the worker's first answer, imports included. *shap* is the explainer
called in a fresh process on the same rows with the same background, after one row to warm up. Models
that are asked from outside explain fewer rows (``--outside``), scaled up. ``--ingest`` lands events in a
store by one thread while another keeps a worker explaining, and compares with the same without.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from monitor.explain.client import WorkerExplainer
from monitor.explain.settings import Settings
from monitor.store.landing import Route, land
from monitor.store.store import Store
from monitor.types import RAW_SCHEMA, Kind, ModelSpec, Partition, Position, RawBatch, WindowSpec

FEATURES: dict[str, Kind] = {f"n{i}": "numeric" for i in range(20)}
BACKGROUND, MEMORY, DEADLINE_S, REPEATS = 100, 2_000_000_000, 600.0, 5
OUTSIDE = ("mlp", "onnx")
EVENTS, BATCHES = 20_000, 20


def data(rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, len(FEATURES)))


def train(name: str) -> Any:
    """Fit a model of usual size on 5,000 rows."""
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    x = data(5_000, 1)
    y = (x[:, 0] * x[:, 1] + x[:, 2] > 0).astype(int)
    if name == "lightgbm":
        import lightgbm

        options = {"objective": "binary", "verbose": -1, "num_threads": 1}
        return lightgbm.train(options, lightgbm.Dataset(x, y, feature_name=list(FEATURES)), 100)
    if name == "xgboost":
        import xgboost

        options = {"objective": "binary:logistic", "max_depth": 6, "nthread": 1}
        return xgboost.train(options, xgboost.DMatrix(x, y, feature_names=list(FEATURES)), 100)
    if name == "catboost":
        import catboost

        model = catboost.CatBoostClassifier(
            iterations=100, verbose=0, thread_count=1, allow_writing_files=False
        )
        return model.fit(x, y)
    made: dict[str, Any] = {
        "gradient boosting": GradientBoostingClassifier(n_estimators=100, max_depth=3),
        "random forest": RandomForestClassifier(100, max_depth=8, random_state=0),
        "linear": LogisticRegression(max_iter=1000),
        "mlp": MLPClassifier((32,), max_iter=30, random_state=0),
        "onnx": RandomForestClassifier(100, max_depth=8, random_state=0),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return made[name].fit(x, y)


NAMES = ("lightgbm", "xgboost", "catboost", "gradient boosting", "random forest", "linear", *OUTSIDE)
KINDS = {"lightgbm": "lightgbm", "xgboost": "xgboost", "catboost": "catboost", "onnx": "onnx"}


def save(name: str, folder: Path) -> tuple[str, Path]:
    """Write the model and return its kind and file."""
    model, kind = train(name), KINDS.get(name, "sklearn-joblib")
    path = folder / f"{name.replace(' ', '-')}.{'json' if kind == 'xgboost' else 'bin'}"
    if kind == "onnx":
        from skl2onnx import to_onnx

        onnx = to_onnx(model, data(1, 0).astype(np.float32), options={"zipmap": False})
        path.write_bytes(onnx.SerializeToString())
    elif kind == "sklearn-joblib":
        import joblib

        joblib.dump(model, path)
    else:
        model.save_model(str(path))
    return kind, path


def settings_of(kind: str, path: Path) -> Settings:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Settings(kind, FEATURES, path=str(path), sha256=digest, allow_pickle=True, background=BACKGROUND)


def table(rows: np.ndarray) -> pa.Table:
    return pa.table({name: rows[:, i] for i, name in enumerate(FEATURES)})


def in_worker(kind: str, path: Path, rows: int) -> dict[str, float]:
    """Return seconds of the worker's start and of explaining ``rows`` rows, the median of some."""
    explainer = WorkerExplainer(settings_of(kind, path), table(data(BACKGROUND, 2)), memory_bytes=MEMORY)
    begun = time.perf_counter()
    explainer.explain(table(data(1, 3)), deadline_s=DEADLINE_S)
    start_s, times = time.perf_counter() - begun, []
    for repeat in range(REPEATS):
        asked = table(data(rows, 10 + repeat))
        begun = time.perf_counter()
        found = explainer.explain(asked, deadline_s=DEADLINE_S)
        times.append(time.perf_counter() - begun)
        assert len(found.values) == rows
    explainer.close()
    return {"start_s": start_s, "seconds": statistics.median(times)}


def plain(kind: str, path: Path, rows: int) -> float:
    """Return the median seconds of shap alone; for a process of its own, as nice as the worker."""
    os.nice(10)
    warnings.simplefilter("ignore")
    import shap

    background, answer = data(BACKGROUND, 2), _plain_predict(kind, path)
    explain: Callable[[np.ndarray], Any]
    if isinstance(answer, tuple):
        explainer = shap.TreeExplainer(answer[0])
        explain = explainer.shap_values
    elif hasattr(answer, "coef_"):
        explainer = shap.LinearExplainer(answer, shap.maskers.Independent(background, max_samples=BACKGROUND))
        explain = explainer.shap_values
    else:
        masker = shap.maskers.Independent(background, max_samples=BACKGROUND)
        outside = shap.PermutationExplainer(answer, masker, seed=0)

        def explain(x: np.ndarray) -> Any:
            return outside(x, max_evals=500, silent=True)

    explain(data(1, 3))
    times = []
    for repeat in range(REPEATS):
        asked = data(rows, 10 + repeat)
        begun = time.perf_counter()
        explain(asked)
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def _plain_predict(kind: str, path: Path) -> Any:
    """Return a tree ensemble in a tuple, a linear model, or a function of rows."""
    if kind == "onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(path.read_bytes(), options)
        name = session.get_inputs()[0].name
        return lambda x: session.run(["probabilities"], {name: x.astype(np.float32)})[0][:, 1]
    if kind == "sklearn-joblib":
        import joblib

        model = joblib.load(path)
        if type(model).__name__ == "MLPClassifier":
            return lambda x: model.predict_proba(x)[:, 1]
        return model if hasattr(model, "coef_") else (model,)
    if kind == "lightgbm":
        import lightgbm

        return (lightgbm.Booster(model_file=str(path)),)
    if kind == "xgboost":
        import xgboost

        return (xgboost.Booster(model_file=str(path)),)
    import catboost

    return (catboost.CatBoostClassifier().load_model(str(path)),)


def by_kind(folder: Path, rows: int, outside: int) -> list[dict[str, Any]]:
    found = []
    for name in NAMES:
        kind, path = save(name, folder)
        asked = outside if name in OUTSIDE else rows
        ours = in_worker(kind, path, asked)
        words = [sys.executable, __file__, "--plain", kind, str(path), "--rows", str(asked)]
        done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment())
        direct_s = float(done.stdout)
        scale = 1000 / asked
        found.append(
            {
                "model": name, "rows": asked, "start_s": round(ours["start_s"], 2),
                "worker_s_per_1000": round(ours["seconds"] * scale, 3),
                "shap_s_per_1000": round(direct_s * scale, 3), "ratio": round(ours["seconds"] / direct_s, 2),
            }
        )  # fmt: skip
    return found


def environment() -> dict[str, str]:
    """Return this process's environment with one thread, as the worker has."""
    return {**os.environ, **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}}


def ingest(folder: Path) -> dict[str, Any]:
    """Land batches alternately with a worker at rest and one that explains all the time."""
    kind, path = save("random forest", folder)
    explainer = WorkerExplainer(settings_of(kind, path), table(data(BACKGROUND, 2)), memory_bytes=MEMORY)
    explainer.explain(table(data(1, 3)), deadline_s=DEADLINE_S)
    hour_us = 3_600_000_000
    spec = ModelSpec("m", "binary", FEATURES, WindowSpec(hour_us, hour_us, 0, 0))
    store = Store(folder / "store.duckdb")
    store.register(spec)
    cursor, routes = store.cursor(), {"p": [Route(spec, frozenset({"prediction"}))]}
    running, stopped, explained = threading.Event(), threading.Event(), 0

    def explain() -> None:
        nonlocal explained
        while not stopped.is_set():
            if not running.wait(0.1):
                continue
            explainer.explain(table(data(500, 100 + explained)), deadline_s=DEADLINE_S)
            explained += 1

    thread = threading.Thread(target=explain)
    thread.start()
    times: dict[bool, list[float]] = {False: [], True: []}
    for i in range(BATCHES):
        beside = i % 2 == 1
        (running.set if beside else running.clear)()
        batch = events(i)
        time.sleep(0.5)  # the explanation under way ends, or the next begins
        begun = time.perf_counter()
        land(store, cursor, batch, routes, now_us=1_767_225_600_000_000 + hour_us)
        times[beside].append(time.perf_counter() - begun)
    running.set()
    stopped.set()
    thread.join()
    explainer.close()
    store.close()
    alone, beside_s = (statistics.median(times[key][1:]) for key in (False, True))
    return {
        "events_per_s_alone": round(EVENTS / alone),
        "events_per_s_while_explaining": round(EVENTS / beside_s),
        "ratio": round(alone / beside_s, 3), "explanations": explained,
    }  # fmt: skip


def events(number: int) -> RawBatch:
    values = data(EVENTS, number).round(4)
    lines = []
    for i, row in enumerate(values):
        event = {
            "event_id": f"e{number}-{i}", "timestamp": "2026-01-01T00:00:00Z", "prediction": "1",
            "features": dict(zip(FEATURES, row.tolist(), strict=True)),
        }  # fmt: skip
        lines.append(json.dumps(event).encode())
    one = Partition("events", "p", "0")
    offsets = range(number * EVENTS, (number + 1) * EVENTS)
    records = pa.table([[0] * EVENTS, offsets, [None] * EVENTS, lines], schema=RAW_SCHEMA)
    return RawBatch((one,), records, {one: Position((number + 1) * EVENTS)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--outside", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--ingest", action="store_true")
    parser.add_argument("--plain", nargs=2, metavar=("KIND", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain:
        print(plain(options.plain[0], Path(options.plain[1]), options.rows))
        return
    with tempfile.TemporaryDirectory() as folder:
        found: Any = (
            ingest(Path(folder)) if options.ingest else by_kind(Path(folder), options.rows, options.outside)
        )
    if options.json:
        print(json.dumps({"benchmark": "explain", "results": found}))
        return
    for row in [found] if options.ingest else found:
        print("  ".join(f"{key}: {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
