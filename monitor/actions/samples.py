"""Made-up messages of every sort and shape: what templates are tried on, and what a test sends."""

from __future__ import annotations

from dataclasses import replace

from monitor.actions.payload import ALERT, RETRAIN, Message, alert_message, retrain_message
from monitor.rules.retrain import Decision
from monitor.rules.rule import AlertRule
from monitor.rules.state import AlertState
from monitor.time import HOUR_US, from_rfc3339
from monitor.types import Result, Window

_END = from_rfc3339("2026-11-22T10:00:00Z")
_WINDOW = Window(_END - HOUR_US, _END)
_MODEL = "model-monitor-test"
_RULE = AlertRule(name="income-drift", metric="psi", feature="income", above=0.2)
_STATE = AlertState(
    "income-drift", (_MODEL, "*", "psi", "income", "", "", ""), "firing", since_us=_END, window=_WINDOW,
    value=0.31, bound=0.2, lower=0.28, upper=0.34, n=41_822,
)  # fmt: skip
_BARE = replace(
    _STATE, alert="no-rows", series=(_MODEL, "*", "row_count", "", "", "", ""), lower=None, upper=None
)
_DECISION = Decision(
    "msg_0123456789abcdef0123456789abcdef", _MODEL, "retrain", _WINDOW, ("income-drift",), _END
)
_RESULT = Result(_MODEL, "*", _WINDOW, "psi", "ok", 0.31, "income", n=41_822, n_reference=100_000)


def samples(kind: str, *, at_us: int = _END) -> tuple[Message, Message]:
    """Return two messages of a type: with all there can be, and with as little as there may be."""
    if kind == RETRAIN:
        return _retrain(at_us, [_STATE], [_RESULT], "ref-1"), _retrain(at_us, [], [], None)
    assert kind == ALERT
    return _alert(at_us, _RULE, _STATE, True), _alert(at_us, replace(_RULE, feature=None), _BARE, False)


def _retrain(
    at_us: int, states: list[AlertState], results: list[Result], reference_id: str | None
) -> Message:
    decision = replace(_DECISION, at_us=at_us)
    return retrain_message(
        decision, states, evidence=results, reference_id=reference_id, config_hash="0" * 64
    )


def _alert(at_us: int, rule: AlertRule, state: AlertState, firing: bool) -> Message:
    return alert_message(rule, state, firing=firing, since_us=at_us, at_us=at_us, config_hash="0" * 64)
