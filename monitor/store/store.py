"""Opening the store: one DuckDB file, one process, one writer at a time, any number of snapshot readers."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from monitor.errors import StoreError
from monitor.store.schema import ensure_model, migrate
from monitor.types import ModelSpec, Partition, Position

Cursor = duckdb.DuckDBPyConnection


class Store:
    """An open store.

    Readers take a :meth:`cursor` each (a DuckDB connection to the same database; not to be shared between
    threads). Writers use :meth:`write`, which serialises them and commits or rolls back as one.

    Parameters
    ----------
    path
        The database file; its folder is created with mode 0700. ``None``: in memory, for tests.
    memory_limit_bytes, threads
        DuckDB's own limits.

    Raises
    ------
    StoreError
        When the file is damaged, read-only, newer than this program, or in use by another process.
    """

    def __init__(
        self, path: Path | None = None, *, memory_limit_bytes: int = 1 << 30, threads: int = 2
    ) -> None:
        self.path = path
        self.lock = threading.RLock()  # held by the one writer; whoever gives out numbers holds it longer
        self._connection = _connect(path, memory_limit_bytes, threads)
        self.model_ids: dict[str, int] = {}
        self.distrust = 0  # batches that landing checks for JSON before it parses them
        self.close_looks: Counter[int] = Counter()  # by model: batches of which every row is taken for odd
        self.next_seq = int(self._connection.execute("SELECT next_seq FROM meta").fetchall()[0][0])
        rows = self._connection.execute("SELECT id, source, topic, key FROM partitions").fetchall()
        self.partition_ids = {Partition(*row[1:]): int(row[0]) for row in rows}

    def cursor(self) -> Cursor:
        """Return a connection of its own for the calling thread."""
        cursor = self._connection.cursor()
        cursor.execute("SET TimeZone = 'UTC'")
        return cursor

    @contextmanager
    def write(self, cursor: Cursor) -> Iterator[Cursor]:
        """Run one short write transaction; all of it is stored, or none."""
        with self.lock:
            cursor.begin()
            try:
                yield cursor
                cursor.commit()
            except BaseException:
                with suppress(duckdb.Error):  # the failure itself may have ended the transaction
                    cursor.rollback()
                raise

    def register(self, spec: ModelSpec) -> int:
        """Create what the model needs; return its number."""
        cursor = self.cursor()
        with self.write(cursor):
            self.model_ids[spec.name] = ensure_model(cursor, spec)
        return self.model_ids[spec.name]

    def partition_id(self, cursor: Cursor, partition: Partition) -> int:
        """Return the partition's number, giving it one inside the caller's transaction when it is new."""
        if partition not in self.partition_ids:
            number = max(self.partition_ids.values(), default=-1) + 1
            cursor.execute(
                "INSERT INTO partitions VALUES (?, 0, ?, ?, ?, NULL, '', NULL, 0, 0, 0, 0, 0, 0, 0)",
                [number, partition.source, partition.topic, partition.key],
            )
            known = {**self.partition_ids, partition: number}
            ranked = sorted(known, key=lambda p: p.log_rank)
            ranks = ", ".join(f"({known[p]}, {rank})" for rank, p in enumerate(ranked))
            cursor.execute(
                f"UPDATE partitions SET rank = r.rank FROM (VALUES {ranks}) r(id, rank)"
                " WHERE partitions.id = r.id"
            )
            self.partition_ids = known  # another mapping: other threads may be going over the old one
        return self.partition_ids[partition]

    def positions(self, source: str) -> Mapping[Partition, Position]:
        """Return where to go on reading each partition of a source."""
        rows = (
            self.cursor()
            .execute(
                "SELECT source, topic, key, position, detail FROM partitions"
                " WHERE source = ? AND position IS NOT NULL",
                [source],
            )
            .fetchall()
        )
        return {Partition(*row[:3]): Position(row[3], row[4]) for row in rows}

    def size_bytes(self) -> int:
        """Return the size of the database file and its write-ahead log."""
        if self.path is None:
            return 0
        files = (self.path, self.path.with_name(self.path.name + ".wal"))
        return sum(f.stat().st_size for f in files if f.exists())

    def close(self) -> None:
        """Checkpoint and close; the file can then be opened by another process."""
        with self.lock:
            self._connection.close()


def rank_sql(cursor: Cursor) -> str:
    """Return SQL that turns a row's ``part`` into its place in the log order."""
    ranks = [r[0] for r in cursor.execute("SELECT rank FROM partitions ORDER BY id").fetchall()]
    return "part" if ranks == sorted(ranks) else f"{ranks}[part + 1]"


def _connect(path: Path | None, memory_limit_bytes: int, threads: int) -> Cursor:
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{max(memory_limit_bytes >> 20, 64)}MiB",
        "threads": threads,
        "preserve_insertion_order": False,
        "checkpoint_threshold": "256MB",
        "allow_unsigned_extensions": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    if path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StoreError(f"{path.parent}: cannot create the store's folder: {error.strerror}") from None
        settings["temp_directory"] = str(path.parent / (path.name + ".tmp"))
    name = ":memory:" if path is None else str(path)
    try:
        connection = duckdb.connect(name, config=settings)
    except duckdb.Error as error:
        raise StoreError(_explain(name, error)) from None
    try:
        migrate(connection, name)
    except (duckdb.Error, StoreError) as error:
        connection.close()
        raise error if isinstance(error, StoreError) else StoreError(_explain(name, error)) from None
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_external_access = false")
    return connection


def _explain(name: str, error: duckdb.Error) -> str:
    text = str(error)
    first = text.splitlines()[0]
    if "set lock" in text:
        return f"{name}: in use by another process; stop it first, or name another store.path ({first})"
    if "read-only" in text or "Permission denied" in text or "Cannot open file" in text:
        return f"{name}: cannot be written; check its owner and mode, or name another store.path ({first})"
    return (
        f"{name}: cannot be opened as a store, it may be damaged; restore a backup, or move the file away "
        f"and start anew: the sources are read again from where they begin ({first})"
    )
