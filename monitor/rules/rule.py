"""What an alert rule is: which series it watches, its bound, and how long before it matters."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from math import isfinite

from monitor.rules.bounds import Bound, Derived, FalseAlarms, ReferenceSd, RelativeToReference
from monitor.types import ALL_VERSIONS, Result, Series

Selector = str | tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """When a metric is wrong, and for how long before it matters.

    Parameters
    ----------
    above, below, outside
        Exactly one of them: bad when the value is over a bound, under a bound, or not in ``[low, high]``.
        Several bounds of ``above`` or ``below``: bad when beyond all of them.
    feature, attribute, group, segment, version
        Which series: a pattern in which ``*`` stands for anything, or several of which one must fit. None
        matches any feature, attribute and group (each series is an instance), but only series *without* a
        segment and only the row of all versions together (which no pattern of versions matches).
    needed, of
        Fire when ``needed`` of the last ``of`` counted windows are bad.
    clear
        Hysteresis: a firing instance stays bad until its value is at or inside this bound (for ``outside``
        a pair). By default the bound itself.
    min_samples
        Windows with fewer rows do not count.
    confident
        A window is bad only when its whole interval is beyond the bound; without an interval it is not.
    anytime
        As ``confident``, with an interval that may be looked at after every window; it starts anew when an
        alert has ended, and a firing one ends as soon as the value itself is back.
    labels, runbook, description
        Passed on to whoever is told.

    Raises
    ------
    ValueError
        With a sentence that says what is allowed, when the parts contradict each other.
    """

    name: str
    metric: str
    above: Bound | tuple[Bound, ...] | None = None
    below: Bound | tuple[Bound, ...] | None = None
    outside: tuple[float, float] | Derived | None = None
    feature: Selector = None
    attribute: Selector = None
    group: Selector = None
    segment: Selector = None
    version: Selector = None
    needed: int = 1
    of: int = 1
    clear: Bound | tuple[float, float] | None = None
    min_samples: int = 100
    severity: str = "warning"
    confident: bool = False
    anytime: bool = False
    labels: tuple[tuple[str, str], ...] = field(default=())
    runbook: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        given = [b for b in (self.above, self.below, self.outside) if b is not None]
        if len(given) != 1:
            raise ValueError(
                f"alert {self.name!r}: give exactly one of above, below, outside; got {len(given)}"
            )
        if not all(isfinite(b) for b in (*_numbers(given[0]), *_numbers(self.clear))):
            raise ValueError(f"alert {self.name!r}: bounds must be finite numbers")
        if not 1 <= self.needed <= self.of:
            raise ValueError(f"alert {self.name!r}: 'for: {self.needed} of {self.of}' must be 1 ≤ m ≤ n")
        if isinstance(self.clear, float | int | tuple) and isinstance(self.clear, tuple) != (
            self.outside is not None
        ):
            raise ValueError(f"alert {self.name!r}: clear is a pair [low, high] with outside, else a number")
        if not _healthy(self):
            raise ValueError(f"alert {self.name!r}: clear must lie on the healthy side of the bound")


def matches(rule: AlertRule, result: Result) -> bool:
    """Tell whether the result belongs to a series that the rule watches."""
    return watches(rule, result.series)


def watches(rule: AlertRule, series: Series) -> bool:
    """Tell whether the rule watches the series, as it is configured now."""
    _, version, metric, feature, attribute, group, segment = series
    if rule.metric != metric:
        return False
    if (rule.version is None) != (version == ALL_VERSIONS) or (rule.segment is None) != (segment == ""):
        return False
    selected = (
        (rule.feature, feature),
        (rule.attribute, attribute),
        (rule.group, group),
        (rule.segment, segment),
        (rule.version, version),
    )
    return all(chosen(want, has) for want, has in selected)


def needs_baselines(rule: AlertRule) -> bool:
    """Tell whether a bound of the rule may rest on what its series is on the reference."""
    bounds = (rule.above, rule.below, rule.outside, rule.clear)
    several = (one for bound in bounds for one in (bound if isinstance(bound, tuple) else (bound,)))
    return any(isinstance(one, ReferenceSd | RelativeToReference | FalseAlarms) for one in several)


def chosen(selector: Selector, text: str) -> bool:
    """Tell whether a text fits the selector; None fits everything.

    >>> chosen("plan=*", "plan=gold"), chosen(("a", "b"), "c"), chosen("a.b", "axb"), chosen(None, "x")
    (True, False, False, True)
    """
    if selector is None:
        return True
    return any(
        _pattern(one).fullmatch(text) for one in ([selector] if isinstance(selector, str) else selector)
    )


@lru_cache(maxsize=4096)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL)


def _numbers(bound: Bound | tuple[Bound, ...] | None) -> list[float]:
    several = bound if isinstance(bound, tuple) else (bound,)
    return [one for one in several if isinstance(one, float | int)]


def _healthy(rule: AlertRule) -> bool:
    """Tell whether numbers in ``clear`` and the bound are in order; what is derived is cut when resolved."""
    clear = _numbers(rule.clear)
    if rule.outside is not None:
        ends = _numbers(rule.outside)
        ordered = [*ends[:1], *clear, *ends[1:]]
        return ordered == sorted(ordered)
    if isinstance(rule.above, float | int):
        return all(one <= rule.above for one in clear)
    if isinstance(rule.below, float | int):
        return all(one >= rule.below for one in clear)
    return True
