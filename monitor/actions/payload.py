"""The body of a retrain request: why, about which window, and with what evidence; under 20 KB of JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any

from monitor.rules.retrain import Decision
from monitor.rules.state import AlertState
from monitor.time import to_rfc3339
from monitor.types import Result

TYPE = "model_monitor.retrain"
LIMIT_BYTES = 20_000  # Standard Webhooks: keep payloads under 20 kB
_SELECTORS = ("version", "metric", "feature", "attribute", "group", "segment")  # of a series, in order


def message_id(decision_id: str, action: str) -> str:
    """Return the outbox id of a decision's message to one action (each action's is its own).

    >>> message_id("msg_1", "pipeline") == message_id("msg_1", "pipeline") != message_id("msg_1", "pager")
    True
    """
    return "msg_" + hashlib.sha256(json.dumps([decision_id, action]).encode()).hexdigest()[:32]


def retrain_body(
    decision: Decision,
    firing: Sequence[AlertState],
    *,
    evidence: Iterable[Result],
    reference_id: str | None,
    config_hash: str,
) -> bytes:
    """Return the request's body: canonical JSON (sorted keys, ASCII, no spaces) under 20 KB.

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
    message = {"type": TYPE, "timestamp": to_rfc3339(decision.at_us), "data": data}
    free = LIMIT_BYTES - len(_json(message))
    for name, items in lists.items():
        data[name], data[f"{name}_left_out"], free = _fill(items, free)
    return _json(message)


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
    return {k: v for k, v in row.items() if v is not None and not (isinstance(v, float) and not isfinite(v))}


def _window(start_us: int, end_us: int) -> dict[str, str]:
    return {"start": to_rfc3339(start_us), "end": to_rfc3339(end_us)}


def _fill(items: Sequence[Any], free: int) -> tuple[list[Any], int, int]:
    """Take items, in order, while they fit; return them, how many were left out, and the bytes still free."""
    taken = []
    for item in items:
        size = len(_json(item)) + 1
        if size > free:
            break
        free -= size
        taken.append(item)
    return taken, len(items) - len(taken), free


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
