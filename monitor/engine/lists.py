"""What is asked of a ranking model's lists: the relevance of what was shown, and what was shown how often."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.decode.columns import column_of, literal, quote
from monitor.engine.duckdb import Floats, Slice, WindowQuery, group_sql
from monitor.types import Window

BATCH_NUMBERS = 1 << 22  # fetched at a time: 32 MB
Ints = npt.NDArray[np.int64]
Relevances = tuple[Floats, Floats, Ints, Ints, Floats | None]
_GAIN = "coalesce(label[x], 0.0)"


def relevances(
    query: WindowQuery,
    part: Slice,
    pane: Window,
    k: int,
    popular: Sequence[str] | None = None,
    attribute: Sequence[str] = (),
) -> Iterator[tuple[Relevances, pa.Array | None]]:
    """Yield the labelled lists of a pane, in pieces, by the relevance of their first ``k`` positions.

    A piece is ``(shown, ideal, relevant, first, popular)`` as in :class:`~monitor.summaries.ranking.Gains`
    and, with an ``attribute``, the group of each list (see :meth:`WindowQuery.cells`).
    """
    query.join()
    columns = {
        "shown": f"list_resize(list_transform(items[:{k}], lambda x: {_GAIN}), {k}, 0.0)",
        "ideal": f"list_resize(list_reverse_sort(map_values(label))[:{k}], {k}, 0.0)",
        "relevant": "len(list_filter(map_values(label), lambda x: x > 0))",
        "first": f"coalesce(list_position(list_transform(items, lambda x: {_GAIN} > 0), true), 0)::BIGINT",
    }
    if popular is not None:
        same = ", ".join(map(literal, popular[:k]))
        columns["popular"] = f"list_resize(list_transform([{same}]::VARCHAR[], lambda x: {_GAIN}), {k}, 0.0)"
    tests = [query._where(part, pane), "label IS NOT NULL", "items IS NOT NULL"]
    if attribute:
        values = [f"{quote(column_of(query.spec, a))}::VARCHAR" for a in attribute]
        columns["g"] = group_sql(values)
        tests += [f"{value} IS NOT NULL" for value in values]
    listed = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
    relation = query.cursor.sql(f"SELECT {listed} FROM asked WHERE {' AND '.join(tests)}")
    for batch in relation.to_arrow_reader(max(BATCH_NUMBERS // (3 * k), 1)):
        shown, ideal = (_matrix(batch[name], k) for name in ("shown", "ideal"))
        relevant, first = (batch[name].to_numpy(zero_copy_only=False) for name in ("relevant", "first"))
        more = None if popular is None else _matrix(batch["popular"], k)
        yield (shown, ideal, relevant, first, more), batch["g"] if attribute else None


def unlabelled(
    query: WindowQuery, part: Slice, pane: Window, attribute: Sequence[str] = ()
) -> dict[str, int]:
    """Return the lists of a pane without a label, by group; without an ``attribute`` all under ``""``."""
    query.join()
    values = [f"{quote(column_of(query.spec, a))}::VARCHAR" for a in attribute]
    present = "".join(f" AND {value} IS NOT NULL" for value in values)
    rows = query.cursor.execute(
        f"SELECT {group_sql(values) or literal('')} AS g, count(*) FROM asked"
        f" WHERE {query._where(part, pane)} AND label IS NULL AND items IS NOT NULL{present}"
        " GROUP BY g ORDER BY g"
    ).fetchall()
    return dict(rows)


def further_items(query: WindowQuery, part: Slice, known: pa.Array) -> pa.Array:
    """Return the items recommended in the window that are not ``known``, in the order of their names."""
    rows = query.cursor.sql(
        f"SELECT DISTINCT unnest(items) AS item FROM {query.predictions} WHERE {query._where(part)}"
    ).to_arrow_table()
    found = rows["item"].combine_chunks()
    new = found.filter(pc.invert(pc.is_in(found, known)))
    return new.take(pc.sort_indices(new))


def item_counts(query: WindowQuery, limit: int) -> pa.Table:
    """Return every ``item`` of the window, and in how many lists it is ``relevant`` and ``shown``, int64.

    The most often relevant first, then the most often shown, then by name; at most ``limit``.
    """
    query.join()
    where = query._where(Slice())
    relevant = "list_transform(list_filter(map_entries(label), lambda x: x.value > 0), lambda x: x.key)"
    return query.cursor.sql(
        "SELECT item, sum(r)::BIGINT AS relevant, sum(s)::BIGINT AS shown FROM ("
        f"SELECT unnest({relevant}) AS item, 1 AS r, 0 AS s FROM asked WHERE {where} UNION ALL"
        f" SELECT unnest(items), 0, 1 FROM {query.predictions} WHERE {where})"
        f" GROUP BY item ORDER BY relevant DESC, shown DESC, item LIMIT {limit}"
    ).to_arrow_table()


def exposures(
    query: WindowQuery, part: Slice, panes: Sequence[Window], items: pa.Array
) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Yield ``(codes, lengths, owners)`` of all lists, in pieces, with or without a label.

    ``codes`` are the items' places in ``items``, list after list; ``owners`` stand for the lists.
    """
    for pane in panes:
        relation = query.cursor.sql(
            f"SELECT items, (id % {2**63 - 1})::BIGINT AS owner FROM {query.predictions}"
            f" WHERE {query._where(part, pane)} AND items IS NOT NULL"
        )
        for batch in relation.to_arrow_reader(BATCH_NUMBERS // 64):
            codes, lengths = coded(batch["items"], items)
            yield codes, lengths, batch["owner"].to_numpy()


def coded(lists: pa.Array, items: pa.Array) -> tuple[Ints, Ints]:
    """Return the places in ``items`` of lists' items (-1: none), list after list, and the lengths."""
    codes = pc.fill_null(pc.index_in(lists.flatten(), value_set=items), -1).to_numpy(zero_copy_only=False)
    return codes.astype(np.int64), lists.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)


def _matrix(lists: pa.Array, k: int) -> Floats:
    return np.asarray(lists.flatten().to_numpy(zero_copy_only=False), np.float64).reshape(-1, k)
