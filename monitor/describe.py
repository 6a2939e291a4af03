"""Tables for people on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from monitor.build import Plan
from monitor.engine.reference import Column
from monitor.summaries.numeric import NumericSummary


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


def reference_tables(plan: Plan, model: str | None) -> None:
    """Print each model's reference profile: id, rows, and a line a column."""
    for spec in plan.specs:
        if model not in (None, spec.name):
            continue
        reference = plan.references[spec.name]
        if reference is None:
            Console().print(f"{spec.name}: no reference")
            continue
        columns = {**reference.columns, **{f"({k})": v for k, v in reference.targets.items()}}
        rows = [[name, *_describe(column)] for name, column in columns.items()]
        head = ("column", "kind", "missing", "mean / most frequent", "sd / categories", "min", "max")
        print_table(head, rows, title=f"{spec.name}: reference {reference.id}, {reference.rows} rows")


def _describe(column: Column) -> list[Any]:
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
