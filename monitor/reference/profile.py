"""A reference file: its columns, the kinds they suggest, its rows as those of a store, and their profile."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from monitor.decode.columns import (
    attribution_columns,
    free_columns,
    literal,
    quote,
    stored_columns,
    whole_number,
    words_columns,
)
from monitor.decode.derived import text_sql, words_sql
from monitor.decode.lists import table_columns, with_lists
from monitor.engine.duckdb import WindowQuery
from monitor.engine.sample import SAMPLE_ROWS
from monitor.errors import ReferenceDataError
from monitor.reference.build import build
from monitor.reference.data import Column, Reference
from monitor.store.schema import labels_table, predictions_table
from monitor.store.store import Cursor, Store
from monitor.types import Kind, ModelSpec, Task, Window, WindowSpec

__all__ = ["ROLES", "Column", "Reference", "ReferenceFile"]

READERS = {
    "parquet": "read_parquet({})",
    "csv": "read_csv({}, sample_size=-1)",
    "jsonl": "read_json({}, format='newline_delimited', sample_size=-1)",
}
SUFFIXES = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
ATTRIBUTIONS = "attributions"  # the column of all of them
ROLES = ("prediction", "score", "label", "event_id", "timestamp", "version", "model")
LISTS = ("prediction", "scores", "score", "label")  # what a ranking model's rows are made of
_ROW = '"row number"'
IN_MEMORY_ROWS = 2_000_000  # a file of more is unpacked on disk


class ReferenceFile:
    """A reference data file: its columns, the kinds they suggest, and the profile made from them.

    Parameters
    ----------
    path
        Parquet, CSV or JSON Lines.
    format
        ``auto`` goes by the suffix.
    columns
        Canonical name (``prediction``, ``score``, ``label``, or a feature's) -> the file's column.

    Raises
    ------
    ReferenceDataError
        When the file cannot be read or lacks a mapped column.
    """

    def __init__(self, path: Path, *, format: str = "auto", columns: Mapping[str, str] | None = None) -> None:
        self.path = path
        self.mapped = dict(columns or {})
        kind = SUFFIXES.get(path.suffix.lower(), "") if format == "auto" else format
        if kind not in READERS:
            raise ReferenceDataError(
                f"{path}: unknown kind of file; name it *.parquet, *.csv or *.jsonl, or set reference.format"
            )
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'")
        self._table = READERS[kind].format(literal(str(path)))
        try:
            rows = self._connection.execute(f"DESCRIBE SELECT * FROM {self._table}").fetchall()
        except duckdb.Error as error:
            raise ReferenceDataError(
                f"{path}: cannot be read as {kind}: {str(error).splitlines()[0]}"
            ) from None
        self.types = {str(row[0]): str(row[1]) for row in rows}
        for role, name in self.mapped.items():
            if name not in self.types:
                listed = ", ".join(self.types)
                raise ReferenceDataError(
                    f"{path}: no column {name!r} (mapped to {role}); the file has {listed}"
                )

    def source(self, name: str) -> str | None:
        """Return the file's column for a canonical name, None when it has none."""
        column = self.mapped.get(name, name)
        return column if column in self.types else None

    def infer(self, *, exclude: frozenset[str] = frozenset()) -> dict[str, Kind]:
        """Return the features the file suggests: every column that has no other role."""
        taken = {self.source(role) for role in ROLES} | set(exclude)
        taken |= {column for name, column in self.mapped.items() if name.startswith(f"{ATTRIBUTIONS}.")}
        back = {column: name for name, column in self.mapped.items() if name not in ROLES}
        kinds = {back.get(c, c): _kind(t) for c, t in self.types.items() if c not in taken}
        return {name: kind for name, kind in kinds.items() if kind is not None}

    def classes(self) -> tuple[str, ...]:
        """Return the class names seen as prediction or label, sorted."""
        found: set[str] = set()
        for column in filter(None, (self.source("prediction"), self.source("label"))):
            name = whole_number(f"{quote(column)}::VARCHAR")
            rows = self._connection.execute(f"SELECT DISTINCT {name} FROM {self._table}").fetchall()
            found |= {row[0] for row in rows if row[0] is not None}
        return tuple(sorted(found))

    def id(self, spec: ModelSpec, sample: int) -> str:
        """Return the hash of the file's content and of the settings that shape its profile."""
        shape = [dict(spec.features), self.mapped, spec.task, sample, spec.positive_class, spec.threshold]
        more = [
            spec.negative_class,
            list(spec.segments),
            spec.checks.estimate,
            spec.checks.logged_attributions,
        ]
        more += [spec.checks.vocabulary] if words_columns(spec) else []
        with self.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        digest.update(json.dumps([3, *shape, *more], sort_keys=True).encode())
        return digest.hexdigest()[:16]

    def profile(self, features: Mapping[str, Kind], *, task: Task, sample: int = SAMPLE_ROWS) -> Reference:
        """Return the profile of the given features and of prediction, score and label.

        Raises
        ------
        ReferenceDataError
            When a feature has no column in the file.
        """
        spec = ModelSpec("reference", task, features, WindowSpec(1, 1, 0, 0))
        with self.rows(spec) as query:
            return build(query, sample=sample, id=self.id(spec, sample))

    def select(self, columns: Mapping[str, str], *, where: str, k: int | None = None) -> pa.Table:
        """Return columns (name -> SQL) of the rows that pass ``where``, of too many ``k`` by a hash."""
        listed = ", ".join(f"{sql} AS {quote(name)}" for name, sql in columns.items())
        numbered = f"(SELECT *, row_number() OVER () AS {_ROW} FROM {self._table})"
        chosen = f" ORDER BY md5_number({_ROW}::VARCHAR), {_ROW} LIMIT {k}" if k else ""
        return self._connection.sql(f"SELECT {listed} FROM {numbered} WHERE {where}{chosen}").to_arrow_table()

    @contextmanager
    def rows(self, spec: ModelSpec) -> Iterator[WindowQuery]:
        """Read the file into a scratch store, as predictions and labels of the model, for as long as asked.

        Event times are the places 0, 1, 2, … of the rows, in the order of their ``timestamp`` where the file
        has one, else of the file.

        Raises
        ------
        ReferenceDataError
            When a feature has no column in the file.
        """
        columns = self._columns(spec)
        found = self._connection.execute(f"SELECT count(*) FROM {self._table}").fetchall()
        with ExitStack() as stack:
            path = None
            if found[0][0] > IN_MEMORY_ROWS:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="model-monitor-reference-"))
                path = Path(folder) / "rows.duckdb"
            store = Store(path)
            stack.callback(store.close)
            model, cursor = store.register(spec), store.cursor()
            place = "off AS seq, 0 AS part, md5_number(off::VARCHAR) AS id"
            moment = "row_number() OVER (ORDER BY time NULLS LAST, off) - 1 AS event_us"
            rows, label = "* EXCLUDE (time, label)", "label"
            if spec.task == "ranking":
                first = f"items[1] AS prediction, {_finite('coalesce(own, top)')} AS score"
                rows, label = f"* EXCLUDE (time, e, own, top, flaws, said), {first}", "said AS label"
            whole = f"{rows}, {place}, '' AS version, {moment}"
            self._copy(columns, cursor, predictions_table(model), whole)
            label_only = {k: v for k, v in columns.items() if k in ("label", "e")}
            self._copy(label_only, cursor, labels_table(model), f"{label}, off, {place}")
            yield WindowQuery(cursor, spec, model, Window(0, max(int(found[0][0]), 1)))

    def _typed(self, name: str) -> tuple[str, str] | None:
        """Return the column for a canonical name and its SQL type, None when there is none."""
        column = self.source(name)
        return (column, self.types[column]) if column else None

    def _copy(self, columns: Mapping[str, str], cursor: Cursor, into: str, select: str) -> None:
        """Insert columns (name -> SQL) of every row, numbered from 1 as ``off``, by a SELECT over them."""
        listed = ", ".join(f"{sql} AS {quote(name)}" for name, sql in columns.items())
        numbered = f"SELECT {listed}, row_number() OVER () AS off FROM {self._table}"
        if "e" in columns:
            numbered = with_lists(numbered, ("prediction", "feedback"))
        cursor.register("file_rows", self._connection.sql(numbered).to_arrow_reader())
        cursor.execute(f"INSERT INTO {into} BY NAME SELECT {select} FROM file_rows")
        cursor.unregister("file_rows")

    def _columns(self, spec: ModelSpec) -> dict[str, str]:
        """Return the store's column -> SQL over the file, and ``label`` and ``time``."""
        columns: dict[str, str] = {}
        for name, kind in spec.features.items():
            column = self.source(name)
            if column is None:
                raise ReferenceDataError(
                    f"{self.path}: no column for feature {name!r}; add it, map it in reference.columns, or "
                    f"remove the feature; the file has {', '.join(self.types)}"
                )
            columns |= zip(stored_columns(name, kind), _values(quote(column), kind), strict=True)
        for name, stored in words_columns(spec).items():
            columns[stored] = words_sql(f"{quote(str(self.source(name)))}::VARCHAR")
        for name in free_columns(spec):
            if column := self.source(name):
                columns[f"s:{name}"] = whole_number(f"{quote(column)}::VARCHAR")
        return columns | self._attributions(spec) | self._targets(spec)

    def _attributions(self, spec: ModelSpec) -> dict[str, str]:
        """Return SQL of the attributions that the file has: in one column, or mapped feature by feature."""
        found: dict[str, str] = {}
        for (column, kind), name in zip(attribution_columns(spec).items(), spec.features, strict=False):
            if (mapped := self.mapped.get(f"{ATTRIBUTIONS}.{name}")) is not None:
                value = f"to_json({quote(mapped)})"
            elif ATTRIBUTIONS in self.types:
                pointer = literal("/" + name.replace("~", "~0").replace("/", "~1"))
                value = f"json_extract(to_json({quote(ATTRIBUTIONS)}), {pointer})"
            else:
                continue
            structure = literal(json.dumps({"x": kind}))
            found[column] = f"from_json(json_object('x', {value}), {structure}).x"
        return found

    def _targets(self, spec: ModelSpec) -> dict[str, str]:
        """Return SQL of prediction, score, scores, label and time: decided as when an event is decoded."""
        raw = {role: quote(column) for role in (*ROLES, "scores") if (column := self.source(role))}
        numeric = spec.label_type == "DOUBLE"

        def value(column: str) -> str:
            return _number(column) if numeric else whole_number(f"{column}::VARCHAR")

        columns: dict[str, str] = {}
        score = _number(raw["score"]) if "score" in raw else "NULL::DOUBLE"
        choices = [value(raw["prediction"])] if "prediction" in raw else []
        if "scores" in raw and self.types[str(self.source("scores"))].startswith("MAP"):
            scores = columns["scores"] = f"try_cast({raw['scores']} AS MAP(VARCHAR, DOUBLE))"
            if spec.task == "binary":
                score = f"coalesce({score}, {scores}[{literal(spec.positive_class)}])"
            elif spec.task == "multiclass":
                best = (
                    f"list_filter(map_entries({scores}), lambda x: x.value = list_max(map_values({scores})))"
                )
                choices.append(f"list_min(list_transform({best}, lambda x: x.key))")
        if spec.task == "binary":
            classes = f"THEN {literal(spec.positive_class)} ELSE {literal(spec.negative_class)}"
            choices.append(f"CASE WHEN {score} >= {spec.threshold!r} {classes} END")
        time = raw.get("timestamp", "NULL")
        if time != "NULL" and self.types[str(self.source("timestamp"))] == "VARCHAR":
            time = f"try_cast({time} AS TIMESTAMPTZ)"
        if spec.task == "ranking":
            return {"time": time, **table_columns({name: self._typed(name) for name in LISTS})}
        columns |= {"score": score, "time": time}
        columns |= {"prediction": f"coalesce({', '.join(choices)})"} if choices else {}
        return columns | {"label": value(raw["label"]) if "label" in raw else f"NULL::{spec.label_type}"}


def _number(column: str) -> str:
    return _finite(f"try_cast({column} AS DOUBLE)")


def _finite(number: str) -> str:
    return f"CASE WHEN isfinite({number}) THEN {number} END"


def _values(column: str, kind: Kind) -> tuple[str, ...]:
    """Return SQL of a feature's values as the store has them; of a text the numbers made of it."""
    if kind == "text":
        return text_sql(f"{column}::VARCHAR")
    if kind == "embedding":
        return (f"try_cast({column} AS FLOAT[])",)
    return (_number(column) if kind == "numeric" else whole_number(f"{column}::VARCHAR"),)


def _kind(sql_type: str) -> Kind | None:
    base = sql_type.split("(")[0]
    if base == "BOOLEAN":
        return "boolean"
    if sql_type.endswith("]"):
        return "embedding"
    if base in ("VARCHAR", "ENUM", "UUID"):
        return "categorical"
    numeric = ("INT", "DECIMAL", "DOUBLE", "FLOAT", "REAL", "HUGEINT")
    return "numeric" if any(word in base for word in numeric) else None
