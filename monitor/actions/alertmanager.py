"""Alerts as Alertmanager takes them: ``POST /api/v2/alerts``, a list of alerts known by their labels.

What fires is posted without an end: Alertmanager ends it ``resolve_timeout`` after the last post, so what
stands is posted again and again (the relay's repeats). What is over is posted with its end.

Reference: https://prometheus.io/docs/alerting/latest/clients/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from monitor.actions.payload import ALERT, Message, canonical
from monitor.errors import ActionError

PATH = "/api/v2/alerts"
PER_POST = 64  # alerts, as Prometheus sends them
_FROM_DATA = ("model", "severity", "version", "metric", "feature", "attribute", "group", "segment")


def bodies(
    messages: Sequence[Message], *, labels: Mapping[str, str], generator_url: str | None = None
) -> Iterable[bytes]:
    """Yield the bodies that say what these messages say, up to 64 alerts each."""
    alerts = [_alert(message, labels, generator_url) for message in messages]
    for at in range(0, len(alerts), PER_POST):
        yield canonical(alerts[at : at + PER_POST])


def label_name(text: str) -> str:
    """Return a name that Prometheus allows for a label.

    >>> label_name("cost-center"), label_name("1st")
    ('cost_center', '_1st')
    """
    name = re.sub(r"[^a-zA-Z0-9_]", "_", text)
    return f"_{name}" if name[:1].isdigit() or not name else name


def _alert(message: Message, labels: Mapping[str, str], generator_url: str | None) -> dict[str, Any]:
    if message["type"] != ALERT:
        raise ActionError("an alertmanager action takes alerts only, no requests to retrain")
    data = message["data"]
    names = {name: data[name] for name in _FROM_DATA if data[name] not in (None, "*")}
    own = {label_name(name): text for name, text in {**labels, **data["labels"]}.items()}
    notes = {
        "summary": data["summary"],
        "description": data["description"],
        "runbook_url": data["runbook"],
        "window": f"{data['window']['start']} to {data['window']['end']}" if data["window"] else None,
    }
    alert = {
        "labels": {name: str(text) for name, text in {**own, **names, "alertname": data["alert"]}.items()},
        "annotations": {name: text for name, text in notes.items() if text},
        "startsAt": data["since"],
    }
    if data["status"] == "resolved":
        alert["endsAt"] = message["timestamp"]
    return alert | ({"generatorURL": generator_url} if generator_url else {})
