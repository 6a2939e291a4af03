"""The default engine: a window's rows asked of the DuckDB store, column by column, in bounded pieces.

Counts (categories, confusion cells) are summed by DuckDB, where integers make the order irrelevant. Columns
of numbers come out in *panes*: pieces of the window in event time with about a million rows at most, cut at
the same places whatever order the rows arrived in, so that floating-point sums over them are reproducible
and memory stays flat however large the window is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.decode.columns import column_of, literal, quote
from monitor.engine.joined import joined_lists
from monitor.store.schema import labels_table, predictions_table
from monitor.store.store import Cursor, rank_sql
from monitor.types import ALL_VERSIONS, ModelSpec, Window

PANE_ROWS = 1 << 20
PANE_BUCKETS = 4096  # a window is cut at multiples of its size over this
SCORE_UNIT = 2**32
FETCH_COLUMNS = 4  # columns fetched by one query: each pays for finding the rows, all are in memory at once

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Slice:
    """Which rows of a window: of one version or all (``"*"``), of one segment value or all."""

    version: str = ALL_VERSIONS
    segment: tuple[str, str] | None = None  # (column name of the spec, value)


class WindowQuery:
    """Everything that evaluation asks about one window of one model, as of one moment.

    Parameters
    ----------
    cursor
        A connection to the store; temporary tables are made on it.
    spec, model
        The model and its number in the store.
    window
        The event-time interval.
    as_of_us
        Labels later than this have not arrived yet. ``None``: all that are stored count.
    upto_seq
        Rows that landed later are left out: they are not settled, and may be duplicates. As settled rows stay
        as they are until the next settling, all questions see the same rows. ``None``: all.
    version
        Only rows of this version of the model.
    """

    def __init__(
        self,
        cursor: Cursor,
        spec: ModelSpec,
        model: int,
        window: Window,
        *,
        as_of_us: int | None = None,
        upto_seq: int | None = None,
        version: str | None = None,
    ) -> None:
        self.cursor, self.spec, self.window, self.as_of_us = cursor, spec, window, as_of_us
        self.model, self.upto_seq = model, upto_seq
        settled = "(SELECT * FROM {} WHERE seq <= " + str(upto_seq) + ")" if upto_seq is not None else "{}"
        self.predictions = settled.format(predictions_table(model))
        self.version = version
        if version is not None:
            self.predictions = f"(SELECT * FROM {self.predictions} WHERE version = {literal(version)})"
        self._labels = settled.format(labels_table(model))
        self._joined = self._counted = False

    def at(self, window: Window, spec: ModelSpec | None = None) -> WindowQuery:
        """Return the same query of another window, by another specification of the model if given."""
        limits = {"as_of_us": self.as_of_us, "upto_seq": self.upto_seq}
        return WindowQuery(self.cursor, spec or self.spec, self.model, window, **limits, version=self.version)

    def _where(self, part: Slice, window: Window | None = None) -> str:
        at = window or self.window
        return " AND ".join([f"event_us >= {at.start_us} AND event_us < {at.end_us}", *self._of(part)])

    def _of(self, part: Slice) -> list[str]:
        """Return what a row must satisfy to be in the slice."""
        tests = []
        if part.version != ALL_VERSIONS:
            tests.append(f"version = {literal(part.version)}")
        if part.segment:
            tests.append(
                f"{quote(column_of(self.spec, part.segment[0]))}::VARCHAR = {literal(part.segment[1])}"
            )
        return tests

    def count(self, part: Slice = Slice()) -> int:
        """Return the number of rows."""
        query = f"SELECT count(*) FROM {self.predictions} WHERE {self._where(part)}"
        return int(self.cursor.execute(query).fetchall()[0][0])

    def values(self, column: str, *, limit: int = 50, least: int = 1) -> list[str]:
        """Return the distinct values of a column in the window, the most frequent first, up to ``limit``.

        Only those of at least ``least`` rows.
        """
        name = quote(column)
        where = f"{self._where(Slice())} AND {name} IS NOT NULL"
        rows = self.cursor.execute(
            f"SELECT {name}::VARCHAR AS v, count(*) AS n FROM {self.predictions} WHERE {where}"
            f" GROUP BY v HAVING n >= {least} ORDER BY n DESC, v LIMIT {limit}"
        ).fetchall()
        return [row[0] for row in rows]

    def beyond(self, column: str, limit: int) -> tuple[int, int]:
        """Return how many distinct values :meth:`values` leaves out at this limit, and in how many rows."""
        counted = (
            f"SELECT count(*) AS n FROM {self.predictions} WHERE {self._where(Slice())}"
            f" AND {quote(column)} IS NOT NULL GROUP BY {quote(column)} ORDER BY n DESC OFFSET {limit}"
        )
        row = self.cursor.execute(f"SELECT count(*), coalesce(sum(n), 0) FROM ({counted})").fetchall()[0]
        return int(row[0]), int(row[1])

    def panes(self) -> list[Window]:
        """Cut the window into pieces of about :data:`PANE_ROWS` rows at most, at fixed places."""
        step = max((self.window.end_us - self.window.start_us) // PANE_BUCKETS, 1)
        if self.count() <= PANE_ROWS:
            return [self.window]
        counts = self.cursor.execute(
            f"SELECT (event_us - {self.window.start_us}) // {step} AS b, count(*) FROM {self.predictions}"
            f" WHERE {self._where(Slice())} GROUP BY b ORDER BY b"
        ).fetchall()
        starts, held = [self.window.start_us], 0
        for bucket, n in counts:
            if held and held + n > PANE_ROWS:
                starts.append(self.window.start_us + bucket * step)
                held = 0
            held += n
        return [Window(a, b) for a, b in zip(starts, [*starts[1:], self.window.end_us], strict=True)]

    def numbers(
        self,
        columns: Sequence[str],
        part: Slice,
        panes: Sequence[Window],
        computed: Mapping[str, str] = MappingProxyType({}),
    ) -> Iterator[tuple[str, Floats, int]]:
        """Yield ``(column, values, missing)`` for each pane of each column; values are finite, unordered.

        ``computed`` has the SQL of columns that are not stored.
        """
        for i in range(0, len(columns), FETCH_COLUMNS):
            some = columns[i : i + FETCH_COLUMNS]
            for pane in panes:
                listed = ", ".join(f"{computed.get(c, quote(c))} AS {quote(c)}" for c in some)
                table = _arrow(
                    self.cursor, f"SELECT {listed} FROM {self.predictions} WHERE {self._where(part, pane)}"
                )
                for name in some:
                    yield (name, *_finite(table[name]))
                del table

    def sample(self, part: Slice, columns: Mapping[str, str], k: int) -> pa.Table:
        """Return ``columns`` (name -> SQL) of the ``k`` rows with the smallest hashes of their event id.

        In the order of the hashes, whatever the order of arrival.
        """
        where = self._where(part)
        smallest = f"SELECT id FROM {self.predictions} WHERE {where} ORDER BY id LIMIT {k}"
        last = self.cursor.execute(f"SELECT max(id)::VARCHAR FROM ({smallest})").fetchall()[0][0]
        listed = ", ".join(f"{sql} AS {quote(name)}" for name, sql in columns.items())
        return _arrow(
            self.cursor,
            f"SELECT {listed} FROM {self.predictions} WHERE {where} AND id <= '{last or 0}'::UHUGEINT"
            " ORDER BY id",
        )

    def categories(self, columns: Sequence[str], part: Slice) -> dict[str, tuple[list[str], list[int], int]]:
        """Return ``column -> (values, counts, missing)``."""
        counted: dict[str, tuple[list[str], list[int], int]] = {}
        for column in columns:
            name = quote(column)
            rows = self.cursor.execute(
                f"SELECT {name}, count(*) FROM {self.predictions} WHERE {self._where(part)} GROUP BY 1"
            ).fetchall()
            present = [(v, n) for v, n in rows if v is not None]
            missing = sum(n for v, n in rows if v is None)
            counted[column] = ([v for v, _ in present], [n for _, n in present], missing)
        return counted

    def faults(self, part: Slice) -> dict[str, int]:
        """Return ``fault:field -> rows``."""
        where = f"{self._where(part)} AND faults IS NOT NULL"
        listed = f"SELECT unnest(faults) AS f FROM {self.predictions} WHERE {where}"
        return dict(self.cursor.execute(f"SELECT f, count(*) FROM ({listed}) GROUP BY f").fetchall())

    def duplicates(self) -> tuple[int, int]:
        """Return (redeliveries dropped, those among them with another payload)."""
        at = self.window
        rows = self.cursor.execute(
            "SELECT count(*), count(*) FILTER (conflict) FROM duplicates"
            f" WHERE model = {self.model} AND event_us >= {at.start_us} AND event_us < {at.end_us}"
        ).fetchall()
        return int(rows[0][0]), int(rows[0][1])

    @property
    def _sliced(self) -> list[str]:
        """The quoted columns that slices and groups are told apart by."""
        names = {*self.spec.segments, *(a for one in self.spec.checks.sensitive for a in one)}
        return ["version", *(quote(column_of(self.spec, name)) for name in sorted(names))]

    def join(self) -> None:
        """Join the window's rows to their labels once, into the temporary table ``asked``.

        Of several labels for one event the latest by (label time, log order) counts; a NULL one withdraws.
        Most events have one: all labels are joined, and only if that made more rows are the others deleted.
        Labels of lists add up, see :func:`joined_lists`.
        """
        if self._joined:
            return
        columns = ", ".join(["id", "seq", "event_us", "prediction", "score", *self._sliced])
        columns += {"multiclass": ", scores", "ranking": ", items"}.get(self.spec.task, "")
        window = f"SELECT {columns} FROM {self.predictions} WHERE {self._where(Slice())}"
        known = "" if self.as_of_us is None else f" WHERE label_us IS NULL OR label_us <= {self.as_of_us}"
        place = f"{rank_sql(self.cursor)}::BIGINT * {1 << 48} + off AS place"
        said = f"SELECT * EXCLUDE (seq, part, off), {place} FROM {self._labels}{known}"
        if self.spec.task == "ranking":
            joined = joined_lists(window, said)
        else:
            left = "" if self.spec.task == "multiclass" else " EXCLUDE (id)"
            joined = (
                f"SELECT w.*{left}, label, label_us, place FROM ({window}) w LEFT JOIN ({said}) USING (id)"
            )
        rows = self.cursor.execute(f"CREATE OR REPLACE TEMP TABLE asked AS {joined}").fetchall()
        if rows[0][0] > self.count():
            newest = f"arg_max(rowid, coalesce(label_us, 0)::HUGEINT * {1 << 64} + place)"
            self.cursor.execute(
                f"DELETE FROM asked USING (SELECT seq, {newest} AS kept FROM asked GROUP BY seq"
                " HAVING count(*) > 1) repeated WHERE asked.seq = repeated.seq AND asked.rowid <> kept"
            )
        self._joined = True

    def _count_cells(self) -> None:
        """Count the joined rows by all that tells cells apart, once, into the temporary table ``counted``."""
        if self._counted:
            return
        self.join()
        fixed = f"CASE WHEN abs(score) < 1e9 THEN try_cast(round(score * {SCORE_UNIT}) AS HUGEINT) END"
        self.cursor.execute(
            f"CREATE OR REPLACE TEMP TABLE counted AS SELECT {', '.join(self._sliced)}, label, prediction,"
            f" count(*) AS n, count(score) AS scored, coalesce(sum({fixed}), 0) AS total FROM asked"
            " GROUP BY ALL"
        )
        self._counted = True

    def cells(
        self, part: Slice, attributes: Sequence[tuple[str, ...]]
    ) -> dict[tuple[str, ...], list[tuple[object, ...]]]:
        """Return, for everyone (key ``()``) and each attribute, rows of counted cells.

        A row is ``(group, truth, prediction, count, scored, score_sum)``; ``group`` joins the values of an
        intersection by ``|``; rows with a missing attribute belong to no group and are left out.
        """
        self._count_cells()
        answers: dict[tuple[str, ...], list[tuple[object, ...]]] = {}
        for attribute in [(), *attributes]:
            names = [f"{quote(column_of(self.spec, a))}::VARCHAR" for a in attribute]
            group = group_sql(names) or "''"
            tests = " AND ".join([*self._of(part), *(f"{n} IS NOT NULL" for n in names)]) or "true"
            answers[attribute] = self.cursor.execute(
                f"SELECT {group} AS g, label, prediction, sum(n), sum(scored), sum(total)"
                f" FROM counted WHERE {tests} GROUP BY ALL ORDER BY ALL"
            ).fetchall()
        return answers

    def labels(self, part: Slice) -> tuple[int, int, list[int]]:
        """Return (rows, labelled rows, label delay quartiles 50/90/99 in µs; empty where unknown)."""
        self.join()
        row = self.cursor.execute(
            "SELECT count(*), count(label), quantile_disc(label_us - event_us, [0.5, 0.9, 0.99])"
            f" FILTER (label IS NOT NULL AND label_us IS NOT NULL) FROM asked WHERE {self._where(part)}"
        ).fetchall()[0]
        return int(row[0]), int(row[1]), list(row[2] or [])


def group_sql(values: Sequence[str]) -> str:
    r"""Return SQL of a group's name: the value, of an intersection the values with ``|`` between them.

    Inside the values of an intersection ``|`` becomes ``\|``, so that two groups never have one name.
    """
    if len(values) > 1:
        values = [rf"replace(replace({value}, '\', '\\'), '|', '\|')" for value in values]
    return " || '|' || ".join(values)


def _arrow(cursor: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    return cursor.sql(query).to_arrow_table()


def _finite(column: pa.ChunkedArray) -> tuple[Floats, int]:
    missing = column.null_count
    if missing:
        column = pc.drop_null(column)
    values: Floats = column.to_numpy()
    return values, missing
