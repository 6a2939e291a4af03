"""The rows that the benchmarks of evaluation measure on: a reference, a window, and a store that holds both.

20 numeric and 4 categorical features, a score, a prediction, a label for nine rows in ten, two sensitive
attributes; drawn from a seed, so the same on every machine. They go into Parquet files for others, and into
the tables of a store as landing lays them out, 50,000 rows a transaction. What landing costs is measured by
``ingest.py``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from monitor.store.schema import labels_table, predictions_table
from monitor.store.store import Store
from monitor.types import ChecksSpec, Kind, ModelSpec, WindowSpec

NUMERIC, CATEGORICAL, REFERENCE_ROWS, CHUNK_ROWS = 20, 4, 100_000, 50_000
HOUR_US = 3_600_000_000
START_US = 1_700_000_000_000_000 // HOUR_US * HOUR_US
FEATURES: dict[str, Kind] = {
    **{f"n{i}": "numeric" for i in range(NUMERIC)},
    **{f"c{i}": "categorical" for i in range(CATEGORICAL)},
}
SENSITIVE = (("sex",), ("region",), ("sex", "region"))
EVERYTHING = ModelSpec(
    "benchmark",
    "binary",
    FEATURES,
    WindowSpec(HOUR_US, HOUR_US, 0, 0),
    ChecksSpec(drift=True, quality=True, performance=True, fairness=True, sensitive=SENSITIVE),
)
COLUMNS = replace(EVERYTHING, checks=ChecksSpec(drift=True, quality=True))
FAIRNESS = replace(EVERYTHING, checks=ChecksSpec(fairness=True, sensitive=SENSITIVE))
SPECS = {"everything": EVERYTHING, "columns": COLUMNS, "fairness": FAIRNESS}


def draw(rows: int, rng: np.random.Generator) -> pa.Table:
    """Return rows whose label follows the score, a little less so for one sex."""
    columns: dict[str, object] = {f"n{i}": rng.normal(size=rows) for i in range(NUMERIC)}
    columns |= {f"c{i}": some(rng, "abcdefgh", rows) for i in range(CATEGORICAL)}
    columns |= {"sex": some(rng, "FM", rows), "region": some(rng, ["north", "south", "east", "west"], rows)}
    score, flip = rng.random(rows), rng.random(rows)
    truth = np.where(flip < 0.1 + 0.05 * (np.asarray(columns["sex"]) == "F"), score <= 0.5, score > 0.5)
    columns |= {"score": score, "prediction": text(score > 0.5), "label": text(truth)}
    return pa.table(columns)


def some(rng: np.random.Generator, values: str | list[str], rows: int) -> pa.Array:
    codes = rng.integers(0, len(values), rows, dtype=np.int32)
    return pa.DictionaryArray.from_arrays(codes, pa.array(list(values))).cast(pa.string())


def text(flags: np.ndarray) -> pa.Array:
    return pa.DictionaryArray.from_arrays(flags.astype(np.int32), pa.array(["0", "1"])).cast(pa.string())


def chunks(rows: int) -> Iterator[pa.Table]:
    """Yield the window's rows in pieces of 50,000."""
    for i, seed in enumerate(np.random.SeedSequence(7).spawn(-(-rows // CHUNK_ROWS))):
        yield draw(min(CHUNK_ROWS, rows - i * CHUNK_ROWS), np.random.default_rng(seed))


def write_reference(folder: Path) -> None:
    pq.write_table(draw(REFERENCE_ROWS, np.random.default_rng(1)), folder / "reference.parquet")


def write_window(folder: Path, rows: int) -> None:
    schema = draw(0, np.random.default_rng(0)).schema
    with pq.ParquetWriter(folder / "window.parquet", schema) as file:
        for chunk in chunks(rows):
            file.write_table(chunk)


def fill_store(folder: Path, rows: int, *, warm_up_rows: int = 1000) -> None:
    """Write a store with the window, and a small one before it."""
    store = Store(folder / "store.duckdb")
    model, cursor, seq = store.register(EVERYTHING), store.cursor(), 0
    for start, count in ((START_US - HOUR_US, warm_up_rows), (START_US, rows)):
        first = seq
        for chunk in chunks(count):
            number = np.arange(seq, seq + len(chunk))
            event_us = start + (number - first) * HOUR_US // count
            placed = chunk.append_column("seq", pa.array(number))
            cursor.register("chunk", placed.append_column("event_us", pa.array(event_us)))
            with store.write(cursor):
                listed = ", ".join(f'"{name}" AS "{name[0]}:{name}"' for name in FEATURES)
                identity = "seq, 0 AS part, seq AS off, md5_number('e-' || seq) AS id"
                cursor.execute(
                    f"INSERT INTO {predictions_table(model)} BY NAME SELECT {identity}, event_us,"
                    f" '1' AS version, prediction, score, {listed},"
                    ' sex AS "s:sex", region AS "s:region" FROM chunk'
                )
                cursor.execute(
                    f"INSERT INTO {labels_table(model)} BY NAME SELECT {identity},"
                    f" {start + 2 * HOUR_US} AS label_us, label FROM chunk WHERE seq % 10 <> 0"
                )
            seq += len(chunk)
    store.close()


if __name__ == "__main__":
    place, size = Path(sys.argv[1]), int(sys.argv[2])
    write_reference(place)
    fill_store(place, size)
    if "parquet" in sys.argv:
        write_window(place, size)
    print("{}")
