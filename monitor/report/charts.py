"""Charts as inline SVG: no script, coloured by the page's style: light, dark or print.

A chart is markup made of numbers and of escaped text alone. Classes are for the style: ``ref`` is the
reference, ``now`` the window, ``lim`` a limit, ``ci`` an interval. Each says in words what it shows, for
those who do not see it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from monitor.summaries import FloatArray, IntArray

ROW, NAME_WIDTH, PLOT_WIDTH, VALUE_WIDTH = 26, 170, 380, 90
NAME_CHARS = 24


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of a bar chart: a value with its interval, a mark of what to compare with, and a limit."""

    name: str
    value: float
    text: str
    lower: float | None = None
    upper: float | None = None
    mark: float | None = None
    limit: float | None = None
    loud: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """One window of a sparkline."""

    value: float | None
    lower: float | None = None
    upper: float | None = None


def number(value: float | None) -> str:
    """Return a number as people read it, four significant digits.

    >>> number(0.123456), number(41822.0), number(44150.31), number(1.2e-9), number(None)
    ('0.1235', '41,822', '44,150', '1.2e-09', '–')
    """
    if value is None:
        return "–"
    whole = abs(value) < 1e9 and (value == int(value) or abs(value) >= 1e4)
    return f"{value:,.0f}" if whole else f"{value:.4g}"


def sparkline(points: Sequence[Point], bound: float | None, label: str) -> Markup:
    """Draw a series over its windows: its interval as a band, its limit, gaps where it has no value."""
    known = [v for p in points for v in (p.value, p.lower, p.upper) if v is not None]
    if not known:
        return Markup("")
    known += [bound] if bound is not None else []
    low, span = min(known), max(known) - min(known) or 1.0
    at = [(i * 100 / (len(points) - 1) if len(points) > 1 else 50.0) for i in range(len(points))]

    def y(value: float | None) -> str:
        return f"{28 - 26 * ((value or 0.0) - low) / span:.2f}"

    parts = [_run(run, at, points, y) for run in _runs(points)]
    limit = "" if bound is None else f'<line class="lim" x1="0" x2="100" y1="{y(bound)}" y2="{y(bound)}"/>'
    values = [p.value for p in points if p.value is not None]
    said = [f"first {number(values[0])}", f"last {number(values[-1])}"] if values else []
    said += [f"from {number(min(values))} to {number(max(values))}"] if values else []
    said += [f"limit {number(bound)}"] if bound is not None else []
    return _svg("spark", 100, 30, label, "".join(parts) + limit, ", ".join(said), stretch=True)


def _runs(points: Sequence[Point]) -> list[list[int]]:
    """Return the stretches of neighbouring windows that have a value."""
    runs: list[list[int]] = [[]]
    for i, point in enumerate(points):
        if point.value is None:
            runs.append([])
        else:
            runs[-1].append(i)
    return [run for run in runs if run]


def _run(
    run: Sequence[int], at: Sequence[float], points: Sequence[Point], y: Callable[[float | None], str]
) -> str:
    line = [f"{at[i]:.2f},{y(points[i].value)}" for i in run]
    if len(run) == 1:
        line.append(f"{at[run[0]] + 0.8:.2f},{y(points[run[0]].value)}")
    sure = [i for i in run if points[i].lower is not None and points[i].upper is not None]
    band = ""
    if len(sure) > 1:
        edge = [f"{at[i]:.2f},{y(points[i].upper)}" for i in sure]
        edge += [f"{at[i]:.2f},{y(points[i].lower)}" for i in reversed(sure)]
        band = f'<polygon class="ci" points="{" ".join(edge)}"/>'
    return f'{band}<polyline class="now" points="{" ".join(line)}"/>'


def bars(rows: Sequence[Bar], label: str, *, top: float | None = None) -> Markup:
    """Draw horizontal bars from zero, one row each: the name, the bar, the interval, marks, and the value."""
    ends = [v for r in rows for v in (r.value, r.upper, r.mark, r.limit) if v is not None]
    scale = PLOT_WIDTH / ((top or max(ends, default=1.0) * 1.04) or 1.0)
    parts = []
    for i, row in enumerate(rows):
        middle = i * ROW + ROW / 2
        x = [NAME_WIDTH + max(v, 0.0) * scale for v in (row.value, row.lower or 0.0, row.upper or 0.0)]
        parts.append(_text(NAME_WIDTH - 8, middle + 4, row.name, "end"))
        kind = "now loud" if row.loud else "now"
        width = x[0] - NAME_WIDTH
        parts.append(
            f'<rect class="{kind}" x="{NAME_WIDTH}" y="{middle - 8}" width="{width:.2f}" height="16"/>'
        )
        if row.lower is not None and row.upper is not None:
            parts.append(
                f'<line class="whisker" x1="{x[1]:.2f}" x2="{x[2]:.2f}" y1="{middle}" y2="{middle}"/>'
            )
        for value, mark in ((row.mark, "known"), (row.limit, "lim")):
            if value is not None:
                at = NAME_WIDTH + max(value, 0.0) * scale
                parts.append(
                    f'<line class="{mark}" x1="{at:.2f}" x2="{at:.2f}" '
                    f'y1="{middle - 11}" y2="{middle + 11}"/>'
                )
        parts.append(_text(NAME_WIDTH + PLOT_WIDTH + VALUE_WIDTH, middle + 4, row.text, "end", "num"))
    height = max(len(rows), 1) * ROW
    said = "; ".join(f"{row.name} {row.text}" for row in rows)
    return _svg("bars", NAME_WIDTH + PLOT_WIDTH + VALUE_WIDTH + 4, height, label, "".join(parts), said)


def overlay(names: Sequence[str], reference: IntArray, current: IntArray, label: str) -> Markup:
    """Draw each bin's share of the rows, the reference's and the window's side by side."""
    sides = [side / max(int(side.sum()), 1) for side in (reference, current)]
    highest = max(float(side.max(initial=0.0)) for side in sides) or 1.0
    step = 440 / max(len(names), 1)
    parts = []
    for i, name in enumerate(names):
        for j, (side, kind) in enumerate(zip(sides, ("ref", "now"), strict=True)):
            height = 150 * float(side[i]) / highest
            x, width = 4 + i * step + step * (0.08 + 0.42 * j), step * 0.42
            title = f"<title>{escape(name)}: {float(side[i]):.2%}</title>"
            parts.append(
                f'<rect class="{kind}" x="{x:.2f}" y="{156 - height:.2f}" width="{width:.2f}"'
                f' height="{height:.2f}">{title}</rect>'
            )
        middle = 4 + (i + 0.5) * step
        word = _text(0, 0, name, "start", chars=16)
        parts.append(f'<g transform="translate({middle:.2f} 170) rotate(35)">{word}</g>')
    parts.append('<line class="axis" x1="4" x2="444" y1="156.5" y2="156.5"/>')
    shares = zip(names, *(side.tolist() for side in sides), strict=True)
    said = "; ".join(f"{name}: reference {a:.1%}, window {b:.1%}" for name, a, b in shares)
    return _svg("overlay", 510, 236, label, "".join(parts), said)


def curve(x: FloatArray, y: FloatArray, label: str, axes: tuple[str, str], *, dots: bool = False) -> Markup:
    """Draw a line in the unit square above its diagonal; ``axes`` names both."""
    left, low, side = 46, 232, 220
    points = [f"{left + side * a:.2f},{low - side * b:.2f}" for a, b in zip(x, y, strict=True)]
    grid = f'<rect class="frame" x="{left}" y="{low - side}" width="{side}" height="{side}"/>'
    grid += f'<line class="diag" x1="{left}" y1="{low}" x2="{left + side}" y2="{low - side}"/>'
    ticks = "".join(
        _text(left - 6, low - side * t + 4, f"{t:g}", "end")
        + _text(left + side * t, low + 16, f"{t:g}", "middle")
        for t in (0.0, 0.5, 1.0)
    )
    marks = "".join(
        '<circle class="now" cx="{}" cy="{}" r="3.5"/>'.format(*p.split(",")) for p in points if dots
    )
    names = _text(left + side / 2, low + 34, axes[0], "middle", chars=40)
    upright = _text(0, 0, axes[1], "middle", chars=40)
    names += f'<g transform="translate(13 {low - side / 2}) rotate(-90)">{upright}</g>'
    line = f'<polyline class="now" points="{" ".join(points)}"/>'
    some = np.unique(np.linspace(0, len(x) - 1, 6).round().astype(np.int64)).tolist()
    said = f"{axes[1]} at {axes[0]}: " + "; ".join(f"{y[i]:.2f} at {x[i]:.2f}" for i in some)
    return _svg("curve", 280, 272, label, grid + ticks + line + marks + names, said)


def roc(counts: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return the false and true positive rate at each threshold; int64[2, cells] ascend in score.

    >>> roc(np.array([[1, 1, 0], [0, 1, 2]]))[1].tolist()
    [0.0, 0.6666666666666666, 1.0, 1.0]
    """
    held = counts[:, counts.sum(0) > 0][:, ::-1]
    rates = [np.concatenate([[0.0], np.cumsum(side) / max(int(side.sum()), 1)]) for side in held]
    keep = np.unique(np.linspace(0, len(rates[0]) - 1, 200).round().astype(np.int64))
    return rates[0][keep], rates[1][keep]


def _svg(
    kind: str, width: float, height: float, label: str, body: str, said: str, *, stretch: bool = False
) -> Markup:
    fit = ' preserveAspectRatio="none"' if stretch else ""
    return Markup(
        f'<svg class="{kind}" viewBox="0 0 {width:g} {height:g}"{fit}'
        f' role="img" aria-label="{escape(label)}">'
        f"<desc>{_clean(said)}</desc>{body}</svg>"
    )


def _text(x: float, y: float, text: str, anchor: str, kind: str = "", *, chars: int = NAME_CHARS) -> str:
    shown = text if len(text) <= chars else text[: chars - 1] + "…"
    return f'<text class="{kind}" x="{x:.2f}" y="{y:.2f}" text-anchor="{anchor}">{_clean(shown)}</text>'


def _clean(text: str) -> Markup:
    return escape("".join(c if c.isprintable() else "\ufffd" for c in text))
