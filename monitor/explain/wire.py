"""Messages between the daemon and a worker: a JSON object and raw bytes, both with their length in front.

Nothing is ever unpickled. Rows travel as an Arrow IPC stream to the worker; what comes back from there is not
to be trusted, so that it is JSON and plain little-endian float64, checked for size and shape before use.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from monitor.errors import ExplainError
from monitor.explain import Explained, Floats

HEADER = struct.Struct("<II")  # bytes of JSON, bytes of payload
MAX_JSON = 1 << 22


def pack(head: Mapping[str, Any], payload: bytes = b"") -> bytes:
    """Return one message."""
    text = json.dumps(head).encode()
    return HEADER.pack(len(text), len(payload)) + text + payload


def lengths(header: bytes, most: int) -> tuple[int, int]:
    """Return the sizes that a header announces; a payload has at most ``most`` bytes.

    Raises
    ------
    ExplainError
        When they are beyond what any message has.
    """
    head, payload = HEADER.unpack(header)
    if head > MAX_JSON or payload > most:
        raise ExplainError("the worker's answer is too long")
    return head, payload


def read_head(text: bytes) -> dict[str, Any]:
    """Read the JSON of an answer.

    Raises
    ------
    ExplainError
        When it is no JSON object.
    """
    try:
        head = json.loads(text)
    except (ValueError, RecursionError):
        head = None
    if not isinstance(head, dict):
        raise ExplainError("the worker's answer cannot be read")
    return head


def table_bytes(table: pa.Table) -> bytes:
    """Return a table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def read_table(payload: bytes) -> pa.Table:
    """Read what :func:`table_bytes` wrote."""
    with pa.ipc.open_stream(payload) as reader:
        return reader.read_all()


def explained_message(explained: Explained) -> tuple[dict[str, Any], bytes]:
    """Return head and payload of an answer."""
    head = {
        "ok": True,
        "shape": list(explained.values.shape),
        "features": list(explained.features),
        "outputs": list(explained.outputs),
        "units": explained.units,
        "explainer": explained.explainer,
    }
    parts = (explained.values, explained.base, explained.scores)
    return head, b"".join(np.ascontiguousarray(part, dtype="<f8").tobytes() for part in parts)


def read_explained(head: Mapping[str, Any], payload: bytes, *, rows: int) -> Explained:
    """Read an answer to ``rows`` rows.

    Raises
    ------
    ExplainError
        When it is not what an explanation must be.
    """
    try:
        n, outputs, features = (int(length) for length in head["shape"])
        names = tuple(tuple(str(name) for name in head[key]) for key in ("features", "outputs"))
        units, explainer = str(head["units"]), str(head["explainer"])
    except (KeyError, TypeError, ValueError):
        raise ExplainError("the worker's answer cannot be read") from None
    if not 0 <= n <= rows or (features, outputs) != (len(names[0]), len(names[1])):
        raise ExplainError("the worker's answer has the wrong shape")
    sizes = (n * outputs * features, n * outputs, n * outputs)
    if len(payload) != 8 * sum(sizes):
        raise ExplainError("the worker's answer has the wrong length")
    flat: Floats = np.frombuffer(payload, dtype="<f8").astype(np.float64)
    if not np.isfinite(flat).all():
        raise ExplainError("the explanation has values that are not finite")
    values, base, scores = np.split(flat, np.cumsum(sizes)[:2])
    return Explained(
        values.reshape(n, outputs, features), base.reshape(n, outputs), scores.reshape(n, outputs),
        features=names[0], outputs=names[1], units=units, explainer=explainer,
    )  # fmt: skip
