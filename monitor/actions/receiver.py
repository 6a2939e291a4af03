"""A small webhook receiver for trying things out: verifies each request as a real one should and shows it."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from monitor.actions.payload import ALERT
from monitor.actions.signing import parse_secret, verify
from monitor.errors import ActionError

LIMIT_BYTES = 64 * 1024
OnRequest = Callable[[Mapping[str, Any]], None]


def describe(message: Mapping[str, Any]) -> str:
    """Return a message in a few lines for people."""
    data = message.get("data", {})
    if message.get("type") == ALERT:
        what = f"alert {data.get('alert')} of {data.get('model')!r}"
        return f"{what} is {data.get('status')}: {data.get('summary')}"
    window = data.get("window", {})
    lines = [
        f"retrain request for model {data.get('model')!r}, window {window.get('start')} – {window.get('end')}"
    ]
    for reason in data.get("reason", ()):
        where = [f"{k}={reason[k]}" for k in ("feature", "attribute", "group", "segment") if k in reason]
        what = " ".join([str(reason.get("metric")), *where])
        lines.append(f"  {reason.get('alert')}: {what} is {reason.get('value')}, bound {reason.get('bound')}")
    return "\n".join(lines)


def write(message: Mapping[str, Any]) -> None:
    """Write a request's description to standard output."""
    sys.stdout.write(describe(message) + "\n")
    sys.stdout.flush()


def make_server(
    port: int, secret: str, on_request: OnRequest = write, *, host: str = "127.0.0.1"
) -> ThreadingHTTPServer:
    """Return a server, listening but not yet serving; port 0 takes a free one (``server_port``).

    It answers 204 to a request signed with ``secret`` and calls ``on_request`` with its JSON, once for each
    ``webhook-id``; 401 to any other.

    Raises
    ------
    ActionError
        When the secret is malformed.
    """
    parse_secret(secret)
    seen: set[str] = set()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # seconds a client may stay silent

        def do_POST(self) -> None:
            status, message_id, message = _read(self, secret)
            if status == 204:
                with lock:
                    if message_id not in seen:
                        seen.add(message_id)
                        on_request(message)
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            return

    return ThreadingHTTPServer((host, port), Handler)


def _read(handler: BaseHTTPRequestHandler, secret: str) -> tuple[int, str, Mapping[str, Any]]:
    """Return the status to answer with and, when that is 204, the verified request's id and JSON."""
    length = handler.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > LIMIT_BYTES:
        return 413, "", {}
    body = handler.rfile.read(int(length))
    try:
        message_id = verify(dict(handler.headers), body, [secret], now_s=time.time())
        return 204, message_id, json.loads(body)
    except (ActionError, ValueError):
        return 401, "", {}


def serve(port: int, secret: str, on_request: OnRequest = write) -> None:
    """Receive on loopback until interrupted."""
    with make_server(port, secret, on_request) as server:
        server.serve_forever()


@contextmanager
def receiving(secret: str, on_request: OnRequest = write, *, port: int = 0) -> Iterator[str]:
    """Receive in a thread while the block runs; yields the URL to send to."""
    with make_server(port, secret, on_request) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="receiver", daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
