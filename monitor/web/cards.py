"""Alerts for people: each in a sentence, with what its metric means, its trend, and where to look next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

from markupsafe import Markup

from monitor.report import charts
from monitor.report.board import Board
from monitor.report.charts import number
from monitor.time import to_rfc3339
from monitor.types import ALL_VERSIONS, Result, Series
from monitor.web.names import help_text
from monitor.web.snapshot import AlertView

PHASES = {"firing": 0, "pending": 1, "ok": 2}


@dataclass(frozen=True, slots=True)
class Card:
    """One instance of an alert as shown; ``distribution`` and ``report`` are parts of addresses, or empty."""

    alert: AlertView
    sentence: str
    help: str
    trend: Markup
    distribution: str
    report: str


def loudness(alert: AlertView) -> tuple[int, str, str, str]:
    """Return a key that sorts alerts, firing ones first."""
    return PHASES[alert.phase], alert.model, alert.alert, about(alert)


def cards(alerts: Iterable[AlertView], board: Board) -> list[Card]:
    """Return the cards of these alerts."""
    return [
        Card(a, sentence(a), help_text(a.metric), _trend(a, board), _distribution(a), _report(a))
        for a in alerts
    ]


def sentence(alert: AlertView) -> str:
    """Return what an alert says of its newest value.

    >>> sentence(AlertView("m", "a", "info", "firing", "psi", feature="age", value=0.3, bounds={"above": 1}))
    'psi of age is 0.3; it fires above 1.'
    >>> sentence(AlertView("m", "a", "info", "ok", "roc_auc", bound=0.7, no_data=True))
    'roc auc has no value; its bound is 0.7. The newest window gave none: the state is an older one.'
    """
    what = alert.metric.replace("_", " ") + (f" of {about(alert)}" if about(alert) else "")
    limits = [f"{name} {number(alert.bounds[name])}" for name in ("above", "below") if name in alert.bounds]
    fires = f"; it fires {' or '.join(limits)}" if limits else ""
    if not limits and alert.bound is not None:
        fires = f"; its bound is {number(alert.bound)}"
    kept = ""
    if alert.no_data:
        why = f" ({alert.reason.replace('_', ' ')})" if alert.reason else ""
        kept = f" The newest window gave none{why}: the state is an older one."
    said = "has no value" if alert.value is None else f"is {number(alert.value)}"
    return f"{what} {said}{fires}.{kept}"


def about(alert: AlertView) -> str:
    """Return what an alert instance is about, in a few words."""
    parts = [alert.feature, alert.attribute, alert.group, alert.segment]
    if alert.version != ALL_VERSIONS:
        parts.append(f"version {alert.version}")
    return " · ".join(part for part in parts if part)


def series_of(alert: AlertView) -> Series:
    """Return the series that an alert instance watches."""
    names = ("feature", "attribute", "group", "segment")
    a, b, c, d = (getattr(alert, name) or "" for name in names)
    return alert.model, alert.version, alert.metric, a, b, c, d


def trend(metric: str, history: Iterable[Result], bound: float | None) -> Markup:
    """Draw the history of a series beside the bound of its alert."""
    points = [charts.Point(r.value, r.lower, r.upper) for r in history]
    return charts.sparkline(points, bound, f"{metric.replace('_', ' ')} over {len(points)} windows")


def _trend(alert: AlertView, board: Board) -> Markup:
    return trend(alert.metric, board.history.get(series_of(alert), ()), alert.bound)


def _distribution(alert: AlertView) -> str:
    if not alert.feature:
        return ""
    return "?" + urlencode({"model": alert.model, "feature": alert.feature}) + "#distribution"


def _report(alert: AlertView) -> str:
    return "?" + urlencode({"window": to_rfc3339(alert.window.start_us)}) if alert.window else ""
