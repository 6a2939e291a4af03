"""The store's tables and how an older file is brought up to date.

Each migration runs in one transaction together with its version number, so a crash in between leaves the
file at a whole version. A file newer than this program is refused.
"""

from __future__ import annotations

import duckdb

from monitor.decode.columns import label_columns, prediction_columns, quote
from monitor.errors import StoreError
from monitor.types import ModelSpec

_V1 = """
CREATE TABLE meta (schema_version INTEGER, next_seq BIGINT);
INSERT INTO meta VALUES (0, 1);
CREATE TABLE models (id INTEGER, name VARCHAR, task VARCHAR, windowing VARCHAR, settled_seq BIGINT,
  watermark_us BIGINT);
CREATE TABLE partitions (id INTEGER, rank INTEGER, source VARCHAR, topic VARCHAR, key VARCHAR,
  position BIGINT, detail VARCHAR, event_us BIGINT, "read" BIGINT, landed BIGINT, quarantined BIGINT,
  ignored BIGINT, "rows" BIGINT, duplicates BIGINT, expired BIGINT);
CREATE TABLE quarantine (seq BIGINT, at_us BIGINT, part INTEGER, off BIGINT, model VARCHAR, reason VARCHAR,
  detail VARCHAR, payload BLOB, size BIGINT);
CREATE TABLE duplicates (model INTEGER, id UHUGEINT, event_us BIGINT, digest UHUGEINT, conflict BOOLEAN);
CREATE TABLE dirty (model INTEGER, idx BIGINT, features BOOLEAN, labels BOOLEAN);
CREATE TABLE windows (model INTEGER, idx BIGINT, start_us BIGINT, end_us BIGINT, revision INTEGER,
  labels_complete BOOLEAN, coverage DOUBLE, evaluated_us BIGINT);
CREATE TABLE results (model INTEGER, start_us BIGINT, end_us BIGINT, version VARCHAR, metric VARCHAR,
  feature VARCHAR, attribute VARCHAR, "group" VARCHAR, segment VARCHAR, state VARCHAR, value DOUBLE,
  lower DOUBLE, upper DOUBLE, n BIGINT, n_reference BIGINT, revision INTEGER, labelled BOOLEAN,
  detail VARCHAR);
CREATE TABLE alert_states (model INTEGER, alert VARCHAR, series VARCHAR, state VARCHAR);
CREATE TABLE transitions (seq BIGINT, model INTEGER, at_us BIGINT, body VARCHAR);
CREATE TABLE retrain_states (model INTEGER, state VARCHAR);
CREATE TABLE outbox (id VARCHAR, model VARCHAR, rule VARCHAR, action VARCHAR, body BLOB, created_us BIGINT,
  attempts INTEGER, next_attempt_us BIGINT, last_error VARCHAR, state VARCHAR);
CREATE TABLE reference_profiles (id VARCHAR, model VARCHAR, version VARCHAR, created_us BIGINT, profile BLOB);
"""

_V2 = "ALTER TABLE quarantine ADD COLUMN record_us BIGINT"  # dates feedback that has no time of its own

# Rows of the newest windows with their attributions, for pictures; what was said of a reference's rows.
_V3 = """
CREATE TABLE explained_rows (model INTEGER, start_us BIGINT, end_us BIGINT, body BLOB);
CREATE TABLE reference_attributions (model INTEGER, key VARCHAR, at_us BIGINT, body BLOB);
"""

# Until here no program wrote a profile. Those of the stream have the period they were made of, up to which
# labels were counted, the last window end they serve, and whether rows have landed in it since.
# ``expired_us`` of a model: events that were dated earlier have been deleted.
_V4 = """
DROP TABLE reference_profiles;
CREATE TABLE reference_profiles (model VARCHAR, version VARCHAR, settings VARCHAR, start_us BIGINT,
  end_us BIGINT, labels_us BIGINT, until_us BIGINT, stale BOOLEAN, id VARCHAR, reason VARCHAR,
  created_us BIGINT, profile BLOB);
ALTER TABLE models ADD COLUMN expired_us BIGINT;
"""

_V5 = """
ALTER TABLE outbox ADD COLUMN seq BIGINT;
UPDATE outbox SET seq = o.n FROM (SELECT id, row_number() OVER (ORDER BY created_us, id) AS n FROM outbox) o
  WHERE o.id = outbox.id;
"""  # messages of one moment keep the order they were decided in

_V6 = "CREATE TABLE retrain_requests (model INTEGER, id VARCHAR, at_us BIGINT, body VARCHAR)"

MIGRATIONS = (_V1, _V2, _V3, _V4, _V5, _V6)


def migrate(connection: duckdb.DuckDBPyConnection, path: str) -> None:
    """Bring the file at ``path`` to the newest schema.

    Raises
    ------
    StoreError
        When a newer program has written the file.
    """
    found = connection.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'meta'").fetchone()
    version = 0
    if found and found[0]:
        version = connection.execute("SELECT schema_version FROM meta").fetchall()[0][0]
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{path}: written by a newer model-monitor (schema {version}, this one knows up to "
            f"{len(MIGRATIONS)}); upgrade model-monitor or name another store.path"
        )
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.begin()
        try:
            connection.execute(script)
            connection.execute("UPDATE meta SET schema_version = ?", [number])
            connection.commit()
        except BaseException:
            connection.rollback()
            raise


def ensure_model(connection: duckdb.DuckDBPyConnection, spec: ModelSpec) -> int:
    """Create or extend the tables of a model inside the caller's transaction; return the model's number.

    Raises
    ------
    StoreError
        When the model's name is taken by one of a task with another kind of label.
    """
    rows = connection.execute("SELECT id, task FROM models WHERE name = ?", [spec.name]).fetchall()
    if rows:
        number, task = rows[0]
        kinds = {"binary": "class", "multiclass": "class"}
        if kinds.get(task, task) != kinds.get(spec.task, spec.task):
            raise StoreError(
                f"model {spec.name!r} is stored with task {task}, the configuration says {spec.task}; "
                "give the model another name or start with another store.path"
            )
    else:
        number = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM models").fetchall()[0][0]
        windowing = window_key(spec)
        connection.execute(
            "INSERT INTO models VALUES (?, ?, ?, ?, 0, NULL, NULL)", [number, spec.name, spec.task, windowing]
        )
    _ensure_table(connection, predictions_table(number), prediction_columns(spec))
    _ensure_table(connection, labels_table(number), label_columns(spec))
    _lay_windows(connection, spec, int(number))
    return int(number)


def _lay_windows(connection: duckdb.DuckDBPyConnection, spec: ModelSpec, number: int) -> None:
    """Ask every window anew when the configured layout is not the one that the stored windows have."""
    laid = connection.execute("SELECT windowing FROM models WHERE id = ?", [number]).fetchall()[0][0]
    if laid == window_key(spec):
        return
    for table in ("windows", "dirty", "results", "explained_rows"):
        connection.execute(f"DELETE FROM {table} WHERE model = ?", [number])
    every, last = spec.window.every_us, spec.window.size_us // spec.window.every_us - 1
    connection.execute(
        f"INSERT INTO dirty SELECT DISTINCT {number}, unnest(range(b - {last}, b + 1)), true, true"
        f" FROM (SELECT DISTINCT event_us // {every} AS b FROM {predictions_table(number)})"
    )
    connection.execute("UPDATE models SET windowing = ? WHERE id = ?", [window_key(spec), number])


def window_key(spec: ModelSpec) -> str:
    """Return what identifies a window layout; when it changes, every window is asked anew."""
    return f"{spec.window.size_us}/{spec.window.every_us}"


def predictions_table(model: int) -> str:
    """Return the name of a model's table of predictions."""
    return f"predictions_{model}"


def labels_table(model: int) -> str:
    """Return the name of a model's table of labels."""
    return f"labels_{model}"


def _ensure_table(connection: duckdb.DuckDBPyConnection, table: str, columns: dict[str, str]) -> None:
    listed = ", ".join(f"{quote(name)} {kind}" for name, kind in columns.items())
    connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({listed})")
    have = {
        r[0].lower() for r in connection.execute(f"SELECT column_name FROM (DESCRIBE {table})").fetchall()
    }
    for name, kind in columns.items():
        if name.lower() not in have:  # to SQL names that differ only in case are one
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {quote(name)} {kind}")
