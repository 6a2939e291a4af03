"""Measuring in fresh processes, and putting what was measured into the page of figures."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench_data import FEATURES, HOUR_US, SPECS, START_US

from monitor.engine.duckdb import WindowQuery
from monitor.evaluate import evaluate
from monitor.reference.profile import ReferenceFile
from monitor.store.store import Store

DOCUMENT = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def child(*command: str | Path) -> dict[str, Any]:
    """Run a command; return the JSON of its last line, or ``{"error": reason}``."""
    answer = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if answer.returncode:
        last = [line for line in answer.stderr.splitlines() if line.strip()][-1:]
        return {"error": (last or [f"exit code {answer.returncode}"])[0].strip()[:300]}
    return dict(json.loads(answer.stdout.splitlines()[-1]))


def prepare(folder: Path, rows: int, *more: str) -> None:
    """Write the reference and a store with the window, and with ``"parquet"`` a file of the window.

    In a process of its own, as what measures must stay small: see :func:`peak_mb`.
    """
    if error := child(
        sys.executable, Path(__file__).with_name("bench_data.py"), folder, str(rows), *more
    ).get("error"):
        raise SystemExit(f"the rows cannot be written: {error}")


def peak_mb() -> float:
    """Return the largest resident set that this process has had, or its parent when it was started.

    The kernel hands a process's maximum on to the program that it becomes.
    """
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def evaluated(folder: Path, checks: str, times: int = 1, limit_mb: int = 1024) -> dict[str, Any]:
    """Evaluate the window of the store in ``folder`` in this process, after a small one as a warm-up.

    ``seconds`` is the median; of several times without the first, which has to read the file.
    ``limit_mb`` is the store's ``memory_limit``.
    """
    spec = SPECS[checks]
    reference = ReferenceFile(folder / "reference.parquet").profile(FEATURES, task="binary")
    store = Store(folder / "store.duckdb", memory_limit_bytes=limit_mb << 20)
    model, cursor, seconds, results, rows = store.register(SPECS["everything"]), store.cursor(), [], 0, 0
    before_mb = peak_mb()
    for start in [START_US - HOUR_US] + [START_US] * times:
        started = time.perf_counter()
        query = WindowQuery(cursor, spec, model, spec.window.at(start // HOUR_US))
        answer = evaluate(query, reference, has_feedback=spec.checks.fairness)
        seconds.append(time.perf_counter() - started)
        rows, results = answer.rows, len(answer.results)
    figures = {"seconds": statistics.median(seconds[2:] or seconds[1:]), "seconds_first": seconds[1]}
    return figures | {"peak_mb": peak_mb(), "peak_mb_before": before_mb, "rows": rows, "results": results}


def ours(folder: Path, checks: str, times: int = 1, limit_mb: int = 1024) -> dict[str, Any]:
    """Evaluate the window in a fresh process."""
    return child(sys.executable, __file__, folder, checks, str(times), str(limit_mb))


def write_part(name: str, text: str) -> None:
    """Put ``text`` between the marks of ``name`` in the page of figures."""
    page = DOCUMENT.read_text(encoding="utf-8")
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    head, _, rest = page.partition(begin)
    _, mark, tail = rest.partition(end)
    if not mark:
        raise SystemExit(f"{DOCUMENT}: no part between {begin.strip()} and {end}")
    DOCUMENT.write_text(f"{head}{begin}{text.strip()}\n{end}{tail}", encoding="utf-8")


if __name__ == "__main__":
    print(json.dumps(evaluated(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))))
