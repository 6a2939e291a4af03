"""HTTP connections with deadlines, and a table of them that gives way to newcomers when it is full.

uvicorn bounds neither the time to send a request's head nor the time to take a response. Here every
connection is at every moment under exactly one deadline: handshake and head ``HEAD_S``, the whole request
``REQUEST_S``, idle between requests ``IDLE_S``. When the table is full the connection that has not changed
its phase for longest is closed: a scrape takes milliseconds and gets through, whoever else holds on.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

HEAD_S = 10.0
REQUEST_S = 30.0
IDLE_S = 75
MAX_CONNECTIONS = 400
MAX_HEAD_BYTES = 16 * 1024


class Peers:
    """The open connections, longest in their present phase (opening, answering, idle) first."""

    def __init__(self) -> None:
        self._open: dict[GuardedProtocol, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def place(self, peer: GuardedProtocol) -> None:
        """Add a connection, or note that its phase has changed."""
        self.remove(peer)
        self._open[peer] = None

    def remove(self, peer: GuardedProtocol) -> None:
        self._open.pop(peer, None)

    def drop_oldest(self) -> None:
        """Close the connection that is longest in its phase, if there is any."""
        for peer in self._open:
            self.remove(peer)
            return peer.drop()

    def drop_all(self) -> None:
        for peer in list(self._open):
            peer.drop()


class GuardedProtocol(H11Protocol):
    """uvicorn's h11 protocol under deadlines; in the table from the moment it is accepted."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        client: socket.socket,
        peers: Peers,
        head_s: float = HEAD_S,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._client = client
        self._peers = peers
        self._head_s = head_s
        self._deadline: asyncio.TimerHandle | None = None
        self._connected = False
        peers.place(self)

    def drop(self) -> None:
        """Close at once, whatever is going on."""
        if self._connected:
            self.transport.abort()
        else:  # in its handshake, which ends with the stream
            with contextlib.suppress(OSError):
                self._client.shutdown(socket.SHUT_RDWR)

    def _due(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self.drop)

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._connected = True
        self._due(self._head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._due(None)
        self._peers.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deadline is None:  # the first bytes after an idle time
            self._due(self._head_s)
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._begun()

    def on_response_complete(self) -> None:
        self._due(None)
        self._peers.place(self)
        super().on_response_complete()
        if self._answering:  # a pipelined request was waiting
            self._begun()
        elif self.transport.is_closing():  # give a client that takes nothing no longer than a request
            self._due(REQUEST_S)

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._due(REQUEST_S)

    def _begun(self) -> None:
        if self._answering:
            self._due(REQUEST_S)
            self._peers.place(self)
