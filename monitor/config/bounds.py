"""Bounds of an alert: numbers, and the ways to find one in the reference, the metric or a rate of alarms."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, PlainSerializer, PlainValidator, Tag, WithJsonSchema

from monitor.config.base import (
    NotSwitch,
    Number,
    Probability,
    Section,
    format_duration,
    parse_duration,
    tagged,
)


@dataclass(frozen=True, slots=True)
class Rate:
    """``count`` events in ``per_us`` microseconds."""

    count: int
    per_us: int

    def __str__(self) -> str:
        return f"{self.count} per {format_duration(self.per_us)}"


def _rate(value: object) -> Rate:
    match = re.fullmatch(r"([0-9]{1,6}) per (\S+)", value) if isinstance(value, str) else None
    try:
        rate = Rate(int(match[1]), parse_duration(match[2])) if match else Rate(0, 0)
    except ValueError:
        rate = Rate(0, 0)
    if not rate.count or not rate.per_us:
        raise ValueError("must be 'n per duration', as in 1 per 30d")
    return rate


def _percent(value: object) -> float:
    match = re.fullmatch(r"([-+]?[0-9]{1,9}(?:\.[0-9]{1,9})?)%", value) if isinstance(value, str) else None
    if not match:
        raise ValueError("must be a percentage with its sign, as in -5% or 10%")
    return float(match[1]) / 100


def _range(value: object) -> tuple[float, float]:
    numbers = [float(v) for v in value if _is_number(v)] if isinstance(value, list | tuple) else []
    if (
        not isinstance(value, list | tuple)
        or len(value) != 2
        or len(numbers) != 2
        or not numbers[0] <= numbers[1]
    ):
        raise ValueError("must be [low, high], two finite numbers with low <= high")
    return numbers[0], numbers[1]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


class ReferenceSd(Section):
    """Bound at the mean plus or minus so many standard deviations of the reference's chunks."""

    reference_sd: Annotated[float, Field(gt=0), NotSwitch]
    """Standard deviations."""


class RelativeToReference(Section):
    """Bound so many percent over or under the reference's own value."""

    relative_to_reference: Annotated[
        float, PlainValidator(_percent), WithJsonSchema({"type": "string", "pattern": "^[-+]?[0-9.]+%$"})
    ]
    """Percentage with its sign, as in `-5%`."""


class Critical(Section):
    """Bound at the metric's own critical value for the window's size."""

    critical: Probability
    """Chance, without drift, of being beyond it."""


class FalseAlarms(Section):
    """Bound calibrated on the reference to a rate of false alarms."""

    false_alarms: Annotated[
        Rate, PlainValidator(_rate), PlainSerializer(str), WithJsonSchema({"type": "string"})
    ]
    """Rate, as in `1 per 30d`."""


_FORMS = {
    "reference_sd": "ReferenceSd",
    "relative_to_reference": "RelativeToReference",
    "critical": "Critical",
    "false_alarms": "FalseAlarms",
}
_ALLOWED = (
    "a number, {reference_sd: k}, {relative_to_reference: p%}, {critical: alpha}, {false_alarms: n per d}"
)


def _form(value: Any) -> str | None:
    if isinstance(value, dict):
        return next((_FORMS[key] for key in value if key in _FORMS), None)
    if isinstance(value, Section):
        return type(value).__name__
    return None if isinstance(value, list | tuple) else "number"


def _form_or_several(value: Any) -> str | None:
    return "several" if isinstance(value, list | tuple) else _form(value)


def _form_or_pair(value: Any) -> str | None:
    return "range" if isinstance(value, list | tuple) else _form(value)


def _form_or_range(value: Any) -> str | None:
    return "range" if isinstance(value, list | tuple) else None if _form(value) == "number" else _form(value)


Derived = (
    Annotated[ReferenceSd, Tag("ReferenceSd")]
    | Annotated[RelativeToReference, Tag("RelativeToReference")]
    | Annotated[Critical, Tag("Critical")]
    | Annotated[FalseAlarms, Tag("FalseAlarms")]
)
Bound = Annotated[Annotated[Number, Tag("number")] | Derived, tagged(_form, f"must be {_ALLOWED}")]
Bounds = Annotated[
    Annotated[Number, Tag("number")]
    | Derived
    | Annotated[tuple[Bound, ...], Field(min_length=1), Tag("several")],
    tagged(_form_or_several, f"must be {_ALLOWED}, or a list of these"),
]
NumberRange = Annotated[
    tuple[float, float],
    PlainValidator(_range),
    WithJsonSchema({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}),
]
BoundRange = Annotated[
    Annotated[NumberRange, Tag("range")] | Derived,
    tagged(_form_or_range, f"must be {_ALLOWED.replace('a number', '[low, high]')}"),
]


Clear = Annotated[
    Annotated[Number, Tag("number")] | Annotated[NumberRange, Tag("range")] | Derived,
    tagged(_form_or_pair, f"must be {_ALLOWED}, or with outside [low, high]"),
]
