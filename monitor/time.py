"""Time as int64 microseconds since 1970-01-01 UTC, and the clocks that the outer layers hand down.

The deterministic layers never read a clock: they take ``now_us`` as an argument.
"""

from __future__ import annotations

import datetime as dt
import time
from typing import Protocol

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US


class Clock(Protocol):
    """Where the outer layers get the time from."""

    def now_us(self) -> int:
        """Return wall-clock microseconds since the epoch, UTC."""

    def monotonic_s(self) -> float:
        """Return seconds that never go back, for durations and deadlines."""


class SystemClock:
    """The machine's clocks."""

    def now_us(self) -> int:
        return time.time_ns() // 1_000

    def monotonic_s(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that a test (or a replay) moves by hand."""

    def __init__(self, now_us: int = 0) -> None:
        self._now_us = now_us
        self._monotonic_s = 0.0

    def now_us(self) -> int:
        return self._now_us

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Move both clocks forward by ``seconds``."""
        self._now_us += round(seconds * SECOND_US)
        self._monotonic_s += seconds

    def step_wall(self, seconds: float) -> None:
        """Move the wall clock only, as NTP or an operator would."""
        self._now_us += round(seconds * SECOND_US)


def to_rfc3339(time_us: int) -> str:
    """Format microseconds as RFC 3339 in UTC, with a fraction only where there is one.

    >>> to_rfc3339(0)
    '1970-01-01T00:00:00Z'
    >>> to_rfc3339(1_500_000)
    '1970-01-01T00:00:01.500000Z'
    """
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=time_us)
    return moment.isoformat().replace("+00:00", "Z")


def from_rfc3339(text: str) -> int:
    """Parse an RFC 3339 moment or an ISO date to microseconds; a missing offset means UTC.

    >>> from_rfc3339("1970-01-01T00:00:01Z")
    1000000

    Raises
    ------
    ValueError
        When ``text`` is neither.
    """
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
