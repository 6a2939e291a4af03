"""References that are periods of the stream itself: which period a window is compared with.

That depends on the window alone, never on when one asks: a window is compared with what was known by its own
end, so a replay sees no later events, and a window that is asked again has the same reference.
"""

from __future__ import annotations

from dataclasses import dataclass

from monitor.time import DAY_US, to_rfc3339
from monitor.types import Window


@dataclass(frozen=True, slots=True)
class Period:
    """Events of ``[start_us, end_us)``, with the labels dated up to ``labels_us``.

    It serves no window that ends after ``until_us``; None: there is no such limit.
    """

    start_us: int
    end_us: int
    labels_us: int
    until_us: int | None = None

    @property
    def window(self) -> Window:
        """The interval of its events."""
        return Window(self.start_us, self.end_us)

    def __str__(self) -> str:
        return f"{to_rfc3339(self.start_us)} to {to_rfc3339(self.end_us)}"


@dataclass(frozen=True, slots=True)
class Fixed:
    """A fixed period; ``label_wait_us`` is how long after its end labels still come to it.

    Windows that end within that wait are compared with its events and the labels known at its end, later ones
    with all labels up to the end of the wait.
    """

    start_us: int
    end_us: int
    label_wait_us: int = 0

    def __str__(self) -> str:
        return f"the stream from {to_rfc3339(self.start_us)} to {to_rfc3339(self.end_us)}"

    def of(self, window: Window) -> Period | str:
        """Return the period for a window, or why there is none.

        >>> Fixed(0, 10, 5).of(Window(10, 12))
        Period(start_us=0, end_us=10, labels_us=10, until_us=15)
        >>> Fixed(0, 10, 5).of(Window(4, 6))
        'the reference ends only at 1970-01-01T00:00:00.000010Z, after this window'
        """
        if window.end_us < self.end_us:
            return f"the reference ends only at {to_rfc3339(self.end_us)}, after this window"
        known_us = self.end_us + self.label_wait_us
        if window.end_us < known_us:
            return Period(self.start_us, self.end_us, self.end_us, known_us)
        return Period(self.start_us, self.end_us, known_us)


@dataclass(frozen=True, slots=True)
class Rolling:
    """The ``size_us`` before the day (UTC) in which a window starts; a shorter one moves by its size.

    Labels count that are dated up to the period's end.
    """

    size_us: int

    def __str__(self) -> str:
        days = self.size_us / DAY_US
        return f"the stream of the {days:g} days before the day of a window"

    @property
    def step_us(self) -> int:
        """How far it moves at once."""
        return min(self.size_us, DAY_US)

    def of(self, window: Window) -> Period | str:
        """Return the period for a window.

        >>> Rolling(2).of(Window(5, 6))
        Period(start_us=2, end_us=4, labels_us=4, until_us=7)
        """
        end_us = window.start_us // self.step_us * self.step_us
        length_us = window.end_us - window.start_us
        return Period(end_us - self.size_us, end_us, end_us, end_us + self.step_us + length_us)
