"""What actions are told, as plain data under 20 KB: that a model is to be retrained, that an alert changed.

A message is the content of a webhook's own body (canonical JSON) and the context of templates, so its keys
are always there; what does not exist is null. (Rows of ``reason`` and ``evidence`` leave it out.)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any

from monitor.rules.retrain import Decision
from monitor.rules.rule import AlertRule
from monitor.rules.state import AlertState
from monitor.time import to_rfc3339
from monitor.types import Result, Transition

RETRAIN, ALERT = "model_monitor.retrain", "model_monitor.alert"
LIMIT_BYTES = 20_000  # Standard Webhooks: keep payloads under 20 kB
_SELECTORS = ("version", "metric", "feature", "attribute", "group", "segment")  # of a series, in order
_TEXT = 2_000  # characters of a description that are passed on

Message = Mapping[str, Any]


def message_id(decision_id: str, action: str) -> str:
    """Return the outbox id of a decision's message to one action (each action's is its own).

    >>> message_id("msg_1", "pipeline") == message_id("msg_1", "pipeline") != message_id("msg_1", "pager")
    True
    """
    return _id([decision_id, action])


def transition_id(one: Transition) -> str:
    """Return the id of an alert's transition: a hash of model, alert, series, window and transition."""
    window = (one.window.start_us, one.window.end_us)
    return _id([one.model, one.alert, one.series, window, one.before, one.after])


def _id(parts: Sequence[Any]) -> str:
    return "msg_" + hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def canonical(message: Message | Sequence[Message]) -> bytes:
    """Return canonical JSON: sorted keys, ASCII, no spaces; the same bytes for the same message."""
    return json.dumps(message, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def alert_message(
    rule: AlertRule, state: AlertState, *, firing: bool, since_us: int, at_us: int, config_hash: str
) -> Message:
    """Return what is said of one alert instance.

    Parameters
    ----------
    state
        The instance after its transition, or as it stands.
    firing
        False: it was firing, and is resolved.
    since_us, at_us
        When it began to fire, and the moment of the transition (or of the repeat).
    """
    model, *selectors = state.series
    numbers = {name: getattr(state, name) for name in ("value", "bound", "lower", "upper")}
    return {
        "type": ALERT,
        "timestamp": to_rfc3339(at_us),
        "data": {
            "model": model,
            "alert": state.alert,
            "status": "firing" if firing else "resolved",
            "since": to_rfc3339(since_us),
            **{name: value or None for name, value in zip(_SELECTORS, selectors, strict=True)},
            "window": state.window and _window(state.window.start_us, state.window.end_us),
            **{name: value if _finite(value) else None for name, value in numbers.items()},
            "n": state.n,
            "severity": rule.severity,
            "summary": _summary(state),
            "description": rule.description[:_TEXT] or None,
            "runbook": rule.runbook or None,
            "labels": dict(rule.labels),
            "config_hash": config_hash,
        },
    }


def _summary(state: AlertState) -> str:
    """Return one line for people.

    >>> series = ("credit", "*", "psi", "income", "", "", "plan=gold")
    >>> _summary(AlertState("drift", series, value=0.3141, bound=0.2))
    'psi of income (plan=gold) is 0.3141, the bound is 0.2'
    """
    _, version, metric, *names = state.series
    where = [name for name in names if name] + ([f"version {version}"] if version != "*" else [])
    first = f" of {where[0]}" if where else ""
    rest = f" ({', '.join(where[1:])})" if where[1:] else ""
    value, bound = (("?" if one is None else f"{one:.4g}") for one in (state.value, state.bound))
    return f"{metric}{first}{rest} is {value}, the bound is {bound}"


def retrain_message(
    decision: Decision,
    firing: Sequence[AlertState],
    *,
    evidence: Iterable[Result],
    reference_id: str | None,
    config_hash: str,
) -> Message:
    """Return the request to retrain; its canonical JSON has less than 20 KB.

    Parameters
    ----------
    firing
        The firing instances of the model's alerts; those the decision rests on become ``reason``.
    evidence
        Results worth showing, most telling first. What does not fit is left out and counted in
        ``evidence_left_out`` (``reason_left_out`` likewise; reasons go first).
    """
    mine = [state for state in firing if state.alert in decision.alerts and state.phase == "firing"]
    lists: dict[str, Sequence[Any]] = {
        "alerts": decision.alerts,
        "reason": [_reason(state) for state in mine],
        "evidence": [_evidence(result) for result in evidence],
    }
    data: dict[str, Any] = {
        "decision_id": decision.id,
        "model": decision.model,
        "rule": decision.rule,
        "window": _window(decision.window.start_us, decision.window.end_us),
        "reference_id": reference_id,
        "config_hash": config_hash,
        **{name: [] for name in lists},
        **{f"{name}_left_out": len(items) for name, items in lists.items()},
    }
    message = {"type": RETRAIN, "timestamp": to_rfc3339(decision.at_us), "data": data}
    free = LIMIT_BYTES - len(canonical(message))
    for name, items in lists.items():
        data[name], data[f"{name}_left_out"], free = _fill(items, free)
    return message


def _reason(state: AlertState) -> dict[str, Any]:
    _, *selectors = state.series
    numbers = {name: getattr(state, name) for name in ("value", "bound", "lower", "upper", "n")}
    named = {name: value or None for name, value in zip(_SELECTORS, selectors, strict=True)}
    window = state.window and _window(state.window.start_us, state.window.end_us)
    return _known(
        {"alert": state.alert, **named, "window": window, "since": to_rfc3339(state.since_us), **numbers}
    )


def _evidence(result: Result) -> dict[str, Any]:
    row = result.to_json()
    del row["detail"], row["model"]
    return _known(row)


def _known(row: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is not there, and numbers that JSON cannot say."""
    return {k: v for k, v in row.items() if v is not None and _finite(v)}


def _finite(value: Any) -> bool:
    return not isinstance(value, float) or isfinite(value)


def _window(start_us: int, end_us: int) -> dict[str, str]:
    return {"start": to_rfc3339(start_us), "end": to_rfc3339(end_us)}


def _fill(items: Sequence[Any], free: int) -> tuple[list[Any], int, int]:
    """Take items, in order, while they fit; return them, how many were left out, and the bytes still free."""
    taken = []
    for item in items:
        size = len(canonical(item)) + 1
        if size > free:
            break
        free -= size
        taken.append(item)
    return taken, len(items) - len(taken), free
