"""The state of one Kafka partition, and the two things that can befall it: loss and a corrupt batch."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from monitor.sources import SourceStatus
from monitor.sources.kafka import Client, TopicPartition
from monitor.types import Partition


@dataclass(slots=True)
class Part:
    """One partition: where to go on, in which incarnation of its topic, and what stands in the way."""

    partition: Partition
    topic_id: str = ""
    position: int | None = None
    start_at: str = "earliest"
    exists: bool = False
    at_end: bool = False
    end: int | None = None
    lost: str = ""  # why the position is no longer the broker's; settled by the policy
    halted: str = ""
    bad: CorruptSpan | None = None

    @property
    def readable(self) -> bool:
        return self.exists and self.position is not None and not (self.lost or self.halted or self.bad)


@dataclass(slots=True)
class CorruptSpan:
    """The search for the end of a corrupt batch: ``start <= low`` are in it, ``high`` is sound."""

    start: int
    low: int
    high: int | None = None
    step: int = 1


def search_end(client: Client, key: TopicPartition, span: CorruptSpan, deadline: float) -> bool:
    """Look for the first sound offset after a corrupt batch, by leaps and then by halves.

    Returns True once ``span.high`` is it; False where the deadline came first (call again to go on).
    """
    if span.high is None:
        _, end = client.bounds([key], max(0.05, deadline - time.monotonic()))[key]
        span.high = max(end, span.low + 1)
    while span.high - span.low > 1:
        if time.monotonic() > deadline:
            return False
        offset = min(span.low + span.step, (span.low + span.high) // 2)
        base = client.corrupt_at(key, offset, 2.0)
        if base is not None and base <= span.start:
            span.low, span.step = offset, span.step * 2
        else:
            span.high = offset
    return True


def loss_sentence(key: TopicPartition, part: Part, low: int, high: int) -> str:
    """Say what is stored, what the broker has, and what the choices are."""
    return (
        f"topic {key.topic!r} partition {key.number}: offset {part.position} is next to be read, but "
        f"{part.lost}; the broker has offsets {low} to {high}. Bring the log back, or set on_offset_loss to "
        f"'earliest' (go on at {low}) or 'latest' (go on at {high}) and restart"
    )


def status_of(parts: Iterable[Part], connected: bool, error: str) -> SourceStatus:
    """Return what the source tells about itself; the lag is known once the end of a log was seen."""
    known = [p for p in parts if p.position is not None]
    return SourceStatus(
        connected=connected,
        caught_up=frozenset(p.partition for p in known if p.at_end and p.readable),
        lag_records={
            p.partition: 0 if p.at_end else max(0, (p.end or 0) - (p.position or 0))
            for p in known
            if p.at_end or p.end is not None
        },
        halted={p.partition: p.halted for p in known if p.halted},
        error=error,
    )
