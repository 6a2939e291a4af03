"""Models behind HTTP: TensorFlow Serving's REST, the Open Inference Protocol (v2), and ``invocations``.

No code of the model runs here, so this worker alone may use the network; it follows no
redirects and no proxy.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from monitor.errors import ExplainError
from monitor.explain import Floats
from monitor.explain.batch import Batch, canonical, from_table, numbers, part, rows_of
from monitor.explain.models import Fast, class_names, input_names
from monitor.explain.settings import Settings

NEEDS = ("httpx",)

ROWS_PER_REQUEST = 1_000
REQUEST_S, MAX_ANSWER = 60.0, 64 * 1024 * 1024  # seconds and bytes of one answer
MATRIX_NAME = "input-0"


class Remote:
    """A model server. It is asked once when the worker starts, so that a wrong address shows at once."""

    fast: Fast | None = None

    def __init__(self, settings: Settings, rows: pa.Table) -> None:
        import httpx

        self.settings = settings
        self.client = httpx.Client(
            headers=dict(settings.headers), timeout=REQUEST_S, follow_redirects=False, trust_env=False
        )
        self.inputs = input_names(None, 0, settings)
        scores = self.predict(from_table(rows.slice(0, 1), self.inputs)).shape[1]
        self.labels = class_names(None, scores, settings)
        self.units = "probability" if settings.task in ("binary", "multiclass") else "prediction"

    def predict(self, batch: Batch) -> Floats:
        rows = rows_of(batch)
        starts = range(0, rows, ROWS_PER_REQUEST)
        return np.vstack([self._ask(part(batch, at, min(at + ROWS_PER_REQUEST, rows))) for at in starts])

    def _ask(self, batch: Batch) -> Floats:
        write, read = PROTOCOLS[self.settings.kind]
        answer = self._post(write(batch, self.inputs, self.settings))
        try:
            found = np.asarray(read(answer, self.settings), dtype=np.float64).reshape(rows_of(batch), -1)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ExplainError(
                f"the model's answer has no scores for {rows_of(batch)} rows: {error}"
            ) from None
        if not found.size or not np.isfinite(found).all():
            raise ExplainError("the model's answer has scores that are not finite, or none")
        return found

    def _post(self, body: Mapping[str, Any] | str) -> Any:
        """Send JSON, or a text as CSV, and return what comes back in either."""
        import httpx

        content = b""
        kind = "text/csv" if isinstance(body, str) else "application/json"
        sent = body if isinstance(body, str) else json.dumps(body)
        headers = {"content-type": kind, "accept": "application/json"}
        try:
            with self.client.stream("POST", self.settings.url, content=sent, headers=headers) as answer:
                for piece in answer.iter_bytes():
                    content += piece
                    if len(content) > MAX_ANSWER:
                        raise ExplainError("the model's answer is too long")
        except httpx.HTTPError as error:
            raise ExplainError(f"the model cannot be asked: {type(error).__name__}: {error}") from None
        if answer.status_code != 200:
            said = content[:200].decode(errors="replace")
            raise ExplainError(f"the model answered {answer.status_code}: {said}")
        try:
            lines = content.decode().split("\n") if kind == "text/csv" else []
            if lines and not content.lstrip().startswith((b"{", b"[")):
                return [[float(value) for value in line.split(",")] for line in lines if line.strip()]
            return json.loads(content)
        except ValueError:
            raise ExplainError("the model's answer cannot be read; it must be JSON") from None


def _plain(name: str, column: Any) -> list[Any]:
    """Return a column as JSON has it: texts stay, a missing number is null."""
    if column.dtype == object:
        return [canonical(value) for value in column]
    return [None if value != value else float(value) for value in column]


def _rows(batch: Batch, names: Sequence[str], settings: Settings) -> list[Any]:
    if settings.layout == "matrix":
        columns = [_plain(name, numbers(name, batch[name])) for name in names]
        return [list(row) for row in zip(*columns, strict=True)]
    columns = [_plain(name, batch[name]) for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _serving_request(batch: Batch, names: Sequence[str], settings: Settings) -> dict[str, Any]:
    return {"instances": _rows(batch, names, settings)}


def _serving_answer(answer: Any, settings: Settings) -> Any:
    found = answer["predictions"]
    if isinstance(found[0], dict):
        key = settings.output_name or (next(iter(found[0])) if len(found[0]) == 1 else "")
        if key not in found[0]:
            raise ValueError(f"it has several outputs, {sorted(found[0])}; name one in 'output_name'")
        return [row[key] for row in found]
    return found


def _inference_request(batch: Batch, names: Sequence[str], settings: Settings) -> dict[str, Any]:
    rows = rows_of(batch)
    if settings.layout == "matrix":
        flat = [value for row in _rows(batch, names, settings) for value in row]
        shape = [rows, len(names)]
        tensor = {"name": MATRIX_NAME, "shape": shape, "datatype": settings.datatype, "data": flat}
        return {"inputs": [tensor]}
    tensors = []
    for name in names:
        kind = "BYTES" if batch[name].dtype == object else settings.datatype
        data = ["" if v is None and kind == "BYTES" else v for v in _plain(name, batch[name])]
        tensors.append({"name": name, "shape": [rows, 1], "datatype": kind, "data": data})
    return {"inputs": tensors}


def _inference_answer(answer: Any, settings: Settings) -> Any:
    outputs = {str(one["name"]): one for one in answer["outputs"]}
    numeric = [n for n, one in outputs.items() if str(one.get("datatype", "")).startswith("FP")]
    name = settings.output_name or (numeric[0] if len(numeric) == 1 else "")
    if name not in outputs:
        raise ValueError(f"it has the outputs {sorted(outputs)}; name the one of the scores in 'output_name'")
    return np.asarray(outputs[name]["data"], dtype=np.float64).reshape(-1)


def _invocations_request(batch: Batch, names: Sequence[str], settings: Settings) -> dict[str, Any] | str:
    if settings.layout == "matrix":
        rows = _rows(batch, names, settings)
        return "".join(",".join("" if v is None else repr(v) for v in row) + "\n" for row in rows)
    columns = [_plain(name, batch[name]) for name in names]
    listed = [list(row) for row in zip(*columns, strict=True)]
    return {"dataframe_split": {"columns": list(names), "data": listed}}


def _invocations_answer(answer: Any, settings: Settings) -> Any:
    found = answer["predictions"] if isinstance(answer, dict) else answer
    if isinstance(found[0], dict):
        return [[row[settings.output_name]] if settings.output_name else list(row.values()) for row in found]
    return found


Protocol = tuple[
    Callable[[Batch, Sequence[str], Settings], dict[str, Any] | str], Callable[[Any, Settings], Any]
]
PROTOCOLS: dict[str, Protocol] = {
    "tensorflow-serving": (_serving_request, _serving_answer),
    "open-inference": (_inference_request, _inference_answer),
    "invocations": (_invocations_request, _invocations_answer),
}


def load(_: bytes, settings: Settings, rows: pa.Table) -> Remote:
    """Return the client, after the server has answered for one row."""
    return Remote(settings, rows)
