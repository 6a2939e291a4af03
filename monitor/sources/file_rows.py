"""Rows of CSV and Parquet files, each turned into a canonical JSON event, from a stored offset on."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from monitor.sources.file_tables import duplicate, to_events
from monitor.sources.file_text import (
    BLOCK_BYTES,
    PAYLOAD_BYTES,
    GzipText,
    PlainText,
    Refused,
    Stretch,
    Unreadable,
    oversize,
    refuse_runaway,
    skip_line,
)


class CsvReader:
    """CSV with a header line; quoted fields may hold newlines. Every cell is text, an empty one null."""

    def __init__(
        self,
        path: Path,
        text: PlainText | GzipText,
        max_record_bytes: int,
        columns: Mapping[str, str],
        db: Any,
    ) -> None:
        self._path, self._text, self._max, self._columns, self._db = path, text, max_record_bytes, columns, db
        self._header: list[str] | None = None
        self._begin = 0  # offset of the first row

    def read(self, offset: int, limit: int, *, final: bool, skipping: bool) -> Stretch:
        if self._header is None and not self._read_header(final):
            return Stretch(offset, at_end=True)
        offset = max(offset, self._begin)
        if skipping:
            return skip_line(self._text, offset, final)
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
            return refuse_runaway(data[: line or None], offset, self._max, ends and not line, final)
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
                raise Unreadable(
                    f"{self._path}: the first {self._max} bytes hold no complete CSV header line"
                )
            return False
        self._begin = int(stops[0]) if len(stops) else len(data)
        try:
            line = data[: self._begin].decode("utf-8-sig")
        except UnicodeDecodeError:
            raise Unreadable(f"{self._path}: the CSV header is not UTF-8") from None
        self._header = next(csv.reader(io.StringIO(line)), [])
        if twice := duplicate(self._header):
            raise Unreadable(
                f"{self._path}: the CSV header has the column {twice!r} twice; names must differ"
            )
        return True

    def _rows(self, data: bytes, starts: Any, stops: Any, offset: int) -> Stretch:
        result = Stretch(offset + int(stops[-1]))
        sizes = stops - starts
        plain = sizes <= self._max
        for i in np.flatnonzero(~plain):
            payload = data[starts[i] : starts[i] + PAYLOAD_BYTES]
            result.refused.append(oversize(offset + int(starts[i]), payload, self._max, int(sizes[i])))
        blank = (sizes <= 2) & np.array(
            [not data[a:b].strip() if b - a <= 2 else False for a, b in zip(starts, stops, strict=True)]
        )
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
        if not spans:
            return [], []
        assert self._header is not None
        try:
            table, bad = _parse_rows(b"".join([data[a:b] for a, b in spans]), self._header)
        except pa.ArrowInvalid as error:
            if len(spans) == 1:
                payload = data[slice(*spans[0])]
                refused.append(
                    Refused(offset + spans[0][0], "csv", str(error), payload[:PAYLOAD_BYTES], len(payload))
                )
                return [], []
            half = len(spans) // 2
            left, right = (self._parse(data, part, offset, refused) for part in (spans[:half], spans[half:]))
            return left[0] + right[0], left[1] + right[1]
        for i, detail in bad.items():
            payload = data[slice(*spans[i])]
            refused.append(
                Refused(offset + spans[i][0], "csv", detail, payload[:PAYLOAD_BYTES], len(payload))
            )
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
            result.refused.append(oversize(offset + int(i), events[int(i)].as_py(), self._max, int(sizes[i])))
        result.offsets = (offset + np.flatnonzero(sizes <= self._max)).tolist()
        result.values = events.filter(pa.array(sizes <= self._max))
        return result

    def close(self) -> None:
        self._file.close()


def _parse_rows(text: bytes, names: list[str]) -> tuple[pa.Table, dict[int, str]]:
    """Return the sound rows, every cell as text, and what is wrong with the others by their number."""
    import pyarrow.csv as pacsv

    bad: dict[int, str] = {}

    def invalid(row: Any) -> str:
        bad[row.number - 1] = (
            f"the row has {row.actual_columns} columns; the header has {row.expected_columns}"
        )
        return "skip"

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
    return table, bad


def _record_ends(data: bytes) -> Any:
    """Return the offsets after each newline that is not inside quotes."""
    buffer = np.frombuffer(data, np.uint8)
    outside = (np.cumsum(buffer == ord('"'), dtype=np.int32) & 1) == 0
    return np.flatnonzero((buffer == ord("\n")) & outside) + 1
