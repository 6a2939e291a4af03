"""Mergeable sufficient statistics: the only thing metrics are computed from.

A summary is a frozen value. ``lift`` makes one from raw columns, ``merge`` adds two that share a recipe
(the same cut points, categories, edges), ``zero(recipe)`` is neutral, ``to_bytes`` / ``from_bytes`` store
it. Counts are integers, so merging them is exact in any order; the float moments agree to rounding and are
bit-identical for the same panes merged in the same order.

This module holds the contract and the one byte format all summaries share (no pickle): a magic, the length
of a JSON header, the header, then the arrays' little-endian buffers in the header's order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from monitor.errors import StoreError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MAGIC = b"MMS1"


class Summary(Protocol):
    """What every summary can do; ``zero`` takes the recipe and so differs from one to the next."""

    def merge(self, other: Self) -> Self:
        """Return the summary of both sets of rows; raises ``ValueError`` when the recipes differ."""

    def to_bytes(self) -> bytes:
        """Return the stored form."""

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read the stored form; raises :class:`~monitor.errors.StoreError` when it is damaged."""


def pack(kind: str, header: Mapping[str, Any], **arrays: npt.NDArray[Any]) -> bytes:
    """Encode a summary of ``kind``: JSON-able ``header`` plus float64 and int64 arrays of any shape."""
    layout = [[name, "<f8" if a.dtype.kind == "f" else "<i8", list(a.shape)] for name, a in arrays.items()]
    head = json.dumps({"kind": kind, "header": dict(header), "arrays": layout}, sort_keys=True).encode()
    buffers = [
        np.ascontiguousarray(a, dtype=form[1]).tobytes()
        for a, form in zip(arrays.values(), layout, strict=True)
    ]
    return b"".join([MAGIC, len(head).to_bytes(4, "little"), head, *buffers])


def unpack(kind: str, data: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Decode what :func:`pack` wrote: the header and the (read-only) arrays by name.

    Raises
    ------
    StoreError
        When the bytes are not a summary of this kind, or are cut short.
    """
    if data[:4] != MAGIC:
        raise StoreError(f"stored {kind} summary: begins with {data[:4]!r}; this version reads {MAGIC!r}")
    try:
        start = 8 + int.from_bytes(data[4:8], "little")
        head = json.loads(data[8:start])
        found, arrays = head["kind"], {}
        for name, form, shape in head["arrays"]:
            size = int(np.prod(shape, dtype=np.int64))
            arrays[name] = np.frombuffer(data, dtype=form, count=size, offset=start).reshape(shape)
            start += 8 * size
        header = head["header"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"stored {kind} summary: damaged ({error}); rebuild it from the events") from error
    if found != kind or start != len(data):
        raise StoreError(f"stored {kind} summary: holds {found!r} in {len(data)} bytes; expected {kind!r}")
    return header, arrays


def same_recipe(what: str, left: object, right: object) -> None:
    """Raise ``ValueError`` unless two recipes (arrays or tuples) are equal."""
    if not np.array_equal(np.asarray(left), np.asarray(right)):
        raise ValueError(f"cannot merge summaries of different {what}; lift both with the same recipe")
