"""The decision to retrain: a condition over alert names, a cooldown and a weekly cap.

The request is made on the *edge*, when the condition becomes true. An edge inside the cooldown, over the cap
or owed to silenced alerts is *held*: it is acted on when it may be, if the condition still holds then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from monitor.errors import StoreError
from monitor.time import DAY_US
from monitor.types import Transition, Window

WEEK_US = 7 * DAY_US
STATE_FORMAT = 1


@dataclass(frozen=True, slots=True)
class AnyOf:
    """True when one of the conditions is."""

    of: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """True when each of the conditions is."""

    of: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """True when the condition is not."""

    of: Condition


Condition = str | AnyOf | AllOf | Not


@dataclass(frozen=True, slots=True)
class RetrainRule:
    """When a model should be trained again, and whom to tell.

    ``when`` is an alert's name (true while any of its instances is firing) or a combination of names.
    ``max_per_week`` counts over any seven days; None means no cap.
    """

    model: str
    when: Condition
    actions: tuple[str, ...]
    cooldown_us: int = DAY_US
    max_per_week: int | None = None
    name: str = "retrain"


@dataclass(frozen=True, slots=True)
class RetrainState:
    """What a rule remembers: ``active`` is the condition at the last look.

    ``held_id`` and ``held_window`` (start, end) are those of an edge not acted on yet, ``fired_us`` the
    moments of the last seven days' requests, ``last_id`` the newest request's id.
    """

    active: bool = False
    last_fired_us: int | None = None
    last_id: str | None = None
    fired_us: tuple[int, ...] = ()
    held_id: str | None = None
    held_window: tuple[int, int] | None = None

    @property
    def held(self) -> bool:
        """Whether a request waits for the end of the cooldown."""
        return self.held_id is not None

    def to_json(self) -> dict[str, Any]:
        """Return the stored form: plain JSON values with the version of the format."""
        return {"format": STATE_FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> RetrainState:
        """Read the stored form.

        Raises
        ------
        StoreError
            When a newer program has written it.
        """
        if row.get("format") != STATE_FORMAT:
            raise StoreError(
                f"retrain state: format {row.get('format')!r} is not known; this program reads {STATE_FORMAT}"
            )
        values = {k: v for k, v in row.items() if k != "format"}
        window = row.get("held_window")
        values["held_window"] = (window[0], window[1]) if window else None
        return cls(**values | {"fired_us": tuple(row["fired_us"])})


@dataclass(frozen=True, slots=True)
class Decision:
    """A request to retrain; ``window`` is the edge's, ``id`` depends on model, rule, edge and its alerts."""

    id: str
    model: str
    rule: str
    window: Window
    alerts: tuple[str, ...]
    at_us: int


def holds(condition: Condition, firing: frozenset[str]) -> bool:
    """Tell whether the condition is true while exactly the alerts ``firing`` fire.

    >>> holds(AnyOf(("a", AllOf(("b", "c")))), frozenset({"b"}))
    False
    """
    match condition:
        case AnyOf(of):
            return any(holds(part, firing) for part in of)
        case AllOf(of):
            return all(holds(part, firing) for part in of)
        case Not(of):
            return not holds(of, firing)
        case str(name):
            return name in firing


def alert_names(condition: Condition) -> frozenset[str]:
    """Return every alert name in the condition.

    >>> sorted(alert_names(AllOf(("a", Not("b")))))
    ['a', 'b']
    """
    match condition:
        case AnyOf(of) | AllOf(of):
            return frozenset().union(*(alert_names(part) for part in of))
        case Not(of):
            return alert_names(of)
        case str(name):
            return frozenset({name})


def parse_condition(raw: object) -> Condition:
    """Read a condition as configured: a name, ``{any: [...]}``, ``{all: [...]}`` or ``{not: ...}``.

    >>> parse_condition({"any": ["a", {"not": "b"}]})
    AnyOf(of=('a', Not(of='b')))

    Raises
    ------
    ValueError
        With a sentence that says what is allowed.
    """
    match raw:
        case str(name) if name:
            return name
        case {"any": [_, *_] as parts, **rest} if not rest:
            return AnyOf(tuple(parse_condition(part) for part in parts))
        case {"all": [_, *_] as parts, **rest} if not rest:
            return AllOf(tuple(parse_condition(part) for part in parts))
        case {"not": part, **rest} if not rest:
            return Not(parse_condition(part))
    raise ValueError(
        f"{raw!r} is not a condition; allowed are an alert's name, "
        "{any: [conditions]}, {all: [conditions]} and {not: condition}"
    )


def decide(
    rule: RetrainRule,
    state: RetrainState,
    firing: frozenset[str],
    *,
    window: Window,
    transitions: Sequence[Transition] = (),
    at_us: int,
    silent: frozenset[str] = frozenset(),
) -> tuple[RetrainState, Decision | None]:
    """Look at the alerts after a window (or at any later moment, to act on a held edge).

    Parameters
    ----------
    firing
        Names of the alerts of the rule's model with a firing instance.
    window, transitions
        The window just evaluated and what it changed, for the id of an edge that it makes. A decision on
        a held edge has the edge's window.
    at_us
        The moment of the decision.
    silent
        Those of ``firing`` whose firing instances are all silenced: the condition must hold without them too.

    Returns
    -------
    The new state, and the decision if a request is to be made: at most one per cooldown, at most
    ``max_per_week`` in any seven days, and never a second one for the same edge.
    """
    fired_us = tuple(t for t in state.fired_us if t > at_us - WEEK_US)
    held_id, edge = _held(rule, state, firing, window, transitions)
    state = replace(
        state, active=holds(rule.when, firing), fired_us=fired_us, held_id=held_id, held_window=edge
    )
    cooling = state.last_fired_us is not None and at_us < state.last_fired_us + rule.cooldown_us
    capped = rule.max_per_week is not None and len(fired_us) >= rule.max_per_week
    silenced = not holds(rule.when, firing - silent)
    if held_id is None or edge is None or cooling or capped or silenced:
        return state, None
    alerts = tuple(sorted((firing - silent) & alert_names(rule.when)))
    done = RetrainState(True, last_fired_us=at_us, last_id=held_id, fired_us=(*fired_us, at_us))
    return done, Decision(held_id, rule.model, rule.name, Window(*edge), alerts, at_us)


def _held(
    rule: RetrainRule,
    state: RetrainState,
    firing: frozenset[str],
    window: Window,
    transitions: Sequence[Transition],
) -> tuple[str, tuple[int, int]] | tuple[None, None]:
    """Return id and window of the edge to act on: a new one, the one held so far, or none."""
    if not holds(rule.when, firing):
        return None, None
    if state.active:
        return (state.held_id, state.held_window) if state.held_id and state.held_window else (None, None)
    span = (window.start_us, window.end_us)
    names = alert_names(rule.when)
    edge = [
        rule.model,
        rule.name,
        span,
        sorted(firing & names),
        sorted([t.alert, t.series, t.before, t.after] for t in transitions if t.alert in names),
    ]
    digest = hashlib.sha256(json.dumps(edge).encode()).hexdigest()
    made = f"msg_{digest[:32]}"
    return (None, None) if made == state.last_id else (made, span)
