"""One model's share of a batch: parsed, typed, checked and inserted by a few queries.

Of most batches every row is clean. They take one query, which the database runs on all its threads and
without a table in between. What that leaves, rows with something odd about them and rows to refuse, is parsed
again and looked at closely. Where most rows are odd the first step is left out for a while.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from monitor.decode.canonical import flagged_sql, label_sql, odd_sql, parse_sql, prediction_sql
from monitor.decode.columns import label_columns, prediction_columns, quote
from monitor.store.schema import labels_table, predictions_table
from monitor.store.store import Cursor, Store
from monitor.types import ModelSpec, StreamKind

CLOSE_BATCHES = 50  # after one of mostly odd rows, so many are looked at closely at once


@dataclass(frozen=True, slots=True)
class Route:
    """What one model takes from a stream (a source's topic)."""

    spec: ModelSpec
    kinds: frozenset[StreamKind]
    format: str = "canonical"
    ignore_others: bool = False


@dataclass(slots=True)
class Share:
    """What became of the records of one model; counts by partition number.

    ``refused`` holds ``(seq, part, offset, reason, payload)``.
    """

    inserted: Counter[StreamKind] = field(default_factory=Counter)
    records_by_part: Counter[int] = field(default_factory=Counter)
    rows_by_part: Counter[int] = field(default_factory=Counter)
    newest_us: dict[int, int] = field(default_factory=dict)
    faults: Counter[tuple[str, str]] = field(default_factory=Counter)  # (feature, fault)
    refused: list[tuple[int, int, int, str, bytes]] = field(default_factory=list)


class Landing:
    """The landing of one model's records of one batch, inside the caller's transaction.

    Parameters
    ----------
    store, cursor
        The store, and the calling thread's own cursor.
    route
        The model, and what the stream carries.
    base
        The first row number of the batch.
    now_us
        The time, for refusing events from the future.
    lone
        Whether the model is the only one on its stream.
    """

    def __init__(
        self, store: Store, cursor: Cursor, route: Route, *, base: int, now_us: int, lone: bool
    ) -> None:
        self.store, self.cursor, self.route, self.base, self.lone = store, cursor, route, base, lone
        self.spec, self.kinds = route.spec, sorted(route.kinds)
        self.model = store.model_ids[self.spec.name]
        self.tables: dict[StreamKind, str] = {
            "prediction": predictions_table(self.model),
            "feedback": labels_table(self.model),
        }
        self.now = {"now_us": now_us}
        self.share = Share()

    def run(self, relation: str) -> Share:
        """Land the records of ``relation``, which has the columns of ``raw``."""
        left = int(self.cursor.execute(f"SELECT count(*) FROM {relation}").fetchall()[0][0])
        if len(self.kinds) == 1 and self.store.close_looks[self.model] == 0:
            clean = self._insert_clean(relation)
            if clean < left / 2:
                self.store.close_looks[self.model] = CLOSE_BATCHES
            left -= clean
            done = f"SELECT seq FROM {self.tables[self.kinds[0]]} WHERE seq >= {self.base}"
            relation = f"(SELECT * FROM {relation} WHERE seq NOT IN ({done}))" if clean else relation
        elif len(self.kinds) == 1:
            self.store.close_looks[self.model] -= 1
        if left:
            self._insert_rest(relation, left)
        self._count()
        return self.share

    def _insert_clean(self, relation: str) -> int:
        (kind,) = self.kinds
        flagged = flagged_sql(self.spec, self.kinds, lone=self.lone, odd=False)
        parsed = f"WITH parsed AS MATERIALIZED ({parse_sql(self.spec, self.kinds, relation)})"
        return self._insert(kind, flagged, parsed, clean=True)

    def _insert(self, kind: StreamKind, flagged: str, parsed: str = "", *, clean: bool = False) -> int:
        if kind == "prediction":
            columns, select = prediction_columns(self.spec), prediction_sql(self.spec, flagged, clean=clean)
        else:
            columns, select = label_columns(self.spec), label_sql(self.spec, flagged)
        listed = ", ".join(map(quote, columns))
        query = f"INSERT INTO {self.tables[kind]} ({listed}) {parsed} {select}"
        count = int(self.cursor.execute(query, self.now).fetchall()[0][0])
        self.share.inserted[kind] += count
        return count

    def _insert_rest(self, relation: str, records: int) -> None:
        execute, spec = self.cursor.execute, self.spec
        execute(f"CREATE OR REPLACE TEMP TABLE parsed AS {parse_sql(spec, self.kinds, relation)}")
        odd = 0
        if "prediction" in self.kinds:
            odd = execute(f"CREATE OR REPLACE TEMP TABLE odd AS {odd_sql(spec, relation)}").fetchall()[0][0]
        flagged = flagged_sql(spec, self.kinds, lone=self.lone, odd=bool(odd))
        counts = [self._insert(kind, flagged) for kind in self.kinds]
        if odd:
            self._count_faults()
        if len(counts) > 1 or counts[0] < records:
            self._refuse(relation, flagged)

    def _count_faults(self) -> None:
        table = self.tables["prediction"]
        listed = (
            f"SELECT unnest(faults) AS fault FROM {table} WHERE seq >= {self.base} AND faults IS NOT NULL"
        )
        rows = self.cursor.execute(f"SELECT fault, count(*) FROM ({listed}) GROUP BY fault").fetchall()
        for fault, count in rows:
            kind, _, name = fault.partition(":")
            self.share.faults["" if kind == "unknown" else name, kind] += count

    def _refuse(self, relation: str, flagged: str) -> None:
        query = (
            f"SELECT f.seq, f.part, f.off, reason, r.value FROM ({flagged}) f JOIN {relation} r USING (seq)"
            " WHERE reason IS NOT NULL ORDER BY f.seq"
        )
        for seq, part, off, reason, value in self.cursor.execute(query, self.now).fetchall():
            self.share.refused.append((seq, part, off, reason, value.encode()))
        if len(self.kinds) > 1:  # else every record that landed is one row
            accepted = f"SELECT part, count(*) FROM ({flagged}) WHERE reason IS NULL GROUP BY part"
            _add(self.share.records_by_part, self.cursor.execute(accepted, self.now).fetchall())

    def _count(self) -> None:
        for kind in self.kinds:
            newest = "max(event_us)" if kind == "prediction" else "NULL"
            query = f"SELECT part, count(*), {newest} FROM {self.tables[kind]} WHERE seq >= {self.base}"
            rows = self.cursor.execute(f"{query} GROUP BY part").fetchall()
            _add(self.share.rows_by_part, [row[:2] for row in rows])
            self.share.newest_us |= {part: us for part, _, us in rows if us is not None}
        if len(self.kinds) == 1:
            self.share.records_by_part = self.share.rows_by_part


def _add(counter: Counter[int], rows: Iterable[tuple[int, int]]) -> None:
    counter.update(dict(rows))
