"""One attempt to land one batch, in one transaction.

What happens, in this order, and all of it or nothing is committed:

1. records that are no UTF-8 text, or that their source refused, go to the quarantine;
2. per model on the stream, one query parses, types, checks and inserts predictions (and labels);
3. every record that was not inserted goes to the quarantine with the reason;
4. each partition's position, largest event time and counts are updated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.decode import FORMATS
from monitor.decode.columns import literal
from monitor.store.quarantine import Refused, refuse
from monitor.store.share import Landing, Route
from monitor.store.store import Cursor, Store
from monitor.types import RawBatch


@dataclass(slots=True)
class LandReport:
    """What a landing did, counted only once it is committed."""

    read: int = 0
    landed: Counter[tuple[str, str]] = field(default_factory=Counter)  # (model, kind)
    quarantined: Counter[tuple[str, str]] = field(default_factory=Counter)  # (model, reason)
    ignored: int = 0
    faults: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # (model, feature, fault)


class _DryRun(Exception):
    pass


class Attempt:
    """The state of one attempt to land one batch."""

    def __init__(
        self,
        store: Store,
        cursor: Cursor,
        batch: RawBatch,
        routes: Mapping[str, Sequence[Route]],
        now_us: int,
        retaken: Sequence[int],
    ) -> None:
        self.retaken = retaken
        self.store, self.cursor, self.batch, self.routes, self.now_us = store, cursor, batch, routes, now_us
        self.report = LandReport(read=batch.records.num_rows + len(batch.rejected))
        self.base = 0
        self.refused: list[Refused] = []
        self.numbers: list[int] = []
        self.landed_by_part: Counter[int] = Counter()
        self.rows_by_part: Counter[int] = Counter()
        self.ignored_by_part: Counter[int] = Counter()
        self.newest_us: dict[int, int] = {}

    def run(self, *, validate: bool, dry: bool) -> LandReport:
        """Make the attempt; other threads that land wait, for rows and partitions are numbered one by one."""
        with self.store.lock:
            return self._run(validate, dry)

    def _run(self, validate: bool, dry: bool) -> LandReport:
        self.base = self.store.next_seq
        known = dict(self.store.partition_ids)
        try:
            with self.store.write(self.cursor):
                self.numbers = [self.store.partition_id(self.cursor, p) for p in self.batch.partitions]
                self._retake()
                self._take_rejected()
                texts = self._texts(validate)
                for topic in dict.fromkeys(p.topic for p in self.batch.partitions):
                    self._land_topic(topic, texts)
                refuse(self.cursor, self.refused, now_us=self.now_us, record_us=self._record_times())
                self._write_ledger()
                if dry:
                    raise _DryRun
        except _DryRun:
            self.store.partition_ids = known
            return self.report
        except BaseException:
            self.store.partition_ids = known
            raise
        finally:
            self.cursor.unregister("raw")
        self.store.next_seq = self.base + self.batch.records.num_rows + len(self.batch.rejected)
        return self.report

    def _refuse(
        self, seq: int, part: int, off: int, model: str, reason: str, detail: str, payload: bytes, size: int
    ) -> None:
        self.refused.append((seq, part, off, model, reason, detail, payload, size))
        self.report.quarantined[model, reason] += 1

    def _record_times(self) -> dict[int, int | None]:
        """Return the log's own times of the refused records, by their number."""
        times, base = self.batch.records["record_us"], self.base
        numbers = [row[0] for row in self.refused if row[0] < base + len(times)]
        return {seq: times[seq - base].as_py() for seq in numbers}

    def _retake(self) -> None:
        for seq in self.retaken:
            part = self.cursor.execute(
                "DELETE FROM quarantine WHERE seq = ? RETURNING part", [seq]
            ).fetchall()
            self.cursor.execute(
                'UPDATE partitions SET "read" = "read" - ?, quarantined = quarantined - ? WHERE id = ?',
                [len(part), len(part), part[0][0] if part else -1],
            )

    def _take_rejected(self) -> None:
        first = self.base + self.batch.records.num_rows
        for seq, one in enumerate(self.batch.rejected, start=first):
            part = self.store.partition_id(self.cursor, one.partition)
            size = one.size or len(one.payload)
            self._refuse(seq, part, one.offset, "", one.reason, one.detail, one.payload, size)

    def _texts(self, validate: bool) -> pa.Table:
        """Return the records as ``raw`` rows of text, with the store's partition numbers."""
        records = self.batch.records
        seq = np.arange(self.base, self.base + records.num_rows, dtype=np.int64)
        values = records["value"]
        empty = values.null_count
        local = records["part"].to_numpy()
        part = np.asarray(self.numbers, dtype=np.int32)[local]
        columns = {"seq": seq, "part": part, "local": local}
        table = pa.table(columns | {name: records[name] for name in ("off", "record_us")})
        names = [FORMATS[r.format] for rs in self.routes.values() for r in rs if FORMATS[r.format]]
        assert not names, "formats other than canonical arrive with their decoders"
        try:
            table = table.append_column("value", values.cast(pa.string()))
        except pa.ArrowInvalid:
            table = self._only_utf8(table, values.combine_chunks())
        if empty:
            nulls = table.filter(pc.is_null(table["value"]))
            self.ignored_by_part.update(nulls["part"].to_pylist())
            table = table.filter(pc.is_valid(table["value"]))
        return self._only_json(table) if validate else table

    def _only_utf8(self, table: pa.Table, values: pa.Array) -> pa.Table:
        texts, bad = _decoded(values)
        for i, detail in bad.items():
            self._refuse_row(table, i, "not_utf8", detail, values[i].as_py())
        keep = np.ones(len(values), dtype=bool)
        keep[list(bad)] = False
        return table.append_column("value", texts).filter(pa.array(keep))

    def _refuse_row(self, table: pa.Table, i: int, reason: str, detail: str, value: bytes) -> None:
        seq, part, off = (table[name][i].as_py() for name in ("seq", "part", "off"))
        self._refuse(seq, part, off, "", reason, detail, value, len(value))

    def _only_json(self, table: pa.Table) -> pa.Table:
        self.cursor.register("unchecked", table)
        query = "SELECT seq FROM unchecked WHERE NOT json_valid(value)"
        bad = [row[0] for row in self.cursor.execute(query).fetchall()]
        self.cursor.unregister("unchecked")
        where = pc.is_in(table["seq"], pa.array(bad, pa.int64()))
        for row in table.filter(where).to_pylist():
            text = row["value"].encode()
            detail = "not valid JSON"
            self._refuse(row["seq"], row["part"], row["off"], "", "not_json", detail, text, len(text))
        return table.filter(pc.invert(where))

    def _land_topic(self, topic: str, texts: pa.Table) -> None:
        if len({p.topic for p in self.batch.partitions}) > 1:
            mine = [i for i, p in enumerate(self.batch.partitions) if p.topic == topic]
            texts = texts.filter(pc.is_in(texts["local"], pa.array(mine, pa.int32())))
        if not texts.num_rows:
            return
        routes = self.routes.get(topic, ())
        chunks = texts.combine_chunks().to_batches(max_chunksize=8192)  # what lets DuckDB use its threads
        self.cursor.register("raw", pa.Table.from_batches(chunks, schema=texts.schema))
        if len(routes) == 1:
            self._land_route(routes[0], "raw", lone=True)
        else:
            self._land_shared(routes)

    def _land_shared(self, routes: Sequence[Route]) -> None:
        """Several models on one topic: split by the event's own ``model``."""
        self.cursor.execute(
            "CREATE OR REPLACE TEMP TABLE routed AS"
            " SELECT *, json_extract_string(value, '$.model') AS model FROM raw"
        )
        names = ", ".join(literal(r.spec.name) for r in routes) or "''"
        for route in routes:
            model = literal(route.spec.name)
            self._land_route(route, f"(SELECT * FROM routed WHERE model = {model})", lone=False)
        others = f"FROM routed WHERE model IS NULL OR model NOT IN ({names})"
        if routes and all(r.ignore_others for r in routes):
            counts = self.cursor.execute(f"SELECT part, count(*) {others} GROUP BY part").fetchall()
            self.ignored_by_part.update(dict(counts))
            return
        rows = self.cursor.execute(f"SELECT seq, part, off, model, value {others} ORDER BY seq").fetchall()
        for seq, part, off, model, value in rows:
            reason = "missing_model" if model is None else "unknown_model"
            detail = (
                f"model {model!r} is not configured on this stream" if model else "several models share it"
            )
            self._refuse(seq, part, off, "", reason, detail, value.encode(), len(value.encode()))

    def _land_route(self, route: Route, relation: str, *, lone: bool) -> None:
        landing = Landing(self.store, self.cursor, route, base=self.base, now_us=self.now_us, lone=lone)
        share, name = landing.run(relation), route.spec.name
        for kind, count in share.inserted.items():
            self.report.landed[name, kind] += count
        for (feature, fault), count in share.faults.items():
            self.report.faults[name, feature, fault] += count
        self.landed_by_part.update(share.records_by_part)
        self.rows_by_part.update(share.rows_by_part)
        for part, newest in share.newest_us.items():
            self.newest_us[part] = max(newest, self.newest_us.get(part, newest))
        for seq, part, off, reason, payload in share.refused:
            if reason == "unknown_model" and route.ignore_others:
                self.ignored_by_part[part] += 1
            else:
                self._refuse(seq, part, off, name, reason, "", payload, len(payload))

    def _write_ledger(self) -> None:
        read = Counter(
            {self.numbers[i]: n for i, n in _counts(self.batch.records["part"].to_numpy()).items()}
        )
        read.update(self.store.partition_ids[r.partition] for r in self.batch.rejected)
        quarantined = Counter(row[1] for row in self.refused)
        positions = {self.store.partition_id(self.cursor, p): at for p, at in self.batch.positions.items()}
        for part in sorted({*read, *positions, *quarantined}):
            at = positions.get(part)
            self.cursor.execute(
                'UPDATE partitions SET position = coalesce(?, position), detail = coalesce(?, detail),'
                ' event_us = greatest(event_us, ?), "read" = "read" + ?, landed = landed + ?,'
                ' quarantined = quarantined + ?, ignored = ignored + ?, "rows" = "rows" + ? WHERE id = ?',
                [at and at.offset, at and at.detail, self.newest_us.get(part), read[part],
                 self.landed_by_part[part], quarantined[part], self.ignored_by_part[part],
                 self.rows_by_part[part], part],
            )  # fmt: skip
        self.report.ignored = sum(self.ignored_by_part.values())
        self.cursor.execute("UPDATE meta SET next_seq = ?", [self.base + self.report.read])


def _counts(parts: npt.NDArray[np.int32]) -> dict[int, int]:
    values, counts = np.unique(parts, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _decoded(values: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """Return the values as text, null where they are none, and what is wrong with each of those."""
    texts: list[str | None] = []
    bad: dict[int, str] = {}
    for i, value in enumerate(values.to_pylist()):
        try:
            texts.append(None if value is None else value.decode())
        except UnicodeDecodeError as error:
            texts.append(None)
            bad[i] = f"byte {error.start} is not UTF-8"
    return pa.array(texts, pa.string()), bad
