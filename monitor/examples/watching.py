"""What the live view shows, asked of the running daemon over its own HTTP API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

MORE = (
    "roc_auc", "f1", "rmse", "ndcg", "log_loss", "drifted_share", "prediction_psi", "calibration_error",
    "label_delay_seconds",
)  # fmt: skip
MOST_LINES, MOST_POINTS = 20, 60
PHASES = {"firing": 0, "pending": 1, "ok": 2}
SERIES = ("model", "version", "metric", "feature", "attribute", "group", "segment")
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """One series: its newest value, when its alert fires, how it stands, and its last windows, oldest first.

    ``bounds`` are the alert's (``above``, ``below``), empty for a series without one.
    """

    metric: str
    about: str
    value: float | None
    bounds: Mapping[str, float]
    state: str
    history: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Watched:
    """One model: where its stream has come to, and its series, loudest first."""

    name: str
    task: str
    watermark: str | None
    events: Mapping[str, int]
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Sight:
    """What the daemon says of itself at one moment; ``firing`` names alerts, ``requests`` counts by state."""

    ready: bool
    reasons: Sequence[str]
    models: Sequence[Watched]
    firing: Sequence[str]
    requests: Mapping[str, int]


def watch(client: httpx.Client) -> Sight:
    """Ask the daemon that ``client`` is connected to.

    Raises
    ------
    httpx.HTTPError
        When it does not answer.
    """
    status, alerts = _get(client, "status"), _get(client, "alerts")["alerts"]
    outbox = _get(client, "outbox")["outbox"]
    sent = [row for row in outbox if row["rule"] == "retrain"]
    loud = [a for a in alerts if a["phase"] == "firing"]
    return Sight(
        status["ready"], status["reasons"],
        [_watched(client, model, alerts) for model in _get(client, "models")["models"]],
        [f"{a['alert']} ({_about(a)})" if _about(a) else a["alert"] for a in loud],
        {state: sum(row["state"] == state for row in sent) for state in ("pending", "delivered", "dead")},
    )  # fmt: skip


def _watched(client: httpx.Client, model: Row, alerts: Sequence[Row]) -> Watched:
    mine = sorted((a for a in alerts if a["model"] == model["name"]), key=_loudness)
    first = {a["alert"]: a for a in reversed(mine)}  # the loudest instance of each alert
    shown = sorted(first.values(), key=_loudness)
    shown += [a for a in mine if a not in shown and a["phase"] != "ok"]
    found = _get(client, "results", model=model["name"], version="*", feature="", group="", segment="")
    known = {(a["metric"], a["attribute"]) for a in shown}
    whole = {r["metric"]: r for r in found["results"] if r["attribute"] is None}
    rows = [*shown, *(whole[m] for m in MORE if m in whole and (m, None) not in known)]
    landed = {kind: count["landed"] for kind, count in model["events"].items()}
    lines = [_line(client, row) for row in rows[:MOST_LINES]]
    return Watched(model["name"], model["task"], model["watermark"], landed, lines)


def _loudness(alert: Row) -> tuple[int, float]:
    margin = alert["margin"]
    return PHASES[alert["phase"]], float("inf") if margin is None else margin


def _line(client: httpx.Client, row: Row) -> Line:
    """Return the line of an alert's instance or of a result."""
    named = {name: row[name] for name in SERIES if row[name] is not None}
    points = _get(client, "series", **named, limit=str(MOST_POINTS))["points"]
    bounds = {name: row["bounds"][name] for name in ("above", "below") if name in row.get("bounds", {})}
    state = row.get("phase") or row["state"].replace("_", " ")
    history = [p["value"] for p in points]
    newest = next((v for v in reversed(history) if v is not None), row["value"])
    return Line(row["metric"], _about(row), newest, bounds, state, history)


def _about(row: Row) -> str:
    """Return what a row is about, in a few words."""
    return ", ".join(row[name] for name in ("feature", "attribute", "group", "segment") if row[name])


def _get(client: httpx.Client, what: str, **parameters: str) -> Any:
    return client.get(f"/api/v1/{what}", params=parameters).raise_for_status().json()
