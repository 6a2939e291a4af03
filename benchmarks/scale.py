"""How the cost of a window grows with its rows: seconds and peak memory at 1, 2, 5 and 10 million.

    python benchmarks/scale.py [--millions 1,2,5,10] [--repeat 3] [--json | --write]

Each size gets a store of its own with one window of that many predictions, nine in ten labelled: 20 numeric
and 4 categorical features, a score, two sensitive attributes. A fresh process opens it with the default
settings (``memory_limit: 1GB``, two threads) and asks the window for every check: drift, quality,
performance, and fairness with the intersection. Peak memory is that process's; ``MB before`` is what it
took before the window was asked: interpreter, libraries, reference, store.

``--write`` also puts the table into docs/benchmarks.md and draws docs/figures/scale.svg.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench_data import fill_store, write_reference
from measuring import DOCUMENT, ours, write_part

FIGURE = DOCUMENT.parent / "figures" / "scale.svg"
HEAD = ("rows", "seconds", "seconds per million", "peak MB", "MB before")


def measured(millions: float, repeat: int) -> dict[str, Any]:
    """Fill a store and evaluate its window in fresh processes; return the median run."""
    with tempfile.TemporaryDirectory(prefix="model-monitor-benchmark-") as name:
        folder, rows = Path(name), round(millions * 1e6)
        print(f"{rows:,} rows: filling a store …", file=sys.stderr)
        write_reference(folder)
        fill_store(folder, rows)
        answers = []
        for turn in range(repeat):
            print(f"{rows:,} rows: {turn + 1} of {repeat} …", file=sys.stderr)
            answers.append(ours(folder, "everything"))
    for answer in answers:
        if "error" in answer:
            raise SystemExit(f"{rows:,} rows: {answer['error']}")
    middle = sorted(answers, key=lambda answer: answer["seconds"])[repeat // 2]
    per_million = middle["seconds"] / rows * 1e6
    kept = ("rows", "seconds", "peak_mb", "peak_mb_before", "results")
    return {key: middle[key] for key in kept} | {"seconds_per_million": per_million}


def draw(sizes: list[dict[str, Any]]) -> None:
    """Draw seconds and peak memory over rows."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "scale"  # the same figures make the same file
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    millions = [one["rows"] / 1e6 for one in sizes]
    left.plot(millions, [one["seconds"] for one in sizes], "o-", color="#1f6feb")
    left.set_ylabel("seconds")
    right.plot(millions, [one["peak_mb"] for one in sizes], "o-", color="#1f6feb", label="peak")
    right.plot(millions, [one["peak_mb_before"] for one in sizes], "--", color="#8b949e", label="before")
    right.set_ylabel("resident memory, MB")
    right.legend(frameon=False)
    for axis in (left, right):
        axis.set_xlabel("million rows in the window")
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
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
    table = [
        (
            f"{one['rows']:,}",
            f"{one['seconds']:.2f}",
            f"{one['seconds_per_million']:.2f}",
            f"{one['peak_mb']:,.0f}",
            f"{one['peak_mb_before']:,.0f}",
        )
        for one in sizes
    ]
    if given.json:
        print(json.dumps({"benchmark": "scale", "sizes": sizes}))
    else:
        for cells in [HEAD, *table]:
            print("".join(f"{cell:>21}" for cell in cells))
    if given.write:
        ruled = [HEAD, tuple("---:" for _ in HEAD), *table]
        write_part("scale", "\n".join("| " + " | ".join(cells) + " |" for cells in ruled))
        draw(sizes)


if __name__ == "__main__":
    main()
