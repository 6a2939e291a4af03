"""Embeddings of items, read from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from monitor.decode.columns import quote, whole_number
from monitor.errors import ReferenceDataError
from monitor.reference.profile import ReferenceFile
from monitor.types import ItemVectors

MAX_NUMBERS = 100_000_000  # 800 MB


def item_vectors(path: Path, *, item: str, vector: str) -> ItemVectors:
    """Return the embedding of each item that has a usable one; of an item that is there twice the first.

    Parameters
    ----------
    path
        Parquet, CSV (a vector as ``[0.1, 0.2]``) or JSON Lines.
    item, vector
        Names of the columns.

    Raises
    ------
    ReferenceDataError
        When the file cannot be read, lacks a column, holds vectors of different lengths, or none.
    """
    file = ReferenceFile(path, columns={"item": item, "vector": vector})
    name, values = whole_number(f"{quote(item)}::VARCHAR"), f"try_cast({quote(vector)} AS DOUBLE[])"
    columns = {"item": name, "vector": values}
    usable = f"len({values}) > 0 AND list_count({values}) = len({values}) AND isfinite(list_sum({values}))"
    rows = file.select(columns, where=f"{quote(item)} IS NOT NULL AND {usable}")
    lengths = rows["vector"].combine_chunks().value_lengths().to_numpy(zero_copy_only=False)
    if not len(lengths):
        raise ReferenceDataError(f"{path}: no row has an item in {item!r} and numbers in {vector!r}")
    if lengths.min() != lengths.max():
        found = f"{lengths.min()} and {lengths.max()}"
        raise ReferenceDataError(
            f"{path}: the vectors in {vector!r} must have one length, and some have {found}"
        )
    if len(rows) * int(lengths[0]) > MAX_NUMBERS:
        raise ReferenceDataError(f"{path}: {len(rows)} vectors of {lengths[0]} numbers are too many to hold")
    names, first = np.unique(rows["item"].to_numpy(), return_index=True)
    flat = rows["vector"].combine_chunks().flatten().to_numpy()
    vectors = flat.reshape(len(rows), -1)[first]
    size = np.linalg.norm(vectors, axis=1, keepdims=True)
    return ItemVectors(rows["item"].combine_chunks().take(first), vectors / np.where(size > 0, size, 1.0))
