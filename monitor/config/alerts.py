"""The ``alerts`` and ``retrain`` sections of a model: bounds on metrics, and when to ask for a new model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, PlainSerializer, PlainValidator, Tag, WithJsonSchema

from monitor.config.base import (
    Count,
    Duration,
    Label,
    Name,
    NotSwitch,
    Number,
    Probability,
    Section,
    Switch,
    Text,
    format_duration,
    parse_duration,
    tagged,
)
from monitor.time import DAY_US


@dataclass(frozen=True, slots=True)
class Streak:
    """``needed`` bad windows of the last ``of``."""

    needed: int
    of: int

    def __str__(self) -> str:
        return f"{self.needed} of {self.of}"


@dataclass(frozen=True, slots=True)
class Rate:
    """``count`` events in ``per_us`` microseconds."""

    count: int
    per_us: int

    def __str__(self) -> str:
        return f"{self.count} per {format_duration(self.per_us)}"


def _streak(value: object) -> Streak:
    if isinstance(value, Streak):
        return value
    match = re.fullmatch(r"([0-9]{1,4})(?: of ([0-9]{1,4}))?", str(value))
    needed, of = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if isinstance(value, bool) or not 1 <= needed <= of:
        raise ValueError(
            "must be 'm of n' windows with 1 <= m <= n <= 9999, or a whole number n for 'n of n'"
        )
    return Streak(needed, of)


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
    return None if isinstance(value, list) else "number"


def _form_or_range(value: Any) -> str | None:
    return "range" if isinstance(value, list | tuple) else None if _form(value) == "number" else _form(value)


Derived = (
    Annotated[ReferenceSd, Tag("ReferenceSd")]
    | Annotated[RelativeToReference, Tag("RelativeToReference")]
    | Annotated[Critical, Tag("Critical")]
    | Annotated[FalseAlarms, Tag("FalseAlarms")]
)
Bound = Annotated[Annotated[Number, Tag("number")] | Derived, tagged(_form, f"must be {_ALLOWED}")]
NumberRange = Annotated[
    tuple[float, float],
    PlainValidator(_range),
    WithJsonSchema({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}),
]
BoundRange = Annotated[
    Annotated[NumberRange, Tag("range")] | Derived,
    tagged(_form_or_range, f"must be {_ALLOWED.replace('a number', '[low, high]')}"),
]


def _clear(value: Any) -> str:
    return "range" if isinstance(value, list | tuple) else "number"


class Alert(Section):
    """A bound on a metric; exactly one of `above`, `below`, `outside`."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": [key]} for key in ("above", "below", "outside")]}
    )

    name: Name
    """Unique among the model's alerts."""
    metric: Text
    """A metric of a check that is on."""
    feature: Text | None = None
    """Only this feature; by default every feature is an alert instance of its own."""
    attribute: Text | None = None
    """Only this sensitive attribute (an intersection: `sex|region`)."""
    group: Label | None = None
    """Only this group."""
    segment: Text | None = None
    """Only this segment, as in `plan=gold`; by default only the whole."""
    version: Label | None = None
    """Only this model version; by default only all versions together."""
    above: Bound | None = None
    """Bad when the value is over it."""
    below: Bound | None = None
    """Bad when the value is under it."""
    outside: BoundRange | None = None
    """Bad when the value is not in `[low, high]`."""
    for_: Annotated[
        Streak,
        PlainValidator(_streak),
        PlainSerializer(str),
        WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]}),
    ] = Field(default=Streak(1, 1), alias="for")
    """Fire when m of the last n windows are bad: `2 of 3`; a number n means `n of n`."""
    clear: (
        Annotated[
            Annotated[Number, Tag("number")] | Annotated[NumberRange, Tag("range")],
            tagged(_clear, "must be a number"),
        ]
        | None
    ) = None
    """A firing alert ends only at or inside this bound (with `outside` a pair); by default at its own."""
    min_samples: Annotated[int, Field(ge=0, le=2**31 - 1), NotSwitch] = 100
    """Windows with fewer rows do not count."""
    severity: Literal["info", "warning", "critical"] = "warning"
    """Passed on as a label."""
    confident: Switch = False
    """A window is bad only when its whole confidence interval is beyond the bound."""
    description: str = ""
    """For people; sent with notifications."""


@dataclass(frozen=True, slots=True)
class When:
    """A condition over alerts: ``raw`` is an alert's name or ``{any: […]}``, ``{all: […]}``, ``{not: …}``."""

    raw: Any

    def names(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield where each alert is named inside the condition, and the name."""
        yield from _names(self.raw, ())


def _names(raw: Any, loc: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(raw, str):
        yield loc, raw
    for key, part in raw.items() if isinstance(raw, Mapping) else ():
        for i, one in enumerate(part) if isinstance(part, list) else [(None, part)]:
            yield from _names(one, (*loc, key) if i is None else (*loc, key, i))


def _well_formed(raw: object) -> bool:
    match raw:
        case str():
            return bool(raw)
        case {"any": [_, *_] as parts, **rest} | {"all": [_, *_] as parts, **rest} if not rest:
            return all(_well_formed(part) for part in parts)
        case {"not": part, **rest} if not rest:
            return _well_formed(part)
    return False


def _when(value: object) -> When:
    if isinstance(value, When):
        return value
    if not _well_formed(value):
        raise ValueError(
            "must be an alert's name, {any: [conditions]}, {all: [conditions]} or {not: condition}, with "
            "exactly one key and at least one condition in each"
        )
    return When(value)


_WHEN_SCHEMA = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "properties": {"any": {"type": "array"}, "all": {"type": "array"}, "not": {}},
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 1,
        },
    ]
}


class Retrain(Section):
    """When to ask for a new model, and whom."""

    when: Annotated[
        When, PlainValidator(_when), PlainSerializer(lambda w: w.raw), WithJsonSchema(_WHEN_SCHEMA)
    ]
    """An alert's name, or `any`, `all`, `not` over conditions: `{any: [a, {all: [b, {not: c}]}]}`."""
    actions: Annotated[tuple[Text, ...], Field(min_length=1)]
    """Actions that are carried out."""
    cooldown: Duration = DAY_US
    """Shortest time between two requests."""
    max_per_week: Count = 7
    """Most requests in seven days."""
