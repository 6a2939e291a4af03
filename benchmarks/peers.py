"""What drift and fairness of one window cost here, and with the libraries one would otherwise use.

    python benchmarks/peers.py [--rows 1000000] [--peers evidently,nannyml] [--repeat 3] [--json | --write]

The same window of ``--rows`` rows, 20 numeric and 4 categorical features, against the same reference of
100,000 rows. Each peer gets an environment of its own, made by pip and kept in the user's cache folder, and
its rows in memory; ours are in a store, landed and closed, and are read from it within the time. Everyone
is warmed up on 1,000 rows first, so that imports do not count. The contenders run in turn, each time in a
fresh process; seconds and peak memory are the medians. Ours computes more: PSI with its critical value, KS
with its p-value, Wasserstein, JS, Hellinger, L-infinity, chi-squared, Cramér's V and the quality of every
column; all fairness metrics of both attributes and their intersection, with intervals, after joining the
labels.

``--write`` also puts the table into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import child, ours, prepare, write_part
from peer_work import WORK
from rich.console import Console
from rich.table import Table

PEERS = {  # distribution -> what pip installs; pandas below 3 where the release fails to import with it
    "evidently": ("evidently==0.7.23", "pandas<3", "pyarrow"),
    "nannyml": ("nannyml==0.13.1", "pandas<3", "pyarrow", "statsmodels"),
    "whylogs": ("whylogs==1.6.4", "pandas<3", "pyarrow"),
    "alibi-detect": ("alibi-detect==0.13.0", "pandas<3", "pyarrow<21"),  # its NumPy is 1
    "scipy": ("scipy==1.17.1", "pandas<3", "pyarrow"),
    "fairlearn": ("fairlearn==0.15.0", "pandas<3", "pyarrow"),
}
CHECKS = {
    "columns": "all drift and quality, 24 columns",
    "fairness": "all fairness, 2 attributes, intersected",
}
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "model-monitor" / "peers"


@dataclass(frozen=True)
class Line:
    """The figures of one contender's work, or why there are none."""

    who: str
    what: str
    seconds: float | None
    peak_mb: float | None
    version: str = ""
    error: str = ""

    @property
    def check(self) -> str:
        """Which of our evaluations it is compared with."""
        return "fairness" if self.who == "fairlearn" else "columns"


def environment(folder: Path, peer: str) -> Path:
    """Make the peer's environment unless it is there; return its Python.

    Raises
    ------
    RuntimeError
        With the last line of pip when it cannot be made.
    """
    home, wanted = folder / peer, "\n".join(PEERS[peer])
    python, made = home / "bin" / "python", home / "made-of.txt"
    if made.is_file() and made.read_text() == wanted:
        return python
    print(f"installing {peer} …", file=sys.stderr)
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(home)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PEERS[peer]],
    ):
        answer = subprocess.run(command, capture_output=True, text=True)
        if answer.returncode:
            raise RuntimeError((answer.stderr.strip().splitlines() or ["pip failed"])[-1])
    made.write_text(wanted)
    return python


def pythons(folder: Path, peers: list[str]) -> tuple[dict[str, Path], dict[str, str]]:
    """Return each peer's Python, and why the others have none."""
    found: dict[str, Path] = {}
    failed: dict[str, str] = {}
    for peer in peers:
        try:
            found[peer] = environment(folder, peer)
        except (RuntimeError, OSError) as error:
            failed[peer] = f"cannot be installed: {error}"
    return found, failed


def measure(folder: Path, found: dict[str, Path], repeat: int) -> dict[str, list[dict[str, Any]]]:
    """Run every contender in turn, ``repeat`` times over; return the answers by name."""
    works = [name for name in WORK if name.partition(":")[0] in found]
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in [*CHECKS, *works]}
    for turn in range(repeat):
        for name in answers:
            print(f"{turn + 1} of {repeat}: {name} …", file=sys.stderr)
            if name in CHECKS:
                answers[name].append(ours(folder, name))
                continue
            if not any("error" in answer for answer in answers[name]):
                script = Path(__file__).with_name("peer_work.py")
                answers[name].append(child(found[name.partition(":")[0]], script, name, folder))
    return answers


def line(name: str, answers: list[dict[str, Any]]) -> Line:
    who, _, what = name.partition(": ")
    who, what = ("ours", CHECKS[name]) if name in CHECKS else (who, what)
    for answer in answers:
        if "error" in answer:
            return Line(who, what, None, None, error=answer["error"])
    middle = {key: statistics.median(a[key] for a in answers) for key in ("seconds", "peak_mb")}
    return Line(who, what, **middle, version=answers[0].get("version", ""))


def rows_of(lines: list[Line], mine: dict[str, Line]) -> list[tuple[str, ...]]:
    """Return the table's rows as text: ours beside each peer's."""
    rows: list[tuple[str, ...]] = []
    for one in sorted(lines, key=lambda it: (it.check, it.seconds or 1e9)):
        us = mine[one.check]
        who = f"{one.who} {one.version}".strip()
        if one.seconds is None or us.seconds is None:
            rows.append((one.what, who, f"not run: {one.error or us.error}", "", "", "", ""))
            continue
        ratio = f"{one.seconds / us.seconds:.0f} ×"
        peaks = (f"{one.peak_mb:,.0f}", f"{us.peak_mb:,.0f}")
        rows.append((one.what, who, f"{one.seconds:.1f}", peaks[0], f"{us.seconds:.2f}", peaks[1], ratio))
    return rows


HEAD = ("work", "peer", "seconds", "peak MB", "ours, seconds", "ours, peak MB", "faster")


def fastest(lines: list[Line], mine: dict[str, Line], check: str) -> float | None:
    """Return how many times faster ours is than the fastest peer; None where either has no figure."""
    others = [one.seconds for one in lines if one.check == check and one.seconds is not None]
    seconds = mine[check].seconds
    return min(others) / seconds if others and seconds else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--peers", default=",".join(PEERS), help="which of them, separated by commas")
    parser.add_argument("--repeat", type=int, default=3, help="turns; the medians are shown")
    parser.add_argument("--environments", type=Path, default=CACHE, help="where the environments are kept")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    parser.add_argument("--write", action="store_true", help="write the table into docs/benchmarks.md")
    given = parser.parse_args()
    peers = [name for name in given.peers.split(",") if name]
    if unknown := set(peers) - set(PEERS):
        parser.error(f"--peers: unknown {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    found, failed = pythons(given.environments, peers)
    with tempfile.TemporaryDirectory(prefix="model-monitor-benchmark-") as name:
        folder = Path(name)
        prepare(folder, given.rows, "parquet")
        answers = measure(folder, found, max(given.repeat, 1))
    lines = [line(name, some) for name, some in answers.items()]
    lines += [Line(peer, "", None, None, error=reason) for peer, reason in failed.items()]
    mine = {check: lines.pop(0) for check in CHECKS}
    report(given, lines, mine)
    if any(one.error for one in mine.values()):
        raise SystemExit("; ".join(f"{one.what}: {one.error}" for one in mine.values() if one.error))


def report(given: argparse.Namespace, lines: list[Line], mine: dict[str, Line]) -> None:
    """Print and write what was found."""
    times = {check: fastest(lines, mine, check) for check in CHECKS}
    table = rows_of(lines, mine)
    if given.json:
        row = {"benchmark": "peers", "rows": given.rows, "repeat": given.repeat}
        row |= {"ours": {check: vars(one) for check, one in mine.items()}, "peers": [vars(o) for o in lines]}
        print(json.dumps(row | {"times_faster_than_fastest": times}))
    else:
        shown = Table(*HEAD, title=f"{given.rows:,} rows × 24 columns, medians of {given.repeat}")
        for cells in table:
            shown.add_row(*cells)
        Console(width=None if sys.stdout.isatty() else 140).print(shown)
        for check, ratio in times.items():
            if ratio is not None:
                print(f"{CHECKS[check]}: {ratio:.1f} times faster than the fastest of these")
    if given.write:
        ruled = [HEAD, tuple("---" for _ in HEAD), *table]
        write_part("peers", "\n".join("| " + " | ".join(cells) + " |" for cells in ruled))


if __name__ == "__main__":
    main()
