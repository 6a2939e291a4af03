"""TLS for the HTTP server: version 1.2 or newer, certificates read again when their files change."""

from __future__ import annotations

import contextlib
import ssl
from dataclasses import dataclass
from pathlib import Path

from monitor.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Tls:
    """Paths of PEM files; with ``client_ca_file`` clients must show a certificate it signed.

    ``only_13`` refuses TLS 1.2.
    """

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None
    only_13: bool = False


class Certificates:
    """The newest usable TLS context. A renewal needs no restart; a broken one changes nothing.

    Raises
    ------
    ConfigError
        When the files cannot be used at the start.
    """

    def __init__(self, tls: Tls) -> None:
        self._files = [path for path in (tls.cert_file, tls.key_file, tls.client_ca_file) if path]
        self._tls = tls
        self._seen = self._stamp()
        try:
            self._context = _load(tls)
        except (OSError, ValueError) as error:
            names = ", ".join(map(str, self._files))
            raise ConfigError([f"server.tls: cannot use {names}: {error}; PEM files are needed"]) from error

    def context(self) -> ssl.SSLContext:
        """Return the context for the next connection."""
        stamp = self._stamp()
        if stamp != self._seen:
            self._seen = stamp
            # While half of a new pair is on disk the old one stays; the next change is looked at again.
            with contextlib.suppress(OSError, ValueError):
                self._context = _load(self._tls)
        return self._context

    def _stamp(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_stat(path) for path in self._files)


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino, stat.st_size


def _load(tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if tls.only_13 else ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.load_cert_chain(tls.cert_file, tls.key_file, password=lambda: b"")
    if tls.client_ca_file:
        context.load_verify_locations(tls.client_ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
