"""Models behind HTTP, asked as their protocols say; the server here speaks each of them over one model."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from explaining import explain_here

from monitor.errors import ExplainError
from monitor.explain.settings import Settings
from monitor.types import Kind

pytestmark = pytest.mark.filterwarnings("ignore")  # of shap's imports
FEATURES: dict[str, Kind] = {"age": "numeric", "plan": "categorical", "debt": "numeric"}
ROWS = pa.table({"age": [40.0, 20.0, 30.0], "plan": ["gold", "free", None], "debt": [1.0, None, 2.0]})
NUMBERS = pa.table({"age": [40.0, 20.0, 30.0], "debt": [1.0, 5.0, 2.0]})


def score(age: float | None, plan: str | None, debt: float | None) -> float:
    """What the server's model says; a missing number is zero to it."""
    return 0.01 * (age or 0.0) + 0.3 * (plan == "gold") - 0.05 * (debt or 0.0)


class Handler(BaseHTTPRequestHandler):
    asked: list[tuple[str, dict[str, str], bytes]]
    broken: str | None = None

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        status, answer = 200, b""
        if self.broken == "redirect":
            status = 307
        elif self.broken:
            answer = self.broken.encode()
        else:
            answer = self.answer(body)
        self.send_response(status)
        if status == 307:
            self.send_header("location", "/elsewhere")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def answer(self, body: bytes) -> bytes:
        if self.path == "/invocations" and self.headers["content-type"] == "text/csv":
            cells = [
                [float(v) if v else None for v in line.split(",")] for line in body.decode().splitlines()
            ]
            return "\n".join(str(score(age, None, debt)) for age, debt in cells).encode()
        given = json.loads(body)
        if self.path.endswith(":predict"):
            rows = [(r["age"], r["plan"], r["debt"]) for r in given["instances"]]
            return json.dumps({"predictions": [[score(*row)] for row in rows]}).encode()
        if self.path.endswith("/infer"):
            tensors = {one["name"]: one for one in given["inputs"]}
            if "input-0" in tensors:
                one = tensors["input-0"]
                matrix = np.array(one["data"], dtype=float).reshape(one["shape"])
                scores = [score(age, None, debt) for age, debt in matrix]
            else:
                assert [tensors[n]["datatype"] for n in ("age", "plan")] == ["FP32", "BYTES"]
                scores = [score(*row) for row in zip(*(tensors[n]["data"] for n in FEATURES), strict=True)]
            labels = {"name": "label", "datatype": "INT64", "shape": [len(scores)], "data": [1] * len(scores)}
            both = [v for s in scores for v in (1 - s, s)]
            probability = {"name": "p", "datatype": "FP32", "shape": [len(scores), 2], "data": both}
            return json.dumps({"outputs": [labels, probability]}).encode()
        split = given["dataframe_split"]
        assert split["columns"] == list(FEATURES)
        return json.dumps({"predictions": [score(*row) for row in split["data"]]}).encode()

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def server() -> Iterator[tuple[str, type[Handler]]]:
    handler = type("Own", (Handler,), {"asked": [], "broken": None})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}", handler
        http.shutdown()
        thread.join()


def settings(kind: str, url: str, **more: Any) -> Settings:
    return Settings(kind, FEATURES, url=url, background=3, **more)


@pytest.mark.parametrize(
    ("kind", "path", "more"),
    [
        ("tensorflow-serving", "/v1/models/m:predict", {}),
        ("open-inference", "/v2/models/m/infer", {"datatype": "FP32"}),
        ("invocations", "/invocations", {}),
    ],
)
def test_features_by_name(server: Any, kind: str, path: str, more: dict[str, Any]) -> None:
    url, handler = server
    found = explain_here(
        settings(kind, url + path, headers={"authorization": "Bearer t"}, **more), ROWS, ROWS
    )
    rows = [(40.0, "gold", 1.0), (20.0, "free", None), (30.0, None, 2.0)]
    scores = np.array([score(*row) for row in rows])
    np.testing.assert_allclose(found.scores[:, 0], scores)
    # of a sum of functions of one feature each, the attribution is its own part less the background's mean
    parts = np.array([[score(a, None, None), score(None, p, None), score(None, None, d)] for a, p, d in rows])
    np.testing.assert_allclose(found.values[:, 0], parts - parts.mean(axis=0), atol=1e-12)
    assert (found.explainer, found.outputs) == ("exact", ("1",))
    assert {headers["authorization"] for _, headers, _ in handler.asked} == {"Bearer t"}


@pytest.mark.parametrize(
    ("kind", "path"), [("open-inference", "/v2/models/m/infer"), ("invocations", "/invocations")]
)
def test_one_matrix(server: Any, kind: str, path: str) -> None:
    url, _ = server
    one = Settings(kind, {"age": "numeric", "debt": "numeric"}, url=url + path, layout="matrix", background=3)
    found = explain_here(one, NUMBERS, NUMBERS)
    expected = [score(a, None, d) for a, d in ((40.0, 1.0), (20.0, 5.0), (30.0, 2.0))]
    np.testing.assert_allclose(found.scores[:, 0], expected)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("redirect", "answered 307"),
        ("not json", "must be JSON"),
        ('{"predictions": [1.0]}', r"no scores for \d+ rows: cannot reshape"),
        ('{"predictions": [NaN]}', "not finite"),
        ('{"outputs": 1}', "no scores"),
    ],
)
def test_an_answer_that_is_none_is_refused(server: Any, broken: str, reason: str) -> None:
    url, handler = server
    handler.broken = broken
    with pytest.raises(ExplainError, match=reason):
        explain_here(settings("invocations", url + "/invocations"), ROWS, ROWS)
    assert {path for path, _, _ in handler.asked} == {"/invocations"}  # no redirect was followed


def test_a_server_that_is_not_there_is_named_by_its_fault() -> None:
    with pytest.raises(ExplainError, match="cannot be asked: ConnectError"):
        explain_here(settings("invocations", "http://127.0.0.1:9/invocations"), ROWS, ROWS)
