"""Profiles of references in the store, as compressed text: of files, and of periods of the stream."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from monitor.store.store import Cursor

_FILE = "start_us IS NULL"
_KEY = "model = ? AND version = ? AND start_us = ? AND end_us = ? AND labels_us = ?"

Key = tuple[str, str, int, int, int]  # model, version, start, end, up to which date labels count


@dataclass(frozen=True, slots=True)
class StoredProfile:
    """What is stored of one period: a profile (compressed), or (``id`` None) why there is none.

    ``stale``: rows or labels that belong to it have come since.
    """

    key: Key
    settings: str
    id: str | None
    reason: str | None
    stale: bool
    profile: bytes | None

    @property
    def text(self) -> str:
        """The profile's text."""
        return unpacked(self.profile or b"")


def packed(text: str) -> bytes:
    """Compress a profile's text."""
    return zlib.compress(text.encode(), 1)


def unpacked(profile: bytes) -> str:
    """Read what :func:`packed` wrote."""
    return zlib.decompress(profile).decode()


def has_profile(cursor: Cursor, id: str, settings: str) -> bool:
    """Tell whether the profile of a file with this id, made with these settings, is stored."""
    query = f"SELECT 1 FROM reference_profiles WHERE id = ? AND settings = ? AND {_FILE}"
    return bool(cursor.execute(query, [id, settings]).fetchall())


def read_profile(cursor: Cursor, id: str, settings: str) -> str | None:
    """Return the text of the profile of a file with this id, made with these settings; None without one."""
    rows = cursor.execute(
        f"SELECT profile FROM reference_profiles WHERE id = ? AND settings = ? AND {_FILE}", [id, settings]
    ).fetchall()
    return unpacked(rows[0][0]) if rows else None


def write_profile(
    cursor: Cursor, id: str, settings: str, text: str, *, model: str, version: str, now_us: int
) -> None:
    """Store the profile of a file in the place of the one it had, inside the caller's transaction."""
    place = [model, version]
    cursor.execute(f"DELETE FROM reference_profiles WHERE model = ? AND version = ? AND {_FILE}", place)
    cursor.execute(
        "INSERT INTO reference_profiles BY NAME SELECT ? AS model, ? AS version, ? AS settings, ? AS id,"
        " false AS stale, ? AS created_us, ? AS profile",
        [*place, settings, id, now_us, packed(text)],
    )


def read_period(cursor: Cursor, key: Key, settings: str) -> StoredProfile | None:
    """Return what is stored of a period: made with these settings, else (a profile only) with others."""
    rows = cursor.execute(
        f"{_SELECT} WHERE {_KEY} AND (settings = ? OR id IS NOT NULL)"
        " ORDER BY settings = ? DESC, created_us DESC LIMIT 1",
        [*key, settings, settings],
    ).fetchall()
    return _stored(rows[0]) if rows else None


def stale_periods(cursor: Cursor, model: str, settings: str) -> list[StoredProfile]:
    """Return the model's periods, of these settings, to which rows or labels have come since."""
    rows = cursor.execute(
        f"{_SELECT} WHERE model = ? AND settings = ? AND stale AND NOT {_FILE} ORDER BY ALL",
        [model, settings],
    ).fetchall()
    return [_stored(row) for row in rows]


def newest_periods(cursor: Cursor, model: str) -> list[StoredProfile]:
    """Return the newest profile of each version's periods."""
    rows = cursor.execute(
        f"{_SELECT} WHERE model = ? AND id IS NOT NULL AND NOT {_FILE} QUALIFY row_number() OVER"
        " (PARTITION BY version ORDER BY end_us DESC, labels_us DESC, created_us DESC) = 1 ORDER BY version",
        [model],
    ).fetchall()
    return [_stored(row) for row in rows]


def write_period(cursor: Cursor, stored: StoredProfile, *, until_us: int | None, now_us: int) -> None:
    """Store a period's profile, or the reason for none, in its place inside the caller's transaction."""
    place = [*stored.key, stored.settings]
    cursor.execute(f"DELETE FROM reference_profiles WHERE {_KEY} AND settings = ?", place)
    cursor.execute(
        "INSERT INTO reference_profiles BY NAME SELECT ? AS model, ? AS version, ? AS start_us,"
        " ? AS end_us, ? AS labels_us, ? AS settings, ? AS id, ? AS reason, false AS stale, ? AS profile,"
        " ? AS until_us, ? AS created_us",
        [*place, stored.id, stored.reason, stored.profile, until_us, now_us],
    )


def mark_stale(
    cursor: Cursor, model: str, buckets: Mapping[int, tuple[bool, int | None]], every_us: int
) -> None:
    """Mark the periods that new rows or labels belong to, inside the caller's transaction.

    ``buckets``: bucket of event time -> (predictions came or went, the earliest date of a label that came).
    A period of which there is no profile yet may need anything before its end.
    """
    known = "FROM reference_profiles WHERE model = ? AND start_us IS NOT NULL AND NOT stale"
    if not buckets or not cursor.execute(f"SELECT count(*) {known}", [model]).fetchall()[0][0]:
        return
    rows = ", ".join(
        f"({bucket * every_us}, {'true' if rows else 'false'}, {'NULL' if date is None else date}::BIGINT)"
        for bucket, (rows, date) in sorted(buckets.items())
    )
    cursor.execute(
        f"UPDATE reference_profiles SET stale = true FROM (VALUES {rows}) v(us, came, label)"
        " WHERE model = ? AND start_us IS NOT NULL AND v.us < end_us"
        f" AND (id IS NULL OR v.us + {every_us} > start_us) AND (v.came OR v.label <= labels_us)",
        [model],
    )


_SELECT = (
    "SELECT model, version, start_us, end_us, labels_us, settings, id, reason, stale, profile"
    " FROM reference_profiles"
)


def _stored(row: tuple[object, ...]) -> StoredProfile:
    return StoredProfile(tuple(row[:5]), *row[5:])  # type: ignore[arg-type]
