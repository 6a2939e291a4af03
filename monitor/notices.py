"""Who is told of what: a decision's messages to the outbox, in its transaction, and what alerts stand.

A message's body is made here, at the moment of its decision. What an action cannot say (a template that
fails) is a dead letter that says why, so that the decision itself is never lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from monitor.actions.payload import Message, alert_message, canonical, message_id, transition_id
from monitor.errors import ActionError
from monitor.rules.rule import AlertRule
from monitor.rules.state import AlertState
from monitor.store.outbox import enqueue, fresh_id
from monitor.store.store import Cursor
from monitor.types import Series, Transition


def own_body(message_id: str, message: Message) -> bytes:
    """Return the message itself, as canonical JSON."""
    del message_id
    return canonical(message)


@dataclass(frozen=True, slots=True)
class Delivery:
    """How one action is told.

    Parameters
    ----------
    endpoints
        Names of the endpoints that get a message each.
    render
        Makes the body from a message's id and content; raises ``ActionError``.
    """

    endpoints: tuple[str, ...]
    render: Callable[[str, Message], bytes] = own_body


@dataclass(frozen=True, slots=True)
class Notices:
    """Whom one model's decisions are told to.

    Parameters
    ----------
    deliveries
        By action.
    notify
        Alert to the actions that are told when it fires and when it is resolved.
    config_hash
        Goes into every message.
    """

    deliveries: Mapping[str, Delivery] = field(default_factory=dict)
    notify: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    config_hash: str = ""

    def tell(
        self, cursor: Cursor, message: Message, *, action: str, id: str, rule: str, now_us: int, again: bool
    ) -> None:
        """Put a message for an action into the outbox, inside the caller's transaction.

        ``id`` is the decision's; each endpoint's message has one of its own. What has been told under this id
        is told once more only if ``again``, under another one.
        """
        delivery = self.deliveries[action]
        for endpoint in delivery.endpoints:
            own, error = message_id(id, endpoint), ""
            own = fresh_id(cursor, own) if again else own
            try:
                body = delivery.render(own, message)
            except ActionError as failure:
                body, error = canonical(message), str(failure)
            enqueue(
                cursor, id=own, model=message["data"]["model"], rule=rule, action=endpoint, body=body,
                now_us=now_us, error=error,
            )  # fmt: skip

    def tell_transitions(
        self,
        cursor: Cursor,
        rules: Sequence[AlertRule],
        transitions: Sequence[Transition],
        before: Mapping[tuple[str, Series], AlertState],
        after: Mapping[tuple[str, Series], AlertState],
        *,
        now_us: int,
    ) -> None:
        """Tell of every alert instance that began or ceased to fire, inside the caller's transaction."""
        by_name = {rule.name: rule for rule in rules}
        for one in transitions:
            fires, key = one.after == "firing", (one.alert, one.series)
            actions = self.notify.get(one.alert, ())
            if not actions or fires == (one.before == "firing") or one.silenced:
                continue
            began = after[key] if fires else before[key]
            message = alert_message(
                by_name[one.alert], _at(one, after[key]), firing=fires, since_us=began.since_us,
                at_us=one.at_us, config_hash=self.config_hash,
            )  # fmt: skip
            for action in actions:  # a window that is restated may make the same transition twice
                self.tell(
                    cursor, message, action=action, id=transition_id(one), rule=one.alert, now_us=now_us,
                    again=True,
                )  # fmt: skip


def _at(one: Transition, state: AlertState) -> AlertState:
    """Return the state as of a transition, which another one of the same turn may have followed."""
    if (one.window, one.value) == (state.window, state.value):
        return state
    return replace(state, window=one.window, value=one.value, bound=one.bound, lower=None, upper=None)


def standing(
    notices: Notices,
    rules: Sequence[AlertRule],
    states: Mapping[tuple[str, Series], AlertState],
    *,
    action: str,
    now_us: int,
) -> list[Message]:
    """Return what is to be said again to an action: the alerts it was told of that still fire."""
    by_name = {rule.name: rule for rule in rules}
    return [
        alert_message(
            by_name[state.alert], state, firing=True, since_us=state.since_us, at_us=now_us,
            config_hash=notices.config_hash,
        )
        for _, state in sorted(states.items())
        if state.phase == state.told == "firing"
        and action in notices.notify.get(state.alert, ())
    ]  # fmt: skip
