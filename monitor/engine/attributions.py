"""Questions to a window's rows about what each feature added: logged numbers, and rows to explain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from monitor.decode.columns import attribution_column, feature_column, literal, quote
from monitor.engine.duckdb import FETCH_COLUMNS, Floats, Slice, WindowQuery
from monitor.types import ModelSpec, Window

MAX_OUTPUTS = 20  # classes; the most frequent
COLUMNS = 2 * FETCH_COLUMNS  # fetched by one query: each sorts the rows anew
KEY = "(id & 9223372036854775807)::BIGINT"  # the event id's hash as an integer that is not negative
INPUTS = ("numeric", "categorical", "boolean")


def logged_outputs(query: WindowQuery, part: Slice) -> tuple[str, ...]:
    """Return the classes that logged attributions speak of, sorted; ``("",)`` where there is one output."""
    if query.spec.task != "multiclass":
        return ("",)
    named = " UNION ALL ".join(
        f"SELECT unnest(map_keys({quote(attribution_column(name))})) AS c FROM {query.predictions}"
        f" WHERE {query._where(part)}"
        for name in query.spec.features
    )
    counted = f"SELECT c FROM ({named}) GROUP BY c ORDER BY count(*) DESC, c LIMIT {MAX_OUTPUTS}"
    return tuple(sorted(row[0] for row in query.cursor.execute(counted).fetchall())) if named else ()


def logged_attributions(
    query: WindowQuery, part: Slice, panes: Sequence[Window], outputs: Sequence[str]
) -> Iterator[tuple[tuple[str, ...], npt.NDArray[np.int64], Floats]]:
    """Yield ``(features, keys int64[n], values float64[n, outputs, features])``, a few features at a time.

    Pane by pane; NaN where a row has none; ``keys`` are hashes of the rows' event ids. Rows come in no order.
    """
    names, step = tuple(query.spec.features), max(COLUMNS // len(outputs), 1)
    for i in range(0, len(names), step):
        some = names[i : i + step]
        columns = ", ".join(output_sql(attribution_column(n), o) for o in outputs for n in some)
        for pane in panes:
            rows = query.cursor.sql(
                f"SELECT {KEY}, {columns} FROM {query.predictions} WHERE {query._where(part, pane)}"
            ).to_arrow_table()
            yield some, rows[0].to_numpy(), stacked(rows, len(outputs), len(some))


def output_sql(column: str, output: str) -> str:
    """Return SQL of an attribution column's number for a class, or (``""``) of the column as it is."""
    return f"{quote(column)}[{literal(output)}]" if output else quote(column)


def stacked(rows: pa.Table, outputs: int, features: int) -> Floats:
    """Return all columns but the first, output by output, as float64[n, outputs, features]."""
    values = np.empty((rows.num_rows, outputs * features))
    for j in range(outputs * features):
        values[:, j] = rows[j + 1].to_numpy()
    return values.reshape(-1, outputs, features)


def input_columns(spec: ModelSpec) -> dict[str, str]:
    """Return what a model is given: feature -> SQL over stored predictions.

    >>> input_columns(ModelSpec("m", "binary", {"age": "numeric"}, None))
    {'age': '"n:age"'}
    """
    return {n: quote(feature_column(n, k)) for n, k in spec.features.items() if k in INPUTS}
