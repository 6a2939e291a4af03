"""Reading a stretch of one file: JSON lines, CSV or Parquet, plain or gzipped, from a stored offset.

A reader takes at most ``limit`` records from ``offset`` on and tells where to go on (:class:`Stretch`). Offsets are
bytes (of the decompressed text for ``.gz``) or, for Parquet, row numbers. What cannot be read at all is an
``Unreadable``; one bad record is a refusal.
"""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from monitor.sources.file_tables import duplicate, to_events

BLOCK_BYTES = 4 << 20
PAYLOAD_BYTES = 4 << 10
_BOM = b"\xef\xbb\xbf"


class Unreadable(Exception):  # noqa: N818 - a state of the file; its writer may mend it
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
    """JSON lines: one record per line, blank lines skipped, ``\\r\\n`` fine."""

    def __init__(self, text: PlainText | GzipText, max_record_bytes: int) -> None:
        self._text, self._max = text, max_record_bytes

    def read(self, offset: int, limit: int, *, final: bool, skipping: bool) -> Stretch:
        if skipping:
            return _skip_line(self._text, offset, final)
        data, ends = self._text.at(offset, max(BLOCK_BYTES, self._max + 2))
        if ends and final and isinstance(self._text, GzipText):
            self._text.check_complete()
        stop = data.rfind(b"\n") + 1
        if not stop:
            if len(data) > self._max + 1:
                return _refuse_runaway(data, offset, self._max, ends, final)
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
            records[0] = records[0].removeprefix(_BOM)
        result = Stretch(int(starts[-1]))
        large = [i for i, record in enumerate(records) if len(record) > self._max]
        result.refused = [_oversize(int(starts[i]), records[i], self._max, len(records[i])) for i in large]
        kept = [i for i, record in enumerate(records) if len(record) <= self._max and not record.isspace() and record]
        result.offsets = starts[kept].tolist() if kept else []
        result.values = pa.array([records[i] for i in kept], pa.binary())
        return result

    def close(self) -> None:
        self._text.close()


class CsvReader:
    """CSV with a header line; quoted fields may hold newlines. Every cell is text, an empty one null."""

    def __init__(
        self, path: Path, text: PlainText | GzipText, max_record_bytes: int, columns: Mapping[str, str], db: Any
    ) -> None:
        self._path, self._text, self._max, self._columns, self._db = path, text, max_record_bytes, columns, db
        self._header: list[str] | None = None
        self._begin = 0  # offset of the first row

    def read(self, offset: int, limit: int, *, final: bool, skipping: bool) -> Stretch:
        if self._header is None and not self._read_header(final):
            return Stretch(offset, at_end=True)
        offset = max(offset, self._begin)
        if skipping:
            return _skip_line(self._text, offset, final)
        data, ends = self._text.at(offset, max(BLOCK_BYTES, self._max + 2))
        if ends and final and isinstance(self._text, GzipText):
            self._text.check_complete()
        stops = _record_ends(data)
        if ends and final and (not len(stops) or stops[-1] < len(data)) and data:
            stops = np.append(stops, len(data))
        if not len(stops):
            if len(data) <= self._max + 1:
                return Stretch(offset, at_end=ends)
            line = data.find(b"\n") + 1  # a quote that never closes: give up this line, not the rest
            return _refuse_runaway(data[: line or None], offset, self._max, ends and not line, final)
        complete = len(stops) <= limit
        stops = stops[:limit]
        result = self._rows(data, np.concatenate([[0], stops[:-1]]), stops, offset)
        result.at_end = complete and ends and (int(stops[-1]) == len(data) or not final)
        return result

    def _read_header(self, final: bool) -> bool:
        data, ends = self._text.at(0, max(BLOCK_BYTES, self._max + 2))
        stops = _record_ends(data)
        if not len(stops) and not (ends and final and data):
            if len(data) > self._max + 1:
                raise Unreadable(f"{self._path}: the first {self._max} bytes hold no complete CSV header line")
            return False
        self._begin = int(stops[0]) if len(stops) else len(data)
        try:
            line = data[: self._begin].decode("utf-8-sig")
        except UnicodeDecodeError:
            raise Unreadable(f"{self._path}: the CSV header is not UTF-8") from None
        self._header = next(csv.reader(io.StringIO(line)), [])
        if twice := duplicate(self._header):
            raise Unreadable(f"{self._path}: the CSV header has the column {twice!r} twice; names must differ")
        return True

    def _rows(self, data: bytes, starts: Any, stops: Any, offset: int) -> Stretch:
        result = Stretch(offset + int(stops[-1]))
        sizes = stops - starts
        plain = sizes <= self._max
        for i in np.flatnonzero(~plain):
            payload = data[starts[i] : starts[i] + PAYLOAD_BYTES]
            result.refused.append(_oversize(offset + int(starts[i]), payload, self._max, int(sizes[i])))
        blank = (sizes <= 2) & np.array([not data[a:b].strip() if b - a <= 2 else False for a, b in zip(starts, stops, strict=True)])
        spans = [(int(a), int(b)) for a, b in zip(starts[plain & ~blank], stops[plain & ~blank], strict=True)]
        tables, kept = self._parse(data, spans, offset, result.refused)
        if kept:
            result.offsets = [offset + a for a, _ in kept]
            result.values = to_events(self._db, pa.concat_tables(tables), self._columns, str(self._path))
        return result

    def _parse(
        self, data: bytes, spans: list[tuple[int, int]], offset: int, refused: list[Refused]
    ) -> tuple[list[pa.Table], list[tuple[int, int]]]:
        """Parse rows; where a block is not UTF-8, halve it until the guilty rows stand alone."""
        import pyarrow.csv as pacsv

        if not spans:
            return [], []
        assert self._header is not None
        bad: dict[int, str] = {}

        def invalid(row: Any) -> str:
            bad[row.number - 1] = f"the row has {row.actual_columns} columns; the header has {row.expected_columns}"
            return "skip"

        text = b"".join([data[a:b] for a, b in spans])
        names = self._header
        try:
            table = pacsv.read_csv(
                pa.BufferReader(text),
                read_options=pacsv.ReadOptions(column_names=names, use_threads=False, block_size=len(text) + 1),
                parse_options=pacsv.ParseOptions(
                    newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=invalid
                ),
                convert_options=pacsv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
                ),
            )
        except pa.ArrowInvalid as error:
            if len(spans) == 1:
                payload = data[slice(*spans[0])]
                refused.append(Refused(offset + spans[0][0], "csv", str(error), payload[:PAYLOAD_BYTES], len(payload)))
                return [], []
            half = len(spans) // 2
            left, right = (self._parse(data, part, offset, refused) for part in (spans[:half], spans[half:]))
            return left[0] + right[0], left[1] + right[1]
        for i, detail in bad.items():
            payload = data[slice(*spans[i])]
            refused.append(Refused(offset + spans[i][0], "csv", detail, payload[:PAYLOAD_BYTES], len(payload)))
        return [table], [span for i, span in enumerate(spans) if i not in bad]

    def close(self) -> None:
        self._text.close()


class ParquetReader:
    """The rows of a Parquet file; offsets are row numbers."""

    def __init__(self, path: Path, max_record_bytes: int, columns: Mapping[str, str], db: Any) -> None:
        import pyarrow.parquet as pq

        self._path, self._max, self._columns, self._db = path, max_record_bytes, columns, db
        try:
            self._file = pq.ParquetFile(path)
        except (pa.ArrowInvalid, OSError) as error:
            if isinstance(error, PermissionError):
                raise
            raise Unreadable(f"{path}: not a sound Parquet file ({error})") from None
        self._batches: Any = iter(())
        self._pending: Any = None
        self._at = -1

    def read(self, offset: int, limit: int, *, final: bool, skipping: bool) -> Stretch:
        if offset >= self._file.metadata.num_rows:
            return Stretch(offset, at_end=True)
        try:
            if self._at != offset:
                self._seek(offset, limit)
            while self._pending is None or not self._pending.num_rows:
                self._pending = next(self._batches)
        except (pa.ArrowInvalid, OSError, StopIteration) as error:
            raise Unreadable(f"{self._path}: not a sound Parquet file ({error})") from None
        batch, self._pending = self._pending[:limit], self._pending[limit:]
        self._at = offset + batch.num_rows
        events = to_events(self._db, pa.Table.from_batches([batch]), self._columns, str(self._path))
        return self._refuse_large(events, offset)

    def _seek(self, offset: int, limit: int) -> None:
        first = 0
        meta = self._file.metadata
        for group in range(meta.num_row_groups):
            rows = meta.row_group(group).num_rows
            if offset < first + rows:
                break
            first += rows
        groups = list(range(group, meta.num_row_groups))
        self._batches = self._file.iter_batches(batch_size=max(limit, 1024), row_groups=groups)
        skip = offset - first
        while True:
            batch = next(self._batches)
            if skip < batch.num_rows:
                self._pending = batch[skip:]
                return
            skip -= batch.num_rows

    def _refuse_large(self, events: pa.ChunkedArray, offset: int) -> Stretch:
        import pyarrow.compute as pc

        sizes = pc.binary_length(events).to_numpy()
        result = Stretch(self._at, at_end=self._at >= self._file.metadata.num_rows)
        for i in np.flatnonzero(sizes > self._max):
            result.refused.append(_oversize(offset + int(i), events[int(i)].as_py(), self._max, int(sizes[i])))
        result.offsets = (offset + np.flatnonzero(sizes <= self._max)).tolist()
        result.values = events.filter(pa.array(sizes <= self._max))
        return result

    def close(self) -> None:
        self._file.close()


def _record_ends(data: bytes) -> Any:
    """Return the offsets after each newline that is not inside quotes."""
    buffer = np.frombuffer(data, np.uint8)
    outside = (np.cumsum(buffer == ord('"'), dtype=np.int32) & 1) == 0
    return np.flatnonzero((buffer == ord("\n")) & outside) + 1


def _oversize(offset: int, record: bytes, limit: int, size: int) -> Refused:
    detail = f"the record has {size} bytes; allowed are {limit} (max_record_bytes)"
    return Refused(offset, "oversize", detail, record[:PAYLOAD_BYTES], size)


def _refuse_runaway(data: bytes, offset: int, limit: int, ends: bool, final: bool) -> Stretch:
    """Refuse a record whose end is not in sight; the rest of its line is then skipped, not kept."""
    detail = f"the record goes on after {len(data)} bytes; allowed are {limit} (max_record_bytes)"
    refused = Refused(offset, "oversize", detail, data[:PAYLOAD_BYTES], len(data))
    unfinished = not data.endswith(b"\n") and not (ends and final)
    return Stretch(offset + len(data), refused=[refused], at_end=ends, skipping=unfinished)


def _skip_line(text: PlainText | GzipText, offset: int, final: bool) -> Stretch:
    data, ends = text.at(offset, BLOCK_BYTES)
    stop = data.find(b"\n") + 1
    if stop:
        return Stretch(offset + stop)
    return Stretch(offset + len(data), at_end=ends, skipping=not (ends and final))
