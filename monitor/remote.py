"""What a command asks of the running daemon, which holds the store: over its own HTTP interface."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from typing import Any

from monitor.config import Config
from monitor.errors import NotThereError, StoreError

LOGIN = "MODEL_MONITOR_LOGIN"  # environment: user:password, where server.basic_auth_users asks for one
_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


def ask_daemon(
    config: Config, path: str, parameters: Mapping[str, str], reason: StoreError, *, method: str = "GET"
) -> Any:
    """Return the daemon's answer: what its JSON holds, or the text of a page.

    Raises
    ------
    StoreError
        With ``reason`` (why the store could not be opened) and why the daemon did not help.
    """
    import httpx

    server = config.server
    host = _EVERYWHERE.get(server.host, server.host)
    shown = f"[{host}]" if ":" in host else host
    url = f"{'https' if server.tls else 'http'}://{shown}:{server.port}{path}"
    user, _, password = os.environ.get(LOGIN, "").partition(":")
    try:
        with httpx.Client(
            timeout=10.0, trust_env=False, verify=_trust(config), auth=(user, password) if user else None
        ) as client:
            answer = client.request(method, url, params=dict(parameters))
        if answer.status_code == 404:
            raise NotThereError(answer.json()["error"])
        if answer.status_code == 401:
            raise StoreError(f"{reason}; the daemon at {url} asks for a login: set {LOGIN}=user:password")
        answer.raise_for_status()
        return answer.json() if "json" in answer.headers.get("content-type", "") else answer.text
    except (httpx.HTTPError, ValueError) as error:
        raise StoreError(f"{reason}; and the daemon does not answer at {url}: {error}") from None


def _trust(config: Config) -> ssl.SSLContext | bool:
    """Trust exactly the configured certificate, which may be for another name than loopback."""
    if config.server.tls is None:
        return True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(config.server.tls.cert_file)
    return context
