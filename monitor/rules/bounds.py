"""From a rule's bound to a number: the one place where what depends on a result or a reference is resolved.

A bound is a number or a way to find one: the reference's chunks, the reference's own value, the metric's
critical value at the window's size, or a limit calibrated to a rate of false alarms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING

from monitor.metrics import find
from monitor.types import Baseline, BaselineKey, Result

if TYPE_CHECKING:
    from monitor.rules.rule import AlertRule

LOW, HIGH = -1, 1  # the side of the healthy range that a bound closes
Limits = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class ReferenceSd:
    """Mean of the reference's chunks plus (above) or minus (below) ``k`` of their standard deviations."""

    k: float


@dataclass(frozen=True, slots=True)
class RelativeToReference:
    """The reference's own value (of drift: the mean of its chunks) changed by ``share``: -0.05 is -5 %."""

    share: float


@dataclass(frozen=True, slots=True)
class Critical:
    """The metric's own limit for the sizes at hand, passed without drift with probability ``alpha``."""

    alpha: float


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """The limit at which the whole rule raises ``count`` false alarms in ``per_us`` microseconds."""

    count: int
    per_us: int


Derived = ReferenceSd | RelativeToReference | Critical | FalseAlarms
Bound = float | Derived
Calibrated = Callable[["AlertRule", FalseAlarms, Result, int, int], float | None]


def no_limit(rule: AlertRule, bound: FalseAlarms, result: Result, side: int, series: int) -> float | None:
    """Stand in for calibration where there is no reference to calibrate on."""
    return None


@dataclass(frozen=True, slots=True)
class Frame:
    """What bounds are resolved against.

    Parameters
    ----------
    baselines
        What each series is on the reference.
    calibrated
        Called with a rule, its bound, the result, the side and the number of series that the rule watches in
        the window; returns the limit, None where there is none.
    versions
        What results of versions with a reference of their own are resolved against.
    """

    baselines: Mapping[BaselineKey, Baseline] = field(default_factory=dict)
    calibrated: Calibrated = no_limit
    versions: Mapping[str, Frame] = field(default_factory=dict)

    def of(self, result: Result) -> Frame:
        """Return what a result's bounds are resolved against."""
        return self.versions.get(result.version, self)


NOTHING = Frame()


def bounds(rule: AlertRule, result: Result, frame: Frame = NOTHING, *, series: int = 1) -> Limits:
    """Return the healthy range ``(low, high)`` of the rule for this result; None means unbounded.

    ``series`` counts the series that the rule watches in the window. ``(None, None)`` means that there is no
    bound for this result: what it would rest on is not there. A value must be beyond *all* of several bounds.
    """
    frame = frame.of(result)
    if isinstance(rule.outside, tuple):
        return rule.outside
    if rule.outside is not None:
        low, high = (_resolved(rule, rule.outside, result, frame, side, series) for side in (LOW, HIGH))
        return (None, None) if low is None or high is None else (low, high)
    side, given = (HIGH, rule.above) if rule.above is not None else (LOW, rule.below)
    several = given if isinstance(given, tuple) else (given,)
    found = [_resolved(rule, one, result, frame, side, series) for one in several if one is not None]
    known = [one for one in found if one is not None]
    if len(known) < len(found) or not known:
        return None, None
    return (None, max(known)) if side == HIGH else (min(known), None)


def clear_bounds(rule: AlertRule, result: Result, limits: Limits, frame: Frame, *, series: int = 1) -> Limits:
    """Return the range to which a value must come back; within ``limits``, and by default equal to them."""
    frame = frame.of(result)
    low, high = limits
    if rule.clear is None:
        return limits
    if isinstance(rule.clear, tuple):
        inner_low: float | None = rule.clear[0]
        inner_high: float | None = rule.clear[1]
    else:
        inner_low = None if low is None else _resolved(rule, rule.clear, result, frame, LOW, series)
        inner_high = None if high is None else _resolved(rule, rule.clear, result, frame, HIGH, series)
    return (
        low if low is None or inner_low is None else max(low, inner_low),
        high if high is None or inner_high is None else min(high, inner_high),
    )


def _resolved(
    rule: AlertRule, bound: Bound, result: Result, frame: Frame, side: int, series: int
) -> float | None:
    match bound:
        case ReferenceSd(k):
            known = frame.baselines.get(baseline_key(result))
            if known is None or known.mean is None or known.sd is None:
                return None
            return _finite(known.mean + side * k * known.sd)
        case RelativeToReference(share):
            known = frame.baselines.get(baseline_key(result))
            base = None if known is None else known.mean if known.value is None else known.value
            moved = side * abs(share) if rule.outside is not None else share
            return None if base is None else _finite(base + moved * abs(base))
        case Critical(alpha):
            limit = find(result.metric).critical
            return None if limit is None else _finite(limit(result, alpha))
        case FalseAlarms():
            return _finite(frame.calibrated(rule, bound, result, side, series))
    return bound


def baseline_key(result: Result) -> BaselineKey:
    """Return where the reference keeps what the result's series is there."""
    parts = (result.feature, result.attribute, result.group, result.segment)
    feature, attribute, group, segment = (part or "" for part in parts)
    return result.metric, feature, attribute, group, segment


def _finite(limit: float | None) -> float | None:
    return limit if limit is not None and isfinite(limit) else None
