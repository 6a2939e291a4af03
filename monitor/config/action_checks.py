"""What must hold for actions: addresses that may be called, secrets that sign, templates that work, names."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from monitor.config.actions import Action, AlertmanagerAction, WebhookAction
from monitor.config.document import Part
from monitor.config.problems import unknown
from monitor.config.root import Config
from monitor.errors import MonitorError
from monitor.time import SECOND_US

Found = Iterator[tuple[tuple[Part, ...], str]]
LONGEST_TIMEOUT_US = 20 * SECOND_US
_OWN_HEADERS = ("host", "content-type", "content-length", "connection", "user-agent", "transfer-encoding")


def action_problems(config: Config) -> Found:
    """Yield the location and sentence of everything wrong with actions."""
    for name, action in config.actions.items():
        for loc, text in _action(action, message_types(config, name)):
            yield ("actions", name, *loc), text


def message_types(config: Config, name: str) -> list[str]:
    """Return the types of message that an action gets, none when it is named nowhere."""
    from monitor.actions.payload import ALERT, RETRAIN

    types = [RETRAIN] if any(name in names for _, names in _asked(config)) else []
    return types + ([ALERT] if any(name in names for _, names in _told(config)) else [])


def routing_problems(config: Config, actions: list[str]) -> Found:
    """Yield where an action is named that does not exist (``actions``: those that do) or does not fit."""
    for loc, names in [*_asked(config), *_told(config)]:
        for i, name in enumerate(names):
            if name not in actions:
                yield (*loc, i), unknown("action", name, actions)
    for loc, names in _asked(config):
        for i, name in enumerate(names):
            if isinstance(config.actions.get(name), AlertmanagerAction):
                yield (
                    (*loc, i),
                    f"{name!r} is an alertmanager, which takes alerts and no requests; name it under notify",
                )


def url_problems(url: str, allow: tuple[str, ...]) -> Iterator[str]:
    """Yield what is wrong with the scheme and host of a URL, without repeating the URL."""
    from monitor.actions.addresses import is_listed, is_loopback_name

    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        host = ""
    if not host or parts.scheme not in ("https", "http"):
        yield "must be a URL, https://host[:port]/path"
        return
    if is_loopback_name(host) or is_listed(host, allow):
        return
    if parts.scheme == "http":
        yield f"must begin with https://; http is for this machine and allow_hosts, and {host!r} is neither"
    elif _private(host):
        yield f"{host} is not a public address; add it or its network to allow_hosts if that is meant"


def _private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False


def _asked(config: Config) -> Iterator[tuple[tuple[Part, ...], tuple[str, ...]]]:
    """Yield where actions are named that are asked to retrain."""
    for i, model in enumerate(config.models):
        if model.retrain:
            yield ("models", i, "retrain", "actions"), model.retrain.actions


def _told(config: Config) -> Iterator[tuple[tuple[Part, ...], tuple[str, ...]]]:
    """Yield where actions are named that are told of alerts."""
    for i, model in enumerate(config.models):
        yield ("models", i, "notify"), model.notify
        for j, alert in model.own_alerts.items():
            yield ("models", i, "alerts", j, "notify"), alert.notify or ()


def _action(action: Action, types: list[str]) -> Found:
    if action.timeout > LONGEST_TIMEOUT_US:
        yield ("timeout",), "must be at most 20s, as a process that stops waits for the last answer"
    urls = action.url if isinstance(action.url, tuple) else (action.url,)
    for i, url in enumerate(urls):
        loc: tuple[Part, ...] = ("url", i) if len(urls) > 1 else ("url",)
        yield from ((loc, text) for text in url_problems(url, action.allow_hosts))
        if isinstance(action, AlertmanagerAction) and (
            urlsplit(url).query or urlsplit(url).path.endswith("/alerts")
        ):
            yield (
                loc,
                "must be the Alertmanager's own address, as in http://host:9093, without /api/v2/alerts",
            )
    yield from _login(action)
    if isinstance(action, WebhookAction):
        yield from _signing(action)
        yield from _template(action, types)


def _login(action: Action) -> Found:
    names = {name.lower(): name for name in action.headers}
    for name in _OWN_HEADERS:
        if name in names:
            yield ("headers", names[name]), "is a header that is set already; leave it out"
    ways = [key for key in ("authorization", "basic_auth") if getattr(action, key)]
    urls = action.url if isinstance(action.url, tuple) else (action.url,)
    ways += ["headers"] if "authorization" in names else []
    ways += ["url"] if any(urlsplit(url).username for url in urls) else []
    if len(ways) > 1:
        yield (ways[0],), f"is given beside a login in {ways[1]}; give one of the two"
    for section, key in ((action.authorization, "token"), (action.basic_auth, "password")):
        if section is not None:
            given = [k for k in (key, f"{key}_file", f"{key}_env") if getattr(section, k)]
            if len(given) != 1:
                where = "authorization" if key == "token" else "basic_auth"
                yield (where,), f"must have exactly one of {key}, {key}_file, {key}_env"


def _signing(action: WebhookAction) -> Found:
    from monitor.actions.signing import parse_secret

    if action.sign and not action.secrets:
        yield (), "a signing secret is missing; give secret, secret_file or secret_env, or set sign: false"
    for key in ("secret", "secret_file", "secret_env"):
        if getattr(action, key) and not action.sign:
            yield (key,), "has no effect with sign: false; leave one of the two out"
        for i, secret in enumerate(getattr(action, key)):
            try:
                parse_secret(secret.reveal())
            except MonitorError:
                wanted = "must hold 'whsec_' and then the base64 of 24 to 64 random bytes"
                yield (key, i), f"{wanted}; to make one: echo whsec_$(openssl rand -base64 32)"


def _template(action: WebhookAction, types: list[str]) -> Found:
    from monitor.actions.payload import ALERT, RETRAIN
    from monitor.actions.samples import samples
    from monitor.actions.template import Template

    if action.template and action.template_file:
        yield ("template_file",), "is given beside template; give one of the two"
        return
    if not (source := template_source(action)):
        if action.content_type != "application/json":
            yield ("content_type",), "goes with a template; without one the body is application/json"
        return
    template = Template(source, content_type=action.content_type)
    failures: dict[str, str] = {}
    for message in (sample for kind in types or (RETRAIN, ALERT) for sample in samples(kind)):
        try:
            template.render("msg_0", message)
        except MonitorError as error:
            failures.setdefault(message["type"], str(error))
    if failures and (types or len(failures) == 2):  # one that is named nowhere yet may be for either
        kind, text = next(iter(failures.items()))
        key = "template_file" if action.template_file else "template"
        yield (key,), f"{text} (tried on a made-up message of type {kind})"


def template_source(action: WebhookAction) -> str | None:
    """Return the template's text, None when the action has none.

    Raises
    ------
    ConfigError
        When the file cannot be read now.
    """
    from monitor.errors import ConfigError

    path: Path | None = action.template_file
    if path is None:
        return action.template
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        raise ConfigError([f"{path}: cannot be read as UTF-8 text"]) from None
