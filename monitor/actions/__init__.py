"""What follows a decision: the outbox's contract here; payload, signing, sending and relay beside it.

A row is written to the outbox in the transaction of its decision and leaves it through :mod:`.relay`.
Delivery is at least once: a row that was sent but not marked before a crash is sent again, with the same
id and body, so receivers that remember ids act once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Outcome = Literal["delivered", "retry", "dead", "disabled"]


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One message to one action; ``id``, unique in the outbox, is the ``webhook-id`` of every attempt."""

    id: str
    model: str
    rule: str
    action: str
    body: bytes
    created_us: int
    attempts: int = 0
    next_attempt_us: int = 0
    last_error: str = ""


class Outbox(Protocol):
    """The queue of messages, kept in the store.

    Order
        The rows of one (action, model, rule) are delivered in the order they were made: a row is due only
        when every undelivered one before it is. ``dead`` rows do not hold up the next; they stay for people
        to look at and to retry.
    Disabling
        A row marked ``disabled`` (its endpoint answered 410) stays, and no row of its action is due until
        somebody retries it.
    Threads
        All methods are called from the relay's one thread.
    """

    def due(self, now_us: int, limit: int, actions: Collection[str]) -> Sequence[OutboxRow]:
        """Return up to ``limit`` rows of each of these actions that may be sent now, longest due first.

        Whoever sends them must not go on with an (action, model, rule) of which one failed, see *Order*.
        """

    def mark(
        self, row_id: str, *, outcome: Outcome, next_attempt_us: int, attempts: int, error: str, at_us: int
    ) -> None:
        """Record what became of a row; with ``retry`` it is due again at ``next_attempt_us``."""

    def pending(self) -> int:
        """Return the number of rows neither delivered nor dead."""
