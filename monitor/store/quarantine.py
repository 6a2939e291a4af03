"""Refused records: storing, listing, showing, trimming and purging them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from monitor.store.store import Cursor, Store

_COLUMNS = ("seq", "at_us", "source", "topic", "partition", "offset", "model", "reason", "detail", "size")

MAX_PAYLOAD = 16 * 1024  # bytes of a refused record that are kept
Refused = tuple[int, int, int, str, str, str, bytes, int]
"""seq, partition number, offset, model, reason, detail, payload, size of the whole record."""
_TEXT = pa.string()
_SCHEMA = pa.schema(
    [("seq", pa.int64()), ("part", pa.int32()), ("off", pa.int64()), ("model", _TEXT), ("reason", _TEXT)]
    + [("detail", _TEXT), ("payload", pa.binary()), ("size", pa.int64())]
    + [("record_us", pa.int64())]
)


def refuse(
    cursor: Cursor, rows: Sequence[Refused], *, now_us: int, record_us: Mapping[int, int | None]
) -> None:
    """Store refused records inside the caller's transaction; payloads are cut to :data:`MAX_PAYLOAD`.

    ``record_us`` has the log's own times by ``seq``.
    """
    if not rows:
        return
    columns = list(zip(*rows, strict=True))
    columns[6] = tuple(payload[:MAX_PAYLOAD] for payload in columns[6])
    columns.append(tuple(record_us.get(seq) for seq in columns[0]))
    arrays = [pa.array(column, f.type) for column, f in zip(columns, _SCHEMA, strict=True)]
    cursor.register("refused", pa.Table.from_arrays(arrays, schema=_SCHEMA))
    listed = ", ".join(_SCHEMA.names)
    cursor.execute(
        f"INSERT INTO quarantine ({listed}, at_us) SELECT {listed}, CAST(? AS BIGINT) FROM refused", [now_us]
    )
    cursor.unregister("refused")


def trim(store: Store, cursor: Cursor, *, rows: int) -> None:
    """Keep the newest ``rows`` refused records; the others stay counted."""
    with store.write(cursor):
        cursor.execute(
            "DELETE FROM quarantine WHERE seq < (SELECT min(seq) FROM"
            f" (SELECT seq FROM quarantine ORDER BY seq DESC LIMIT {rows}))"
        )


def listed(cursor: Cursor, *, reason: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
    """Return the newest refused records without their payload, newest first."""
    rows = cursor.execute(
        "SELECT seq, at_us, source, topic, key, off, model, reason, q.detail, size FROM quarantine q"
        " JOIN partitions p ON p.id = q.part WHERE reason = coalesce(?, reason) ORDER BY seq DESC LIMIT ?",
        [reason, limit],
    ).fetchall()
    return [dict(zip(_COLUMNS, row, strict=True)) for row in rows]


def payload(cursor: Cursor, seq: int) -> bytes | None:
    """Return the stored part of one record's payload, None when there is no such record."""
    rows = cursor.execute("SELECT payload FROM quarantine WHERE seq = ?", [seq]).fetchall()
    return rows[0][0] if rows else None


def taken(
    cursor: Cursor, *, reason: str | None = None
) -> list[tuple[int, int, int, str, bytes, int, int | None]]:
    """Return (seq, part, offset, reason, payload, size, record_us) of each record to be tried again."""
    return cursor.execute(
        "SELECT seq, part, off, reason, payload, size, record_us FROM quarantine"
        " WHERE reason = coalesce(?, reason) ORDER BY seq",
        [reason],
    ).fetchall()


def purge(store: Store, cursor: Cursor, *, reason: str | None = None) -> int:
    """Delete refused records; return how many. They stay counted as quarantined."""
    with store.write(cursor):
        rows = cursor.execute(
            "DELETE FROM quarantine WHERE reason = coalesce(?, reason) RETURNING seq", [reason]
        ).fetchall()
    return len(rows)
