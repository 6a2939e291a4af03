"""Rows as named columns: numbers as float64 with NaN, texts as objects with None.

Texts are categories as the store writes them: ``true`` and ``false``, whole numbers without a point.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.errors import ExplainError
from monitor.explain import Floats

Column = npt.NDArray[Any]  # float64[n] or object[n]
Batch = Mapping[str, Column]
_SWITCH = {"true": 1.0, "false": 0.0}


def from_table(rows: pa.Table, names: Sequence[str]) -> dict[str, Column]:
    """Return the columns that a model takes.

    Raises
    ------
    ExplainError
        When one is not there, or is neither a number nor a text.
    """
    if absent := [name for name in names if name not in rows.column_names]:
        raise ExplainError(
            f"the model takes {_listed(absent)}, which the monitored features do not have; they have "
            f"{_listed(rows.column_names)}. Add it to 'features', or name the model's inputs in 'inputs'"
        )
    return {name: _column(name, rows[name]) for name in names}


def _column(name: str, values: pa.ChunkedArray) -> Column:
    kind = values.type
    if pa.types.is_boolean(kind):
        values = pc.if_else(values, "true", "false")
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers: Floats = values.cast(pa.float64()).to_numpy().astype(np.float64)
        return np.where(np.isfinite(numbers), numbers, np.nan)
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        raise ExplainError(f"feature {name!r} cannot be an input: only numbers and categories are handed on")
    texts: Column = np.empty(len(values), dtype=object)
    texts[:] = values.to_pylist()
    return texts


def rows_of(batch: Batch) -> int:
    """Return the number of rows."""
    return len(next(iter(batch.values()))) if batch else 0


def part(batch: Batch, start: int, stop: int) -> dict[str, Column]:
    """Return some of the rows."""
    return {name: column[start:stop] for name, column in batch.items()}


def canonical(value: object) -> str | None:
    """Return the text that the store has for a category of any type.

    >>> canonical(True), canonical(3.0), canonical(np.int64(3)), canonical("gold"), canonical(float("nan"))
    ('true', '3', '3', 'gold', None)
    """
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return None
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def numbers(name: str, column: Column) -> Floats:
    """Return a column as numbers; texts that write one are read, ``true`` and ``false`` are 1 and 0.

    Raises
    ------
    ExplainError
        When a text writes no number.
    """
    if column.dtype != object:
        return column.astype(np.float64)
    known: dict[object, float] = {None: np.nan}
    for text in sorted(set(column) - {None}):
        try:
            known[text] = _SWITCH[text] if text in _SWITCH else float(text)
        except ValueError:
            raise ExplainError(
                f"the model takes numbers for {name!r}, but it holds {text!r}; an encoder must be part of "
                "the model (a scikit-learn Pipeline), or the monitored feature be the encoded one"
            ) from None
    return np.array([known[text] for text in column], dtype=np.float64)


def codes(column: Column, categories: Iterable[object]) -> Floats:
    """Return each value's position among a model's categories, NaN where missing or unknown."""
    position = {canonical(category): float(i) for i, category in enumerate(categories)}
    texts = column if column.dtype == object else [canonical(value) for value in column]
    return np.array([np.nan if t is None else position.get(t, np.nan) for t in texts], dtype=np.float64)


def matrix(batch: Batch, names: Sequence[str]) -> Floats:
    """Return float64[n, len(names)]."""
    return np.column_stack([numbers(name, batch[name]) for name in names])


class Coding:
    """Batches as one float64 matrix and back, so that rows can be mixed column by column.

    Texts become their rank among all texts of the batches given.
    """

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.texts: dict[str, Column] = {}
        for name, column in batches[0].items():
            if column.dtype == object:
                found = sorted({text for batch in batches for text in batch[name]} - {None})
                self.texts[name] = np.array([*found, None], dtype=object)
        self.names = tuple(batches[0])

    def encode(self, batch: Batch) -> Floats:
        """Return float64[n, columns]."""
        return np.column_stack(
            [
                codes(batch[name], self.texts[name][:-1]) if name in self.texts else batch[name]
                for name in self.names
            ]
        )

    def decode(self, values: Floats) -> dict[str, Column]:
        """Return the batch that :meth:`encode` makes ``values`` of."""
        return {
            name: self.texts[name][np.where(np.isnan(column), -1, column).astype(np.intp)]
            if name in self.texts
            else column
            for name, column in zip(self.names, values.T, strict=True)
        }


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:20])
    return shown + (f" and {len(names) - 20} more" if len(names) > 20 else "")
