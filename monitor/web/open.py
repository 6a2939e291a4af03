"""From the ``server`` section to the HTTP server, and what of it may change while it serves."""

from __future__ import annotations

from starlette.types import ASGIApp

from monitor import config as cfg
from monitor.web.server import Server
from monitor.web.tls import Tls

PROBES = frozenset(("/-/healthy", "/-/ready"))


def open_server(settings: cfg.Server, app: ASGIApp) -> Server:
    """Return the server, bound and not yet serving.

    Raises
    ------
    ConfigError
        When the address cannot be had, or certificate or hashes cannot be used.
    """
    tls = settings.tls
    return Server(
        settings.listen,
        app,
        Tls(tls.cert_file, tls.key_file, tls.client_ca_file, tls.min_version == "TLS13") if tls else None,
        users(settings),
        open_paths=PROBES if settings.open_probes else frozenset(),
        headers=settings.headers,
    )


def users(settings: cfg.Server) -> dict[str, str]:
    """Return user names to bcrypt hashes."""
    return {name: secret.reveal() for name, secret in settings.users.items()}


def lasting(settings: cfg.Server) -> cfg.Server:
    """Return the settings without what can change while the process runs: the users."""
    return settings.model_copy(update={"basic_auth_users": {}, "basic_auth": None})
