"""How long one window of N rows takes to evaluate, and how much memory; beside scipy on the same columns.

    python benchmarks/evaluate.py --rows 1000000 [--json]

20 numeric and 4 categorical features against a reference of 100,000 rows, drift and quality checks on. The
rows are made in a store by SQL; then a fresh process opens it, reads the reference and asks the window six
times. The first answer includes every import; ``seconds`` is the median of the others. Another fresh process
runs ``scipy.stats.ks_2samp`` on the same 20 columns, read from the same store.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from monitor.engine.duckdb import WindowQuery
from monitor.evaluate import evaluate
from monitor.reference.profile import ReferenceFile
from monitor.store.schema import predictions_table
from monitor.store.store import Store
from monitor.types import ChecksSpec, Kind, ModelSpec, WindowSpec

NUMERIC, CATEGORICAL, REFERENCE_ROWS = 20, 4, 100_000
HOUR_US = 3_600_000_000
START_US = 1_700_000_000_000_000 // HOUR_US * HOUR_US
FEATURES: dict[str, Kind] = {
    **{f"n{i}": "numeric" for i in range(NUMERIC)},
    **{f"c{i}": "categorical" for i in range(CATEGORICAL)},
}
SPEC = ModelSpec(
    "benchmark",
    "binary",
    FEATURES,
    WindowSpec(HOUR_US, HOUR_US, 0, 0),
    ChecksSpec(drift=True, quality=True),
)


def prepare(folder: Path, rows: int) -> None:
    """Write the reference and a store with one window of ``rows`` predictions."""
    import pandas as pd

    rng = np.random.default_rng(7)
    columns: dict[str, Any] = {f"n{i}": rng.normal(size=REFERENCE_ROWS) for i in range(NUMERIC)}
    columns |= {f"c{i}": rng.choice(list("abcdefgh"), REFERENCE_ROWS) for i in range(CATEGORICAL)}
    columns |= {"prediction": rng.integers(0, 2, REFERENCE_ROWS), "score": rng.random(REFERENCE_ROWS)}
    pd.DataFrame(columns).to_parquet(folder / "reference.parquet")
    store = Store(folder / "store.duckdb")
    table = predictions_table(store.register(SPEC))
    # Irwin-Hall sums of hashes: smooth, distinct, and the same on every machine
    parts = " + ".join(f"(hash(i * {{}} + {k}) % 1000003) / 1000003.0" for k in range(4))
    made = [f'({parts.format(*[31 + 2 * j] * 4)} - 2) * 1.7 AS "n:n{j}"' for j in range(NUMERIC)]
    made += [f'chr((97 + hash(i * {901 + j}) % 8)::INTEGER) AS "c:c{j}"' for j in range(CATEGORICAL)]
    store.cursor().execute(
        f"INSERT INTO {table} BY NAME SELECT i AS seq, 0 AS part, i AS off, md5_number('e' || i) AS id,"
        f" {START_US} + i * {HOUR_US} // {rows} AS event_us, '1' AS version,"
        f" (hash(i) % 2)::VARCHAR AS prediction, (hash(i + 7) % 1000003) / 1000003.0 AS score,"
        f" {', '.join(made)} FROM range({rows}) r(i)"
    )
    store.close()


def ours(folder: Path) -> dict[str, Any]:
    """Evaluate the window in this process."""
    reference = ReferenceFile(folder / "reference.parquet").profile(FEATURES, task="binary")
    store = Store(folder / "store.duckdb")
    model, cursor, times, results = store.register(SPEC), store.cursor(), [], 0
    for _ in range(6):
        started = time.perf_counter()
        query = WindowQuery(cursor, SPEC, model, SPEC.window.at(START_US // HOUR_US))
        results = len(evaluate(query, reference, has_feedback=False).results)
        times.append(time.perf_counter() - started)
    return {
        "seconds": statistics.median(times[1:]),
        "seconds_min": min(times[1:]),
        "seconds_first": times[0],
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "results": results,
    }


def scipys(folder: Path) -> dict[str, Any]:
    """Run the two-sample KS test of scipy on each numeric column."""
    import pandas as pd
    from scipy.stats import ks_2samp

    reference = pd.read_parquet(folder / "reference.parquet")
    store = Store(folder / "store.duckdb")
    table, seconds = predictions_table(store.register(SPEC)), 0.0
    for i in range(NUMERIC):
        column = store.cursor().execute(f'SELECT "n:n{i}" AS v FROM {table}').fetchnumpy()["v"]
        started = time.perf_counter()
        ks_2samp(reference[f"n{i}"].to_numpy(), column, method="asymp")
        seconds += time.perf_counter() - started
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"scipy_ks_seconds": seconds, "scipy_peak_mb": peak_mb}


def measured(what: str, folder: Path) -> dict[str, Any]:
    """Run one side in a fresh process."""
    command = [sys.executable, __file__, "--measure", what, "--folder", str(folder)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(answer.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    parser.add_argument("--measure", choices=("ours", "scipy"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps({"ours": ours, "scipy": scipys}[given.measure](given.folder)))
        return
    with tempfile.TemporaryDirectory(prefix="model-monitor-benchmark-") as name:
        prepare(Path(name), given.rows)
        row = {"benchmark": "evaluate", "rows": given.rows, "columns": NUMERIC + CATEGORICAL}
        row |= measured("ours", Path(name)) | measured("scipy", Path(name))
    row["times_faster_than_scipy_ks"] = row["scipy_ks_seconds"] / row["seconds"]
    if given.json:
        print(json.dumps(row))
        return
    for key, value in row.items():
        print(f"{key:28} {value:.3f}" if isinstance(value, float) else f"{key:28} {value}")


if __name__ == "__main__":
    main()
