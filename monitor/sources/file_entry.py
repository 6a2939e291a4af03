"""One file of a files source: which one it is on disk, how far it is read, what keeps it from being read."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitor.sources.file_rows import CsvReader, ParquetReader
from monitor.sources.file_text import GzipText, LinesReader, PlainText, Reader, Stretch, Unreadable
from monitor.types import Partition, Position

FINGERPRINT_BYTES = 256
SETTLE_S = 5.0  # a file untouched for so long is complete: before, somebody may still be writing it
_KIND = re.compile(r"\.(jsonl|ndjson|json|csv|parquet)(?=[.\-_]|$)", re.IGNORECASE)


def natural(path: str) -> list[tuple[int, int, str]]:
    """Return a sort key in which numbers count as numbers: ``log.2`` before ``log.10``."""
    pieces = re.split(r"(\d+)", path)
    return [(1, int(p), "") if p.isdecimal() else (0, 0, p) for p in pieces]


def folder_of(pattern: str) -> Path:
    """Return the deepest folder of a glob that holds no wildcard."""
    parts = Path(pattern).parent.parts
    fixed = next((i for i, part in enumerate(parts) if any(c in part for c in "*?[")), len(parts))
    return Path(*parts[:fixed])


@dataclass(slots=True)
class Entry:
    """A file and the state of its reading.

    ``path_found`` is where it first was (and what its partition is named after), ``path`` where it is now;
    ``settled`` files were rotated away and get no new lines. ``gone`` files are finished or cannot be found.
    """

    partition: Partition
    path_found: str
    generation: int
    path: str
    device: int
    inode: int
    head: str = ""  # fingerprint of the first ``head_bytes`` bytes
    head_bytes: int = 0
    offset: int = 0
    skipping: bool = False
    settled: bool = False
    gone: bool = False
    at_end: bool = False
    halted: str = ""
    unstored: bool = True
    reader: Reader | None = None
    seen: tuple[int, int, int] = field(default=(-1, 0, 0))  # size, and times of change in ns

    @classmethod
    def found(cls, first: Partition, generation: int, stat: os.stat_result) -> Entry:
        """Return the entry of a file just found at ``first.key``."""
        key = f"{first.key}#{generation:06d}" if generation else first.key
        partition = Partition(first.source, first.topic, key)
        entry = cls(partition, first.key, generation, first.key, stat.st_dev, stat.st_ino)
        entry.notice(first.key, stat, rotated=False)
        return entry

    @classmethod
    def restored(cls, partition: Partition, position: Position) -> Entry:
        """Return the entry of a file read before, as its stored position tells."""
        path_found, mark, number = partition.key.rpartition("#")
        numbered = bool(mark) and len(number) == 6 and number.isdecimal()
        detail: dict[str, Any] = json.loads(position.detail or "{}")
        return cls(
            partition,
            path_found if numbered else partition.key,
            int(number) if numbered else 0,
            detail.get("path", partition.key),
            *(detail.get("device", -1), detail.get("inode", -1)),
            *(detail.get("head", ""), detail.get("head_bytes", 0)),
            offset=position.offset,
            skipping=detail.get("skipping", False),
            gone=detail.get("gone", False),
            unstored=False,
        )

    @property
    def readable(self) -> bool:
        """Whether there may be something to read now."""
        return not (self.at_end or self.gone or self.halted)

    def position(self) -> Position:
        detail = {
            **{"path": self.path, "device": self.device, "inode": self.inode},
            **{"head": self.head, "head_bytes": self.head_bytes},
            **({"skipping": True} if self.skipping else {}),
            **({"gone": True} if self.gone else {}),
        }
        return Position(self.offset, json.dumps(detail))

    def is_file(self, stat: os.stat_result) -> bool:
        return (stat.st_dev, stat.st_ino) == (self.device, self.inode)

    def notice(self, path: str, stat: os.stat_result, *, rotated: bool) -> None:
        """Take note of where the file is and whether it has changed."""
        now = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        settled = rotated and time.time() - stat.st_mtime >= SETTLE_S
        if now != self.seen or settled != self.settled:
            self.at_end, self.halted = False, ""
        known = min(FINGERPRINT_BYTES, stat.st_size)
        if self.head_bytes < known and (head := fingerprint(path, known)):
            self.head, self.head_bytes = head, known
        self.path, self.settled, self.seen = path, settled, now

    def advance(self, stretch: Stretch) -> None:
        self.offset, self.at_end, self.skipping = stretch.next_offset, stretch.at_end, stretch.skipping
        if self.at_end and self.settled:
            self.close()

    def fail(self, sentence: str, *, retry: bool) -> None:
        """Halt; or, where the file may still be being written, try again at its next change."""
        self.close()
        fresh = time.time() - self.seen[1] / 1e9 < SETTLE_S
        if retry and fresh:
            self.at_end, self.seen = True, (-1, 0, 0)
        else:
            self.halted = sentence

    def leave(self) -> None:
        """The file is not there any more: what was not read of it is lost to us."""
        self.gone, self.unstored, self.halted = True, True, ""
        self.close()

    def close(self) -> None:
        if self.reader is not None:
            self.reader.close()
            self.reader = None


def fingerprint(path: str, count: int) -> str:
    """Return a hash of the first ``count`` bytes; empty where they cannot be read."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(count)
    except OSError:
        return ""
    return hashlib.sha256(data).hexdigest()[:32] if len(data) == count else ""


def fingerprint_matches(entry: Entry, path: str, stat: os.stat_result) -> bool:
    """Whether the file at ``path`` still begins as it did and is not shorter than what was read of it."""
    if not _is_gzip(entry) and _kind(entry) != "parquet" and stat.st_size < entry.offset:
        return False
    if stat.st_size < entry.head_bytes:
        return False
    if not entry.head_bytes or (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) == entry.seen:
        return True
    return fingerprint(path, entry.head_bytes) in (entry.head, "")


def _kind(entry: Entry) -> str:
    kinds = _KIND.findall(Path(entry.path_found).name)
    return kinds[-1].lower() if kinds else ""


def _is_gzip(entry: Entry) -> bool:
    return Path(entry.path_found).name.lower().endswith(".gz")


def open_reader(entry: Entry, max_record_bytes: int, columns: Mapping[str, str], db: Any) -> Reader:
    """Open the file of an entry, by the kind that its name tells.

    Raises
    ------
    Unreadable
        When the name tells no kind, or the file is not of it.
    OSError
        When the file cannot be opened.
    """
    path, kind = Path(entry.path), _kind(entry)
    if kind == "parquet" and not _is_gzip(entry):
        return ParquetReader(path, max_record_bytes, columns, db)
    if kind not in ("jsonl", "ndjson", "json", "csv"):
        raise Unreadable(
            f"{path}: the name tells no format; allowed are .jsonl, .ndjson, .json and .csv, "
            "each also with .gz, and .parquet"
        )
    text = GzipText(path) if _is_gzip(entry) else PlainText(path)
    if kind == "csv":
        return CsvReader(path, text, max_record_bytes, columns, db)
    return LinesReader(text, max_record_bytes)
