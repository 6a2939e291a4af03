"""The ``silences`` section: alerts that nobody is told of for a while."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema

from monitor.config.alerts import Labels, Patterns
from monitor.config.base import Hours, Section, one_or_many
from monitor.time import from_rfc3339, to_rfc3339

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = get_args(Day)


def _moment(value: object) -> int:
    try:
        if isinstance(value, str):
            return from_rfc3339(value)
    except (ValueError, OverflowError):
        pass
    raise ValueError("must be a moment, as in 2026-11-22T10:00:00Z")


Moment = Annotated[
    int,
    PlainValidator(_moment),
    PlainSerializer(to_rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


class Silence(Section):
    """When nobody is told of an alert, and which; it keeps its state and cannot cause retraining."""

    model: Patterns | None = None
    """Only alerts of these models, `*` stands for anything; by default of all."""
    alert: Patterns | None = None
    """Only these alerts."""
    feature: Patterns | None = None
    """Only instances about these features."""
    attribute: Patterns | None = None
    """Only instances about these sensitive attributes."""
    group: Labels | None = None
    """Only instances about these groups."""
    segment: Patterns | None = None
    """Only instances about these segments."""
    version: Labels | None = None
    """Only instances about these versions; `*` is all versions together and each."""
    from_: Moment | None = Field(default=None, alias="from")
    """First moment; by default since ever."""
    to: Moment | None = None
    """First moment after it; by default for ever."""
    daily: Hours | None = None
    """Only between these times of day (UTC); past midnight when the second is the earlier one."""
    days: Annotated[tuple[Day, ...], Field(min_length=1), one_or_many(Day)] = DAYS
    """Days of the week (UTC) on which it starts."""
    comment: str = ""
    """Why; shown with silenced alerts."""
