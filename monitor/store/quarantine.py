"""Refused records: listing, showing and purging them."""

from __future__ import annotations

from typing import Any

from monitor.store.store import Cursor, Store

_COLUMNS = ("seq", "at_us", "source", "topic", "partition", "offset", "model", "reason", "detail", "size")


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


def taken(cursor: Cursor, *, reason: str | None = None) -> list[tuple[int, int, int, str, bytes, int]]:
    """Return (seq, part, offset, reason, payload, size) of every record that could be tried again."""
    return cursor.execute(
        "SELECT seq, part, off, reason, payload, size FROM quarantine WHERE reason = coalesce(?, reason)"
        " ORDER BY seq",
        [reason],
    ).fetchall()


def purge(store: Store, cursor: Cursor, *, reason: str | None = None) -> int:
    """Delete refused records; return how many. They stay counted as quarantined."""
    with store.write(cursor):
        rows = cursor.execute(
            "DELETE FROM quarantine WHERE reason = coalesce(?, reason) RETURNING seq", [reason]
        ).fetchall()
    return len(rows)
