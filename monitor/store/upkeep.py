"""Upkeep of the store: what leaves retention is deleted and counted, and the books are checked."""

from __future__ import annotations

from monitor.store.schema import labels_table, predictions_table
from monitor.store.store import Cursor, Store


def expire(store: Store, cursor: Cursor, *, before_us: int) -> int:
    """Delete windows that end by ``before_us``, events of no other window, and old messages.

    An event stays until every window that contains it has gone, so that a window that is asked again has all
    of its events. A label stays as long as its prediction, whenever it is dated; one without a prediction
    leaves by its own date or, if it has none, once all predictions that landed before it have left. Returns
    the number of event rows deleted; they are counted per partition in the same transaction.
    """
    deleted = 0
    with store.write(cursor):
        sizes = cursor.execute("SELECT id, split_part(windowing, '/', 1)::BIGINT FROM models").fetchall()
        for model, size_us in sizes:
            predictions, labels, cut_us = predictions_table(model), labels_table(model), before_us - size_us
            orphan = f"id NOT IN (SELECT id FROM {predictions})"
            dated = f"coalesce(label_us < {cut_us}, seq < (SELECT min(seq) FROM {predictions}))"
            for table, left in ((predictions, f"event_us < {cut_us}"), (labels, f"{dated} AND {orphan}")):
                old = f"FROM {table} WHERE {left}"
                rows = cursor.execute(f"SELECT part, count(*) {old} GROUP BY part").fetchall()
                if rows:
                    deleted += sum(n for _, n in rows)
                    values = ", ".join(f"({part}, {n})" for part, n in rows)
                    cursor.execute(
                        f"UPDATE partitions SET expired = expired + n FROM (VALUES {values}) v(part, n)"
                        " WHERE v.part = partitions.id"
                    )
                    cursor.execute(f"DELETE {old}")
                if rows and table == predictions:
                    cursor.execute(
                        f"UPDATE models SET expired_us = greatest(expired_us, {cut_us}) WHERE id = {model}"
                    )
            cursor.execute(
                f"DELETE FROM duplicates WHERE model = {model} AND event_us < {before_us - size_us}"
            )
        for table in ("results", "windows", "explained_rows"):
            cursor.execute(f"DELETE FROM {table} WHERE end_us <= {before_us}")
        cursor.execute(
            "DELETE FROM dirty USING models m WHERE m.id = model AND"
            " idx * split_part(m.windowing, '/', 2)::BIGINT + split_part(m.windowing, '/', 1)::BIGINT"
            f" <= {before_us}"
        )
        cursor.execute(f"DELETE FROM reference_profiles WHERE until_us <= {before_us}")
        cursor.execute(f"DELETE FROM transitions WHERE at_us < {before_us}")
        cursor.execute(
            f"DELETE FROM outbox WHERE state IN ('delivered', 'dead') AND created_us < {before_us}"
        )
    return deleted


def violations(cursor: Cursor) -> list[str]:
    """Check the books; return one sentence for each partition whose numbers do not add up.

    Every record read is landed, quarantined or ignored; every row landed is stored, was a duplicate, or has
    left retention.
    """
    models = [row[0] for row in cursor.execute("SELECT id FROM models").fetchall()]
    stored = " UNION ALL ".join(
        f"SELECT part FROM {table(model)}" for model in models for table in (predictions_table, labels_table)
    )
    counted = f"SELECT part, count(*) AS n FROM ({stored}) GROUP BY part" if models else "SELECT 0 part, 0 n"
    rows = cursor.execute(
        'SELECT source, topic, key, "read", landed, quarantined, ignored, "rows", duplicates, expired,'
        f" coalesce(s.n, 0) AS stored FROM partitions LEFT JOIN ({counted}) s ON s.part = partitions.id"
        ' WHERE "read" <> landed + quarantined + ignored OR "rows" <> stored + duplicates + expired'
    ).fetchall()
    return [
        f"{source} {topic}[{key}]: read {read}, landed {landed} + quarantined {quarantined} + ignored"
        f" {ignored}; rows {total}, stored {kept} + duplicates {duplicates} + expired {expired}"
        for source, topic, key, read, landed, quarantined, ignored, total, duplicates, expired, kept in rows
    ]
