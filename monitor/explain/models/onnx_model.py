"""ONNX files, run by onnxruntime: a matrix or an input per feature in, scores out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from monitor.errors import ExplainError
from monitor.explain import Floats
from monitor.explain.batch import Batch, canonical, from_table, matrix, numbers, rows_of
from monitor.explain.models import Fast, class_names, input_names
from monitor.explain.settings import Settings

NEEDS = ("onnxruntime",)

_TYPES = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64,
    "tensor(int32)": np.int32, "tensor(bool)": np.bool_, "tensor(float16)": np.float16,
}  # fmt: skip
# ONNX's protobuf numbers: message -> field -> message inside; data_location and external_data of a tensor.
_INSIDE = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14


class Onnx:
    """A session; attributions are computed from outside."""

    fast: Fast | None = None

    def __init__(self, session: Any, settings: Settings, rows: pa.Table) -> None:
        self.session = session
        self.taken = session.get_inputs()
        self.is_matrix = len(self.taken) == 1 and self.taken[0].type != "tensor(string)"
        if self.is_matrix:
            shape = self.taken[0].shape
            width = shape[-1] if len(shape) == 2 and isinstance(shape[-1], int) else 0
            own = [self.taken[0].name] if width == 1 and self.taken[0].name in settings.features else None
            self.inputs = input_names(own, width, settings)
        else:
            self.inputs = tuple(one.name for one in self.taken)
        self.output = self._output(settings)
        found = self._run(from_table(rows.slice(0, 1), self.inputs))
        if isinstance(found, list):  # a map from class to score for each row
            self.labels = class_names([str(canonical(c)) for c in found[0]], len(found[0]), settings)
        else:
            self.labels = class_names(None, 1 if found.ndim < 2 else found.shape[1], settings)
        self.units = "probability" if settings.task in ("binary", "multiclass") else "prediction"

    def _output(self, settings: Settings) -> str:
        outputs = {one.name: one.type for one in self.session.get_outputs()}
        if settings.output_name:
            if settings.output_name not in outputs:
                raise ExplainError(
                    f"the model has no output {settings.output_name!r}; it has {sorted(outputs)}"
                )
            return settings.output_name
        scores = [name for name, kind in outputs.items() if kind.startswith("seq(map")]
        scores += [name for name in outputs if "prob" in name.lower()]
        scores += [name for name, kind in outputs.items() if kind in ("tensor(float)", "tensor(double)")]
        if not scores:
            raise ExplainError("the model has no output of scores; name one in 'output_name'")
        return str(scores[0])

    def _run(self, batch: Batch) -> Any:
        if self.is_matrix:
            one = self.taken[0]
            feed = {one.name: matrix(batch, self.inputs).astype(self._type(one))}
        else:
            feed = {one.name: self._tensor(one, batch) for one in self.taken}
        return self.session.run([self.output], feed)[0]

    def _tensor(self, one: Any, batch: Batch) -> Any:
        column = batch[one.name]
        if one.type == "tensor(string)":
            values: Any = np.array([canonical(v) or "" for v in column], dtype=object)
        else:
            values = numbers(one.name, column).astype(self._type(one))
        return values.reshape(-1, 1) if len(one.shape) == 2 else values

    @staticmethod
    def _type(one: Any) -> Any:
        if one.type not in _TYPES:
            raise ExplainError(
                f"input {one.name!r} is a {one.type}; only tensors of numbers and texts are handed on"
            )
        return _TYPES[one.type]

    def predict(self, batch: Batch) -> Floats:
        found = self._run(batch)
        if isinstance(found, list):
            found = [list(row.values()) for row in found]
        return np.asarray(found, dtype=np.float64).reshape(rows_of(batch), -1)


def load(data: bytes, settings: Settings, rows: pa.Table) -> Onnx:
    """Open a session on the bytes.

    Raises
    ------
    ExplainError
        When weights lie in other files: the hash would not cover them.
    """
    import onnxruntime

    if any(_external(memoryview(data), "model")):
        raise ExplainError(
            "the model keeps weights in other files; save it as a single one (no external data)"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return Onnx(session, settings, rows)


def _external(message: memoryview, kind: str) -> Iterator[bool]:
    """Yield True for every tensor in a protobuf message whose data is elsewhere."""
    for field, value in _fields(message):
        if kind == "tensor":
            yield field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value == 1)
        elif isinstance(value, memoryview) and field in _INSIDE[kind]:
            yield from _external(value, _INSIDE[kind][field])


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Yield the fields of a protobuf message: numbers, and what has a length."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
        elif wire == 2:
            length, at = _varint(message, at)
            yield tag >> 3, message[at : at + length]
            at += length
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            raise ExplainError("the file is no ONNX model")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ExplainError("the file is no ONNX model")
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
