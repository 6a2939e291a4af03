"""The ``actions`` section: whom to call when a model should be retrained, and when alerts change."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, PlainSerializer, PlainValidator, Tag

from monitor.config.base import (
    ExistingFile,
    NotSwitch,
    PositiveDuration,
    Section,
    Switch,
    Text,
    kind_of,
    one_or_many,
    private,
    tagged,
)
from monitor.config.secret import MASK, Secret, SecretEnv, SecretEnvs, SecretFile, SecretFiles, Secrets
from monitor.time import MINUTE_US, SECOND_US


def url_text(value: object) -> str:
    """Check that a value is a URL with a host; a message never repeats it."""
    try:
        parts = urlsplit(value if isinstance(value, str) else "")
        fine = parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine:  # a URL may hold a password or token: it is never repeated
        raise private("must be a URL, https://host[:port]/path")
    return str(value)


def shown_url(url: str) -> str:
    """Return a URL without what may be secret in it: user, password and query.

    >>> shown_url("https://me:pw@ci.example/hook?token=1")
    'https://**********@ci.example/hook?**********'
    """
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{f'{MASK}@' if user else ''}{host}{parts.path}" + (
        f"?{MASK}" if parts.query else ""
    )


def _shown_host(url: str) -> str:
    return f"{urlsplit(shown_url(url)).scheme}://{urlsplit(shown_url(url)).netloc}/{MASK}"


Url = Annotated[
    str, PlainValidator(url_text, json_schema_input_type=str), PlainSerializer(shown_url, return_type=str)
]
SecretUrl = Annotated[
    str, PlainValidator(url_text, json_schema_input_type=str), PlainSerializer(_shown_host, return_type=str)
]
Refusal = Annotated[int, Field(ge=400, le=499), NotSwitch]


class Authorization(Section):
    """The `Authorization` header, for receivers that know their callers by a token."""

    scheme: Text = "Bearer"
    """What stands before the token: `Bearer`, `Token`, `GenieKey`, …"""
    token: Secret | None = None
    """The token; best as `${VARIABLE}`."""
    token_file: SecretFile | None = None
    """File with the token, read again for each request: for tokens that something else keeps fresh."""
    token_env: SecretEnv | None = None
    """Environment variable with the token."""

    @property
    def secret(self) -> Secret | None:
        """The token, wherever it is from."""
        return self.token or self.token_file or self.token_env


class ActionBasicAuth(Section):
    """User and password, for receivers that ask for them."""

    username: Text
    """The user."""
    password: Secret | None = None
    """The password; best as `${VARIABLE}`."""
    password_file: SecretFile | None = None
    """File with the password, read again for each request."""
    password_env: SecretEnv | None = None
    """Environment variable with the password."""

    @property
    def secret(self) -> Secret | None:
        """The password, wherever it is from."""
        return self.password or self.password_file or self.password_env


class HttpAction(Section):
    """What every action over HTTP has; ``kind`` and ``url`` stand here to be first."""

    kind: str
    url: Any = Field(repr=False)
    timeout: PositiveDuration = 15 * SECOND_US
    """Longest time for one request, at most 20s: a process that stops waits for the last answer."""
    allow_hosts: tuple[Text, ...] = ()
    """Host names, addresses and networks (`10.0.0.0/8`) to call though not public, also by http."""
    ca_file: ExistingFile | None = None
    """Certificates (PEM) to trust instead of the usual ones."""
    headers: dict[str, Secret] = Field(default={})
    """Further request headers; the values are kept secret."""
    authorization: Authorization | None = None
    """Token to show."""
    basic_auth: ActionBasicAuth | None = None
    """User and password to show."""


class WebhookAction(HttpAction):
    """An HTTP request: signed JSON with the evidence (Standard Webhooks), or a body of one's own."""

    kind: Literal["webhook"]
    """`webhook`."""
    url: Url = Field(repr=False)
    """Where to; https, or http to this machine and hosts of `allow_hosts`."""
    sign: Switch = True
    """Sign with `secret`; false only for the API of somebody else, who could not check it."""
    secret: Secrets = ()
    """Signing secret (`whsec_` and base64), or several while they rotate; best as `${VARIABLE}`."""
    secret_file: SecretFiles = ()
    """File, or several, with a signing secret each; read again for each request."""
    secret_env: SecretEnvs = ()
    """Environment variable, or several, with a signing secret each."""
    method: Literal["POST", "PUT"] = "POST"
    """Of the request."""
    template: Annotated[str, Field(min_length=1, max_length=65_536)] | None = None
    """Jinja text that makes the body of `id`, `type`, `timestamp`, `data`; without it the JSON of these."""
    template_file: ExistingFile | None = None
    """The template in a file, read at the start and at each reload."""
    content_type: Text = "application/json"
    """Of a template's body."""
    accept: tuple[Refusal, ...] = ()
    """Statuses of 4xx that also mean delivered, as 409 where `id` makes a second request a known one."""

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Every signing secret, newest first as listed."""
        return (*self.secret, *self.secret_file, *self.secret_env)


class AlertmanagerAction(HttpAction):
    """Alerts for Prometheus' Alertmanager (API v2); what fires is posted again until it is resolved."""

    kind: Literal["alertmanager"]
    """`alertmanager`."""
    url: Annotated[tuple[Url, ...], Field(min_length=1, repr=False), one_or_many(Url)]
    """Address of an Alertmanager, or of every member of a cluster: all are told; no `/api/v2/alerts`."""
    repeat: PositiveDuration = MINUTE_US
    """How often to post what fires again; well below Alertmanager's `resolve_timeout` (5m)."""
    labels: dict[str, Text] = Field(default={})
    """Further labels of every alert."""


class SlackAction(HttpAction):
    """A message in a Slack channel, by an incoming webhook."""

    kind: Literal["slack"]
    """`slack`."""
    url: SecretUrl = Field(repr=False)
    """The incoming webhook's address, which is a secret; best as `${VARIABLE}`."""


_TAGS = {"webhook": "WebhookAction", "alertmanager": "AlertmanagerAction", "slack": "SlackAction"}
Action = Annotated[
    Annotated[WebhookAction, Tag("WebhookAction")]
    | Annotated[AlertmanagerAction, Tag("AlertmanagerAction")]
    | Annotated[SlackAction, Tag("SlackAction")],
    tagged(lambda value: _TAGS.get(kind_of(value) or ""), "kind: webhook, alertmanager, slack"),
]
