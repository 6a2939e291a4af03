"""A network backend for httpcore that connects only to checked addresses, within one deadline and size.

Name resolution happens here, once, so that the address checked is the address connected to, while the
``Host`` header, TLS server name and certificate check still use the name. httpcore itself knows neither
proxies from the environment nor redirects.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import httpcore


class Budget:
    """What one request may use: time until ``deadline_s`` (monotonic) and bytes of the response."""

    def __init__(self, total_timeout_s: float, response_bytes: int) -> None:
        self.deadline_s = time.monotonic() + total_timeout_s
        self.response_bytes = response_bytes

    def clip(self, timeout_s: float | None) -> float:
        """Return the time left, or ``timeout_s`` if that is less."""
        left = self.deadline_s - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the total deadline has passed")
        return left if timeout_s is None else min(left, timeout_s)


class CheckedBackend(httpcore.NetworkBackend):
    """Connects to the addresses that ``addresses(host, port, timeout_s)`` returns, and to nothing else."""

    def __init__(self, addresses: Callable[[str, int, float], Sequence[str]], budget: Budget) -> None:
        self._addresses = addresses
        self._budget = budget
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        error: Exception = httpcore.ConnectError("no address")
        for address in self._addresses(host, port, self._budget.clip(timeout)):
            try:
                stream = self._sockets.connect_tcp(
                    address, port, self._budget.clip(timeout), local_address, socket_options
                )
                return _BudgetedStream(stream, self._budget)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failure:
                error = failure
        raise error


class _BudgetedStream(httpcore.NetworkStream):
    """A stream whose every operation ends at the request's deadline, and its reading at the byte budget."""

    def __init__(self, stream: httpcore.NetworkStream, budget: Budget) -> None:
        self._stream = stream
        self._budget = budget

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._budget.response_bytes <= 0:
            raise httpcore.ReadError("the response is too long")
        data = self._stream.read(min(max_bytes, self._budget.response_bytes), self._budget.clip(timeout))
        self._budget.response_bytes -= len(data)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._budget.clip(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, self._budget.clip(timeout))
        return _BudgetedStream(stream, self._budget)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
