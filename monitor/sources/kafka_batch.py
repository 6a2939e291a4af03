"""From the chunks of one poll to a ``RawBatch``: filter, refuse what is too large, lay out as columns."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from monitor.sources.kafka import KIB, Chunk, TopicPartition
from monitor.types import RAW_SCHEMA, Partition, Rejected

PAYLOAD_BYTES = 4 * KIB  # how much of a refused record is kept
PIECE_RECORDS = 2_048  # laid out at a time: whoever waits for the interpreter gets it in between
_NEVER = np.iinfo(np.int64).max

Int64 = npt.NDArray[np.int64]


class Columns:
    """The records of a poll as columns.

    ``floors`` are the offsets where each partition must go on: anything below (a client's late echo) and
    anything of a partition without a floor is dropped, so that no offset comes twice.
    """

    def __init__(self, chunks: Sequence[Chunk], floors: Mapping[TopicPartition, int]) -> None:
        index: dict[TopicPartition, int] = {}
        part = [index.setdefault(key, len(index)) for chunk in chunks for key in chunk.keys]
        self.keys = list(index)
        self.part: Int64 = np.array(part, np.int64)
        self.off: Int64 = np.array([o for chunk in chunks for o in chunk.offsets], np.int64)
        self.times_ms: Int64 = np.array([t for chunk in chunks for t in chunk.times_ms], np.int64)
        self.values = [v for chunk in chunks for v in chunk.values]
        if part:
            lowest = np.array([floors.get(key, _NEVER) for key in self.keys], np.int64)
            self._keep(self.off >= lowest[self.part])

    def _keep(self, mask: npt.NDArray[np.bool_]) -> None:
        if not mask.all():
            self.part, self.off, self.times_ms = self.part[mask], self.off[mask], self.times_ms[mask]
            self.values = list(itertools.compress(self.values, mask))

    def next_offsets(self) -> dict[TopicPartition, int]:
        """Return, for each partition with records, the offset after its last one."""
        last = np.full(len(self.keys), -1, np.int64)
        np.maximum.at(last, self.part, self.off)
        return {key: int(o) + 1 for key, o in zip(self.keys, last, strict=True) if o >= 0}

    def refuse_oversize(self, limit: int, partitions: Mapping[TopicPartition, Partition]) -> list[Rejected]:
        """Take out the records of more than ``limit`` bytes and return them as rejected."""
        sizes = np.array([0 if value is None else len(value) for value in self.values], np.int64)
        large = [
            (int(i), value) for i in np.flatnonzero(sizes > limit) if (value := self.values[i]) is not None
        ]
        rejected = [
            oversize(partitions[self.keys[self.part[i]]], int(self.off[i]), value, limit)
            for i, value in large
        ]
        self._keep(sizes <= limit)
        return rejected

    def table(self, partitions: Mapping[TopicPartition, Partition]) -> tuple[tuple[Partition, ...], pa.Table]:
        """Return the partitions that have records, and the records in ``RAW_SCHEMA``."""
        used = np.bincount(self.part, minlength=len(self.keys)) > 0
        renumbered = np.cumsum(used, dtype=np.int32) - 1
        record_us = pa.array(self.times_ms * 1000, pa.int64(), mask=self.times_ms < 0)
        part = pa.array(renumbered[self.part].astype(np.int32), pa.int32())
        pieces = range(0, len(self.values), PIECE_RECORDS)
        values = pa.chunked_array(
            [pa.array(self.values[i : i + PIECE_RECORDS], pa.binary()) for i in pieces], pa.binary()
        )
        columns = [part, pa.array(self.off, pa.int64()), record_us, values]
        names = tuple(partitions[key] for key, some in zip(self.keys, used, strict=True) if some)
        return names, pa.Table.from_arrays(columns, schema=RAW_SCHEMA)


def oversize(partition: Partition, offset: int, value: bytes, limit: int) -> Rejected:
    """Return the rejection of a record that is larger than ``limit`` bytes, with the beginning of it."""
    detail = f"the record has {len(value)} bytes; allowed are {limit} (max_record_bytes)"
    return Rejected(partition, offset, "oversize", detail, value[:PAYLOAD_BYTES], len(value))
