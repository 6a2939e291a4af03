"""Explanations in the store: rows of the newest windows for pictures, and what was said of references.

Rows are kept for so many windows only, and so many of each; they serve pictures, no number is made of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from monitor.store.store import Cursor
from monitor.types import Window

KEPT_WINDOWS = 48  # of a model: with 500 rows and 20 features about 8 MB
KEPT_ROWS, KEPT_CELLS = 500, 200_000
KEPT_REFERENCES = 20  # of a model

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ExplainedRows:
    """Rows of one window with their features and attributions.

    Parameters
    ----------
    values
        A column for each numeric (float64) and categorical (string) feature, n rows.
    attributions
        float64[n, outputs, features], NaN where a row has none.
    features, outputs
        Names of its axes; a model with one output has the output ``""``.
    units
        What attributions are measured in; empty where the log does not say.
    """

    values: pa.Table
    attributions: Floats
    features: tuple[str, ...]
    outputs: tuple[str, ...]
    units: str = ""

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.attributions)

    def bounded(self) -> Self:
        """Return the first rows, as many as are kept."""
        _, outputs, features = self.attributions.shape
        k = max(min(KEPT_ROWS, KEPT_CELLS // max(outputs * features, 1)), 1)
        return type(self)(
            self.values.slice(0, k), self.attributions[:k], self.features, self.outputs, self.units
        )

    def to_bytes(self) -> bytes:
        """Return an Arrow IPC stream: the values, then attributions output by output."""
        flat = self.attributions.reshape(self.n, len(self.outputs) * len(self.features))
        columns = {f"value {name}": self.values[name] for name in self.values.column_names}
        columns |= {f"attribution {j}": pa.array(column) for j, column in enumerate(flat.T)}
        about = {"features": self.features, "outputs": self.outputs, "units": self.units}
        table = pa.table(columns).replace_schema_metadata({"about": json.dumps(about)})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return bytes(sink.getvalue())

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what :meth:`to_bytes` wrote."""
        with pa.ipc.open_stream(data) as reader:
            table = reader.read_all()
        about = json.loads(table.schema.metadata[b"about"])
        features, outputs = tuple(about["features"]), tuple(about["outputs"])
        names = [name for name in table.column_names if name.startswith("value ")]
        values = table.select(names).rename_columns([name.removeprefix("value ") for name in names])
        flat = np.empty((table.num_rows, len(outputs) * len(features)))
        for j in range(flat.shape[1]):
            flat[:, j] = table[f"attribution {j}"].to_numpy()
        shape = (table.num_rows, len(outputs), len(features))
        return cls(values, flat.reshape(shape), features, outputs, about["units"])


def write_explained(cursor: Cursor, model: int, window: Window, rows: ExplainedRows | None) -> None:
    """Replace a window's rows, and let go of old windows, inside the caller's transaction."""
    cursor.execute(
        "DELETE FROM explained_rows WHERE model = ? AND start_us = ? AND end_us = ?",
        [model, window.start_us, window.end_us],
    )
    if rows is None or not rows.n:
        return
    blob = rows.bounded().to_bytes()
    cursor.execute(
        "INSERT INTO explained_rows VALUES (?, ?, ?, ?)", [model, window.start_us, window.end_us, blob]
    )
    oldest = f"SELECT end_us FROM explained_rows WHERE model = ? ORDER BY end_us DESC OFFSET {KEPT_WINDOWS}"
    cursor.execute(f"DELETE FROM explained_rows WHERE model = ? AND end_us IN ({oldest})", [model, model])


def read_explained(
    cursor: Cursor, model: int, start_us: int | None = None
) -> tuple[Window, ExplainedRows] | None:
    """Return the rows of the window that starts then, by default of the newest; None where none are kept."""
    found = cursor.execute(
        "SELECT start_us, end_us, body FROM explained_rows"
        " WHERE model = ? AND start_us = coalesce(?, start_us) ORDER BY end_us DESC LIMIT 1",
        [model, start_us],
    ).fetchall()
    return (Window(*found[0][:2]), ExplainedRows.from_bytes(found[0][2])) if found else None


def explained_windows(cursor: Cursor, model: int) -> list[Window]:
    """Return the windows of which rows are kept, the newest first."""
    query = "SELECT start_us, end_us FROM explained_rows WHERE model = ? ORDER BY end_us DESC"
    return [Window(*row) for row in cursor.execute(query, [model]).fetchall()]


def write_reference(cursor: Cursor, model: int, key: str, body: bytes, *, now_us: int) -> None:
    """Keep what was said of a reference under ``key``, inside the caller's transaction."""
    cursor.execute("DELETE FROM reference_attributions WHERE model = ? AND key = ?", [model, key])
    cursor.execute("INSERT INTO reference_attributions VALUES (?, ?, ?, ?)", [model, key, now_us, body])
    mine = "FROM reference_attributions WHERE model = ?"
    old = f"SELECT key {mine} ORDER BY at_us DESC, key OFFSET {KEPT_REFERENCES}"
    cursor.execute(f"DELETE {mine} AND key IN ({old})", [model, model])


def read_reference(cursor: Cursor, model: int, key: str) -> bytes | None:
    """Return what was said of a reference under ``key``."""
    query = "SELECT body FROM reference_attributions WHERE model = ? AND key = ?"
    found = cursor.execute(query, [model, key]).fetchall()
    return found[0][0] if found else None
