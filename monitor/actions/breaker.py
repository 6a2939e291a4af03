"""When an endpoint is left alone: after failures in a row, and for as long as it asks."""

from __future__ import annotations

from dataclasses import dataclass

OPEN_AFTER = 5  # failures in a row


@dataclass(slots=True)
class Breaker:
    """Counts an endpoint's failures in a row; open, it lets one probe through every ``probe_every_s``.

    An endpoint that names a time (``Retry-After``) is left alone until then, whatever message it was about.
    All moments are monotonic seconds, so that no change of the wall clock shuts an endpoint off.

    >>> breaker = Breaker(probe_every_s=60.0)
    >>> for _ in range(5): breaker.record(True, now_s=10.0)
    >>> breaker.rests(69.0), breaker.rests(70.0)
    (True, False)
    """

    probe_every_s: float
    failures: int = 0
    rests_until_s: float = float("-inf")

    def rests(self, now_s: float) -> bool:
        """Tell whether nothing is to be sent now."""
        return now_s < self.rests_until_s

    def record(self, failed: bool, *, now_s: float, retry_after_s: float | None = None) -> None:
        """Take note of what came of an attempt."""
        self.failures = self.failures + 1 if failed else 0
        wait_s = self.probe_every_s if self.failures >= OPEN_AFTER else 0.0
        if failed:
            wait_s = max(wait_s, retry_after_s or 0.0)
        self.rests_until_s = now_s + wait_s if wait_s else float("-inf")
