"""The status page: one self-contained HTML document for people, made from a snapshot.

The view is grouped by what the registry says a metric is about; the numbers are complete without
script, charts included: the page's own script does nothing but load it again.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from markupsafe import Markup

import monitor
from monitor.metrics import TARGETS
from monitor.report import charts
from monitor.report.board import Board
from monitor.report.charts import number
from monitor.report.material import Standing
from monitor.report.page import moment
from monitor.types import ALL_VERSIONS, Result, Series
from monitor.web.backend import Health
from monitor.web.cards import PHASES, about, cards, loudness, series_of, trend
from monitor.web.names import help_text, place
from monitor.web.snapshot import AlertView, ModelView, Snapshot

MAX_ROWS = 40
MOST_SHARES = 12
MOST_REASONS = 4
FIRST = (
    "psi",
    "psi_critical",
    "ks_statistic",
    "ks_pvalue",
    "accuracy",
    "precision",
    "recall",
    "f1",
    "roc_auc",
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One number as shown: text, interval, and what marks it."""

    name: str
    help: str
    text: str
    interval: str
    state: str
    note: str
    phase: str
    trend: Markup
    bound: float | None
    value: float | None


@dataclass(slots=True)
class Table:
    """Rows by name, columns by metric; a missing cell is None."""

    columns: list[str] = field(default_factory=list)
    rows: dict[str, dict[str, Cell]] = field(default_factory=dict)
    hidden: int = 0


@dataclass(frozen=True, slots=True)
class ModelPage:
    """Everything shown of one model."""

    model: ModelView
    tiles: dict[str, list[Cell]]
    columns: Table
    gaps: Table
    groups: Table
    elsewhere: int
    states: list[tuple[str, int]]
    reasons: list[tuple[str, str, int]]
    features: list[str]
    shares: Markup


def render(
    snapshot: Snapshot,
    health: Health,
    board: Board,
    *,
    nonce: str,
    chosen: tuple[str, str, Standing, Markup] | None = None,
) -> str:
    """Return the page; ``chosen`` is a model, a feature of it, and the chart of its distribution."""
    alerts = sorted(snapshot.alerts, key=loudness)
    phases = {series_of(a): a for a in reversed(alerts)}
    loud = [a for a in alerts if a.phase != "ok" or a.no_data]
    firing = sum(a.phase == "firing" for a in alerts)
    return str(
        _template().render(
            nonce=nonce,
            version=monitor.__version__,
            health=health,
            snapshot=snapshot,
            taken=moment(snapshot.taken_us) if snapshot.taken_us else "",
            verdict=_verdict(health, firing, sum(a.phase == "pending" for a in alerts)),
            loud=cards(loud, board),
            quiet=[a for a in alerts if a.phase == "ok" and not a.no_data],
            models=[_model_page(m, snapshot.results, phases, board) for m in snapshot.models],
            board=board,
            chosen=chosen,
        )
    )


def new_nonce() -> str:
    """Return a fresh nonce for the page's own style and script."""
    return secrets.token_urlsafe(16)


def security_headers(nonce: str) -> dict[str, str]:
    """Return headers that let the page run its own style and script, and nothing from elsewhere."""
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; "
        "img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    return {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
    }


def _verdict(health: Health, firing: int, pending: int) -> tuple[str, str]:
    if not health.alive:
        return "bad", "not working"
    if not health.ready:
        return "warn", "not ready yet"
    if firing:
        return "bad", f"{firing} alert{'s' * (firing > 1)} firing"
    return ("warn", f"{pending} pending") if pending else ("good", "all quiet")


def _model_page(
    model: ModelView, results: Iterable[Result], alerts: dict[Series, AlertView], board: Board
) -> ModelPage:
    tiles: dict[str, list[Cell]] = {"performance": [], "quality": [], "drift": []}
    columns, gaps, groups = Table(), Table(), Table()
    elsewhere = 0
    mine = [r for r in results if r.model == model.name]
    for result in sorted(mine, key=lambda r: (_order(place(r.metric)[2]), r.feature or "", r.group or "")):
        check, subject, column = place(result.metric)
        if result.version != ALL_VERSIONS or result.segment is not None:
            elsewhere += 1
        elif subject in TARGETS or result.feature is not None:
            _put(columns, result.feature or f"({subject})", column, _cell(result, alerts, board))
        elif result.group is not None:
            _put(groups, f"{result.attribute} = {result.group}", column, _cell(result, alerts, board))
        elif result.attribute is not None:
            _put(gaps, result.attribute, column, _cell(result, alerts, board))
        else:
            tiles.setdefault(check, []).append(_cell(result, alerts, board))
    _loudest_first(columns)
    counts = Counter[str](r.state for r in mine)
    states = sorted(counts.items(), key=lambda item: (item[0] != "ok", item[0]))
    features = sorted({r.feature for r in mine if r.feature and r.version == ALL_VERSIONS})
    return ModelPage(
        model, tiles, columns, gaps, groups, elsewhere, states, _reasons(mine), features, _shares(mine)
    )


def _reasons(results: Iterable[Result]) -> list[tuple[str, str, int]]:
    """Return why results have no value, most frequent first: (state, reason, how many)."""
    why = Counter((r.state, _reason(r)) for r in results if r.state != "ok" and _reason(r))
    return [(state.replace("_", " "), reason, n) for (state, reason), n in why.most_common(MOST_REASONS)]


def _reason(result: Result) -> str:
    return str(result.detail.get("reason") or result.detail.get("error") or "")


def _shares(results: Iterable[Result]) -> Markup:
    """Draw the largest shares of attribution of a model with one output; empty where it is not explained."""
    named = [r for r in results if r.metric == "attribution_share" and r.value is not None]
    held = [r for r in named if r.version == ALL_VERSIONS and r.segment is None and r.group is None]
    held = sorted(held, key=lambda r: -(r.value or 0.0))[:MOST_SHARES]
    rows = [
        charts.Bar(r.feature or "", r.value or 0.0, number(r.value or 0.0), r.lower, r.upper) for r in held
    ]
    return charts.bars(rows, "share of attribution of each feature") if rows else Markup("")


def _put(table: Table, row: str, column: str, cell: Cell) -> None:
    if column not in table.columns:
        table.columns.append(column)
    table.rows.setdefault(row, {})[column] = cell


def _loudest_first(table: Table) -> None:
    """Order rows by alert phase, then by PSI; cut a long table."""

    def loudness(item: tuple[str, dict[str, Cell]]) -> tuple[int, float, str]:
        cells = item[1]
        phase = min((PHASES.get(cell.phase, 3) for cell in cells.values()), default=3)
        psi = cells.get("psi")
        return phase, -(psi.value or 0.0) if psi else 0.0, item[0]

    ordered = sorted(table.rows.items(), key=loudness)
    table.hidden = max(0, len(ordered) - MAX_ROWS)
    table.rows = dict(ordered[:MAX_ROWS])


def _cell(result: Result, alerts: dict[Series, AlertView], board: Board) -> Cell:
    alert = alerts.get(result.series)
    bound, reason = alert.bound if alert else None, _reason(result)
    window = f"{moment(result.window.start_us)} to {moment(result.window.end_us)}"
    interval = ""
    if result.lower is not None and result.upper is not None and result.value is not None:
        interval = f"{number(result.lower)} – {number(result.upper)}"
    return Cell(
        name=result.metric,
        help=help_text(result.metric),
        text="" if result.value is None else number(result.value),
        interval=interval,
        state=result.state.replace("_", " "),
        note=f"n = {result.n:,}; {window}" + (f"; {reason}" if reason else ""),
        phase=alert.phase if alert else "",
        trend=trend(result.metric, board.history.get(result.series, ()), bound),
        bound=bound,
        value=result.value,
    )


def _order(metric: str) -> tuple[int, str]:
    return (FIRST.index(metric) if metric in FIRST else len(FIRST)), metric


@lru_cache
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("monitor.web"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"number": number, "about": about, "moment": _moment, "size": _size}
    return environment.get_template("status.html")


def _moment(time_us: int | None) -> str:
    return "–" if time_us is None else moment(time_us)


def _size(size_bytes: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.3g} TiB"
