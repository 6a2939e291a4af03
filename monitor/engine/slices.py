"""The slices of a window by which it is asked."""

from __future__ import annotations

from collections.abc import Collection, Iterator

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
