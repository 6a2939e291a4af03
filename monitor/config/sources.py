"""The ``sources`` section: where records are read from, one model a kind."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, PlainValidator, Tag

from monitor.config.base import (
    Count,
    ExistingFile,
    PositiveDuration,
    Section,
    Size,
    Switch,
    Text,
    kind_of,
    private,
    tagged,
)
from monitor.config.secret import Secret, SecretFile
from monitor.time import MINUTE_US, SECOND_US

_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_HIDDEN_OPTION = re.compile(r"password|secret|jaas|key\.pem", re.IGNORECASE)


def _servers(value: object) -> str:
    parts = value.split(",") if isinstance(value, str) else value
    if isinstance(parts, list) and parts and all(isinstance(part, str) for part in parts):
        servers = [part.strip() for part in parts]
        matches = [_HOST_PORT.fullmatch(server) for server in servers]
        if all(match and 0 < int(match[2]) < 65536 for match in matches):
            return ",".join(servers)
    raise ValueError("must be host:port, or several of them in a list or with commas between")


def _options(value: object) -> dict[str, str | int | float | bool]:
    if not isinstance(value, dict) or not all(isinstance(v, str | int | float) for v in value.values()):
        raise ValueError("must be a mapping from option names to texts, numbers, true or false")
    if name := next((key[:80] for key in value if _HIDDEN_OPTION.search(key)), None):
        raise private(f"must not hold a secret ({name}); secrets belong under security")
    return value


class OAuth(Section):
    """Client credentials for ``OAUTHBEARER``: where a token is fetched, and for whom."""

    token_url: Text
    """Token endpoint; https, or http on this machine."""
    client_id: Text
    """Client id sent to the endpoint."""
    client_secret: Secret | None = None
    """Client secret; give this or `client_secret_file`."""
    client_secret_file: SecretFile | None = None
    """File with the client secret, read again at each use."""
    scope: str = ""
    """Scope asked for, if any."""

    @property
    def secret(self) -> Secret | None:
        """The client secret, wherever it comes from."""
        return self.client_secret or self.client_secret_file


class Security(Section):
    """How a Kafka client proves who it is, and how the line is protected."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """Protection of the line."""
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    """SASL mechanism; required with the SASL protocols."""
    username: Text | None = None
    """User name for PLAIN and SCRAM."""
    password: Secret | None = None
    """Password for PLAIN and SCRAM; give this or `password_file`."""
    password_file: SecretFile | None = None
    """File with the password, read again at each connection."""
    ca_file: ExistingFile | None = None
    """Certificates (PEM) that sign the brokers'; by default the system's."""
    cert_file: ExistingFile | None = None
    """The client's own certificate (PEM), for mutual TLS."""
    key_file: ExistingFile | None = None
    """Private key (PEM) of `cert_file`."""
    key_password: Secret | None = None
    """Password of `key_file`; give this or `key_password_file`."""
    key_password_file: SecretFile | None = None
    """File with the password of `key_file`."""
    oauth: OAuth | None = None
    """Where tokens for OAUTHBEARER come from."""
    allow_plaintext_password: Switch = False
    """Allow SASL_PLAINTEXT to brokers on other machines: the password travels unprotected."""

    @property
    def sasl_password(self) -> Secret | None:
        """The SASL password, wherever it comes from."""
        return self.password or self.password_file

    @property
    def private_key_password(self) -> Secret | None:
        """The private key's password, wherever it comes from."""
        return self.key_password or self.key_password_file


class KafkaSource(Section):
    """Topics of a Kafka cluster."""

    kind: Literal["kafka"]
    """`kafka`."""
    bootstrap_servers: Annotated[str, PlainValidator(_servers, json_schema_input_type=str | list[str])]
    """Brokers to ask first, `host:port`, one text with commas or a list."""
    client: Literal["auto", "confluent", "kafka-python"] = "auto"
    """Client library; `auto` takes confluent-kafka where it is installed."""
    auto_offset_reset: Literal["earliest", "latest"] = "earliest"
    """Where a partition that was never read begins."""
    on_offset_loss: Literal["halt", "earliest", "latest"] = "halt"
    """What to do when the stored position is gone: stop that partition, or go on from an end."""
    isolation: Literal["read_committed", "read_uncommitted"] = "read_committed"
    """Whether records of open and aborted transactions are left out."""
    max_record_bytes: Size = 1024**2
    """Larger records go to the quarantine undecoded."""
    max_batch_records: Count = 50_000
    """Most records of one poll."""
    max_batch_bytes: Size = 64 * 1000**2
    """Most bytes of one poll."""
    idle_timeout: PositiveDuration = MINUTE_US
    """A partition without records for this long no longer holds the watermark back."""
    group_id: Text | None = None
    """Consumer group to which positions are committed, for lag displays only."""
    security: Security = Security()
    """Login and TLS."""
    extra: Annotated[
        dict[str, str | int | float | bool],
        PlainValidator(_options, json_schema_input_type=dict[str, str | float | bool]),
    ] = Field(default={})
    """Options handed to the client library as they are, by its own names."""


class FilesSource(Section):
    """Files that grow: `.jsonl`, `.jsonl.gz`, `.csv`, `.parquet`."""

    kind: Literal["files"]
    """`files`."""
    idle_timeout: PositiveDuration = MINUTE_US
    """A file without new records for this long no longer holds the watermark back."""
    max_record_bytes: Size = 1024**2
    """Longer lines go to the quarantine undecoded."""
    max_batch_records: Count = 50_000
    """Most records of one poll."""
    follow: Switch = True
    """Wait for files to grow and for new files; false reads what is there."""
    poll: PositiveDuration = SECOND_US
    """How often to look for growth and new files."""


class MemorySource(Section):
    """Records handed over inside the process; for tests."""

    kind: Literal["memory"]
    """`memory`."""
    idle_timeout: PositiveDuration = MINUTE_US
    """A partition without records for this long no longer holds the watermark back."""


_TAGS = {"kafka": "KafkaSource", "files": "FilesSource", "memory": "MemorySource"}
SourceConfig = Annotated[
    Annotated[KafkaSource, Tag("KafkaSource")]
    | Annotated[FilesSource, Tag("FilesSource")]
    | Annotated[MemorySource, Tag("MemorySource")],
    tagged(lambda value: _TAGS.get(kind_of(value) or ""), "kind: kafka, files, memory"),
]
