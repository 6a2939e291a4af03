"""The ``alerts`` and ``retrain`` sections of a model: bounds on metrics, and when to ask for a new model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, PlainSerializer, PlainValidator, Tag, WithJsonSchema

from monitor.config.base import (
    Count,
    Duration,
    Hours,
    Label,
    Name,
    NotSwitch,
    Section,
    Share,
    Switch,
    Text,
    one_or_many,
    tagged,
)
from monitor.config.bounds import BoundRange, Bounds, Clear
from monitor.time import DAY_US


@dataclass(frozen=True, slots=True)
class Streak:
    """``needed`` bad windows of the last ``of``."""

    needed: int
    of: int

    def __str__(self) -> str:
        return f"{self.needed} of {self.of}"


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


def _runbook(url: str) -> str:
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", url):
        raise ValueError("must be a URL, https://host/path")
    return url


Patterns = Annotated[tuple[Text, ...], Field(min_length=1), one_or_many(Text)]
Labels = Annotated[tuple[Label, ...], Field(min_length=1), one_or_many(Label)]
LabelName = Annotated[str, Field(pattern="^[a-zA-Z_][a-zA-Z0-9_]{0,127}$")]


class Alert(Section):
    """A bound on a metric; exactly one of `above`, `below`, `outside`."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": [key]} for key in ("above", "below", "outside")]}
    )

    name: Name
    """Unique among the model's alerts."""
    metric: Text
    """A metric of a check that is on."""
    feature: Patterns | None = None
    """Only these features, `*` stands for anything; by default all, each an alert instance of its own."""
    attribute: Patterns | None = None
    """Only these sensitive attributes (an intersection: `sex|region`)."""
    group: Labels | None = None
    """Only these groups."""
    segment: Patterns | None = None
    """These segments, as in `plan=gold`, `plan=*` or `*`; by default only the whole, without segments."""
    version: Labels | None = None
    """These model versions, each by itself; by default only all versions together."""
    above: Bounds | None = None
    """Bad when the value is over it; of a list over all of them."""
    below: Bounds | None = None
    """Bad when the value is under it; of a list under all of them."""
    outside: BoundRange | None = None
    """Bad when the value is not in `[low, high]`."""
    for_: Annotated[
        Streak,
        PlainValidator(_streak),
        PlainSerializer(str),
        WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]}),
    ] = Field(default=Streak(1, 1), alias="for")
    """Fire when m of the last n windows are bad: `2 of 3`; a number n means `n of n`."""
    clear: Clear | None = None
    """A firing alert ends only at or inside this bound (with `outside` a pair); by default at its own."""
    min_samples: Annotated[int | None, Field(ge=0, le=2**31 - 1), NotSwitch] = None
    """Windows with fewer rows do not count; by default 100, but 0 for metrics that look for few rows."""
    severity: Literal["info", "warning", "critical"] = "warning"
    """Passed on as a label."""
    confident: Switch = False
    """A window is bad only when its whole confidence interval is beyond the bound."""
    anytime: Switch = False
    """As `confident`, but with intervals that bear being looked at all the time; for shares and gaps."""
    labels: dict[LabelName, Label] = Field(default={})
    """Further labels, as in `{team: risk}`; passed on."""
    runbook: Annotated[Text, AfterValidator(_runbook)] | None = None
    """URL that says what to do; passed on."""
    description: str = ""
    """For people; sent with notifications."""
    notify: tuple[Text, ...] | None = None
    """Actions told when it fires and when it is resolved, instead of the model's `notify`; `[]`: nobody."""


def _alert(value: Any) -> str | None:
    return "default" if value == "default" else "alert" if isinstance(value, dict | Alert) else None


AlertOrDefault = Annotated[
    Annotated[Literal["default"], Tag("default")] | Annotated[Alert, Tag("alert")],
    tagged(_alert, "must be an alert or 'default', which stands for the default alerts"),
]
Alerts = Annotated[tuple[AlertOrDefault, ...], one_or_many(AlertOrDefault)]


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
    quiet_hours: Annotated[tuple[Hours, ...], one_or_many(Hours)] = ()
    """Times of day (UTC), one or several, when nothing is asked for, as in `22:00-06:00`, but held."""
    dry_run: Switch = False
    """Decide and record, but send nothing."""
    weight_by_attribution: Share | None = None
    """Drift of a feature with a smaller share of the attributions does not count; needs `checks.explain`."""
