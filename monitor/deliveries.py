"""From the ``actions`` section to endpoints and to how each is told; part of ``build``."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence

from monitor import config as cfg
from monitor.actions import alertmanager, slack
from monitor.actions.payload import Message
from monitor.actions.template import Template
from monitor.actions.webhook import Endpoint
from monitor.config.action_checks import template_source
from monitor.cycle import Monitored, stored_states
from monitor.notices import Delivery, Notices, own_body, standing
from monitor.rules.rule import AlertRule
from monitor.store.store import Cursor


def endpoints(config: cfg.Config) -> dict[str, Endpoint]:
    """Return the endpoints by name: an action's own, or ``NAME/1``, ``NAME/2`` for those of a cluster."""
    found = [one for name, action in config.actions.items() for one in _endpoints(name, action)]
    return {one.name: one for one in found}


def notices(config: cfg.Config, model: cfg.Model, rules: Iterable[AlertRule]) -> Notices:
    """Return whom a model's decisions are told to."""
    own = {alert.name: alert.notify for alert in model.own_alerts.values() if alert.notify is not None}
    told = {rule.name: own.get(rule.name, model.notify) for rule in rules}
    deliveries = {
        name: Delivery(tuple(e.name for e in _endpoints(name, action)), renderer(config, action))
        for name, action in config.actions.items()
    }
    return Notices(deliveries, told, config.hash)


def renderer(config: cfg.Config, action: cfg.Action) -> Callable[[str, Message], bytes]:
    """Return what makes the body of an action's message."""
    link = config.server.external_url
    if isinstance(action, cfg.AlertmanagerAction):
        return lambda _, message: next(iter(_alerts([message], action, link)))
    if isinstance(action, cfg.SlackAction):
        return lambda _, message: slack.body(message, link=link)
    source = template_source(action)
    return Template(source, content_type=action.content_type).render if source else own_body


class Standing:
    """Says what stands, from the store, to endpoints that want it repeated; for the relay's thread."""

    def __init__(self, make_cursor: Callable[[], Cursor], config: cfg.Config) -> None:
        self._make_cursor = make_cursor
        self._cursor: Cursor | None = None
        self.use(config, ())

    def use(self, config: cfg.Config, monitored: Sequence[Monitored]) -> None:
        """Take these models from now on."""
        actions = {
            endpoint.name: name
            for name, action in config.actions.items()
            for endpoint in _endpoints(name, action)
        }
        self._now = (config, tuple(monitored), actions)

    def __call__(self, endpoint: str, now_us: int) -> list[bytes]:
        """Return the bodies to post."""
        config, monitored, actions = self._now
        name = actions.get(endpoint, "")
        action = config.actions.get(name)
        if not isinstance(action, cfg.AlertmanagerAction):  # gone with a reload that has just been
            return []
        cursor = self._cursor = self._cursor or self._make_cursor()
        messages = [
            message
            for one in monitored
            for message in standing(
                one.notices, one.alerts, stored_states(cursor, one), action=name, now_us=now_us
            )
        ]
        return list(_alerts(messages, action, config.server.external_url))


def _alerts(messages: Sequence[Message], action: cfg.AlertmanagerAction, link: str | None) -> Iterable[bytes]:
    return alertmanager.bodies(messages, labels=action.labels, generator_url=link)


def _endpoints(name: str, action: cfg.Action) -> list[Endpoint]:
    if not isinstance(action, cfg.AlertmanagerAction):
        return [_endpoint(name, action, action.url)]
    urls = [url.rstrip("/") + alertmanager.PATH for url in action.url]
    names = [name] if len(urls) == 1 else [f"{name}/{i}" for i in range(1, len(urls) + 1)]
    return [_endpoint(one, action, url) for one, url in zip(names, urls, strict=True)]


def _endpoint(name: str, action: cfg.Action, url: str) -> Endpoint:
    timeout_s = action.timeout / 1e6
    webhook = action if isinstance(action, cfg.WebhookAction) else None
    return Endpoint(
        name,
        url,
        lambda: [secret.reveal() for secret in (webhook.secrets if webhook else ())],
        allow=action.allow_hosts,
        ca_file=str(action.ca_file) if action.ca_file else None,
        headers=lambda: _headers(action),
        connect_timeout_s=min(5.0, timeout_s),
        read_timeout_s=min(10.0, timeout_s),
        total_timeout_s=timeout_s,
        method=webhook.method if webhook else "POST",
        content_type=webhook.content_type if webhook else "application/json",
        signed=webhook is not None and webhook.sign,
        accepted=frozenset(webhook.accept if webhook else ()),
        repeat_every_us=action.repeat if isinstance(action, cfg.AlertmanagerAction) else None,
    )


def _headers(action: cfg.Action) -> dict[str, str]:
    headers = {name: secret.reveal() for name, secret in action.headers.items()}
    if (one := action.authorization) and one.secret:
        headers["authorization"] = f"{one.scheme} {one.secret.reveal().strip()}"
    if (login := action.basic_auth) and login.secret:
        pair = f"{login.username}:{login.secret.reveal()}".encode()
        headers["authorization"] = "Basic " + base64.b64encode(pair).decode()
    return headers
