"""A webhook receiver that misbehaves in every known way, by a seed, and verifies whatever it is sent."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook

# Of a hundred requests; what is left is answered 204.
FAULTS = {"500": 2.0, "429": 1.0, "302": 2.0, "hang": 0.5, "drip": 0.5, "close early": 1.5, "close late": 1.5}


class FaultyReceiver:
    """Remembers of each id its bodies and how often it came, and the order in which ids were acknowledged."""

    def __init__(self, secret: str, seed: int) -> None:
        self.secret, self.chance, self.lock = secret, random.Random(seed), threading.Lock()
        self.bodies: dict[str, set[bytes]] = {}
        self.times: Counter[str] = Counter()
        self.acknowledged: dict[str, bytes] = {}  # in order
        self.faults: Counter[str] = Counter()
        self.unverified: list[str] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_POST(self) -> None:
                try:
                    receiver.answer(self)
                except OSError:  # the sender had enough, or was killed
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                return

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request: object, client_address: object) -> None:
                return

        self.server = Quiet(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hook"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        with self.lock:
            [fault] = self.chance.choices([*FAULTS, ""], [*FAULTS.values(), 100 - sum(FAULTS.values())])
            self.faults[fault] += 1
            wait = self.chance.choice(("0", "1", formatdate(time.time() + 1, usegmt=True)))
        if fault == "close early":  # before the body is read
            handler.close_connection = True
            return
        body = handler.rfile.read(int(handler.headers["content-length"]))
        message_id = self._verified(handler, body)
        if fault == "close late":
            handler.close_connection = True
        elif fault == "hang":
            time.sleep(2.0)
        elif fault == "drip":
            for byte in b"HTTP/1.1 204 No Content\r\nx: y\r\n\r\n":
                handler.wfile.write(bytes([byte]))
                time.sleep(0.1)
        else:
            self._reply(handler, fault, wait, message_id, body)

    def _verified(self, handler: BaseHTTPRequestHandler, body: bytes) -> str:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        message_id = headers.get("webhook-id", "")
        with self.lock:
            try:
                Webhook(self.secret).verify(body.decode(), headers)
            except Exception as error:  # whatever the library says, it did not verify
                self.unverified.append(f"{message_id}: {error}")
            self.bodies.setdefault(message_id, set()).add(body)
            self.times[message_id] += 1
        return message_id

    def _reply(
        self, handler: BaseHTTPRequestHandler, fault: str, wait: str, message_id: str, body: bytes
    ) -> None:
        if not fault:
            with self.lock:
                self.acknowledged.setdefault(message_id, body)
        handler.send_response(int(fault or 204))
        if fault == "429":
            handler.send_header("retry-after", wait)
        if fault == "302":
            handler.send_header("location", self.url + "/elsewhere")
        handler.send_header("content-length", "0")
        handler.end_headers()


@contextmanager
def receiving(secret: str, seed: int) -> Iterator[FaultyReceiver]:
    receiver = FaultyReceiver(secret, seed)
    thread = threading.Thread(target=receiver.server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.server.shutdown()
        thread.join()
        receiver.server.server_close()
