"""The slices of a window by which it is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator

import numpy as np

from monitor.decode.columns import column_of
from monitor.engine.duckdb import Slice, WindowQuery
from monitor.types import ALL_VERSIONS

MAX_VERSIONS = 20
MAX_SEGMENTS = 50


def slices(query: WindowQuery, own: Collection[str] = ()) -> Iterator[Slice]:
    """Yield what a window is asked by: all of it, each of several versions, each value of a segment.

    The only version of a window is asked for itself if it is in ``own``: it has a reference of its own.
    """
    yield Slice()
    versions = query.values("version", limit=MAX_VERSIONS)
    if len(versions) > 1 or set(versions) & set(own):
        yield from (Slice(version=name) for name in sorted(versions) if name != ALL_VERSIONS)
    for name in query.spec.segments:
        values = query.values(column_of(query.spec, name), limit=MAX_SEGMENTS)
        yield from (Slice(segment=(name, value)) for value in sorted(values))


def left_out(query: WindowQuery) -> dict[str, tuple[int, int]]:
    """Return segment (or ``version``) -> (values, rows) that no slice is made of: there are too many."""
    columns = {"version": ("version", MAX_VERSIONS)}
    columns |= {name: (column_of(query.spec, name), MAX_SEGMENTS) for name in query.spec.segments}
    found = {name: query.beyond(column, limit) for name, (column, limit) in columns.items()}
    return {name: counts for name, counts in found.items() if counts[0]}


def rng_of(query: WindowQuery, part: Slice, *key: str) -> np.random.Generator:
    """Return a generator seeded by what is asked, so that the same question has the same answer."""
    window = query.window
    asked = (query.spec.name, part.version, part.segment, window.start_us, window.end_us, *key)
    digest = hashlib.sha256(repr(asked).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))
