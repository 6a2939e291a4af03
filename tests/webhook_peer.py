"""A scripted HTTP(S) server, and certificates for it: the real peer that the webhook tests talk to."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from standardwebhooks.webhooks import Webhook

from monitor.actions.signing import new_secret
from monitor.actions.webhook import Endpoint

SECRET = new_secret()
NOW_US = time.time_ns() // 1_000
BODY = b'{"type":"model_monitor.retrain","data":{}}'

Script = Callable[[BaseHTTPRequestHandler], None]


class Peer:
    """A real HTTP server that answers as scripted and remembers what it was sent."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.methods: list[str] = []
        self.script: Script = reply(200)
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                peer.methods.append(self.command)
                peer.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                try:
                    peer.script(self)
                except OSError:  # the sender had enough
                    self.close_connection = True

            do_PUT = do_POST

            def log_message(self, format: str, *args: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def reply(status: int, **headers: str) -> Script:
    def script(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("content-length", "0")
        handler.end_headers()

    return script


def endpoint(port: int, host: str = "127.0.0.1", scheme: str = "http", **changes: object) -> Endpoint:
    limits = {"connect_timeout_s": 0.4, "read_timeout_s": 0.3, "total_timeout_s": 0.6}
    url = f"{scheme}://{host}:{port}/hooks/retrain?token=hidden"
    return Endpoint("pipeline", url, lambda: [SECRET], **limits | changes)  # type: ignore[arg-type]


def assert_signed(headers: dict[str, str], body: bytes, secret: str = SECRET) -> None:
    """Compare with the reference library's signature (its ``verify`` would also look at the clock)."""
    moment = dt.datetime.fromtimestamp(int(headers["webhook-timestamp"]), dt.UTC)
    expected = Webhook(secret).sign(headers["webhook-id"], moment, body.decode())
    assert expected in headers["webhook-signature"].split(" ")


def closed_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def to_loopback(host: str, port: int, timeout_s: float) -> list[str]:
    return ["127.0.0.1"]


@contextmanager
def serving() -> Iterator[Peer]:
    peer = Peer()
    peer.thread.start()
    try:
        yield peer
    finally:
        peer.close()


def hang(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(3.0)


def drip_head(handler: BaseHTTPRequestHandler) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nx-long: " + b"a" * 60:
        handler.wfile.write(bytes([byte]))
        time.sleep(0.05)


def drip_body(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("content-length", "100")
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b"a")
        time.sleep(0.05)


def nonsense(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"SMTP 220 hello " + SECRET.encode() + b"\r\n\r\n")


def endless_head(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(10_000):
        handler.wfile.write(b"x-%d: %s\r\n" % (number, b"a" * 100))


def make_certificate(folder: Path, ends: str) -> Path:
    """Make a self-signed certificate of hooks.test until ``ends``; return the file of key and certificate."""
    (folder / "index.txt").touch()
    (folder / "ca.cnf").write_text(
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n"
        "rand_serial=yes\nx509_extensions=e\n[p]\ncommonName=supplied\n"
        "[e]\nsubjectAltName=DNS:hooks.test\nbasicConstraints=critical,CA:TRUE\n"
    )
    ask = "req -new -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -subj /CN=hooks.test"
    sign = (
        "ca -config ca.cnf -batch -selfsign -keyfile key.pem -in request.pem -out cert.pem -notext "
        f"-startdate 20200101000000Z -enddate {ends}"
    )
    for command in (ask, sign):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return both


@contextmanager
def tls(peer: Peer, certificate: Path) -> Iterator[list[str | None]]:
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _, name, __: names.append(name)
    peer.server.socket = context.wrap_socket(peer.server.socket, server_side=True)
    peer.server.handle_error = lambda request, address: None  # type: ignore[method-assign]
    peer.thread.start()
    try:
        yield names
    finally:
        peer.close()
