"""How the cost of a window grows with its rows: seconds and peak memory at 1, 2, 5 and 10 million.

    python benchmarks/scale.py [--millions 1,2,5,10] [--repeat 3] [--json | --write]

Each size gets a store of its own with one window of that many predictions, nine in ten labelled: 20 numeric
and 4 categorical features, a score, two sensitive attributes. A fresh process opens it with two threads and
asks the window for every check: drift, quality, performance, and fairness with the intersection; once with
the default ``memory_limit`` of 1 GB, once with 256 MB. Peak memory is that process's.

``--write`` also puts the table into docs/benchmarks.md and draws docs/figures/scale.svg.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measuring import DOCUMENT, ours, prepare, write_part

FIGURE = DOCUMENT.parent / "figures" / "scale.svg"
LIMITS_MB = (1024, 256)  # the default, and a quarter of it
HEAD = (
    "rows",
    *(f"{what} at {mb} MB" for mb in LIMITS_MB for what in ("seconds", "s/million", "peak MB")),
)


def measured(millions: float, repeat: int) -> dict[str, Any]:
    """Fill a store and evaluate its window in fresh processes; return the median run of each limit."""
    runs: dict[int, list[dict[str, Any]]] = {limit: [] for limit in LIMITS_MB}
    with tempfile.TemporaryDirectory(prefix="model-monitor-benchmark-") as name:
        folder, rows = Path(name), round(millions * 1e6)
        print(f"{rows:,} rows: filling a store …", file=sys.stderr)
        prepare(folder, rows)
        for turn in range(repeat):
            for limit, answers in runs.items():
                print(f"{rows:,} rows, {limit} MB: {turn + 1} of {repeat} …", file=sys.stderr)
                answers.append(ours(folder, "everything", 1, limit))
                if "error" in answers[-1]:
                    raise SystemExit(f"{rows:,} rows, {limit} MB: {answers[-1]['error']}")
    size: dict[str, Any] = {"rows": rows}
    for limit, answers in runs.items():
        middle = sorted(answers, key=lambda answer: answer["seconds"])[repeat // 2]
        size[f"seconds_{limit}"] = middle["seconds"]
        size[f"seconds_per_million_{limit}"] = middle["seconds"] / rows * 1e6
        size[f"peak_mb_{limit}"], size["peak_mb_before"] = middle["peak_mb"], middle["peak_mb_before"]
    return size


def draw(sizes: list[dict[str, Any]]) -> None:
    """Draw seconds and peak memory over rows."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "scale"  # the same figures make the same file
    figure = Figure(figsize=(8, 3), layout="constrained")
    panels = dict(zip(("seconds", "peak_mb"), figure.subplots(1, 2), strict=True))
    labels = {"seconds": "seconds", "peak_mb": "resident memory, MB"}
    for what, axis in panels.items():
        for limit, style in zip(LIMITS_MB, ("o-", "s--"), strict=True):
            points = [(one["rows"] / 1e6, one[f"{what}_{limit}"]) for one in sizes]
            axis.plot(*zip(*points, strict=True), style, label=f"memory_limit {limit} MB")
        axis.set(xlabel="million rows in the window", ylabel=labels[what])
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    before = [(one["rows"] / 1e6, one["peak_mb_before"]) for one in sizes]
    panels["peak_mb"].plot(*zip(*before, strict=True), ":", color="gray", label="before the window")
    panels["peak_mb"].legend(frameon=False, fontsize="small")
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, metadata={"Date": None, "Creator": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--millions", default="1,2,5,10", help="rows of the windows, in millions")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each size; the median is shown")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    parser.add_argument("--write", action="store_true", help="write table and figure into docs/")
    given = parser.parse_args()
    sizes = [measured(float(size), given.repeat) for size in given.millions.split(",")]
    table: list[Sequence[str]] = []
    for one in sizes:
        cells = [f"{one['rows']:,}"]
        for limit in LIMITS_MB:
            per_million = one[f"seconds_per_million_{limit}"]
            cells += [
                f"{one[f'seconds_{limit}']:.2f}",
                f"{per_million:.2f}",
                f"{one[f'peak_mb_{limit}']:,.0f}",
            ]
        table.append(cells)
    if given.json:
        print(json.dumps({"benchmark": "scale", "sizes": sizes}))
    else:
        for row in [HEAD, *table]:
            print("".join(f"{cell:>22}" for cell in row))
    if given.write:
        ruled = [HEAD, ("---:",) * len(HEAD), *table]
        write_part("scale", "\n".join("| " + " | ".join(cells) + " |" for cells in ruled))
        draw(sizes)


if __name__ == "__main__":
    main()
