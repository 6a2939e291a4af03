"""The state machine ``ok → pending → firing → ok`` of each instance of an alert rule.

A rule names a metric and a bound. Every series that it matches is an *instance* with a state of its own.
A window **counts** when it has a value for the metric, from ``min_samples`` rows or more, and a bound for it,
and is not older than the newest window that has counted. A counted window is **bad** when its value is beyond
the bound or, while the instance is firing, not yet back on the healthy side of ``clear``. The instance is
*firing* while at least ``needed`` of its last ``of`` counted windows are bad, else *pending* while the newest
one is bad, else *ok*.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from monitor.rules.anytime import Looks, interval, looked, tallies
from monitor.rules.bounds import NOTHING, Frame, Limits, bounds, clear_bounds
from monitor.rules.rule import AlertRule, matches
from monitor.rules.silences import Silence, silenced
from monitor.rules.state import AlertState, States
from monitor.types import Result, Series, Transition


def step(
    rule: AlertRule,
    state: AlertState | None,
    result: Result,
    *,
    at_us: int,
    frame: Frame = NOTHING,
    series: int = 1,
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
    frame, series
        What bounds are resolved against, and how many series the rule watches in the window.

    Returns
    -------
    The new state, and the change of phase if there is one. The same result again changes nothing; the
    newest counted window with other numbers gives what these numbers would have given at first.
    """
    old = state or AlertState(rule.name, result.series, since_us=at_us)
    window, value = result.window, result.value
    if result.state == "awaiting_labels" or (old.window and window < old.window):
        return old, None
    seen_us = window.start_us if old.seen_us is None else max(old.seen_us, window.start_us)
    limits = bounds(rule, result, frame, series=series)
    lack = _lack(rule, result, limits)
    if lack or value is None:
        newest = seen_us == window.start_us
        reason = lack if newest else old.reason
        return replace(old, seen_us=seen_us, no_data=old.no_data or newest, reason=reason), None
    inner = clear_bounds(rule, result, limits, frame, series=series)
    looks: Looks = ()
    if rule.anytime:
        looks, result = _look(old, result)
    new = _count(rule, old, result, value, limits, inner)
    if rule.anytime:
        ended = new.previous[0] == "firing" and new.phase == "ok"
        before = old.previous_looks if result.window == old.window else old.looks
        new = replace(new, looks=() if ended else looks, previous_looks=before)
    no_data = seen_us > window.start_us
    new = replace(new, seen_us=seen_us, no_data=no_data, reason=old.reason if no_data else "")
    if new.phase == old.phase or new.bound is None:
        return new, None
    change = (old.phase, new.phase, value, new.bound, at_us)
    return replace(new, since_us=at_us), Transition(
        result.model, rule.name, rule.severity, old.series, window, *change
    )


def evaluate_rules(
    rules: Sequence[AlertRule],
    states: States,
    results: Iterable[Result],
    at_us: int,
    frame: Frame = NOTHING,
    silences: Sequence[Silence] = (),
) -> tuple[dict[tuple[str, Series], AlertState], list[Transition]]:
    """Show the results of one window to all rules of one model.

    Returns
    -------
    All states, keyed by (alert, series): those of ``states`` whose rule still exists, changed ones replaced
    (the others are the same objects), new ones added; and the transitions, by rule, then by series, after
    those that :func:`announce` makes up for.
    """
    by_metric: dict[str, list[Result]] = {}
    for result in results:
        by_metric.setdefault(result.metric, []).append(result)
    names = {rule.name for rule in rules}
    kept = {key: state for key, state in states.items() if key[0] in names}
    new, transitions = announce(rules, kept, at_us, silences)
    for rule in rules:
        watched = [r for r in by_metric.get(rule.metric, ()) if matches(rule, r)]
        for result in sorted(watched, key=lambda r: (r.window, r.series)):
            key = (rule.name, result.series)
            state, transition = step(
                rule, new.get(key), result, at_us=at_us, frame=frame, series=len(watched)
            )
            if transition:
                quiet = silenced(silences, rule.name, result.series, at_us)
                transitions.append(replace(transition, silenced=quiet))
                state = state if quiet else replace(state, told=state.phase)
            new[key] = state
    return new, transitions


def announce(
    rules: Sequence[AlertRule], states: States, at_us: int, silences: Sequence[Silence]
) -> tuple[dict[tuple[str, Series], AlertState], list[Transition]]:
    """Make up for what a silence kept quiet and that still is so when the silence has ended.

    An instance that began to fire while silenced is announced when it goes on firing without a silence; one
    that was announced and then ended in silence is announced as ended. Returns all states, and transitions
    from the phase last told to the present one.
    """
    by_name = {rule.name: rule for rule in rules}
    new, transitions = dict(states), []
    for key, state in states.items():
        rule = by_name.get(state.alert)
        if rule is None or state.told == state.phase or state.window is None:
            continue
        if state.value is None or state.bound is None or silenced(silences, state.alert, state.series, at_us):
            continue
        model = state.series[0]
        about = (model, state.alert, rule.severity, state.series, state.window)
        transitions.append(Transition(*about, state.told, state.phase, state.value, state.bound, at_us))
        new[key] = replace(state, told=state.phase)
    return new, transitions


def _lack(rule: AlertRule, result: Result, limits: Limits) -> str:
    """Return why the result cannot count, in a word: its state, too few rows or no bound; else nothing."""
    if result.state != "ok" or result.value is None:
        return result.state
    if result.n < rule.min_samples:
        return "too_few_rows"
    return "no_bound" if limits == (None, None) else ""


def _look(old: AlertState, result: Result) -> tuple[Looks, Result]:
    """Return the memory of an anytime rule with this window, and the result with the interval it gives."""
    before = old.previous_looks if result.window == old.window else old.looks
    counted = tallies(result)
    if counted is None:
        return before, replace(result, lower=None, upper=None)
    looks = looked(before, result.window.start_us, counted)
    lower, upper = interval(looks)
    return looks, replace(result, lower=lower, upper=upper)


def _count(
    rule: AlertRule, old: AlertState, result: Result, value: float, limits: Limits, inner: Limits
) -> AlertState:
    """Return the state once the result's window has counted, for the first time or again."""
    before, memory = old.previous if result.window == old.window else (old.phase, old.recent)
    back = _inside(value, *inner)
    if before == "firing" and (rule.anytime or not back):
        bad = not back
    else:
        bad = _beyond(rule, result, value, *limits)
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
        previous=(before, memory),
        low=limits[0],
        high=limits[1],
        clear_low=None if rule.clear is None else inner[0],
        clear_high=None if rule.clear is None else inner[1],
    )


def _inside(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


def _beyond(rule: AlertRule, result: Result, value: float, low: float | None, high: float | None) -> bool:
    if not (rule.confident or rule.anytime):
        return not _inside(value, low, high)
    if result.lower is None or result.upper is None:
        return False
    return (high is not None and result.lower > high) or (low is not None and result.upper < low)
