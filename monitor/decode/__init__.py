"""Bytes to canonical events: one file a platform format.

A format's decoder turns the raw values of a batch into canonical JSON (see ``docs/events.md``), which one
vectorised query then types, checks and lands. The canonical format needs no such step.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

Normaliser = Callable[[pa.Array], pa.Array]
"""``binary[n] -> binary[n]``: canonical JSON a record, or the value unchanged where it cannot be read."""

FORMATS: dict[str, Normaliser | None] = {"canonical": None}


def format_names() -> frozenset[str]:
    """Return the names that a stream's ``format:`` may have."""
    return frozenset(FORMATS)
