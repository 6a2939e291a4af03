"""The reference profile: what normal looks like, as nothing but summaries, built once from a file.

It has an id, the hash of the file's content and of the settings that shape the profile, so that evidence can
say what it was compared with.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from monitor.decode.columns import literal, quote, whole_number
from monitor.decode.derived import derived_names, embedding_sql, text_sql
from monitor.engine.sample import SAMPLE_ROWS, from_text, sampled_names, to_text
from monitor.errors import ReferenceDataError
from monitor.summaries import FloatArray
from monitor.summaries.attributions import AttributionSummary
from monitor.summaries.calibration import Calibrator
from monitor.summaries.categorical import CategoricalSummary, categories_from
from monitor.summaries.error_model import ErrorModel
from monitor.summaries.numeric import NumericSummary, cuts_from, ordered
from monitor.types import Baseline, BaselineKey, Kind, Task

Column = NumericSummary | CategoricalSummary
Learned = Calibrator | ErrorModel
READERS = {
    "parquet": "read_parquet({})",
    "csv": "read_csv({}, sample_size=-1)",
    "jsonl": "read_json({}, format='newline_delimited', sample_size=-1)",
}
SUFFIXES = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_ROW = '"row number"'
ROLES = ("prediction", "score", "label", "event_id", "timestamp", "version", "model")


@dataclass(frozen=True, eq=False)
class Reference:
    """The reference's summaries.

    Parameters
    ----------
    id
        Hex digest of content and settings, 16 characters.
    rows
        Rows of the file.
    columns
        Feature name -> summary; features of other kinds than numeric, categorical and boolean have none.
    targets
        ``prediction``, ``score`` and ``label`` -> summary, where the file has them.
    centroids
        Embedding -> mean vector (float64[d]), of the vectors with the most frequent length.
    sample
        Rows in the order of a hash, a column for each feature (texts as numbers); None where none are kept.
    learned
        What estimates of performance without labels rest on; None where they are off.
    attributions
        What each feature added to the predictions of its rows, where the file says so.
    baselines
        What each series is on the reference itself, for bounds that are relative to it.
    """

    id: str
    rows: int
    columns: Mapping[str, Column]
    targets: Mapping[str, Column] = field(default_factory=dict)
    centroids: Mapping[str, FloatArray] = field(default_factory=dict)
    sample: pa.Table | None = None
    learned: Learned | None = None
    attributions: AttributionSummary | None = None
    baselines: Mapping[BaselineKey, Baseline] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names seen as prediction or label, sorted."""
        found = [c.categories for c in self.targets.values() if isinstance(c, CategoricalSummary)]
        return tuple(sorted({name for names in found for name in names}))

    def to_json(self) -> str:
        """Return a form for the store; :meth:`from_json` gives the same summaries back, bit for bit."""

        def encoded(columns: Mapping[str, Column | Learned]) -> dict[str, list[str]]:
            return {
                k: [type(v).__name__, base64.b64encode(v.to_bytes()).decode()] for k, v in columns.items()
            }

        body = {"columns": encoded(self.columns), "targets": encoded(self.targets)}
        more = {
            "centroids": {k: v.tolist() for k, v in self.centroids.items()},
            "sample": None if self.sample is None else to_text(self.sample),
            "learned": encoded({"": self.learned} if self.learned else {}),
            "attributions": _encoded_bytes(self.attributions),
        }
        return json.dumps({"format": 1, "id": self.id, "rows": self.rows, **body, **more})

    @classmethod
    def from_json(cls, text: str) -> Reference:
        """Read what :meth:`to_json` wrote."""
        row = json.loads(text)

        def decoded(columns: dict[str, list[str]]) -> dict[str, Column]:
            kinds: dict[str, type[Column]] = {c.__name__: c for c in (NumericSummary, CategoricalSummary)}
            return {k: kinds[kind].from_bytes(base64.b64decode(data)) for k, (kind, data) in columns.items()}

        centroids = {k: np.array(v, dtype=np.float64) for k, v in row.get("centroids", {}).items()}
        sample = from_text(row["sample"]) if row.get("sample") else None
        columns, targets = decoded(row["columns"]), decoded(row["targets"])
        learned = None
        for kind, data in row.get("learned", {}).values():
            kept: type[Learned] = Calibrator if kind == "Calibrator" else ErrorModel
            learned = kept.from_bytes(base64.b64decode(data))
        more = row.get("attributions")
        shap = AttributionSummary.from_bytes(base64.b64decode(more)) if more else None
        return cls(row["id"], row["rows"], columns, targets, centroids, sample, learned, shap)


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
        taken |= {column for name, column in self.mapped.items() if name.startswith("attributions.")}
        back = {column: name for name, column in self.mapped.items() if name not in ROLES}
        kinds = {back.get(c, c): _kind(t) for c, t in self.types.items() if c not in taken}
        return {name: kind for name, kind in kinds.items() if kind is not None}

    def profile(self, features: Mapping[str, Kind], *, task: Task, sample: int = SAMPLE_ROWS) -> Reference:
        """Build the profile of the given features and of prediction, score and label.

        At most ``sample`` rows are kept as they are, for what needs whole rows.

        Raises
        ------
        ReferenceDataError
            When a feature has no column in the file.
        """
        columns: dict[str, Column] = {}
        centroids: dict[str, FloatArray] = {}
        sampled: dict[str, str] = {}
        for name, kind in features.items():
            column = self.source(name)
            if column is None:
                raise ReferenceDataError(
                    f"{self.path}: no column for feature {name!r}; add it, map it in reference.columns, or "
                    f"remove the feature; the file has {', '.join(self.types)}"
                )
            shown, values = derived_names(name, kind), _values(quote(column), kind)
            sampled |= zip(sampled_names(name, kind), values, strict=True)
            if kind == "embedding":
                centroids[name] = self._centroid(values[0])
                values = embedding_sql(values[0], centroids[name].tolist())
            if kind in ("categorical", "boolean"):
                columns[name] = self._categorical(column)
            else:
                columns |= {n: self._numeric(sql) for n, sql in zip(shown, values, strict=False)}
        numeric = task in ("regression", "ranking")
        targets: dict[str, Column] = {}
        for role in ("prediction", "score", "label"):
            if column := self.source(role):
                targets[role] = (
                    self._numeric(quote(column)) if numeric or role == "score" else self._categorical(column)
                )
        rows = int(self._connection.execute(f"SELECT count(*) FROM {self._table}").fetchall()[0][0])
        k = min(sample, SAMPLE_ROWS)
        kept = self.select(sampled, where="true", k=k) if sampled and k else None
        return Reference(self._id(features, task, sample), rows, columns, targets, centroids, kept)

    def _id(self, features: Mapping[str, Kind], task: Task, sample: int) -> str:
        settings = json.dumps([2, dict(features), self.mapped, task, sample], sort_keys=True)
        with self.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        digest.update(settings.encode())
        return digest.hexdigest()[:16]

    def select(self, columns: Mapping[str, str], *, where: str, k: int | None = None) -> pa.Table:
        """Return columns (name -> SQL) of the rows that pass ``where``, of too many ``k`` by a hash."""
        listed = ", ".join(f"{sql} AS {quote(name)}" for name, sql in columns.items())
        numbered = f"(SELECT *, row_number() OVER () AS {_ROW} FROM {self._table})"
        chosen = f" ORDER BY md5_number({_ROW}::VARCHAR), {_ROW} LIMIT {k}" if k else ""
        return self._connection.sql(f"SELECT {listed} FROM {numbered} WHERE {where}{chosen}").to_arrow_table()

    def _centroid(self, vector: str) -> FloatArray:
        """Return the mean of the vectors (SQL of a ``FLOAT[]``) of the most frequent length."""
        whole = "len(v) > 0 AND list_count(v) = len(v) AND isfinite(list_sum(v))"
        vectors = f"(SELECT v FROM (SELECT {vector} AS v FROM {self._table}) WHERE {whole})"
        lengths = f"SELECT len(v) AS d, count(*) AS n FROM {vectors} GROUP BY d ORDER BY n DESC, d LIMIT 1"
        found = self._connection.execute(lengths).fetchall()
        if not found:
            return np.empty(0)
        fitting = self._connection.sql(f"SELECT v FROM {vectors} WHERE len(v) = {found[0][0]}")
        total: FloatArray = np.zeros(found[0][0])
        for batch in fitting.to_arrow_reader(1024):
            total += batch["v"].flatten().to_numpy().reshape(-1, len(total)).sum(axis=0, dtype=np.float64)
        total /= found[0][1]
        return total

    def _numeric(self, value: str) -> NumericSummary:
        query = f"SELECT try_cast({value} AS DOUBLE) AS v FROM {self._table}"
        found = self._connection.sql(query).to_arrow_table()["v"]
        values: FloatArray = found.drop_null().to_numpy()
        values = ordered(values[np.isfinite(values)])
        missing = len(found) - len(values)
        return NumericSummary.lift_ordered(values, cuts=cuts_from(values), missing=missing)

    def _categorical(self, column: str) -> CategoricalSummary:
        name = whole_number(f"{quote(column)}::VARCHAR")
        rows = self._connection.execute(
            f"SELECT {name} AS v, count(*) FROM {self._table} GROUP BY v"
        ).fetchall()
        present = [(v, n) for v, n in rows if v is not None]
        missing = sum(n for v, n in rows if v is None)
        values, counts = [v for v, _ in present], [n for _, n in present]
        return CategoricalSummary.lift(values, counts, categories=categories_from(present), missing=missing)


def _encoded_bytes(summary: AttributionSummary | None) -> str | None:
    return None if summary is None else base64.b64encode(summary.to_bytes()).decode()


def _values(column: str, kind: Kind) -> tuple[str, ...]:
    """Return SQL of a feature's values as the store would have them; of a text the numbers made of it."""
    if kind == "text":
        return text_sql(f"{column}::VARCHAR")
    if kind == "embedding":
        return (f"try_cast({column} AS FLOAT[])",)
    if kind == "numeric":
        number = f"try_cast({column} AS DOUBLE)"
        return (f"CASE WHEN isfinite({number}) THEN {number} END",)
    return (whole_number(f"{column}::VARCHAR"),)


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
