"""Questions to a window's rows by segment: one pass over the rows answers for every value of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from monitor.decode.columns import column_of, literal, quote
from monitor.engine.duckdb import FETCH_COLUMNS, Floats, Slice, WindowQuery
from monitor.types import Window

LABELLED = "asked"  # the window's rows joined to their labels


class Segments:
    """The rows of a window, told apart by some values of one segment; other rows are left out.

    Parameters
    ----------
    query
        The window.
    name
        The segment: a name of the specification.
    values
        Of it.
    """

    def __init__(self, query: WindowQuery, name: str, values: Sequence[str]) -> None:
        self.query, self.name, self.values = query, name, tuple(values)
        column = f"{quote(column_of(query.spec, name))}::VARCHAR"
        listed = ", ".join(map(literal, self.values))
        self._code = f"enum_code(try_cast({column} AS ENUM({listed})))"

    def numbers(
        self,
        columns: Sequence[str],
        panes: Sequence[Window],
        computed: Mapping[str, str] = MappingProxyType({}),
        relation: str = "",
    ) -> Iterator[tuple[str, str, Floats, int]]:
        """Yield ``(value, column, numbers, missing)``, pane by pane; numbers are finite, unordered.

        ``computed`` has the SQL of columns that are not stored; ``relation`` is by default the predictions.
        """
        for i in range(0, len(columns), FETCH_COLUMNS):
            some = columns[i : i + FETCH_COLUMNS]
            listed = ", ".join(f"{computed.get(c, quote(c))} AS {quote(c)}" for c in some)
            for pane in panes:
                rows = self.query.cursor.sql(
                    f"SELECT {self._code} AS code, {listed} FROM {relation or self.query.predictions}"
                    f" WHERE {self.query._where(Slice(), pane)} AND {self._code} IS NOT NULL"
                ).to_arrow_table()
                codes = rows["code"].to_numpy()
                order = np.argsort(codes, kind="stable")
                ends = np.cumsum(np.bincount(codes, minlength=len(self.values)))[:-1]
                for j, column in enumerate(some):
                    numbers = rows[j + 1].to_numpy()[order]
                    for value, part in zip(self.values, np.split(numbers, ends), strict=True):
                        held = part[~np.isnan(part)]
                        yield value, column, held, len(part) - len(held)

    def counts(self, column: str, relation: str = "") -> dict[str, tuple[list[str], list[int], int]]:
        """Return, by value of the segment, the categories of a column, their counts, and rows without one."""
        rows = self.query.cursor.execute(
            f"SELECT {self._code} AS code, {quote(column)}, count(*)"
            f" FROM {relation or self.query.predictions}"
            f" WHERE {self.query._where(Slice())} AND {self._code} IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2"
        ).fetchall()
        found: dict[str, tuple[list[str], list[int], int]] = {value: ([], [], 0) for value in self.values}
        for code, name, n in rows:
            names, counts, missing = found[self.values[code]]
            if name is None:
                found[self.values[code]] = (names, counts, missing + n)
            else:
                names.append(name)
                counts.append(n)
        return found

    def faults(self) -> dict[str, dict[str, int]]:
        """Return, by value of the segment, ``fault:field -> rows``."""
        found: dict[str, dict[str, int]] = {value: {} for value in self.values}
        listed = (
            f"SELECT {self._code} AS code, unnest(faults) AS f FROM {self.query.predictions}"
            f" WHERE {self.query._where(Slice())} AND faults IS NOT NULL AND {self._code} IS NOT NULL"
        )
        query = f"SELECT code, f, count(*) FROM ({listed}) GROUP BY ALL"
        for code, fault, n in self.query.cursor.execute(query).fetchall():
            found[self.values[code]][fault] = n
        return found
