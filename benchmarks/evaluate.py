"""How long one window of N rows takes to evaluate, and how much memory; beside scipy on the same columns.

    python benchmarks/evaluate.py [--rows 1000000] [--json]

20 numeric and 4 categorical features against a reference of 100,000 rows: once with drift and quality on,
once with fairness of two attributes and their intersection. Each in a fresh process that opens the store,
reads the reference, and asks a small window, then the large one six times: ``first`` has to read the file,
``seconds`` is the median of the others. Another fresh process runs ``scipy.stats.ks_2samp`` on the same 20
columns.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from bench_data import CATEGORICAL, NUMERIC
from measuring import child, ours, prepare

SCIPY = "scipy: KS, numeric columns"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="model-monitor-benchmark-") as name:
        folder = Path(name)
        prepare(folder, given.rows, "parquet")
        sides = {"columns": ours(folder, "columns", 6), "fairness": ours(folder, "fairness", 6)}
        work = Path(__file__).with_name("peer_work.py")
        sides["scipy_ks"] = child(sys.executable, work, SCIPY, folder)
    if failed := [f"{side}: {figures['error']}" for side, figures in sides.items() if "error" in figures]:
        raise SystemExit("; ".join(failed))
    row = {"benchmark": "evaluate", "rows": given.rows, "features": NUMERIC + CATEGORICAL}
    row |= {f"{side}_{key}": value for side, figures in sides.items() for key, value in figures.items()}
    row["times_faster_than_scipy_ks"] = row["scipy_ks_seconds"] / row["columns_seconds"]
    if given.json:
        print(json.dumps(row))
        return
    for key, value in row.items():
        print(f"{key:28} {value:.3f}" if isinstance(value, float) else f"{key:28} {value}")


if __name__ == "__main__":
    main()
