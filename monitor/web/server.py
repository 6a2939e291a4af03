"""The HTTP server: uvicorn's protocol on an event loop in a thread of its own, under limits.

It accepts by itself, because only so can the table of connections (see ``connection``) cover TLS handshakes
as well, and can every new connection get the certificate that is on disk at that moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.server import ServerState

from monitor.errors import ConfigError
from monitor.web.auth import BasicAuth
from monitor.web.connection import HEAD_S, IDLE_S, MAX_CONNECTIONS, MAX_HEAD_BYTES, GuardedProtocol, Peers
from monitor.web.guard import Guard
from monitor.web.tls import Certificates, Tls

STOP_S = 3.0
BACKLOG = 1024
ACCEPTS_AT_ONCE = 64


class Server:
    """Serves an ASGI app on ``listen`` until stopped.

    Parameters
    ----------
    listen
        ``host:port``, ``[ipv6]:port`` or ``:port`` for every address; port 0 takes a free one,
        see :attr:`address`.
    app
        The application.
    tls
        Certificate files; None serves plain HTTP.
    basic_auth
        User names to bcrypt hashes; empty asks for no password.
    open_paths, headers
        Paths that need no password; further headers of every answer.
    max_connections
        Size of the table of connections.
    head_s
        Seconds within which a TLS handshake, and then a request head, must be complete.

    Raises
    ------
    ConfigError
        When the address cannot be had, or certificate or hashes cannot be used.
    """

    def __init__(
        self,
        listen: str,
        app: ASGIApp,
        tls: Tls | None = None,
        basic_auth: Mapping[str, str] | None = None,
        *,
        open_paths: frozenset[str] = frozenset(),
        headers: Mapping[str, str] | None = None,
        max_connections: int = MAX_CONNECTIONS,
        head_s: float = HEAD_S,
    ) -> None:
        self._head_s = head_s
        self._auth = BasicAuth(app, basic_auth or {})
        self._certificates = Certificates(tls) if tls else None
        self._max_connections = max_connections
        self._peers = Peers()
        self._state = ServerState()
        self._opening: set[asyncio.Task[None]] = set()
        self._config = Config(
            Guard(app, self._auth, open_paths, headers),
            http=GuardedProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="critical",  # the app answers and logs its own failures; the rest is noise of clients
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=IDLE_S,
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        )
        self._config.load()
        self._socket = _bind(listen)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port really bound."""
        host, port = self._socket.getsockname()[:2]
        return host, port

    @property
    def url(self) -> str:
        """Base URL, without a slash at the end."""
        host, port = self.address
        scheme = "https" if self._certificates else "http"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def start(self) -> None:
        """Listen and serve; returns as soon as connections are accepted."""
        self._socket.listen(BACKLOG)
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        """Stop accepting, let running answers end for up to ``STOP_S`` seconds, close everything."""
        if self._thread.is_alive() and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop ended meanwhile
                self._loop.call_soon_threadsafe(self._stopping.set)
        if self._thread.ident is not None:
            self._thread.join(STOP_S + 2)
        self._auth.close()
        self._socket.close()

    def set_users(self, basic_auth: Mapping[str, str]) -> None:
        """Replace the users, as on a configuration reload."""
        self._auth.set_users(basic_auth)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._accept)
        self._started.set()
        await self._stopping.wait()
        self._loop.remove_reader(self._socket)
        for connection in list(self._state.connections):
            connection.shutdown()
        deadline = self._loop.time() + STOP_S
        while self._peers and self._state.tasks and self._loop.time() < deadline:
            await asyncio.sleep(0.02)
        self._peers.drop_all()
        if pending := [*self._state.tasks, *self._opening]:
            await asyncio.wait(pending, timeout=0.5)
        self._peers.drop_all()
        await asyncio.sleep(0)  # let aborted transports close

    def _accept(self) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                client, _ = self._socket.accept()
            except BlockingIOError:
                return
            except OSError:  # the client is gone already, or there are no file descriptors left
                self._peers.drop_oldest()
                loop = asyncio.get_running_loop()
                loop.remove_reader(self._socket)
                loop.call_later(0.05, self._accept_again)
                return
            client.setblocking(False)
            with contextlib.suppress(OSError):  # without it every small answer takes 40 ms
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._admit(client)

    def _accept_again(self) -> None:
        if not self._stopping.is_set():
            asyncio.get_running_loop().add_reader(self._socket, self._accept)

    def _admit(self, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while len(self._peers) >= self._max_connections:
            self._peers.drop_oldest()
        protocol = GuardedProtocol(
            self._config, self._state, {}, loop, client=client, peers=self._peers, head_s=self._head_s
        )
        task = loop.create_task(self._open(client, protocol))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, client: socket.socket, protocol: GuardedProtocol) -> None:
        options: dict[str, Any] = {}
        if self._certificates:
            options = {"ssl": self._certificates.context(), "ssl_handshake_timeout": self._head_s}
            options["ssl_shutdown_timeout"] = 1.0
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, client, **options)
        except OSError:  # the handshake failed; its transport closes the socket
            self._peers.remove(protocol)


def _bind(listen: str) -> socket.socket:
    host, colon, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and port.isdecimal() and int(port) < 65536):
        raise ConfigError([f"server.listen: {listen!r} is no address; write host:port, [ipv6]:port or :port"])
    bound: socket.socket | None = None
    try:
        found = socket.getaddrinfo(host or "0.0.0.0", int(port), type=socket.SOCK_STREAM)
        family, *_, address = found[0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.setblocking(False)
    except OSError as error:
        if bound is not None:
            bound.close()
        raise ConfigError(
            [f"server.listen: cannot listen on {listen}: {error.strerror}; choose a free address"]
        ) from error
    return bound
