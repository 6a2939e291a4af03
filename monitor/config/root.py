"""The whole configuration: its top-level sections and its hash."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, Field, PrivateAttr

from monitor.config.actions import Action, Url
from monitor.config.base import (
    AnyPath,
    Count,
    Duration,
    ExistingFile,
    Given,
    Name,
    NotSwitch,
    PositiveDuration,
    Section,
    Size,
    Switch,
)
from monitor.config.models import Model
from monitor.config.secret import BcryptHash
from monitor.config.silences import Silence
from monitor.config.sources import SourceConfig
from monitor.config.web_file import WebFile
from monitor.time import DAY_US, SECOND_US

_LISTEN = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]*):([0-9]{1,5})")


def _listen(value: str) -> str:
    match = _LISTEN.fullmatch(value)
    if not match or int(match[2]) > 65535:
        raise ValueError("must be host:port, as in 127.0.0.1:9108, [::1]:9108 or :9108 for every address")
    return value


class Store(Section):
    """The event store, one DuckDB file."""

    path: AnyPath = Field(default=Path("state/monitor.duckdb"), validate_default=True)
    """The file; its folder is made."""
    memory_limit: Size = 1000**3
    """Most memory the database takes for itself."""
    threads: Annotated[int, Field(ge=1, le=256), NotSwitch] = 2
    """Threads of a query."""
    retention: PositiveDuration = 35 * DAY_US
    """Age at which events leave; windows are restated until then."""
    quarantine_rows: Count = 100_000
    """Rejected records kept; the oldest go first."""


class Tls(Section):
    """Certificate of the HTTP server; read again when the files change."""

    cert_file: ExistingFile
    """Certificate chain (PEM)."""
    key_file: ExistingFile
    """Its private key (PEM)."""
    client_ca_file: ExistingFile | None = None
    """Certificates (PEM) that sign clients'; clients must then show one."""
    min_version: Literal["TLS12", "TLS13"] = "TLS12"
    """Oldest version that is spoken."""


class BasicAuth(Section):
    """Users of the HTTP server, in a section of their own."""

    users: dict[str, BcryptHash]
    """User to bcrypt hash of the password."""


class Server(Section):
    """The HTTP server: metrics, probes, API and status page."""

    listen: Annotated[str, AfterValidator(_listen)] = "127.0.0.1:9108"
    """Address and port; port 0 takes a free one."""
    tls: Tls | None = None
    """Serve https."""
    basic_auth_users: dict[str, BcryptHash] = Field(default={})
    """User to bcrypt hash of the password, as `htpasswd -nBC 10` writes it; empty lets everyone in."""
    basic_auth: BasicAuth | None = None
    """The same as `basic_auth_users`, under the key `users`."""
    web_config_file: ExistingFile | None = None
    """TLS and users in a file of their own, in the form of Prometheus' exporter-toolkit, instead of here."""
    open_probes: Switch = False
    """Answer `/-/healthy` and `/-/ready` without a password, for orchestrators that cannot give one."""
    series_budget: Count = 20_000
    """Most series on `/metrics`; what is dropped is counted."""
    external_url: Url | None = None
    """Where people reach this server, for the links in notifications."""

    _headers: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        """Further headers of every answer."""
        return self._headers

    def with_file(self, file: WebFile) -> Server:
        """Return these settings with what the web configuration file says."""
        tls, given = None, file.tls_server_config
        if given is not None:
            ca_file = given.client_ca_file if given.client_auth_type != "NoClientCert" else None
            tls = Tls(cert_file=given.cert_file, key_file=given.key_file, client_ca_file=ca_file,
                      min_version=given.min_version)  # fmt: skip
        merged = self.model_copy(update={"tls": tls, "basic_auth_users": file.basic_auth_users})
        merged._headers = dict(file.http_server_config.headers)
        return merged

    @property
    def host(self) -> str:
        """The address to bind, without brackets; ``""`` is every one."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port to bind."""
        return int(self.listen.rpartition(":")[2])

    @property
    def users(self) -> dict[str, BcryptHash]:
        """User to bcrypt hash, from either key."""
        return {**self.basic_auth_users, **(self.basic_auth.users if self.basic_auth else {})}


class Scheduler(Section):
    """The daemon's rhythm."""

    tick: PositiveDuration = 5 * SECOND_US
    """How often to look for windows that are due or dirty."""
    drain: Duration = 25 * SECOND_US
    """Longest time from the request to stop until the process has stopped."""


class Log(Section):
    """The daemon's log, on standard error."""

    format: Literal["text", "json"] = "text"
    """For people, or one JSON object a line."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe messages that are written."""


class Config(Section):
    """Everything Model Monitor is told; see :func:`monitor.config.load`."""

    store: Annotated[Store, Given] = Field(default=cast(Any, {}), validate_default=True)
    """The event store."""
    server: Annotated[Server, Given] = Server()
    """The HTTP server."""
    scheduler: Annotated[Scheduler, Given] = Scheduler()
    """How often the daemon looks, and how long it takes to stop."""
    log: Annotated[Log, Given] = Log()
    """The daemon's log."""
    sources: dict[Name, SourceConfig] = Field(default={})
    """Name to source."""
    models: Annotated[tuple[Model, ...], Field(min_length=1)]
    """The monitored models."""
    actions: dict[Name, Action] = Field(default={})
    """Name to action."""
    silences: tuple[Silence, ...] = ()
    """When nobody is told of alerts."""

    _directory: Path = PrivateAttr(default_factory=Path.cwd)

    def model_post_init(self, context: Any) -> None:
        """Remember the folder that relative paths started from."""
        self._directory = (context or {}).get("directory") or self._directory

    @property
    def directory(self) -> Path:
        """The configuration file's folder, absolute."""
        return self._directory

    @cached_property
    def hash(self) -> str:
        """SHA-256, 64 hexadecimal digits, of the effective configuration.

        Defaults are filled in; secrets count as present or absent only; paths inside :attr:`directory` are
        taken relative to it, so the same configuration has the same hash on every machine.
        """

        def plain(value: Any) -> str:
            if isinstance(value, Path) and value.is_relative_to(self._directory):
                return value.relative_to(self._directory).as_posix()
            return str(value)

        effective = self.model_dump(by_alias=True)
        return hashlib.sha256(json.dumps(effective, sort_keys=True, default=plain).encode()).hexdigest()
