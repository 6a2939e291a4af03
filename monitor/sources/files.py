"""Files as a source: globs of JSON lines, CSV and Parquet, read to the end or followed as they grow.

A partition is one *generation* of a path: ``logs/app.jsonl``, then ``logs/app.jsonl#000001`` for the file
that took its place. Which file on disk a generation is, is told by device, inode and a fingerprint of its
first bytes (kept in ``Position.detail``): it is found again after a rename, and a truncated or replaced file
is a new generation.
"""

from __future__ import annotations

import glob
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from monitor.errors import SourceError
from monitor.sources import SourceStatus
from monitor.sources.file_entry import Entry, fingerprint_matches, folder_of, natural, open_reader
from monitor.sources.file_text import Stretch, Unreadable
from monitor.types import RAW_SCHEMA, Partition, Position, RawBatch, Rejected

log = logging.getLogger(__name__)


class FilesSource:
    """Files that match globs; a :class:`monitor.sources.Source`.

    Parameters
    ----------
    columns
        For each glob, which column is which key of the event (CSV and Parquet); see ``file_tables``.
    follow
        Whether files may grow, rotate and appear. Otherwise each is read to its end once, in natural order of
        their paths, a last line without a newline included; ``poll`` then returns None at once and
        ``status().caught_up`` holds every partition.
    poll_s
        How often to look for new files and changes while following.
    """

    def __init__(
        self,
        name: str,
        globs: Sequence[str],
        columns: Mapping[str, Mapping[str, str]] | None = None,
        *,
        max_record_bytes: int = 1 << 20,
        max_batch_records: int = 50_000,
        follow: bool = True,
        poll_s: float = 1.0,
    ) -> None:
        self.name, self.globs, self.columns = name, tuple(dict.fromkeys(globs)), columns or {}
        self.max_record_bytes, self.max_batch_records = max_record_bytes, max_batch_records
        self.follow, self.poll_s = follow, poll_s
        self._entries: dict[Partition, Entry] = {}
        self._files: dict[tuple[str, int, int], Entry] = {}  # by glob, device and inode
        self._generations: dict[tuple[str, str], int] = {}  # the newest, by glob and path
        self._order: list[Entry] = []
        self._cursor: Partition | None = None
        self._scan_at = 0.0
        self._db: Any = None
        self._error = ""
        self._closed = False
        self._status = SourceStatus()

    def start(self, positions: Mapping[Partition, Position]) -> None:
        import duckdb

        self._db = duckdb.connect(config={"threads": 2})
        for partition, position in positions.items():
            if partition.source == self.name and partition.topic in self.globs:
                entry = self._entries[partition] = Entry.restored(partition, position)
                path = (partition.topic, entry.path_found)
                self._generations[path] = max(entry.generation, self._generations.get(path, 0))

    def poll(self, timeout_s: float) -> RawBatch | None:
        if self._closed:
            return None
        deadline = time.monotonic() + min(timeout_s, 1.0)
        if time.monotonic() >= self._scan_at:
            self._scan()
        batch = self._read()
        self._publish()
        if batch is None and (self.follow or not self._status.connected):
            wake = min(deadline, self._scan_at)
            time.sleep(max(0.0, wake - time.monotonic()))
        return batch

    def stored(self, positions: Mapping[Partition, Position]) -> None:
        """Do nothing: files have no lag display."""

    def status(self) -> SourceStatus:
        return self._status

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            for entry in self._entries.values():
                entry.close()
            if self._db is not None:
                self._db.close()
            self._publish()

    # -- which files there are -----------------------------------------------------------------------------

    def _scan(self) -> None:
        self._scan_at = time.monotonic() + self.poll_s
        self._error = ""
        self._files = {
            (e.partition.topic, e.device, e.inode): e for e in self._entries.values() if not e.gone
        }
        for pattern in self.globs:
            matches = glob.glob(pattern, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
            paths = sorted((p for p in matches if Path(p).is_file()), key=natural)
            seen = {entry.partition for path in paths if (entry := self._meet(pattern, path)) is not None}
            for entry in list(self._entries.values()):
                if entry.partition.topic == pattern and entry.partition not in seen and not entry.gone:
                    self._look_for(entry)
            if not paths:
                self._error = f"no file matches {pattern!r}" + (
                    "" if folder_of(pattern).is_dir() else f"; its folder {folder_of(pattern)} is not there"
                )
        self._order = sorted(self._entries.values(), key=lambda e: (natural(e.path_found), e.generation))

    def _meet(self, pattern: str, path: str) -> Entry | None:
        """Return the entry of the file at ``path``, a new one where it is a file not met before."""
        try:
            stat = Path(path).stat()
        except OSError:
            return None  # went away since the listing
        if (entry := self._files.get((pattern, stat.st_dev, stat.st_ino))) is not None:
            if fingerprint_matches(entry, path, stat):
                entry.notice(path, stat, rotated=path != entry.path_found)
                return entry
            log.info("source %s: %s was truncated or rewritten; reading it anew", self.name, path)
            entry.leave()
        generation = self._generations.get((pattern, path), -1) + 1
        self._generations[pattern, path] = generation
        new = Entry.found(Partition(self.name, pattern, path), generation, stat)
        self._entries[new.partition] = self._files[pattern, stat.st_dev, stat.st_ino] = new
        return new

    def _look_for(self, entry: Entry) -> None:
        """Find a file that was renamed to something the glob does not match, to read its last lines."""
        folder = Path(entry.path).parent
        if entry.settled and entry.at_end:
            entry.leave()  # read to its last line
            return
        for candidate in sorted(folder.iterdir()) if folder.is_dir() else ():
            try:
                stat = candidate.stat()
            except OSError:
                continue
            if entry.is_file(stat) and fingerprint_matches(entry, str(candidate), stat):
                entry.notice(str(candidate), stat, rotated=True)
                return
        entry.leave()

    # -- what is in them -----------------------------------------------------------------------------------

    def _read(self) -> RawBatch | None:
        room = self.max_batch_records
        parts: list[tuple[Partition, Stretch]] = []
        positions: dict[Partition, Position] = {}
        for entry in self._from_cursor():
            before = entry.position()
            while room > 0 and entry.readable:
                stretch = self._stretch(entry, room)
                if stretch is None:
                    break
                parts.append((entry.partition, stretch))
                room -= len(stretch.offsets) + len(stretch.refused)
            if entry.position() != before or (entry.unstored and not entry.halted):
                positions[entry.partition], entry.unstored = entry.position(), False
            if room <= 0:
                self._cursor = entry.partition
                break
        return self._batch(parts, positions)

    def _from_cursor(self) -> list[Entry]:
        """Return the entries in order, from the one that filled the last batch (following: after it) on."""
        at = next((i for i, e in enumerate(self._order) if e.partition == self._cursor), 0)
        at += self.follow and self._cursor is not None
        self._cursor = None
        return self._order[at:] + self._order[:at]

    def _stretch(self, entry: Entry, limit: int) -> Stretch | None:
        """Read on in one file; what goes wrong concerns that file alone."""
        try:
            if entry.reader is None:
                columns = self.columns.get(entry.partition.topic, {})
                entry.reader = open_reader(entry, self.max_record_bytes, columns, self._db)
            final = not self.follow or entry.settled
            stretch = entry.reader.read(entry.offset, limit, final=final, skipping=entry.skipping)
        except (Unreadable, SourceError, OSError) as error:
            entry.fail(_sentence(entry, error), retry=self.follow)
            if entry.halted:
                log.error("source %s: %s", self.name, entry.halted)
            return None
        entry.advance(stretch)
        return stretch

    def _batch(
        self, parts: Sequence[tuple[Partition, Stretch]], positions: Mapping[Partition, Position]
    ) -> RawBatch | None:
        if not positions:
            return None
        names = tuple(dict.fromkeys(partition for partition, stretch in parts if stretch.offsets))
        number = {partition: i for i, partition in enumerate(names)}
        tables = [
            pa.Table.from_arrays(
                [
                    pa.repeat(pa.scalar(number[partition], pa.int32()), len(stretch.offsets)),
                    pa.array(stretch.offsets, pa.int64()),
                    pa.nulls(len(stretch.offsets), pa.int64()),
                    stretch.values,
                ],
                schema=RAW_SCHEMA,
            )
            for partition, stretch in parts
            if stretch.offsets
        ]
        rejected = tuple(
            Rejected(partition, r.offset, r.reason, r.detail, r.payload, r.size)
            for partition, stretch in parts
            for r in stretch.refused
        )
        records = pa.concat_tables(tables) if tables else RAW_SCHEMA.empty_table()
        return RawBatch(names, records, dict(positions), rejected)

    def _publish(self) -> None:
        live = list(self._entries.values())
        self._status = SourceStatus(
            connected=not self._closed and all(folder_of(pattern).is_dir() for pattern in self.globs),
            caught_up=frozenset(e.partition for e in live if not e.readable),
            halted={e.partition: e.halted for e in live if e.halted},
            error=self._error,
        )


def _sentence(entry: Entry, error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{entry.path}: cannot be read ({error.strerror or error})"
    return str(error)
