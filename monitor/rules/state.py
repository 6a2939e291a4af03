"""Where one instance of an alert stands, and its stored form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from monitor.errors import StoreError
from monitor.rules.anytime import Looks
from monitor.types import AlertPhase, Series, Window

Recent = tuple[tuple[int, bool], ...]  # (window start, bad) of counted windows, oldest first
STATE_FORMAT = 2
READ_FORMATS = (1, 2)


@dataclass(frozen=True, slots=True)
class AlertState:
    """Where one instance of an alert stands.

    ``value``, ``bound``, ``lower``, ``upper`` and ``n`` are those of ``window``, the newest counted one;
    ``low`` and ``high`` the healthy range there, ``clear_low`` and ``clear_high`` the one to come back to.
    ``previous`` is the phase and memory before it, so that a restatement of it can be stepped again.
    ``seen_us`` starts the newest window with any complete result; ``no_data`` says that it had no value, and
    ``reason`` why. ``looks`` are the counts of the newest windows of an ``anytime`` rule, ``previous_looks``
    those before ``window``. ``told`` is the phase that was last announced: silences keep it behind ``phase``.
    """

    alert: str
    series: Series
    phase: AlertPhase = "ok"
    since_us: int = 0
    window: Window | None = None
    value: float | None = None
    bound: float | None = None
    lower: float | None = None
    upper: float | None = None
    n: int = 0
    recent: Recent = ()
    previous: tuple[AlertPhase, Recent] = ("ok", ())
    seen_us: int | None = None
    no_data: bool = False
    reason: str = ""
    low: float | None = None
    high: float | None = None
    clear_low: float | None = None
    clear_high: float | None = None
    told: AlertPhase = "ok"
    looks: Looks = ()
    previous_looks: Looks = ()

    @property
    def margin(self) -> float | None:
        """Distance of the value to the nearest limit, in the metric's unit; negative when beyond it."""
        if self.value is None:
            return None
        sides = [
            *([self.value - self.low] if self.low is not None else []),
            *([self.high - self.value] if self.high is not None else []),
        ]
        return min(sides, default=None)

    def to_json(self) -> dict[str, Any]:
        """Return the stored form: plain JSON values with the version of the format."""
        row: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        window = self.window and [self.window.start_us, self.window.end_us]
        return {"format": STATE_FORMAT, **row, "window": window}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> AlertState:
        """Read the stored form.

        Raises
        ------
        StoreError
            When a newer program has written it.
        """
        if row.get("format") not in READ_FORMATS:
            raise StoreError(
                f"alert state of {row.get('alert')!r}: format {row.get('format')!r} is not known; "
                f"this program reads formats up to {STATE_FORMAT}"
            )
        phase, recent = row["previous"]
        told = row.get("told", row["phase"])
        return cls(
            **{k: v for k, v in row.items() if k != "format"}
            | {
                "series": tuple(row["series"]),
                "window": Window(*row["window"]) if row["window"] else None,
                "recent": tuple((at, bad) for at, bad in row["recent"]),
                "previous": (phase, tuple((at, bad) for at, bad in recent)),
                "told": told,
                **{name: _looks(row.get(name, ())) for name in ("looks", "previous_looks")},
            }
        )


def _looks(rows: Any) -> Looks:
    return tuple((at, number, {k: (part, of) for k, (part, of) in each.items()}) for at, number, each in rows)


States = Mapping[tuple[str, Series], AlertState]


def firing(states: Iterable[AlertState]) -> frozenset[str]:
    """Return the names of the alerts with at least one firing instance."""
    return frozenset(state.alert for state in states if state.phase == "firing")
