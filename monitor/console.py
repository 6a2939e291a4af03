"""Output of the commands: rows as table, CSV or JSON lines, tables of references, progress of long work."""

from __future__ import annotations

import csv
import json
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from monitor.build import Plan
    from monitor.reference.data import Column, Reference
    from monitor.reference.period import Period


class Format(StrEnum):
    """How rows are printed."""

    table = "table"
    jsonl = "jsonl"
    csv = "csv"


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line."""
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, allow_nan=False) + "\n")


def print_rows(rows: Sequence[Mapping[str, Any]], format: Format = Format.table) -> None:
    """Print rows of equal keys on standard output."""
    if format is Format.jsonl:
        for row in rows:
            sys.stdout.write(json.dumps(row, default=str) + "\n")
        return
    columns = list(rows[0]) if rows else []
    if format is Format.csv:
        writer = csv.DictWriter(sys.stdout, columns)
        writer.writeheader()
        writer.writerows(rows)
        return
    print_table(columns, [[row[c] for c in columns] for row in rows])


@contextmanager
def progress_reporter() -> Iterator[Callable[[str, int, int | None], None]]:
    """Yield a reporter: a bar on a terminal, a log line now and then elsewhere."""
    log, said = logging.getLogger("monitor"), [time.monotonic()]
    if not sys.stderr.isatty():

        def line(what: str, done: int, total: int | None) -> None:
            if time.monotonic() - said[0] > 5.0:
                said[0] = time.monotonic()
                log.info("%s: %d%s", what, done, f" of {total}" if total else "")

        yield line
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def advance(what: str, done: int, total: int | None) -> None:
            task = tasks.get(what)
            if task is None:
                task = tasks[what] = bars.add_task(what, total=total)
            bars.update(task, completed=done, total=total)

        yield advance


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str | None = None) -> None:
    """Print a table; numbers short, nothing for None. Without a terminal it is as wide as it needs to be."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=sum(30 for _ in columns) + 10)
    if not rows:
        console.print("nothing")
        return
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    console.print(table)


def reference_tables(
    plan: Plan, model: str | None, kept: Mapping[tuple[str, str], Sequence[tuple[Period, Reference]]]
) -> None:
    """Print each model's reference profiles: id, rows, and a line a column.

    ``kept`` has those of periods of the stream, by model and version, as far as they have been built.
    """
    from monitor.reference.data import Reference
    from monitor.types import ALL_VERSIONS

    for spec in plan.specs:
        if model not in (None, spec.name):
            continue
        default = plan.references[spec.name]
        found = ({ALL_VERSIONS: default} if default else {}) | dict(plan.origins[spec.name])
        if not found:
            Console().print(f"{spec.name}: no reference")
        for version, origin in found.items():
            named = spec.name if version == ALL_VERSIONS else f"{spec.name} version {version}"
            if isinstance(origin, Reference):
                _profile(f"{named}: reference", origin)
                continue
            Console().print(f"{named}: {origin}", highlight=False)
            for period, reference in kept.get((spec.name, version), []):
                _profile(f"{named}, {period}: reference", reference)


def _profile(title: str, reference: Reference) -> None:
    columns = {**reference.columns, **{f"({k})": v for k, v in reference.targets.items()}}
    rows = [[name, *_describe(column)] for name, column in columns.items()]
    head = ("column", "kind", "missing", "mean / most frequent", "sd / categories", "min", "max")
    print_table(head, rows, title=f"{title} {reference.id}, {reference.rows} rows")
    if reference.segments:
        shown = [[name, part.rows] for name, part in sorted(reference.segments.items())]
        print_table(("segment", "rows of its own profile"), shown)


def _describe(column: Column) -> list[Any]:
    from monitor.summaries.numeric import NumericSummary

    if isinstance(column, NumericSummary):
        m = column.moments
        numbers = [m.mean, m.sd, m.minimum, m.maximum] if m.n else [None] * 4
        return ["numeric", column.missing, *numbers]
    best = max(zip(column.counts.tolist(), column.categories, strict=True), default=(0, ""))
    return ["categorical", column.missing, f"{best[1]} ({best[0]})", len(column.categories), None, None]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
