"""Event-time progress of a model: how far every partition that still matters has come.

A model's watermark is the least largest-event-time over its prediction partitions that are not idle. When all
are idle it follows the clock, minus the idle time-out. It never goes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PartitionProgress:
    """Largest accepted event time of a partition (None before the first), and whether it is idle."""

    event_us: int | None
    idle: bool


def watermark(
    partitions: Sequence[PartitionProgress], *, previous_us: int | None, clock_us: int, idle_timeout_us: int
) -> int | None:
    """Return the model's watermark, None while a partition that is not idle has shown no event yet.

    >>> watermark([PartitionProgress(50, False), PartitionProgress(20, True)], previous_us=None, clock_us=99,
    ...           idle_timeout_us=10)
    50
    >>> watermark([PartitionProgress(50, True)], previous_us=None, clock_us=99, idle_timeout_us=10)
    89
    """
    if not partitions:
        return previous_us
    active = [p.event_us for p in partitions if not p.idle]
    if not active:
        found: int | None = clock_us - idle_timeout_us
    else:
        known = [us for us in active if us is not None]
        found = min(known) if len(known) == len(active) else None
    candidates = [us for us in (found, previous_us) if us is not None]
    return max(candidates, default=None)
