"""The ``actions`` section: whom to call when a model should be retrained."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, PlainSerializer, PlainValidator

from monitor.config.base import ExistingFile, PositiveDuration, Section, Text, private
from monitor.config.secret import MASK, Secret, SecretEnvs, SecretFiles, Secrets
from monitor.time import SECOND_US


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


class WebhookAction(Section):
    """A signed HTTP request (Standard Webhooks) with the evidence in its body."""

    kind: Literal["webhook"]
    """`webhook`."""
    url: Annotated[
        str, PlainValidator(url_text, json_schema_input_type=str), PlainSerializer(shown_url, return_type=str)
    ] = Field(repr=False)
    """Where to; https, or http to this machine and hosts of `allow_hosts`."""
    secret: Secrets = ()
    """Signing secret (`whsec_` and base64), or several while they rotate; best as `${VARIABLE}`."""
    secret_file: SecretFiles = ()
    """File, or several, with a signing secret each; read again for each request."""
    secret_env: SecretEnvs = ()
    """Environment variable, or several, with a signing secret each."""
    timeout: PositiveDuration = 15 * SECOND_US
    """Longest time for one request."""
    allow_hosts: tuple[Text, ...] = ()
    """Host names, addresses and networks (`10.0.0.0/8`) to call though not public, also by http."""
    ca_file: ExistingFile | None = None
    """Certificates (PEM) to trust instead of the usual ones."""
    headers: dict[str, Secret] = Field(default={})
    """Further request headers; the values are kept secret."""

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Every signing secret, newest first as listed."""
        return (*self.secret, *self.secret_file, *self.secret_env)
