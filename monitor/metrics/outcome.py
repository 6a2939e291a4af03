"""What a metric answers: a number, or the reason there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from monitor.types import State

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer of one metric about one subject, or the reason there is none.

    ``value`` is a finite float exactly when ``state`` is ``"ok"``. ``lower`` and ``upper`` are a 95 %
    interval where the metric has one. ``n`` counts the rows of the window that the value rests on.
    """

    value: float | None
    state: State = "ok"
    lower: float | None = None
    upper: float | None = None
    n: int = 0
    n_reference: int = 0
    detail: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def none(
        cls,
        state: State,
        reason: str,
        *,
        n: int = 0,
        n_reference: int = 0,
        detail: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Return "no value", with its state and the reason in words."""
        return cls(None, state, n=n, n_reference=n_reference, detail={"reason": reason, **(detail or {})})

    def checked(self) -> Outcome:
        """Return this outcome without any non-finite number: no value, and the state says so."""
        if self.value is not None and not math.isfinite(self.value):
            reason = f"the result is {self.value}: the numbers are too large, or too few to divide by"
            return Outcome.none("not_applicable", reason, n=self.n, n_reference=self.n_reference)
        if any(bound is not None and not math.isfinite(bound) for bound in (self.lower, self.upper)):
            return Outcome(
                self.value,
                self.state,
                None,
                None,
                self.n,
                self.n_reference,
                {**self.detail, "interval": "none"},
            )
        return self


def guarded(compute: Callable[[], T]) -> T | Outcome:
    """Run one computation; what it raises becomes a state, and the others go on."""
    try:
        return compute()
    except Exception as error:  # the one broad catch of the evaluation: a metric fails alone
        return Outcome(None, "failed", detail={"error": f"{type(error).__name__}: {error}"})
