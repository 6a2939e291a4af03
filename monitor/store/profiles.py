"""Profiles of references in the store, as compressed text."""

from __future__ import annotations

import zlib

from monitor.store.store import Cursor


def read_profile(cursor: Cursor, id: str, settings: str) -> str | None:
    """Return the text of the profile of a file with this id, made with these settings; None without one."""
    rows = cursor.execute(
        "SELECT profile FROM reference_profiles WHERE id = ? AND settings = ? AND start_us IS NULL",
        [id, settings],
    ).fetchall()
    return zlib.decompress(rows[0][0]).decode() if rows else None


def write_profile(
    cursor: Cursor, id: str, settings: str, text: str, *, model: str, version: str, now_us: int
) -> None:
    """Store the profile of a file in the place of the one it had, inside the caller's transaction."""
    cursor.execute(
        "DELETE FROM reference_profiles WHERE model = ? AND version = ? AND start_us IS NULL",
        [model, version],
    )
    cursor.execute(
        "INSERT INTO reference_profiles BY NAME SELECT ? AS model, ? AS version, ? AS settings, ? AS id,"
        " false AS stale, ? AS created_us, ? AS profile",
        [model, version, settings, id, now_us, zlib.compress(text.encode(), 1)],
    )
