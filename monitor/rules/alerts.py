"""Alert rules and the state machine ``ok → pending → firing → ok`` of each of their instances.

A rule names a metric and a bound. Every series that it matches is an *instance* with a state of its own.
A window **counts** when it has a value for the metric, from at least ``min_samples`` rows, and is not older
than the newest window that has counted. A counted window is **bad** when its value is beyond the bound
or, while the instance is firing, not yet back on the healthy side of ``clear``. The instance is *firing*
while at least ``needed`` of its last ``of`` counted windows are bad, else *pending* while the newest one is
bad, else *ok*.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from math import isfinite
from typing import Any

from monitor.errors import StoreError
from monitor.types import ALL_VERSIONS, AlertPhase, Result, Transition, Window

Series = tuple[str, str, str, str, str, str, str]
Recent = tuple[tuple[int, bool], ...]  # (window start, bad) of counted windows, oldest first
STATE_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """When a metric is wrong, and for how long before it matters.

    Parameters
    ----------
    above, below, outside
        Exactly one of them: bad when the value is over a bound, under a bound, or not in ``[low, high]``.
    feature, attribute, group, segment, version
        Which series. None matches any feature, attribute and group (each series is an instance), but only
        series *without* a segment and only the row of all versions together (``"*"``).
    needed, of
        Fire when ``needed`` of the last ``of`` counted windows are bad.
    clear
        Hysteresis: a firing instance stays bad until its value is at or inside this bound (for ``outside``
        a pair). By default the bound itself.
    min_samples
        Windows with fewer rows do not count.
    confident
        A window is bad only when its whole interval is beyond the bound; without an interval it is not.

    Raises
    ------
    ValueError
        With a sentence that says what is allowed, when the parts contradict each other.
    """

    name: str
    metric: str
    above: float | None = None
    below: float | None = None
    outside: tuple[float, float] | None = None
    feature: str | None = None
    attribute: str | None = None
    group: str | None = None
    segment: str | None = None
    version: str | None = None
    needed: int = 1
    of: int = 1
    clear: float | tuple[float, float] | None = None
    min_samples: int = 100
    severity: str = "warning"
    confident: bool = False

    def __post_init__(self) -> None:
        given = [b for b in (self.above, self.below, self.outside) if b is not None]
        if len(given) != 1:
            raise ValueError(
                f"alert {self.name!r}: give exactly one of above, below, outside; got {len(given)}"
            )
        if not all(isfinite(b) for b in (*_pair(given[0]), *_pair(self.clear or 0.0))):
            raise ValueError(f"alert {self.name!r}: bounds must be finite numbers")
        if not 1 <= self.needed <= self.of:
            raise ValueError(f"alert {self.name!r}: 'for: {self.needed} of {self.of}' must be 1 ≤ m ≤ n")
        if self.clear is not None and isinstance(self.clear, tuple) != (self.outside is not None):
            raise ValueError(f"alert {self.name!r}: clear is a pair [low, high] with outside, else a number")
        low, high = _limits(self)
        inner_low, inner_high = _clear_limits(self, low, high)
        ends = [e for e in (low, inner_low, inner_high, high) if e is not None]
        if ends != sorted(ends):
            raise ValueError(f"alert {self.name!r}: clear must lie on the healthy side of the bound")


@dataclass(frozen=True, slots=True)
class AlertState:
    """Where one instance of an alert stands.

    ``value``, ``bound``, ``lower``, ``upper`` and ``n`` are those of ``window``, the newest counted one.
    ``previous`` is the phase and memory before it, so that a restatement of it can be stepped again.
    ``seen_us`` starts the newest window with any complete result; ``no_data`` says that it had no value.
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
        if row.get("format") != STATE_FORMAT:
            raise StoreError(
                f"alert state of {row.get('alert')!r}: format {row.get('format')!r} is not known; "
                f"this program reads format {STATE_FORMAT}"
            )
        phase, recent = row["previous"]
        return cls(
            **{k: v for k, v in row.items() if k != "format"}
            | {
                "series": tuple(row["series"]),
                "window": Window(*row["window"]) if row["window"] else None,
                "recent": tuple((at, bad) for at, bad in row["recent"]),
                "previous": (phase, tuple((at, bad) for at, bad in recent)),
            }
        )


States = Mapping[tuple[str, Series], AlertState]


def matches(rule: AlertRule, result: Result) -> bool:
    """Tell whether the result belongs to a series that the rule watches."""
    return watches(rule, result.series)


def watches(rule: AlertRule, series: Series) -> bool:
    """Tell whether the rule watches the series, as it is configured now."""
    _, version, metric, feature, attribute, group, segment = series
    selected = (rule.feature, feature), (rule.attribute, attribute), (rule.group, group)
    return (
        rule.metric == metric
        and (rule.version or ALL_VERSIONS) == version
        and (rule.segment or "") == segment
        and all(want is None or want == has for want, has in selected)
    )


def bounds(rule: AlertRule, result: Result) -> tuple[float | None, float | None]:
    """Return the healthy range ``(low, high)`` of the rule for this result; None means unbounded.

    The one place where a bound becomes a number: bounds that depend on the result (its critical value, its
    reference) are resolved here. ``(None, None)`` means that there is no bound for this result.
    """
    del result
    return _limits(rule)


def step(
    rule: AlertRule, state: AlertState | None, result: Result, *, at_us: int
) -> tuple[AlertState, Transition | None]:
    """Show one result to one instance of a rule.

    Parameters
    ----------
    state
        The instance's state, None when it has never been seen.
    result
        A result of the instance's series. One that is ``awaiting_labels`` is not complete and changes
        nothing; one without a usable value keeps the phase and sets ``no_data``.
    at_us
        The moment of the decision.

    Returns
    -------
    The new state, and the change of phase if there is one. The same result again changes nothing; the
    newest counted window with other numbers gives what these numbers would have given at first.
    """
    old = state or AlertState(rule.name, result.series, since_us=at_us)
    window, value = result.window, result.value
    if result.state == "awaiting_labels" or (old.window and window < old.window):
        return old, None
    low, high = bounds(rule, result)
    seen_us = window.start_us if old.seen_us is None else max(old.seen_us, window.start_us)
    if result.state != "ok" or value is None or result.n < rule.min_samples or low is high is None:
        return replace(old, seen_us=seen_us, no_data=old.no_data or seen_us == window.start_us), None
    new = _count(rule, old, result, value, (low, high))
    new = replace(new, seen_us=seen_us, no_data=seen_us > window.start_us)
    if new.phase == old.phase or new.bound is None:
        return new, None
    change = (old.phase, new.phase, value, new.bound, at_us)
    return replace(new, since_us=at_us), Transition(
        result.model, rule.name, rule.severity, old.series, window, *change
    )


def evaluate_rules(
    rules: Sequence[AlertRule], states: States, results: Iterable[Result], at_us: int
) -> tuple[dict[tuple[str, Series], AlertState], list[Transition]]:
    """Show the results of one window to all rules of one model.

    Returns
    -------
    All states, keyed by (alert, series): those of ``states`` whose rule still exists, changed ones replaced
    (the others are the same objects), new ones added; and the transitions, by rule, then by series.
    """
    by_metric: dict[str, list[Result]] = {}
    for result in results:
        by_metric.setdefault(result.metric, []).append(result)
    names = {rule.name for rule in rules}
    new = {key: state for key, state in states.items() if key[0] in names}
    transitions = []
    for rule in rules:
        watched = [r for r in by_metric.get(rule.metric, ()) if matches(rule, r)]
        for result in sorted(watched, key=lambda r: (r.window, r.series)):
            key = (rule.name, result.series)
            new[key], transition = step(rule, new.get(key), result, at_us=at_us)
            if transition:
                transitions.append(transition)
    return new, transitions


def firing(states: Iterable[AlertState]) -> frozenset[str]:
    """Return the names of the alerts with at least one firing instance."""
    return frozenset(state.alert for state in states if state.phase == "firing")


def _count(
    rule: AlertRule, old: AlertState, result: Result, value: float, limits: tuple[float | None, float | None]
) -> AlertState:
    """Return the state once the result's window has counted, for the first time or again."""
    before, memory = old.previous if result.window == old.window else (old.phase, old.recent)
    bad = _beyond(rule, result, value, *limits)
    if before == "firing" and not _inside(value, *_clear_limits(rule, *limits)):
        bad = True
    recent = (*memory, (result.window.start_us, bad))[-rule.of :]
    fires = sum(flag for _, flag in recent) >= rule.needed
    return replace(
        old,
        phase="firing" if fires else "pending" if bad else "ok",
        window=result.window,
        value=value,
        bound=min((b for b in limits if b is not None), key=lambda b: abs(b - value)),
        lower=result.lower,
        upper=result.upper,
        n=result.n,
        recent=recent,
        previous=(before, memory[-rule.of :]),
    )


def _pair(bound: float | tuple[float, float]) -> tuple[float, ...]:
    return bound if isinstance(bound, tuple) else (bound,)


def _limits(rule: AlertRule) -> tuple[float | None, float | None]:
    return rule.outside or (rule.below, rule.above)


def _clear_limits(
    rule: AlertRule, low: float | None, high: float | None
) -> tuple[float | None, float | None]:
    if rule.clear is None:
        return low, high
    if isinstance(rule.clear, tuple):
        return rule.clear
    return (None, rule.clear) if low is None else (rule.clear, None)


def _inside(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


def _beyond(rule: AlertRule, result: Result, value: float, low: float | None, high: float | None) -> bool:
    if not rule.confident:
        return not _inside(value, low, high)
    if result.lower is None or result.upper is None:
        return False
    return (high is not None and result.lower > high) or (low is not None and result.upper < low)
