"""An outbox in memory: for tests, and the plainest statement of what the contract means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Literal

from monitor.actions import Outbox, OutboxRow, Outcome

State = Literal["pending", "delivered", "dead", "disabled"]


class MemoryOutbox(Outbox):
    """Rows in the order they were added, each with its state; ``marks`` is the history of ``mark``."""

    def __init__(self, rows: Iterable[OutboxRow] = ()) -> None:
        self.rows: dict[str, OutboxRow] = {}
        self.states: dict[str, State] = {}
        self.marks: list[tuple[str, Outcome]] = []
        for row in rows:
            self.add(row)

    def add(self, row: OutboxRow) -> None:
        """Put a row at the end; a row whose id is known already is not added again."""
        if row.id not in self.rows:
            self.rows[row.id] = row
            self.states[row.id] = "pending"

    def due(self, now_us: int, limit: int, actions: Collection[str]) -> list[OutboxRow]:
        stopped = {self.rows[i].action for i, state in self.states.items() if state == "disabled"}
        ready_us: dict[tuple[str, str, str], int] = {}  # of each rule: when all rows so far may be sent
        due: defaultdict[str, list[tuple[int, OutboxRow]]] = defaultdict(list)
        for row in self.rows.values():
            if self.states[row.id] == "pending" and row.action in actions and row.action not in stopped:
                key = (row.action, row.model, row.rule)
                ready_us[key] = max(ready_us.get(key, 0), row.next_attempt_us)
                if ready_us[key] <= now_us:
                    due[row.action].append((ready_us[key], row))
        return [row for rows in due.values() for _, row in sorted(rows, key=lambda one: one[0])[:limit]]

    def mark(
        self, row_id: str, *, outcome: Outcome, next_attempt_us: int, attempts: int, error: str, at_us: int
    ) -> None:
        del at_us
        self.marks.append((row_id, outcome))
        self.states[row_id] = "pending" if outcome == "retry" else outcome
        self.rows[row_id] = replace(
            self.rows[row_id], attempts=attempts, next_attempt_us=next_attempt_us, last_error=error
        )

    def pending(self) -> int:
        return sum(state in ("pending", "disabled") for state in self.states.values())

    def retry(self, row_id: str, now_us: int) -> None:
        """Make a dead or disabled row due again, with all its attempts."""
        self.states[row_id] = "pending"
        self.rows[row_id] = replace(self.rows[row_id], attempts=0, next_attempt_us=now_us)
