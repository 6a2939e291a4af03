"""Where records come from: one small contract, several leaves (kafka, files, memory).

A source is driven by exactly one thread (poll → land → ``stored``), so it needs no locks except around
what :meth:`Source.status` returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from monitor.types import Partition, Position, RawBatch


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How a source is doing, for readiness, metrics and watermarks.

    ``connected`` is False while the broker (or the folder) cannot be reached. ``caught_up`` holds the
    partitions with nothing left to read at the last look. ``lag_records`` is the distance to the end
    where it is known. ``halted`` maps a partition that stopped for good to the reason in one sentence.
    """

    connected: bool = False
    caught_up: frozenset[Partition] = frozenset()
    lag_records: Mapping[Partition, int] = field(default_factory=dict)
    halted: Mapping[Partition, str] = field(default_factory=dict)
    error: str = ""


class Source(Protocol):
    """Ordered logs that can be read again from a stored position.

    Starting
        ``start`` is called once, with the positions found in the store. Partitions without one begin
        where the configuration says (earliest by default). It neither blocks on an unreachable broker nor
        raises for it: that is a status, and ``poll`` keeps trying with back-off. It raises
        :class:`~monitor.errors.SourceError` only for what no waiting can mend (bad credentials *settings*,
        unknown codec).
    Reading
        ``poll`` blocks for at most ``timeout_s`` (never over one second) and returns what it has, or None.
        Records of a partition come in offset order, each offset once; batches never overlap. It never
        decodes, never raises for a bad record: such records are in ``RawBatch.rejected``. New partitions
        and files are picked up by themselves.
    Resuming
        The position that counts is the one in the *store*. ``stored`` tells the source what has been
        committed there, for lag displays only; it may fail silently.
    Closing
        ``close`` releases everything within two seconds and may be called twice.
    """

    def start(self, positions: Mapping[Partition, Position]) -> None: ...

    def poll(self, timeout_s: float) -> RawBatch | None: ...

    def stored(self, positions: Mapping[Partition, Position]) -> None: ...

    def status(self) -> SourceStatus: ...

    def close(self) -> None: ...
