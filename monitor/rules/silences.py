"""Silences: alerts that nobody is told of for a while. They keep their state, and are shown as silenced."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from monitor.rules.rule import Selector, chosen
from monitor.time import DAY_US
from monitor.types import Series

EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday; Monday is 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Which alert instances are silent, and when.

    Parameters
    ----------
    models, alerts, features, attributes, groups, segments, versions
        Patterns, as in a rule; None fits everything.
    from_us, to_us
        ``[from_us, to_us)``; None is open.
    daily
        Start and end of each day's silence, in microseconds after midnight UTC; an end at or before the
        start is on the next day.
    days
        Weekdays (Monday is 0) on which a daily silence starts; without ``daily`` whole days.
    comment
        Why.
    """

    models: Selector = None
    alerts: Selector = None
    features: Selector = None
    attributes: Selector = None
    groups: Selector = None
    segments: Selector = None
    versions: Selector = None
    from_us: int | None = None
    to_us: int | None = None
    daily: tuple[int, int] | None = None
    days: frozenset[int] = frozenset(range(7))
    comment: str = ""

    def covers(self, alert: str, series: Series, at_us: int) -> bool:
        """Tell whether an instance is silent at a moment."""
        model, version, _, feature, attribute, group, segment = series
        wanted = (
            (self.models, model),
            (self.alerts, alert),
            (self.features, feature),
            (self.attributes, attribute),
            (self.groups, group),
            (self.segments, segment),
            (self.versions, version),
        )
        return self.active(at_us) and all(chosen(want, has) for want, has in wanted)

    def active(self, at_us: int) -> bool:
        """Tell whether the silence holds at a moment."""
        if self.from_us is not None and at_us < self.from_us:
            return False
        if self.to_us is not None and at_us >= self.to_us:
            return False
        start, end = self.daily or (0, DAY_US)
        day, time_us = divmod(at_us, DAY_US)
        if end <= start:  # over midnight: tonight's, or what is left of last night's
            return (time_us >= start and self._on(day)) or (time_us < end and self._on(day - 1))
        return start <= time_us < end and self._on(day)

    def _on(self, day: int) -> bool:
        return (day + EPOCH_WEEKDAY) % 7 in self.days


def silenced(silences: Iterable[Silence], alert: str, series: Series, at_us: int) -> bool:
    """Tell whether any silence covers the instance at this moment."""
    return any(one.covers(alert, series, at_us) for one in silences)
