"""A backend in memory for the HTTP tests, and a small but complete snapshot of one credit model."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from markupsafe import Markup

from monitor.errors import NotThereError
from monitor.report.board import Board
from monitor.report.charts import overlay
from monitor.report.material import Standing
from monitor.store.explained import ExplainedRows
from monitor.time import HOUR_US, from_rfc3339
from monitor.types import Result, Window
from monitor.web.app import create_app
from monitor.web.backend import Health, ResultsQuery
from monitor.web.server import Server
from monitor.web.snapshot import (
    AlertView,
    Current,
    ModelView,
    PartitionView,
    QuarantineView,
    Snapshot,
    SourceView,
    ThresholdView,
)
from monitor.web.telemetry import Telemetry

END = from_rfc3339("2026-11-22T10:00:00Z")
WINDOW = Window(END - HOUR_US, END)


def result(metric: str, value: float | None = None, **more: object) -> Result:
    base = Result(model="credit", version="*", window=WINDOW, metric=metric, state="ok", value=value)
    if value is None:
        base = replace(base, state="no_labels")
    return replace(base, **more)  # type: ignore[arg-type]


RESULTS = (
    result("psi", 0.31, feature="income", n=41822, n_reference=100_000),
    result("psi_critical", 0.0007, feature="income", n=41822),
    result("psi", 0.004, feature="age", n=41822, segment="plan=gold"),
    result("psi", 0.003, feature="age", n=41822),
    result("prediction_psi", 0.02, n=41822),
    result("accuracy", 0.8125, lower=0.80, upper=0.825, n=41000),
    result("roc_auc", state="single_class", n=3, detail={"reason": "every label is '1'"}),
    result("demographic_parity_difference", 0.125, attribute="sex", lower=0.1, upper=0.15),
    result("group_selection_rate", 0.5, attribute="sex", group="F"),
    result("group_selection_rate", 0.375, attribute="sex", group="M"),
)

SNAPSHOT = Snapshot(
    taken_us=END + 330_000_000,
    results=RESULTS,
    alerts=(
        AlertView(
            "credit", "income-drift", "warning", "firing", "psi", feature="income", value=0.31, bound=0.2,
            since_us=END, window=WINDOW,
        ),
        AlertView("credit", "accuracy-drop", "critical", "ok", "accuracy", value=0.8125, bound=0.8),
        AlertView("credit", "auc-drop", "critical", "ok", "roc_auc", bound=0.7, no_data=True),
    ),
    models=(
        ModelView(
            "credit", "binary", END + 60_000_000, WINDOW, "ref-1f2e", last_event_us=END + 59_000_000
        ),
    ),
    thresholds=(
        ThresholdView("credit", "income-drift", "psi", "above", 0.2),
        ThresholdView("credit", "accuracy-drop", "accuracy", "below", 0.8),
    ),
    sources=(SourceView("events", connected=True),),
    partitions=(
        PartitionView("events", "credit.predictions", "0", 12),
        PartitionView("events", "credit.predictions", "1", 30, halted="offset 7 no longer exists"),
        PartitionView("files", "logs/*.jsonl", "logs/a.jsonl", 5),
        PartitionView("files", "logs/*.jsonl", "logs/b.jsonl", 6),
    ),
    window_ends={("credit", "drift"): END},
    last_success={"credit": END + 300_000_000},
    store_bytes=73_400_320,
    outbox_pending=2,
)  # fmt: skip


class MemoryBackend:
    """Serves what it was given; ``history`` is what the store would hold."""

    def __init__(self, snapshot: Snapshot = SNAPSHOT, history: Sequence[Result] = ()) -> None:
        self.telemetry = Telemetry()
        self.telemetry.declare(["credit"])
        self.current = Current(snapshot)
        self.history = list(history) or list(snapshot.results)
        self.problems: list[str] = []
        self.now = Health()
        self.hold: threading.Event | None = None

    def snapshot(self) -> Snapshot:
        return self.current.get()

    def health(self) -> Health:
        return self.now

    def reload(self) -> list[str]:
        return self.problems

    def results(self, query: ResultsQuery) -> list[Result]:
        if self.hold is not None:
            self.hold.wait(10)
        newest_first = sorted(self.history, key=lambda r: r.window, reverse=True)
        return [r for r in newest_first if query.matches(r)][: query.limit]

    def explained(self, model: str, start_us: int | None) -> tuple[Window, ExplainedRows]:
        raise NotThereError("no explained rows are kept")

    def explain_event(self, model: str, event_id: str) -> dict[str, Any]:
        raise NotThereError(f"no event {event_id!r} of model {model!r} is stored")

    def board(self) -> Board:
        series: dict[Any, list[Result]] = {}
        for one in sorted(self.history, key=lambda r: r.window):
            series.setdefault(one.series, []).append(one)
        change = {
            "kind": "alert", "at": "2026-11-22T10:05:30Z", "model": "credit", "alert": "income-drift",
            "feature": "income", "attribute": None, "group": None, "before": "ok", "after": "firing",
            "value": 0.31, "bound": 0.2, "silenced": False,
        }  # fmt: skip
        request = {"model": "credit", "at_us": END, "alerts": ["income-drift"], "answered_by": None}
        standing = {"credit": Standing(WINDOW, 2, True, 0.98)}
        return Board(series, standing, [change], [("not_json", 3)], [request])

    def distribution(self, model: str, feature: str) -> tuple[Standing, Markup]:
        if feature != "income":
            raise NotThereError(f"no distribution of {feature!r} beside a reference; there are income")
        chart = overlay(["low", "high"], np.array([3, 1]), np.array([1, 3]), "distribution of income")
        return self.board().standings["credit"], chart

    def report(self, model: str, start_us: int | None) -> str:
        if model != "credit":
            raise NotThereError(f"no model {model!r}; there are credit")
        return f"<!doctype html><title>{model} {start_us}</title>"

    def retraining(self, model: str | None, limit: int) -> dict[str, object]:
        return {"requests": [], "verdicts": [{"model": model, "outcome": "calm"}][:limit]}

    def quarantine(self, limit: int) -> list[QuarantineView]:
        row = QuarantineView(END, "credit", "not_json", "line 1: expected a value", "events", "t", "0", 41, 9)
        return [row][:limit]

    def outbox(self, state: str | None, limit: int) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = [
            {"id": f"msg_{s}", "rule": "retrain", "state": s} for s in ("delivered", "dead")
        ]
        return [row for row in rows if state in (None, row["state"])][-limit:]

    def retry_messages(self, id: str | None, action: str | None) -> int:
        return sum(row["id"] == (id or row["id"]) for row in self.outbox("dead", 10))


@contextmanager
def serving(backend: MemoryBackend, **options: object) -> Iterator[Server]:
    """Serve on a free loopback port while the block runs."""
    server = Server("127.0.0.1:0", create_app(backend), **options)  # type: ignore[arg-type]
    server.start()
    try:
        yield server
    finally:
        server.stop()
