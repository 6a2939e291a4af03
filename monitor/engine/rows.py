"""Further questions to a window's rows: scores of the labelled, of all, by class; errors; errors by group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.decode.columns import column_of, literal, quote
from monitor.engine.duckdb import FETCH_COLUMNS, Floats, Slice, WindowQuery, group_sql
from monitor.engine.sample import SAMPLE_ROWS
from monitor.types import Window

MAX_CLASSES = 200  # the most frequent; each costs 200 kB
Bools = npt.NDArray[np.bool_]


def predicted_scores(
    query: WindowQuery, part: Slice, panes: Sequence[Window], positive: str
) -> Iterator[tuple[Floats, Bools, int]]:
    """Yield ``(scores, positive was predicted, rows without a score)`` pane by pane; needs no labels."""
    for pane in panes:
        rows = _arrow(
            query,
            f"SELECT score, prediction = {literal(positive)} AS chosen"
            f" FROM {query.predictions} WHERE {query._where(part, pane)}",
        )
        held = rows.filter(pc.is_valid(rows["score"]))
        yield held["score"].to_numpy(), held["chosen"].to_numpy(), len(rows) - len(held)


def labelled_scores(
    query: WindowQuery, part: Slice, panes: Sequence[Window], positive: str
) -> Iterator[tuple[Floats, Bools]]:
    """Yield ``(scores, truth is positive)`` of the labelled rows with a score, pane by pane."""
    query.join()
    for pane in panes:
        rows = _arrow(
            query,
            f"SELECT score, label = {literal(positive)} AS truth FROM asked"
            f" WHERE {query._where(part, pane)} AND score IS NOT NULL AND label IS NOT NULL",
        )
        yield rows["score"].to_numpy(), rows["truth"].to_numpy()


def labelled_numbers(
    query: WindowQuery, part: Slice, panes: Sequence[Window]
) -> Iterator[tuple[Floats, Floats, int]]:
    """Yield ``(predictions, truths, rows without a label)`` pane by pane, for numeric labels."""
    query.join()
    for pane in panes:
        where = query._where(part, pane)
        rows = _arrow(query, f"SELECT prediction, label FROM asked WHERE {where} AND label IS NOT NULL")
        missing = f"SELECT count(*) FROM asked WHERE {where} AND label IS NULL"
        unlabelled = int(query.cursor.execute(missing).fetchall()[0][0])
        yield rows["prediction"].to_numpy(), rows["label"].to_numpy(), unlabelled


def class_scores(
    query: WindowQuery, part: Slice, panes: Sequence[Window]
) -> Iterator[tuple[str, Floats, Bools]]:
    """Yield ``(class, its scores, whether it was the truth)`` of the labelled rows with a score of the class.

    Class by class in the order of their names, each pane by pane; for models that log ``scores`` by class.
    """
    query.join()
    where = f"{query._where(part)} AND scores IS NOT NULL AND label IS NOT NULL"
    frequent = query.cursor.execute(
        f"SELECT c FROM (SELECT unnest(map_keys(scores)) AS c, label FROM asked WHERE {where})"
        f" GROUP BY c ORDER BY count(*) FILTER (label = c) DESC, c LIMIT {MAX_CLASSES}"
    ).fetchall()
    names = sorted(row[0] for row in frequent)
    for i in range(0, len(names), FETCH_COLUMNS):
        some = names[i : i + FETCH_COLUMNS]
        listed = ", ".join(
            f"scores[{literal(name)}] AS s{j}, label = {literal(name)} AS t{j}" for j, name in enumerate(some)
        )
        for pane in panes:
            rows = _arrow(query, f"SELECT {listed} FROM asked WHERE {where} AND {query._where(part, pane)}")
            for j, name in enumerate(some):
                scores, truths = rows[f"s{j}"].to_numpy(), rows[f"t{j}"].to_numpy()
                held = np.isfinite(scores)
                yield name, scores[held], truths[held]


def class_sample(
    query: WindowQuery, part: Slice, names: Sequence[str]
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Return scores float64[k, C] (NaN: none) of the classes ``names`` and the place of the truth among them.

    Of the labelled rows with scores those 5,000 of the smallest hashes of their event id; -1: another truth.
    """
    query.join()
    listed = ", ".join(f"scores[{literal(name)}] AS s{j}" for j, name in enumerate(names))
    rows = _arrow(
        query,
        f"SELECT label, {listed} FROM asked WHERE {query._where(part)} AND scores IS NOT NULL"
        f" AND label IS NOT NULL ORDER BY id LIMIT {SAMPLE_ROWS}",
    )
    scores = np.stack([rows[f"s{j}"].to_numpy().astype(np.float64) for j in range(len(names))], axis=1)
    place = {name: j for j, name in enumerate(names)}
    return scores, np.array([place.get(label, -1) for label in rows["label"].to_pylist()], dtype=np.int64)


def group_errors(
    query: WindowQuery, part: Slice, panes: Sequence[Window], attribute: Sequence[str]
) -> Iterator[tuple[str, Floats, int]]:
    """Yield ``(group, prediction minus label of its labelled rows, rows without a label)`` pane by pane.

    For numeric labels. A group joins the values of an intersection by ``|``; rows with a missing attribute
    belong to no group and are left out.
    """
    query.join()
    values = [f"{quote(column_of(query.spec, a))}::VARCHAR" for a in attribute]
    group = group_sql(values)
    present = " AND ".join(f"{value} IS NOT NULL" for value in values)
    for pane in panes:
        rows = _arrow(
            query,
            f"SELECT {group} AS g, prediction - label AS error FROM asked"
            f" WHERE {query._where(part, pane)} AND {present}",
        )
        if not len(rows):
            continue
        groups = rows["g"].combine_chunks().dictionary_encode()
        codes, errors = groups.indices.to_numpy(), rows["error"].to_numpy()
        order = np.argsort(codes, kind="stable")
        pieces = np.split(errors[order], np.cumsum(np.bincount(codes, minlength=len(groups.dictionary)))[:-1])
        named = zip(groups.dictionary.to_pylist(), pieces, strict=True)
        for name, piece in sorted(named, key=itemgetter(0)):
            held = piece[np.isfinite(piece)]
            yield name, held, len(piece) - len(held)


def quantiles(query: WindowQuery, parts: int) -> list[int]:
    """Return the event times that cut the window's rows into ``parts`` of equal numbers.

    Part k ends before the k-th; rows of one moment are in one part, so numbers may differ.
    """
    shares = [k / parts for k in range(1, parts)]
    select = f"SELECT quantile_disc(event_us, {shares}) FROM {query.predictions}"
    found = query.cursor.execute(f"{select} WHERE {query._where(Slice())}").fetchall()[0][0]
    return [us + 1 for us in found or []]


def label_classes(query: WindowQuery, part: Slice) -> tuple[list[str], list[int], int]:
    """Return (classes, counts, rows without a label), for class labels; of lists every relevant item."""
    query.join()
    label = "label"
    if query.spec.task == "ranking":
        held = "list_transform(list_filter(map_entries(label), lambda x: x.value > 0), lambda x: x.key)"
        label = f"unnest(CASE WHEN label IS NULL THEN [NULL] ELSE {held} END)"
    select = f"SELECT {label}, count(*) FROM asked WHERE {query._where(part)} GROUP BY 1 ORDER BY 1"
    rows = query.cursor.execute(select).fetchall()
    present = [(v, n) for v, n in rows if v is not None]
    return [v for v, _ in present], [n for _, n in present], sum(n for v, n in rows if v is None)


def label_numbers(query: WindowQuery, part: Slice, panes: Sequence[Window]) -> Iterator[Floats]:
    """Yield the labels there are, finite and unordered, pane by pane, for numeric labels."""
    query.join()
    for pane in panes:
        table = _arrow(
            query, f"SELECT label FROM asked WHERE {query._where(part, pane)} AND label IS NOT NULL"
        )
        yield table["label"].to_numpy()


def vector_mean(query: WindowQuery, column: str) -> Floats:
    """Return the mean of an embedding's vectors (float64[d]) of the most frequent length; empty of none."""
    vector = quote(column)
    whole = f"len({vector}) > 0 AND list_count({vector}) = len({vector}) AND isfinite(list_sum({vector}))"
    rows = f"FROM {query.predictions} WHERE {query._where(Slice())} AND {whole}"
    lengths = f"SELECT len({vector}) AS d, count(*) AS n {rows} GROUP BY d ORDER BY n DESC, d LIMIT 1"
    found = query.cursor.execute(lengths).fetchall()
    if not found:
        return np.empty(0)
    total: Floats = np.zeros(found[0][0])
    chosen = f"SELECT {vector} AS v {rows} AND len({vector}) = {found[0][0]} ORDER BY id"
    for batch in query.cursor.sql(chosen).to_arrow_reader(1024):
        total += batch["v"].flatten().to_numpy().reshape(-1, len(total)).sum(axis=0, dtype=np.float64)
    total /= found[0][1]
    return total


def labelled_sample(query: WindowQuery, columns: Mapping[str, str], k: int) -> pa.Table:
    """Return ``columns`` (name -> SQL) and ``label`` of labelled rows with a prediction.

    Of the ``k`` with the smallest hashes of their event id, in the order of the hashes.
    """
    query.join()
    listed = ", ".join(f"{sql} AS {quote(name)}" for name, sql in columns.items())
    return _arrow(
        query,
        f"SELECT {listed}, truth AS label FROM {query.predictions}"
        " JOIN (SELECT seq, label AS truth FROM asked WHERE label IS NOT NULL) USING (seq)"
        f" WHERE {query._where(Slice())} AND prediction IS NOT NULL ORDER BY id LIMIT {k}",
    )


def _arrow(query: WindowQuery, sql: str) -> pa.Table:
    return query.cursor.sql(sql).to_arrow_table()
