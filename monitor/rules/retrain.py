"""The decision to retrain: a condition over alert names, a cooldown, a weekly cap and quiet hours.

The request is made on the *edge*, when the condition becomes true. An edge that may not be acted on yet is
*held*: it is acted on when it may be, provided that the condition still holds then. Every look has a
*verdict*, also when nothing is asked for: it says why.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from monitor.errors import StoreError
from monitor.rules.condition import Condition, alert_names, holds
from monitor.rules.silences import Silence
from monitor.time import DAY_US, to_rfc3339
from monitor.types import Transition, Window

WEEK_US = 7 * DAY_US
STATE_FORMAT = 1
CALM = "none of its alerts is firing"

Outcome = Literal["requested", "dry_run", "held", "discounted", "standing", "unmet", "calm"]


@dataclass(frozen=True, slots=True)
class RetrainRule:
    """When a model should be trained again, and whom to tell.

    Parameters
    ----------
    when
        An alert's name (true while any of its instances is firing) or a combination of names.
    max_per_week
        Over any seven days; None means no cap.
    quiet
        Hours in which nothing is asked for; only their times count.
    dry_run
        Decide and record, but tell nobody.
    min_attribution
        Drift of a feature that holds a smaller share of the attributions does not count (0: all does).
    """

    model: str
    when: Condition
    actions: tuple[str, ...]
    cooldown_us: int = DAY_US
    max_per_week: int | None = None
    quiet: tuple[Silence, ...] = ()
    dry_run: bool = False
    min_attribution: float = 0.0
    name: str = "retrain"


@dataclass(frozen=True, slots=True)
class RetrainState:
    """What a rule remembers: ``active`` is the condition at the last look.

    ``held_id`` and ``held_window`` (start, end) are those of an edge not acted on yet, ``fired_us`` the
    moments of the last seven days' requests, ``last_id`` the newest request's id, ``said`` what the verdict
    on record says.
    """

    active: bool = False
    last_fired_us: int | None = None
    last_id: str | None = None
    fired_us: tuple[int, ...] = ()
    held_id: str | None = None
    held_window: tuple[int, int] | None = None
    said: str = f"calm: {CALM}"

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


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look at the alerts came to.

    Parameters
    ----------
    outcome
        ``requested``, or ``dry_run`` where it would have been; ``held`` until cooldown, cap or quiet hours
        allow it; ``discounted``: true only with alerts that do not count; ``standing``: true since a request
        that has been made; ``unmet``: some of its alerts are firing, and it is not true; ``calm``: none is.
    why
        The reason in words.
    alerts
        The condition's alerts that are firing, sorted.
    decision
        The request, of ``requested`` and ``dry_run``.
    """

    outcome: Outcome
    why: str
    alerts: tuple[str, ...] = ()
    decision: Decision | None = None

    @property
    def said(self) -> str:
        """What makes this verdict another one than that on record."""
        alerts = f" ({', '.join(self.alerts)})" if self.alerts else ""
        return f"{self.outcome}: {self.why}{alerts}"


def decide(
    rule: RetrainRule,
    state: RetrainState,
    firing: frozenset[str],
    *,
    window: Window,
    transitions: Sequence[Transition] = (),
    at_us: int,
    discounted: Mapping[str, str] | None = None,
) -> tuple[RetrainState, Verdict]:
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
    discounted
        Those of ``firing`` without an instance that counts, and why: the condition must hold without them.

    Returns
    -------
    The new state, and the verdict: at most one request per cooldown, at most ``max_per_week`` in any seven
    days, and never a second one for the same edge.
    """
    fired_us = tuple(t for t in state.fired_us if t > at_us - WEEK_US)
    held_id, edge = _held(rule, state, firing, window, transitions)
    state = replace(
        state, active=holds(rule.when, firing), fired_us=fired_us, held_id=held_id, held_window=edge
    )
    verdict = _judge(rule, state, firing, discounted or {}, at_us)
    if verdict.outcome not in ("requested", "dry_run") or held_id is None or edge is None:
        return replace(state, said=verdict.said), verdict
    counted = (firing - (discounted or {}).keys()) & alert_names(rule.when)
    decision = Decision(held_id, rule.model, rule.name, Window(*edge), tuple(sorted(counted)), at_us)
    done = RetrainState(True, at_us, held_id, (*fired_us, at_us), said=verdict.said)
    return done, replace(verdict, decision=decision)


def _judge(
    rule: RetrainRule, state: RetrainState, firing: frozenset[str], discounted: Mapping[str, str], at_us: int
) -> Verdict:
    fired = tuple(sorted(firing & alert_names(rule.when)))
    if not state.active:
        return Verdict("unmet", "the condition is not true", fired) if fired else Verdict("calm", CALM)
    if not state.held:
        asked = f", asked for at {to_rfc3339(state.last_fired_us)}" if state.last_fired_us else ""
        return Verdict("standing", f"the condition has been true since the last request{asked}", fired)
    if not holds(rule.when, firing - discounted.keys()):
        reasons = "; ".join(f"{name} {discounted[name]}" for name in fired if name in discounted)
        return Verdict("discounted", reasons, fired)
    if state.last_fired_us is not None and at_us < state.last_fired_us + rule.cooldown_us:
        return Verdict("held", f"cooldown until {to_rfc3339(state.last_fired_us + rule.cooldown_us)}", fired)
    if rule.max_per_week is not None and len(state.fired_us) >= rule.max_per_week:
        return Verdict("held", f"{len(state.fired_us)} requests in seven days are all that may be", fired)
    if any(hours.active(at_us) for hours in rule.quiet):
        return Verdict("held", "quiet hours", fired)
    return Verdict("dry_run" if rule.dry_run else "requested", "the condition has become true", fired)


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
