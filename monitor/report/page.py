"""A report as one HTML file: no script, nothing fetched, light and dark, fit to be printed."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from markupsafe import Markup

import monitor
from monitor import pictures
from monitor.cycle import Monitored
from monitor.metrics import ColumnPair, check_of, find
from monitor.metrics.performance.calibration_error import reliability
from monitor.report import charts
from monitor.report.charts import Bar, Point, number
from monitor.report.material import SHOWN_COLUMNS, Material, gather
from monitor.store.explained import read_explained
from monitor.store.store import Cursor
from monitor.time import to_rfc3339
from monitor.types import Result, Series

RANKED = ("psi", "js_distance", "ks_statistic")
MOST_BARS = 25


@dataclass(frozen=True, slots=True)
class Row:
    """One number of a table: the result, what it is on the reference, its trend, and what an alert says."""

    result: Result
    baseline: float | None
    trend: Markup
    bound: float | None
    phase: str


def report(cursor: Cursor, monitored: Monitored, start_us: int | None, *, now_us: int) -> str:
    """Return the report of the window that starts then, by default of the newest with all its labels.

    Raises
    ------
    NotThereError
        When no such window has been evaluated.
    """
    material = gather(cursor, monitored, start_us)
    window = material.standing.window
    swarms = [
        (name, _image(pictures.beeswarm(explained[1], output=name)))
        for explained in [read_explained(cursor, monitored.model, window.start_us)]
        if explained is not None
        for name in explained[1].outputs[:4]
    ]
    return rendered(material, swarms, now_us=now_us)


def rendered(material: Material, swarms: Sequence[tuple[str, str]], *, now_us: int) -> str:
    """Return the page of what was gathered; ``swarms`` are pictures of rows by class, as data URLs."""
    ranking = _ranked(material)
    shown = [name for name in ranking if name in material.pairs][:SHOWN_COLUMNS]
    return str(
        _template().render(
            m=material, now_us=now_us, program=monitor.__version__, sections=_sections(material),
            drift=_drift_chart(material, ranking), shares=_attributions(material), swarms=swarms,
            columns=[(n, overlay_of(n, material.pairs[n])) for n in shown], curves=_curves(material),
            confusion=_confusion(material), groups=_groups(material), states=_states(material),
        )
    )  # fmt: skip


def overlay_of(name: str, pair: ColumnPair) -> Markup:
    """Draw a column's distribution in the window beside the reference's; at most 14 bins, the rest pooled."""
    names, (reference, current) = list(pair.bin_labels), pair.binned
    held = np.flatnonzero((reference > 0) | (current > 0))
    largest = held[np.argsort(-np.maximum(reference, current)[held], kind="stable")]
    kept = np.sort(largest[:13]) if len(held) > 14 else held
    rest = np.setdiff1d(held, kept)
    sides = [np.append(s[kept], s[rest].sum()) if len(rest) else s[kept] for s in (reference, current)]
    words = [names[i] for i in kept] + ([f"{len(rest)} others"] if len(rest) else [])
    return charts.overlay(words, sides[0], sides[1], f"distribution of {name}, reference and window")


def _ranked(material: Material) -> list[str]:
    """Return the features by drift, most first."""
    found = _drift(material)
    return [r.feature or "" for r in sorted(found, key=lambda r: (-(r.value or 0.0), r.feature or ""))]


def _drift(material: Material) -> list[Result]:
    for metric in RANKED:
        found = [r for r in material.of_all() if r.metric == metric and r.feature and r.value is not None]
        if found:
            return found
    return []


def _drift_chart(material: Material, ranking: Sequence[str]) -> Markup:
    found = {r.feature or "": r for r in _drift(material)}
    alerts = {s.series: s for s in material.states}
    rows = []
    for name in ranking[:MOST_BARS]:
        one = found[name]
        state = alerts.get(one.series)
        limit = state.high if state and state.high is not None else None
        critical = one.detail.get("critical")
        loud = limit is not None and (one.value or 0.0) > limit
        rows.append(Bar(name, one.value or 0.0, number(one.value), None, None, critical, limit, loud))
    metric = next(iter(found.values())).metric if found else "drift"
    return charts.bars(rows, f"{metric} of each feature") if rows else Markup("")


def _sections(material: Material) -> list[tuple[str, list[Row]]]:
    """Return the numbers that are about the whole window, by check."""
    alerts = {s.series: s for s in material.states}
    found: dict[str, list[Row]] = {}
    for one in material.of_all():
        if one.feature or one.attribute or one.group:
            continue
        state = alerts.get(one.series)
        bound = None if state is None else state.low if state.low is not None else state.high
        base = material.baselines.get((one.metric, *one.series[3:]))
        points = [Point(r.value, r.lower, r.upper) for r in material.history.get(one.series, ())]
        trend = charts.sparkline(points, bound, f"{one.metric} over {len(points)} windows")
        row = Row(one, base.value if base else None, trend, bound, state.phase if state else "")
        found.setdefault(_check(one.metric), []).append(row)
    order = ("performance", "estimate", "fairness", "drift", "quality", "explain")
    return [(check, found[check]) for check in order if check in found]


def _check(metric: str) -> str:
    try:
        return check_of(metric)
    except KeyError:
        return "other"


def _groups(material: Material) -> list[tuple[str, str, Markup]]:
    """Return (attribute, metric, chart) of every gap and of the groups' rates behind it."""
    found: dict[tuple[str, str], list[Bar]] = {}
    for r in material.of_all():
        if r.attribute and r.value is not None:
            name = r.group or r.metric.replace("_", " ")
            key = (r.attribute, r.metric if r.group else "")
            found.setdefault(key, []).append(Bar(name, r.value, number(r.value), r.lower, r.upper))
    charted = []
    for (attribute, metric), rows in sorted(found.items()):
        title = metric.replace("_", " ") or "gaps between groups"
        charted.append((attribute, title, charts.bars(rows[:MOST_BARS], f"{title} by {attribute}")))
    return charted


def _attributions(material: Material) -> list[tuple[str, Markup]]:
    found: dict[str, list[Result]] = {}
    for r in material.of_all():
        if r.metric == "attribution_share" and r.value is not None:
            found.setdefault(r.group or "", []).append(r)
    charted = []
    for group, rows in sorted(found.items()):
        ordered = sorted(rows, key=lambda r: -(r.value or 0.0))[:MOST_BARS]
        made = [
            Bar(r.feature or "", r.value or 0.0, number(r.value), r.lower, r.upper, _known(r))
            for r in ordered
        ]
        charted.append((group, charts.bars(made, "share of attribution of each feature")))
    return charted


def _known(result: Result) -> float | None:
    """Return the reference's own share, where the result says it (other results name the reference there)."""
    known = result.detail.get("reference")
    return known if isinstance(known, float) else None


def _curves(material: Material) -> list[tuple[str, Markup]]:
    data = material.labelled
    drawn: list[tuple[str, Markup]] = []
    for name, scores in sorted(data.scores.items())[:4] if data else ():
        if scores.counts.sum(1).all():
            x, y = charts.roc(scores.counts)
            axes = ("false positive rate", "true positive rate")
            drawn.append((f"ROC, class {name}", charts.curve(x, y, f"ROC curve of class {name}", axes)))
        if scores.n and not scores.out_of_range:
            counts, mean = reliability(scores)
            rate = counts[1] / counts.sum(0)
            words = ("mean score", "share of positives")
            chart = charts.curve(mean, rate, f"calibration of class {name}", words, dots=True)
            drawn.append((f"Calibration, class {name}", chart))
    return drawn


def _confusion(material: Material) -> dict[str, Any] | None:
    cells = material.labelled.confusion if material.labelled else None
    if cells is None or not cells.labelled or len(cells.classes) > 20:
        return None
    counts = cells.counts.sum(0)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return {"classes": cells.classes, "counts": counts.tolist(), "shares": shares.tolist()}


def _states(material: Material) -> list[Any]:
    order = {"firing": 0, "pending": 1, "ok": 2}
    return sorted(material.states, key=lambda s: (order[s.phase], s.alert, s.series))


def _image(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def _help(metric: str) -> str:
    try:
        return find(metric).help.replace("``", "")
    except KeyError:
        return ""


def _about(series: Series) -> str:
    """Return what a series is about beside its metric, in a few words."""
    return " · ".join(part for part in series[3:] if part) or "all"


def moment(time_us: int) -> str:
    """Return a moment for people, to the minute, in UTC."""
    return to_rfc3339(time_us)[:16].replace("T", " ") + " UTC"


@lru_cache
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("monitor.report"), autoescape=True, trim_blocks=True,
        lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters |= {"number": number, "moment": moment, "help": _help, "about": _about}
    return environment.get_template("report.html")
