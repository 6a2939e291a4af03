"""Bounded samples of rows: the same ones whoever draws them, in whatever order the rows arrived.

The rows with the smallest hashes are kept (bottom-k): of the event id in a window, of the row number in the
reference. Both samples have a column for each monitored feature, texts as the numbers made of them.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

import pyarrow as pa

from monitor.decode.columns import quote, stored_columns
from monitor.decode.derived import OUT_OF_VOCABULARY, derived_names
from monitor.types import Kind

SAMPLE_ROWS = 5_000


def sample_columns(features: Mapping[str, Kind]) -> dict[str, str]:
    """Return the sample's column -> SQL over a model's stored predictions.

    >>> sample_columns({"age": "numeric", "emb": "embedding"})
    {'age': '"n:age"', 'emb': '"v:emb"'}
    """
    return {
        shown: quote(stored)
        for name, kind in features.items()
        for shown, stored in zip(sampled_names(name, kind), stored_columns(name, kind), strict=True)
    }


def sampled_names(name: str, kind: Kind) -> tuple[str, ...]:
    """Return the sample's columns of a feature; an embedding is sampled whole."""
    names = derived_names(name, kind)
    return (name,) if kind == "embedding" else tuple(n for n in names if not n.endswith(OUT_OF_VOCABULARY))


def to_text(sample: pa.Table) -> str:
    """Return a sample as text, for JSON."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, sample.schema) as writer:
        writer.write_table(sample)
    return base64.b64encode(sink.getvalue()).decode()


def from_text(text: str) -> pa.Table:
    """Read what :func:`to_text` wrote."""
    with pa.ipc.open_stream(base64.b64decode(text)) as reader:
        return reader.read_all()
