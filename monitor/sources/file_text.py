"""The text of a file, plain or gzipped, from a stored offset on; and JSON lines in it.

A reader takes at most ``limit`` records from ``offset`` on and tells where to go on (:class:`Stretch`).
Offsets are bytes (of the decompressed text for ``.gz``) or, for Parquet, row numbers. What cannot be read at
all is an ``Unreadable``; one bad record is a refusal.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

BLOCK_BYTES = 4 << 20
PAYLOAD_BYTES = 4 << 10
BOM = b"\xef\xbb\xbf"


class Unreadable(Exception):
    """The file as a whole cannot be read, as the sentence says."""


@dataclass(slots=True)
class Refused:
    """A record that the reader itself refuses."""

    offset: int
    reason: str
    detail: str
    payload: bytes
    size: int


@dataclass(slots=True)
class Stretch:
    """Records read, and where to go on. ``skipping`` means: in the middle of a line that was refused."""

    next_offset: int
    offsets: list[int] = field(default_factory=list)
    values: Any = field(default_factory=lambda: pa.array([], pa.binary()))
    refused: list[Refused] = field(default_factory=list)
    at_end: bool = False
    skipping: bool = False


class Reader(Protocol):
    """One open file. ``final`` says that nothing will be added: a last line without a newline counts."""

    def read(self, offset: int, limit: int, *, final: bool, skipping: bool) -> Stretch: ...

    def close(self) -> None: ...


class PlainText:
    """The bytes of a plain file at any place."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")

    def at(self, offset: int, count: int) -> tuple[bytes, bool]:
        """Return up to ``count`` bytes from ``offset`` on, and whether the file ends there."""
        self._file.seek(offset)
        data = self._file.read(count)
        return data, len(data) < count

    def close(self) -> None:
        self._file.close()


class GzipText:
    """The decompressed bytes of a gzip file, read forwards in bounded pieces whatever they blow up to."""

    def __init__(self, path: Path) -> None:
        self._file, self._path = path.open("rb"), path
        self._rewind()

    def _rewind(self) -> None:
        self._file.seek(0)
        self._inflate = zlib.decompressobj(wbits=31)
        self._input, self._window, self._start, self._inside = b"", bytearray(), 0, False

    def at(self, offset: int, count: int) -> tuple[bytes, bool]:
        """Return up to ``count`` bytes from ``offset`` on, and whether the text ends there for now."""
        if offset < self._start:
            self._rewind()
        while True:
            surplus = min(offset - self._start, len(self._window))
            del self._window[:surplus]
            self._start += surplus
            if self._start == offset and len(self._window) >= count:
                return bytes(self._window[:count]), False
            piece = self._more()
            if not piece:
                return bytes(self._window) if self._start == offset else b"", True
            self._window += piece

    def _more(self) -> bytes:
        """Return the next piece of text, at most 1 MiB; nothing at the end of what is there."""
        while True:
            if self._inflate.eof:  # one gzip file may hold several members, and zeros as padding
                self._input, self._inside = self._inflate.unused_data.lstrip(b"\0"), False
                self._inflate = zlib.decompressobj(wbits=31)
            data = self._input or self._file.read(1 << 16)
            if not data:
                return b""
            self._inside = True
            try:
                piece = self._inflate.decompress(data, 1 << 20)
            except zlib.error as error:
                raise Unreadable(f"{self._path}: not sound gzip data ({error})") from None
            self._input = self._inflate.unconsumed_tail
            if piece:
                return piece

    def check_complete(self) -> None:
        """Raise if the text ends in the middle of a gzip member."""
        if self._inside and not self._inflate.eof:
            raise Unreadable(f"{self._path}: the gzip data ends in the middle; it was cut off")

    def close(self) -> None:
        self._file.close()


class LinesReader:
    """JSON lines: one record per line, blank lines skipped, either kind of line end."""

    def __init__(self, text: PlainText | GzipText, max_record_bytes: int) -> None:
        self._text, self._max = text, max_record_bytes

    def read(self, offset: int, limit: int, *, final: bool, skipping: bool) -> Stretch:
        if skipping:
            return skip_line(self._text, offset, final)
        data, ends = self._text.at(offset, max(BLOCK_BYTES, self._max + 2))
        if ends and final and isinstance(self._text, GzipText):
            self._text.check_complete()
        stop = data.rfind(b"\n") + 1
        if not stop:
            if len(data) > self._max + 1:
                return refuse_runaway(data, offset, self._max, ends, final)
            if not (ends and final and data):
                return Stretch(offset, at_end=ends)
            stop = len(data)
        lines = data[:stop].split(b"\n")
        if not lines[-1]:
            lines.pop()
        complete = len(lines) <= limit
        result = self._lines(lines[:limit], offset)
        result.next_offset = min(result.next_offset, offset + stop)
        result.at_end = complete and ends and (stop == len(data) or not final)
        return result

    def _lines(self, lines: Sequence[bytes], offset: int) -> Stretch:
        starts = offset + np.concatenate([[0], np.cumsum([len(line) + 1 for line in lines])])
        records = [line.removesuffix(b"\r") for line in lines]
        if offset == 0 and records:
            records[0] = records[0].removeprefix(BOM)
        result = Stretch(int(starts[-1]))
        large = [i for i, record in enumerate(records) if len(record) > self._max]
        result.refused = [oversize(int(starts[i]), records[i], self._max, len(records[i])) for i in large]
        kept = [
            i
            for i, record in enumerate(records)
            if len(record) <= self._max and not record.isspace() and record
        ]
        result.offsets = starts[kept].tolist() if kept else []
        result.values = pa.array([records[i] for i in kept], pa.binary())
        return result

    def close(self) -> None:
        self._text.close()


def oversize(offset: int, record: bytes, limit: int, size: int) -> Refused:
    detail = f"the record has {size} bytes; allowed are {limit} (max_record_bytes)"
    return Refused(offset, "oversize", detail, record[:PAYLOAD_BYTES], size)


def refuse_runaway(data: bytes, offset: int, limit: int, ends: bool, final: bool) -> Stretch:
    """Refuse a record whose end is not in sight; the rest of its line is then skipped, not kept."""
    detail = f"the record goes on after {len(data)} bytes; allowed are {limit} (max_record_bytes)"
    refused = Refused(offset, "oversize", detail, data[:PAYLOAD_BYTES], len(data))
    unfinished = not data.endswith(b"\n") and not (ends and final)
    return Stretch(offset + len(data), refused=[refused], at_end=ends, skipping=unfinished)


def skip_line(text: PlainText | GzipText, offset: int, final: bool) -> Stretch:
    data, ends = text.at(offset, BLOCK_BYTES)
    stop = data.find(b"\n") + 1
    if stop:
        return Stretch(offset + stop)
    return Stretch(offset + len(data), at_end=ends, skipping=not (ends and final))
