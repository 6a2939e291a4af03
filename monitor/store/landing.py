"""Landing: one batch of raw records becomes stored events, quarantine rows and positions, all or nothing.

The first attempt trusts the batch to be JSON, because checking costs a tenth of it; if it is not, a second
one checks each record, and so are the next batches. Should a record still make the query fail, it is found by
halving and refused, so that no record can stop its partition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb
import pyarrow as pa

from monitor.store.attempt import Attempt, LandReport
from monitor.store.share import Route
from monitor.store.store import Cursor, Store
from monitor.types import RawBatch, Rejected

__all__ = ["LandReport", "Route", "land"]

DATA_ERRORS = (duckdb.DataError, duckdb.InvalidInputException)  # what a record can make a query raise

DISTRUST_BATCHES = 50  # after one that was not all JSON, so many are checked at once: the fault tends to stay


def land(
    store: Store,
    cursor: Cursor,
    batch: RawBatch,
    routes: Mapping[str, Sequence[Route]],
    *,
    now_us: int,
    retaken: Sequence[int] = (),
) -> LandReport:
    """Store ``batch``; return what became of it.

    Parameters
    ----------
    store, cursor
        The store, and the calling thread's own cursor.
    batch
        Undecoded records.
    routes
        The models of each topic.
    now_us
        Wall-clock time, for refusing events from the future and dating quarantine rows.
    retaken
        Quarantine rows (their ``seq``) that this batch tries again; they go in the same transaction.

    Raises
    ------
    duckdb.Error
        When the store cannot commit (a full disk); nothing has been stored then, the batch can be tried
        again as it is.
    """

    def attempt(
        records: pa.Table, rejected: tuple[Rejected, ...], *, validate: bool, dry: bool
    ) -> LandReport:
        some = RawBatch(batch.partitions, records, batch.positions, rejected)
        return Attempt(store, cursor, some, routes, now_us, retaken).run(validate=validate, dry=dry)

    if store.distrust == 0:
        try:
            return attempt(batch.records, batch.rejected, validate=False, dry=False)
        except DATA_ERRORS:
            store.distrust = DISTRUST_BATCHES
    store.distrust -= 1
    try:
        return attempt(batch.records, batch.rejected, validate=True, dry=False)
    except DATA_ERRORS:
        pass
    poison: list[Rejected] = []

    def search(records: pa.Table) -> pa.Table:
        """Return the records that can be landed; the others, found by halving, become rejected."""
        try:
            attempt(records, (), validate=True, dry=True)
            return records
        except DATA_ERRORS as error:
            if records.num_rows == 1:
                poison.append(_undecodable(batch, records, error))
                return records.slice(0, 0)
        half = records.num_rows // 2
        return pa.concat_tables([search(records.slice(0, half)), search(records.slice(half))])

    sound = search(batch.records)
    return attempt(sound, (*batch.rejected, *poison), validate=True, dry=False)


def _undecodable(batch: RawBatch, record: pa.Table, error: duckdb.Error) -> Rejected:
    (row,) = record.to_pylist()
    value = row["value"] or b""
    detail = str(error).splitlines()[0][:300]
    return Rejected(batch.partitions[row["part"]], row["off"], "undecodable", detail, value, len(value))
