"""What holds for every request and answer: no write from elsewhere without a login, and security headers."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.web.auth import BasicAuth

READING = ("GET", "HEAD", "OPTIONS")
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


class Guard:
    """ASGI middleware around the login; a header that an answer or ``headers`` sets itself is left as it is.

    Parameters
    ----------
    app, auth
        The application, and the login in front of it.
    open_paths
        Paths that are answered without a login, such as probes.
    headers
        Further headers of every answer.
    """

    def __init__(
        self,
        app: ASGIApp,
        auth: BasicAuth,
        open_paths: frozenset[str] = frozenset(),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._app, self._auth, self._open = app, auth, open_paths
        self._headers = HEADERS | {name.lower(): value for name, value in (headers or {}).items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                found = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    found.setdefault(name, value)
            await send(message)

        if scope["method"] not in READING and not self._auth.has_users and not _is_loopback(scope):
            said = "from another machine only with a login; configure users, or ask on the machine itself"
            return await JSONResponse({"error": said}, 403)(scope, receive, with_headers)
        open_to_all = scope["path"] in self._open and scope["method"] in READING
        return await (self._app if open_to_all else self._auth)(scope, receive, with_headers)


def _is_loopback(scope: Scope) -> bool:
    host = (scope.get("client") or ("",))[0]
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
