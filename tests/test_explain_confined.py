"""A model of every kind, in the real confined worker, is explained as in a process that may do anything."""

from __future__ import annotations

import io
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explaining import BACKGROUND, NUMBERS, explain_here, people, rows_of, settings_of, truth
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from monitor.explain.client import WorkerExplainer
from monitor.explain.settings import Settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
]  # of the libraries whose models these are
FRAME = people()[list(NUMBERS)].fillna(0.0)
Y = truth(people())
ROWS = rows_of(FRAME, NUMBERS)
BACK = ROWS.slice(0, BACKGROUND)
MEMORY, DEADLINE_S = 2_000_000_000, 120.0


def forest() -> GradientBoostingClassifier:
    return GradientBoostingClassifier(n_estimators=5, random_state=0).fit(FRAME, Y)


def joblib_file(path: Path) -> Settings:
    import joblib

    sink = io.BytesIO()
    joblib.dump(forest(), sink)
    return settings_of("sklearn-joblib", sink.getvalue(), path, NUMBERS)


def skops_file(path: Path) -> Settings:
    import skops.io

    data = skops.io.dumps(forest())
    trusted = tuple(skops.io.get_untrusted_types(data=data))
    return settings_of("sklearn-skops", data, path, NUMBERS, trusted=trusted)


def lightgbm_file(path: Path) -> Settings:
    import lightgbm

    model = lightgbm.train(
        {"objective": "binary", "verbosity": -1, "num_threads": 1}, lightgbm.Dataset(FRAME, Y), 5
    )
    return settings_of("lightgbm", model.model_to_string().encode(), path, NUMBERS)


def xgboost_file(path: Path) -> Settings:
    import xgboost

    model = xgboost.train({"objective": "binary:logistic", "nthread": 1}, xgboost.DMatrix(FRAME, Y), 5)
    return settings_of("xgboost", bytes(model.save_raw("json")), path, NUMBERS)


def catboost_file(path: Path) -> Settings:
    import catboost

    model = catboost.CatBoostClassifier(
        iterations=5, verbose=False, allow_writing_files=False, thread_count=1
    )
    model.fit(FRAME, Y)
    model.save_model(str(path))
    return settings_of("catboost", path.read_bytes(), path, NUMBERS)


def onnx_file(path: Path) -> Settings:
    from skl2onnx import to_onnx

    model = LogisticRegression().fit(FRAME.to_numpy(), Y)
    data = to_onnx(
        model, FRAME.to_numpy()[:1].astype(np.float32), options={"zipmap": False}
    ).SerializeToString()
    return settings_of("onnx", data, path, NUMBERS)


@pytest.mark.parametrize(
    "make", [joblib_file, skops_file, lightgbm_file, xgboost_file, catboost_file, onnx_file]
)
def test_files_are_explained_alike_in_and_out_of_the_worker(
    tmp_path: Path, make: Callable[[Path], Settings]
) -> None:
    settings = make(tmp_path / "model")
    assert_alike(settings, explain_here(settings, ROWS.slice(0, 30), BACK))


def test_a_folder_of_mlflow_is_explained_in_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    monkeypatch.chdir(tmp_path)
    signature = mlflow.models.infer_signature(FRAME, Y)
    mlflow.sklearn.save_model(
        forest(), tmp_path / "m", signature=signature, pip_requirements=[], serialization_format="pickle"
    )
    listed = "find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
    digest = subprocess.run(listed, shell=True, cwd=tmp_path / "m", capture_output=True, check=True).stdout
    settings = Settings(
        "mlflow", NUMBERS, path=str(tmp_path / "m"), sha256=digest.decode().split()[0], allow_pickle=True,
        background=BACKGROUND,
    )  # fmt: skip
    assert_alike(settings, explain_here(joblib_file(tmp_path / "same"), ROWS.slice(0, 30), BACK))


class Served(BaseHTTPRequestHandler):
    """``invocations``: the sum of a row's numbers, squeezed into a score."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        rows = asked["dataframe_split"]["data"] if "dataframe_split" in asked else asked["instances"]
        answer = json.dumps({"predictions": [float(np.tanh(row[0] / 100)) for row in rows]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Served) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_address[1]}/invocations"
        http.shutdown()


def test_a_remote_model_is_asked_from_the_worker(url: str) -> None:
    settings = Settings("invocations", NUMBERS, url=url, background=BACKGROUND)
    assert_alike(settings, explain_here(settings, ROWS.slice(0, 30), BACK))


def assert_alike(settings: Settings, expected: Any) -> None:
    worker = WorkerExplainer(settings, BACK, memory_bytes=MEMORY)
    try:
        found = worker.explain(ROWS.slice(0, 30), deadline_s=DEADLINE_S)
    finally:
        worker.close()
    assert (found.features, found.outputs) == (expected.features, expected.outputs)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.base + found.values.sum(axis=2), found.scores, rtol=1e-4, atol=1e-5)
    assert np.abs(found.values).max() > 0
