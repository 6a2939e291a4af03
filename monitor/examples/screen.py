"""The demonstration on a terminal: a live view of what the daemon says, and of what has happened.

It takes the whole screen while it lasts, follows the terminal's size, and leaves the terminal as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType

import httpx
from rich.align import Align
from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.live import Live
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from monitor.examples.watching import Line, Sight, Watched, watch
from monitor.time import Clock

BLOCKS = "▁▂▃▄▅▆▇█"
STYLES = {"firing": "bold red", "pending": "bold yellow", "ok": "green", "failed": "red"}
EVERY_S = 1.0  # between two looks at the daemon
LEAST_ROWS, FRAME_ROWS = 3, 9  # what is not a line of the table or a note: headings, position, addresses
MORE_WIDE = 62  # columns of the terminal that the table needs beside its history


def can_live(console: Console) -> bool:
    """Tell whether the console can show a live view: a terminal with a cursor, and block characters."""
    return console.is_terminal and not console.is_dumb_terminal and console.encoding.startswith("utf")


class Screen:
    """The live view of a daemon; use it as a context, call :meth:`look` several times a second.

    Parameters
    ----------
    console
        The terminal.
    url
        The daemon's address.
    clock
        Says when to ask the daemon again.
    """

    def __init__(self, console: Console, url: str, clock: Clock) -> None:
        self.console, self.url, self.clock = console, url, clock
        self.sight: Sight | None = None
        self.where = ""
        self._notes: list[tuple[str, str]] = []
        self._client = httpx.Client(base_url=url, timeout=5.0, trust_env=False)
        self._live = Live(console=console, screen=True, auto_refresh=False)
        self._due_s = 0.0

    def __enter__(self) -> Screen:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._live.stop()
        finally:
            self._client.close()

    def say(self, text: str, style: str = "") -> None:
        """Add a paragraph to what has happened."""
        self._notes += [(line, style) for line in text.strip("\n").splitlines()]

    def look(self, where: str) -> None:
        """Draw anew, asking the daemon when it is time; ``where`` says how far the story has come."""
        self.where = where
        if self.clock.monotonic_s() >= self._due_s:
            with suppress(httpx.HTTPError):  # it starts, stops or is busy: the next look will see it
                self.sight = watch(self._client)
            self._due_s = self.clock.monotonic_s() + EVERY_S
        self._live.update(self.drawn(), refresh=True)

    def drawn(self) -> RenderableType:
        """Return the whole screen at the console's present size."""
        width, height = self.console.size
        layout = Layout()
        head, tables = self._head(), self._tables(width, max(LEAST_ROWS, (height - FRAME_ROWS) * 2 // 3))
        lines = len(self.console.render_lines(tables))
        notes = Layout(self._happened(width, max(height - lines - 6, 1)), ratio=1)
        layout.split_column(
            Layout(head, size=3), Layout(tables, size=lines), notes, Layout(self._addresses(), size=2)
        )
        return layout

    def summary(self) -> RenderableType:
        """Return what is to be left on the terminal: the last numbers, and what happened that mattered."""
        width = self.console.width
        told = [Text(text, style=style) for text, style in self._notes if style]
        return Group(self._head(), self._tables(width, len(BLOCKS) * 4), Rule(style="dim"), *told)

    def _head(self) -> RenderableType:
        sight = self.sight
        title = Text.assemble(("Model Monitor", "bold"), f"  {self.where}", no_wrap=True, overflow="ellipsis")
        if sight is None:
            return Group(title, Text("waiting for the daemon's first answer", style="dim"), Rule(style="dim"))
        firing = Text.assemble(
            ("firing: ", "dim"), (", ".join(sight.firing) or "no alert", "bold red" * bool(sight.firing))
        )
        sent = sight.requests
        said = f"retrain requests: {sent['delivered']} delivered" + "".join(
            f", {sent[state]} {state}" for state in ("pending", "dead") if sent[state]
        )
        told = Text.assemble((f"{said}  ", "bold green" if sent["delivered"] else "dim"), firing)
        if not sight.ready:
            told = Text(f"not ready: {'; '.join(sight.reasons)}", style="yellow")
        told.no_wrap, told.overflow = True, "ellipsis"
        return Group(title, told, Rule(style="dim"))

    def _tables(self, width: int, rows: int) -> RenderableType:
        found = self.sight.models if self.sight else ()
        return Group(*(part for model in found for part in _table(model, width, rows)))

    def _happened(self, width: int, rows: int) -> RenderableType:
        """Return the newest of what happened that fits: numbers on one line each, what matters in full."""
        lines: list[Text] = []
        for text, style in self._notes:
            note = Text(text, style=style or "dim")
            if style:
                lines += note.wrap(self.console, width)
            else:
                note.truncate(width, overflow="ellipsis")
                lines.append(note)
        return Group(Rule("what happened", align="left", style="dim"), *lines[-(rows - 1) or len(lines) :])

    def _addresses(self) -> RenderableType:
        text = Text.assemble(
            ("look at  ", "dim"), (f"{self.url}/", "cyan"), ("  or  ", "dim"), ("/metrics", "cyan"),
            ("  or  ", "dim"), ("/api/v1/alerts", "cyan"), no_wrap=True, overflow="ellipsis",
        )  # fmt: skip
        end = Text("Ctrl-C ends it and leaves a summary", style="dim", no_wrap=True, overflow="ellipsis")
        return Group(text, Align.left(end))


def _table(model: Watched, width: int, rows: int) -> list[RenderableType]:
    """Return a model's position in its stream and the table of its series, the loudest ``rows`` of them."""
    at = f"{model.watermark[:16].replace('T', ' ')} UTC" if model.watermark else "nothing read yet"
    counted = f"{model.events['prediction']:,} predictions, {model.events['feedback']:,} labels"
    position = Text.assemble(
        (model.name, "bold"), f"  {model.task}  {at}  {counted}", no_wrap=True, overflow="ellipsis"
    )
    table = Table(box=None, pad_edge=False, expand=True, header_style="dim")
    table.add_column("metric", ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("now", justify="right", no_wrap=True, min_width=7)
    table.add_column("alert if", justify="right", no_wrap=True, min_width=8)
    table.add_column("state", no_wrap=True, min_width=8, max_width=20)
    wide = min(width - MORE_WIDE, 48)
    if wide >= 8:
        table.add_column(f"last {wide} windows", no_wrap=True, width=max(wide, 15))
    for line in model.lines[:rows]:
        name = line.metric.replace("_", " ")
        limits = " or ".join(f"{'>' if k == 'above' else '<'} {v:g}" for k, v in line.bounds.items())
        cells = [f"{line.about}: {name}" if line.about else name, short(line.value), limits or "–"]
        state = Text(line.state, style=STYLES.get(line.state, "dim"))
        table.add_row(*cells, state, *([spark(line, wide)] if wide >= 8 else []))
    return [position, table if model.lines else Text("no window is complete yet", style="dim")]


def short(value: float | None) -> str:
    """Return a number in at most eight characters.

    >>> [short(v) for v in (None, 0.0, 3.168e-06, 0.83291, 5.134, 42450.4)]
    ['–', '0', '3e-06', '0.8329', '5.134', '42,450']
    """
    if value is None:
        return "–"
    if abs(value) >= 1e3:
        return f"{value:,.0f}" if abs(value) < 1e6 else f"{value:.1e}"
    return f"{value:.0e}" if 0 < abs(value) < 1e-3 else f"{value:.4g}"


def spark(line: Line, width: int) -> Text:
    """Draw the last windows as blocks, from the least to the largest; red what is beyond a bound of now.

    >>> spark(Line("psi", "age", 0.3, {"above": 0.2}, "firing", [0.0, None, 0.1, 0.3]), 4).plain
    '▁ ▃█'
    """
    shown: Sequence[float | None] = line.history[-width:]
    known = [v for v in shown if v is not None]
    low, span = min(known, default=0.0), (max(known, default=0.0) - min(known, default=0.0)) or 1.0
    above, below = line.bounds.get("above", float("inf")), line.bounds.get("below", float("-inf"))
    drawn = Text()
    for value in shown:
        if value is None:
            drawn.append(" ")
            continue
        block = BLOCKS[round((value - low) / span * (len(BLOCKS) - 1))]
        drawn.append(block, style="red" if value > above or value < below else "cyan")
    return drawn
