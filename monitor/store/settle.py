"""Settling: what landed since the last time is freed of duplicates, and the windows it touches marked dirty.

Landing is blind for speed; this is where identity is enforced. A prediction is its event id. Of several
with one id the first in log order stays, the others are deleted and counted, which is sound whenever it
happens: the least of a set does not depend on when one looks. New rows make their windows dirty, as do the
rows that are dropped (they are counted in their windows) and predictions whose labels arrived. Windows that
were asked already and lie not long after new rows are marked too: they say how usual their size is, and how
long there was nothing before them.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from monitor.decode.columns import prediction_columns, quote
from monitor.store.profiles import mark_stale
from monitor.store.schema import labels_table, predictions_table
from monitor.store.store import Cursor, Store, rank_sql
from monitor.types import TRAILING_WINDOWS, ModelSpec


@dataclass(frozen=True, slots=True)
class Settled:
    """What one settling found."""

    duplicates: int = 0
    conflicts: int = 0
    late: int = 0
    dirty: int = 0


def settle(store: Store, cursor: Cursor, spec: ModelSpec) -> Settled:
    """Bring the model's derived state up to date with everything landed, in one transaction."""
    model = store.model_ids[spec.name]
    row = cursor.execute(
        "SELECT settled_seq, watermark_us, next_seq FROM models, meta WHERE id = ?", [model]
    ).fetchall()[0]
    settled_seq, watermark_us, next_seq = row
    if settled_seq + 1 >= next_seq:
        return Settled()
    predictions, labels = predictions_table(model), labels_table(model)
    with store.write(cursor):
        upto = int(cursor.execute("SELECT next_seq FROM meta").fetchall()[0][0]) - 1
        new = f"seq > {settled_seq} AND seq <= {upto}"
        every = spec.window.every_us
        late = 0
        if watermark_us is not None:
            closed = watermark_us - spec.window.lateness_us
            oldest_open = (closed // every) * every  # the end of the newest window already asked
            query = f"SELECT count(*) FROM {predictions} WHERE {new} AND event_us < ?"
            late = cursor.execute(query, [oldest_open]).fetchall()[0][0]
        duplicates, conflicts, counted = _deduplicate(store, cursor, spec, predictions, new, settled_seq)
        buckets = {us // every: [True, False] for us in counted}
        query = f"SELECT DISTINCT event_us // {every} FROM {predictions} WHERE {new}"
        for (bucket,) in cursor.execute(query).fetchall():
            buckets[bucket] = [True, False]
        touched = (  # a label without a date counts always, as if it was dated before everything
            f"SELECT event_us // {every}, min(us) FROM {predictions} JOIN (SELECT id,"
            f" min(coalesce(label_us, 0)) AS us FROM {labels} WHERE {new} GROUP BY id) USING (id) GROUP BY 1"
        )
        dated = dict(cursor.execute(touched).fetchall())
        periods = {b: (b in buckets, dated.get(b)) for b in {*buckets, *dated}}
        mark_stale(cursor, spec.name, periods, every)
        for bucket in dated:
            buckets.setdefault(bucket, [False, False])[1] = True
        count = _mark_dirty(cursor, spec, model, buckets)
        _mark_followers(cursor, spec, model, [b for b, (features, _) in buckets.items() if features])
        cursor.execute("UPDATE models SET settled_seq = ? WHERE id = ?", [upto, model])
    return Settled(duplicates, conflicts, late, count)


def _deduplicate(
    store: Store, cursor: Cursor, spec: ModelSpec, predictions: str, new: str, settled_seq: int
) -> tuple[int, int, list[int]]:
    """Delete all but the first of each id; return (duplicates, conflicts, event times of rows dropped).

    A dropped row keeps the digest of its payload: when a still earlier one takes the place of the first, all
    that were dropped before are compared again.
    """
    cursor.execute(
        f"CREATE OR REPLACE TEMP TABLE repeated AS SELECT id FROM {predictions}"
        f" WHERE id IN (SELECT id FROM {predictions} WHERE {new}) GROUP BY id HAVING count(*) > 1"
    )
    if not cursor.execute("SELECT count(*) FROM repeated").fetchall()[0][0]:
        return 0, 0, []
    place = ("seq", "part", "off", "id", "record_us", "scores")
    content = [c for c in prediction_columns(spec) if c not in place]
    payload = f"md5_number(row({', '.join(map(quote, content))}, scores)::VARCHAR)"
    order = f"PARTITION BY id ORDER BY {rank_sql(cursor)}, off, seq"
    cursor.execute(
        "CREATE OR REPLACE TEMP TABLE losers AS SELECT * FROM (SELECT seq, part, id, event_us,"
        f" row_number() OVER ({order}) AS place, {payload} AS digest, first({payload}) OVER ({order}) AS kept"
        f" FROM {predictions} WHERE id IN (SELECT id FROM repeated)) WHERE place > 1"
    )
    cursor.execute(f"DELETE FROM {predictions} WHERE seq IN (SELECT seq FROM losers)")
    model = store.model_ids[spec.name]
    cursor.execute(f"INSERT INTO duplicates SELECT {model}, id, event_us, digest, digest <> kept FROM losers")
    displaced = f"SELECT DISTINCT id, kept FROM losers WHERE seq <= {settled_seq}"
    again = cursor.execute(
        f"UPDATE duplicates SET conflict = digest <> kept FROM ({displaced}) l"
        f" WHERE model = {model} AND l.id = duplicates.id RETURNING event_us"
    ).fetchall()
    cursor.execute(
        "UPDATE partitions SET duplicates = duplicates + n FROM"
        " (SELECT part, count(*) AS n FROM losers GROUP BY part) l WHERE l.part = partitions.id"
    )
    total = cursor.execute("SELECT count(*), count(*) FILTER (digest <> kept) FROM losers").fetchall()[0]
    times = cursor.execute("SELECT DISTINCT event_us FROM losers").fetchall()
    return total[0], total[1], [row[0] for row in (*times, *again)]


def _mark_dirty(cursor: Cursor, spec: ModelSpec, model: int, buckets: dict[int, list[bool]]) -> int:
    marks: dict[int, list[bool]] = {}
    for bucket, (features, labels) in buckets.items():
        for index in spec.window.containing(bucket):
            mark = marks.setdefault(index, [False, False])
            mark[0] |= features
            mark[1] |= labels
    if marks:
        rows = ", ".join(f"({model}, {i}, {f}, {lab})" for i, (f, lab) in sorted(marks.items()))
        cursor.execute(f"INSERT INTO dirty VALUES {rows}")
    return len(marks)


def _mark_followers(cursor: Cursor, spec: ModelSpec, model: int, buckets: list[int]) -> None:
    """Mark windows that have been asked and whose past has changed, by neither features nor labels."""
    if not buckets or not spec.checks.quality:
        return
    trailing = (TRAILING_WINDOWS + 1) * (spec.window.size_us // spec.window.every_us)
    reach = max(trailing, spec.checks.silent_windows)
    cursor.register("touched", pa.table({"b": pa.array(buckets, pa.int64())}))
    cursor.execute(
        "INSERT INTO dirty SELECT DISTINCT model, idx, false, false FROM windows JOIN touched"
        f" ON idx > b AND idx <= b + {reach} WHERE model = {model}"
    )
    cursor.unregister("touched")
