"""The outbox: messages written in the transaction of their decision, taken away by the relay."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any, Generic, TypeVar

from monitor.store.store import Cursor, Store
from monitor.time import to_rfc3339

STATES = ("pending", "delivered", "dead", "disabled")
Row = TypeVar("Row")
_COLUMNS = "id, model, rule, action, body, created_us, attempts, next_attempt_us, last_error"
_LISTED = (
    "id",
    "model",
    "rule",
    "action",
    "state",
    "created_us",
    "attempts",
    "next_attempt_us",
    "last_error",
)


def enqueue(
    cursor: Cursor, *, id: str, model: str, rule: str, action: str, body: bytes, now_us: int, error: str = ""
) -> None:
    """Add a message inside the caller's transaction; one that is already there is left as it is.

    With ``error`` it cannot be sent: a dead letter from the start, which says why.
    """
    cursor.execute(
        f"INSERT INTO outbox ({_COLUMNS}, state, seq) SELECT ?, ?, ?, ?, ?, ?, 0, ?, ?, ?,"
        " (SELECT coalesce(max(seq), 0) + 1 FROM outbox)"
        " WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE id = ?)",
        [id, model, rule, action, body, now_us, now_us, error, "dead" if error else "pending", id],
    )


def fresh_id(cursor: Cursor, id: str) -> str:
    """Return ``id``, or when there is a message with it already, ``id-2``, ``id-3`` and so on."""
    query = "SELECT count(*) FROM outbox WHERE id = ? OR starts_with(id, ? || '-')"
    taken = int(cursor.execute(query, [id, id]).fetchall()[0][0])
    return f"{id}-{taken + 1}" if taken else id


class StoredOutbox(Generic[Row]):
    """The outbox as the relay sees it (see ``monitor.actions.Outbox``), on a cursor of its thread."""

    def __init__(self, store: Store, make: Callable[..., Row]) -> None:
        self._store, self._make = store, make
        self._cursor = store.cursor()

    def due(self, now_us: int, limit: int, actions: Collection[str]) -> list[Row]:
        """Return up to ``limit`` rows of each action that may be sent, as all before them of their rule."""
        ready = (
            "SELECT id, action, seq,"
            " max(next_attempt_us) OVER (PARTITION BY action, model, rule ORDER BY seq) AS ready_us"
            " FROM outbox WHERE state = 'pending' AND list_contains(?, action)"
            " AND action NOT IN (SELECT action FROM outbox WHERE state = 'disabled')"
        )
        chosen = (
            f"SELECT id, ready_us FROM ({ready}) WHERE ready_us <= ?"
            " QUALIFY row_number() OVER (PARTITION BY action ORDER BY ready_us, seq) <= ?"
        )
        rows = self._cursor.execute(
            f"SELECT {_COLUMNS} FROM outbox JOIN ({chosen}) USING (id) ORDER BY ready_us, seq",
            [list(actions), now_us, limit],
        ).fetchall()
        return [self._make(*row) for row in rows]

    def mark(
        self, row_id: str, *, outcome: str, next_attempt_us: int, attempts: int, error: str, at_us: int
    ) -> None:
        """Record what became of a row."""
        state = {"retry": "pending"}.get(outcome, outcome)
        with self._store.write(self._cursor):
            self._cursor.execute(
                "UPDATE outbox SET state = ?, next_attempt_us = ?, attempts = ?, last_error = ? WHERE id = ?",
                [state, next_attempt_us, attempts, error, row_id],
            )

    def pending(self) -> int:
        """Return the number of rows neither delivered nor dead."""
        return pending(self._cursor)


def pending(cursor: Cursor) -> int:
    """Return the number of rows neither delivered nor dead."""
    query = "SELECT count(*) FROM outbox WHERE state IN ('pending', 'disabled')"
    return int(cursor.execute(query).fetchall()[0][0])


def listed(cursor: Cursor, *, state: str | None = None, limit: int = 1_000) -> list[dict[str, Any]]:
    """Return the newest rows without their bodies, oldest first."""
    rows = cursor.execute(
        f"SELECT {', '.join(_LISTED)} FROM outbox WHERE state = coalesce(?, state) ORDER BY seq DESC LIMIT ?",
        [state, limit],
    ).fetchall()
    return [dict(zip(_LISTED, row, strict=True)) for row in reversed(rows)]


def to_json(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return listed rows with their moments as RFC 3339."""
    return [
        {k.removesuffix("_us"): to_rfc3339(v) if k.endswith("_us") else v for k, v in row.items()}
        for row in rows
    ]


def retry(
    store: Store, cursor: Cursor, now_us: int, *, id: str | None = None, action: str | None = None
) -> int:
    """Make dead and disabled rows (or only these) due again, with all their attempts; return how many."""
    with store.write(cursor):
        rows = cursor.execute(
            "UPDATE outbox SET state = 'pending', attempts = 0, next_attempt_us = ?"
            " WHERE state IN ('dead', 'disabled') AND id = coalesce(?, id) AND action = coalesce(?, action)"
            " RETURNING id",
            [now_us, id, action],
        ).fetchall()
    return len(rows)
