"""TLS and users in a file of their own, in the form of Prometheus' exporter-toolkit (web configuration)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from monitor.config.base import ExistingFile, Given, Section, Text
from monitor.config.secret import BcryptHash


class TlsServerConfig(Section):
    """Certificate, and whether clients must show one."""

    cert_file: ExistingFile
    """Certificate chain (PEM)."""
    key_file: ExistingFile
    """Its private key (PEM)."""
    client_auth_type: Literal["NoClientCert", "RequireAndVerifyClientCert"] = "NoClientCert"
    """Whether clients must show a certificate."""
    client_ca_file: ExistingFile | None = None
    """Certificates (PEM) that sign clients'."""
    min_version: Literal["TLS12", "TLS13"] = "TLS12"
    """Oldest version that is spoken."""


class HttpServerConfig(Section):
    """How HTTP is spoken."""

    http2: Literal[False] = False
    """Only HTTP/1.1 is spoken."""
    headers: dict[Text, Text] = Field(default={})
    """Further headers of every answer."""


class WebFile(Section):
    """The whole file."""

    tls_server_config: TlsServerConfig | None = None
    """Serve https."""
    http_server_config: Annotated[HttpServerConfig, Given] = HttpServerConfig()
    """How HTTP is spoken."""
    basic_auth_users: dict[str, BcryptHash] = Field(default={})
    """User to bcrypt hash of the password."""
