"""The outbox: messages written in the transaction of their decision, taken away by the relay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from monitor.store.store import Cursor, Store

Row = TypeVar("Row")
_COLUMNS = "id, model, rule, action, body, created_us, attempts, next_attempt_us, last_error"


def enqueue(cursor: Cursor, *, id: str, model: str, rule: str, action: str, body: bytes, now_us: int) -> None:
    """Add a message inside the caller's transaction; one that is already there is left as it is."""
    cursor.execute(
        "INSERT INTO outbox SELECT ?, ?, ?, ?, ?, ?, 0, ?, '', 'pending'"
        " WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE id = ?)",
        [id, model, rule, action, body, now_us, now_us, id],
    )


class StoredOutbox(Generic[Row]):
    """The outbox as the relay sees it (see ``monitor.actions.Outbox``), on a cursor of its thread."""

    def __init__(self, store: Store, make: Callable[..., Row]) -> None:
        self._store, self._make = store, make
        self._cursor = store.cursor()

    def due(self, now_us: int, limit: int) -> list[Row]:
        """Return the oldest undelivered row of each (action, model, rule) that may be tried now."""
        oldest = (
            f"SELECT {_COLUMNS}, state FROM outbox WHERE state IN ('pending', 'disabled')"
            " QUALIFY row_number() OVER (PARTITION BY action, model, rule ORDER BY created_us, id) = 1"
        )
        rows = self._cursor.execute(
            f"SELECT {_COLUMNS} FROM ({oldest}) WHERE state = 'pending' AND next_attempt_us <= ?"
            " AND action NOT IN (SELECT action FROM outbox WHERE state = 'disabled')"
            " ORDER BY next_attempt_us, created_us, id LIMIT ?",
            [now_us, limit],
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


def listed(cursor: Cursor) -> list[dict[str, Any]]:
    """Return every row without its body, oldest first."""
    columns = (
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
    rows = cursor.execute(f"SELECT {', '.join(columns)} FROM outbox ORDER BY created_us, id").fetchall()
    return [dict(zip(columns, row, strict=True)) for row in rows]


def retry(store: Store, cursor: Cursor, row_id: str | None, now_us: int) -> int:
    """Make dead and disabled rows (or one) due again; return how many."""
    with store.write(cursor):
        rows = cursor.execute(
            "UPDATE outbox SET state = 'pending', attempts = 0, next_attempt_us = ?"
            " WHERE state IN ('dead', 'disabled') AND id = coalesce(?, id) RETURNING id",
            [now_us, row_id],
        ).fetchall()
    return len(rows)
