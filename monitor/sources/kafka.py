"""Kafka topics as a source: settings, and the part of the reading that does not depend on the client.

Two client libraries do the talking, each behind :class:`Client` in a file of its own: ``confluent.py``
(librdkafka, fast) and ``kafka_python.py`` (pure Python). All partitions of the topics are assigned by hand
and start where the store says. ``kafka_driver.py`` makes batches of what a client reports (:class:`Chunk`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from monitor.errors import SourceError

KIB, MIB = 1 << 10, 1 << 20


@dataclass(frozen=True, slots=True)
class Security:
    """How to prove who we are; secrets are callables so that they are read late and never printed.

    ``token`` returns an OAUTHBEARER token and the epoch second at which it expires. Files are PEM.
    """

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = ""
    username: str = ""
    password: Callable[[], str] | None = field(default=None, repr=False)
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    key_password: Callable[[], str] | None = field(default=None, repr=False)
    token: Callable[[], tuple[str, float]] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """Everything a Kafka source can be told.

    ``extra`` holds further options of the chosen client under that client's own names; those that the
    exactness of the reading rests on cannot be overridden. ``group_id`` is only where offsets are committed
    for other people's lag displays; empty commits nothing. ``refresh_s`` is how often new partitions are
    looked for.
    """

    bootstrap_servers: str
    client: Literal["auto", "confluent", "kafka-python"] = "auto"
    auto_offset_reset: Literal["earliest", "latest"] = "earliest"
    on_offset_loss: Literal["halt", "earliest", "latest"] = "halt"
    isolation: Literal["read_committed", "read_uncommitted"] = "read_committed"
    max_record_bytes: int = MIB
    max_batch_records: int = 50_000
    max_batch_bytes: int = 64 * MIB
    group_id: str = ""
    security: Security = Security()
    extra: Mapping[str, object] = field(default_factory=dict)
    refresh_s: float = 30.0


class TopicPartition(NamedTuple):
    """A partition of a topic, as both clients name it."""

    topic: str
    number: int


class Topic(NamedTuple):
    """A topic that exists: its id (empty where the broker has none) and the numbers of its partitions."""

    id: str
    partitions: frozenset[int]


class Unreachable(Exception):
    """The broker did not answer in time, or said no; waiting may mend it."""


@dataclass(slots=True)
class Chunk:
    """What one call of :meth:`Client.consume` returned: parallel columns, then what happened besides.

    ``moved`` are positions reached without a record (over holes), ``at_end`` the partitions with nothing left
    to read, ``lost`` those whose position the broker does not have, ``corrupt`` the first offset of a batch
    that failed its checksum. ``stale`` asks for fresh metadata.
    """

    keys: list[TopicPartition] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    times_ms: list[int] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)
    moved: dict[TopicPartition, int] = field(default_factory=dict)
    at_end: set[TopicPartition] = field(default_factory=set)
    lost: set[TopicPartition] = field(default_factory=set)
    corrupt: dict[TopicPartition, int] = field(default_factory=dict)
    stale: bool = False
    error: str = ""

    @property
    def eventful(self) -> bool:
        """Whether something happened that must be seen to before reading on."""
        return bool(self.lost or self.corrupt or self.stale)


class Client(Protocol):
    """What a Kafka library must do for us.

    Every method returns within its time-out, and raises :class:`Unreachable` where it cannot. ``assign``
    replaces the assignment; ``consume`` then starts at exactly those offsets. ``bounds`` are the first offset
    and the end (the last stable offset when only committed records are read). ``ends`` are the ends known
    without asking. ``corrupt_at`` returns the first offset of the broken batch that holds ``offset``, or None
    where it is sound. ``commit`` does not wait and fails silently.
    """

    def describe(self, timeout_s: float) -> dict[str, Topic]: ...

    def assign(self, starts: Mapping[TopicPartition, int]) -> None: ...

    def consume(self, limit: int, timeout_s: float) -> Chunk: ...

    def bounds(
        self, partitions: Sequence[TopicPartition], timeout_s: float
    ) -> dict[TopicPartition, tuple[int, int]]: ...

    def ends(self) -> dict[TopicPartition, int]: ...

    def corrupt_at(self, partition: TopicPartition, offset: int, timeout_s: float) -> int | None: ...

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None: ...

    def close(self) -> None: ...


def check_files(security: Security, place: str) -> None:
    """Raise :class:`SourceError` where a certificate or key file is named that is not there."""
    for key in ("ca_file", "cert_file", "key_file"):
        if (path := getattr(security, key)) and not Path(path).is_file():
            raise SourceError(f"{place}: security.{key}: there is no file {path}; a PEM file is expected")


def merged_options(
    ours: dict[str, object], extra: Mapping[str, object], protected: frozenset[str], place: str
) -> dict[str, object]:
    """Lay the user's options over ours.

    Raises
    ------
    SourceError
        When ``extra`` sets an option that exactly-once reading rests on.
    """
    if clash := sorted(protected & set(extra)):
        raise SourceError(
            f"{place}: the client option {clash[0]!r} is set by the source itself; "
            f"not allowed are {', '.join(sorted(protected))}"
        )
    return ours | dict(extra)
