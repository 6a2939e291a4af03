"""Gauges about the monitor and its alerts, built from a snapshot; one table declares names and labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from types import MappingProxyType

from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

from monitor.web.labels import label_value
from monitor.web.snapshot import AlertView, Snapshot
from monitor.web.telemetry import PREFIX

SERIES = ("version", "feature", "attribute", "group", "segment")
INSTANCE = ("model", "alert", "metric", *SERIES)
THRESHOLD = ("model", "alert", "metric", "bound", *SERIES)

RETRAIN_STATES = ("waiting", "answered")

# name without prefix -> (labels, help); a label without a value is left out
TABLE = MappingProxyType(
    {
        "alert_firing": (
            ("model", "alert", "severity"),
            "1 while any instance of the alert is firing, else 0.",
        ),
        "alert_no_data": (
            ("model", "alert", "severity"),
            "1 while any instance of the alert has no value in the newest window and keeps its phase.",
        ),
        "alert_silenced": (
            ("model", "alert", "severity"),
            "1 while any instance of the alert that is not ok is silenced, else 0.",
        ),
        "alert_threshold": (
            THRESHOLD,
            "The bound, as a number of the metric: the rule's own, or the newest window's of each instance.",
        ),
        "alert_margin": (
            INSTANCE,
            "Distance of the newest value to the nearest bound, in the metric's unit; below 0 beyond it.",
        ),
        "retrain_requests": (
            ("model", "state"),
            "The newest requests to retrain: waiting for a new version, or answered by one.",
        ),
        "retrain_last_request_timestamp_seconds": (("model",), "Moment of the newest request to retrain."),
        "retrain_mean_gain": (
            ("model", "version", "metric"),
            "Mean gain over the old version of the one that answered a request to retrain; below 0 worse.",
        ),
        "results": (
            ("model", "state"),
            "Results in the newest windows by state; ok ones have a value, the state of others says why not.",
        ),
        "consumer_lag_records": (
            ("source", "topic", "partition"),
            "Records between the stored position and the end of the log; files are summed per glob.",
        ),
        "partition_halted": (
            ("source", "topic"),
            "Partitions that stopped for good and wait for an operator's choice.",
        ),
        "source_connected": (("source",), "1 while the source can be reached, else 0."),
        "watermark_timestamp_seconds": (
            ("model",),
            "Event time up to which the model's input is taken as complete, lateness aside.",
        ),
        "last_event_timestamp_seconds": (("model",), "Event time of the model's newest prediction."),
        "window_end_timestamp_seconds": (("model", "check"), "End of the newest evaluated window."),
        "last_evaluation_success_timestamp_seconds": (
            ("model",),
            "Moment of the model's last evaluation without a failure.",
        ),
        "outbox_pending": ((), "Webhooks waiting to be sent."),
        "store_bytes": ((), "Size of the store on disk."),
        "snapshot_timestamp_seconds": ((), "Moment the exposed numbers were taken from the store."),
    }
)

Row = tuple[tuple[str, ...], float]


def gauges(snapshot: Snapshot) -> Iterator[Metric]:
    """Yield one gauge family for each entry of the table that has at least one value."""
    for name, (labels, text) in TABLE.items():
        family = Metric(PREFIX + name, text, "gauge")
        family.samples = [
            Sample(family.name, _labels(labels, values), value) for values, value in _rows(name, snapshot)
        ]
        if family.samples:
            yield family


def _rows(name: str, snapshot: Snapshot) -> Iterable[Row]:
    match name:
        case "alert_firing":
            return _any(((a.model, a.alert, a.severity), a.phase == "firing") for a in snapshot.alerts)
        case "alert_no_data":
            return _any(((a.model, a.alert, a.severity), a.no_data) for a in snapshot.alerts)
        case "alert_silenced":
            return _any(
                ((a.model, a.alert, a.severity), bool(a.silence) and a.phase != "ok") for a in snapshot.alerts
            )
        case "alert_threshold":
            return _thresholds(snapshot)
        case "alert_margin":
            return [
                ((a.model, a.alert, a.metric, *_series(a)), a.margin)
                for a in snapshot.alerts
                if a.margin is not None
            ]
        case "retrain_requests":
            return [((r.model, s), getattr(r, s)) for r in snapshot.retrains for s in RETRAIN_STATES]
        case "retrain_last_request_timestamp_seconds":
            return [((r.model,), r.last_us / 1e6) for r in snapshot.retrains]
        case "retrain_mean_gain":
            gains = [(r, metric, gain) for r in snapshot.retrains for metric, gain in sorted(r.gains.items())]
            return [((r.model, r.version or "", metric), gain) for r, metric, gain in gains]
        case "results":
            return _sum(((r.model, r.state), 1) for r in snapshot.results)
        case "window_end_timestamp_seconds":
            return [(key, us / 1e6) for key, us in sorted(snapshot.window_ends.items())]
        case "last_evaluation_success_timestamp_seconds":
            return [((model,), us / 1e6) for model, us in sorted(snapshot.last_success.items())]
        case "watermark_timestamp_seconds":
            return [((m.name,), m.watermark_us / 1e6) for m in snapshot.models if m.watermark_us is not None]
        case "last_event_timestamp_seconds":
            return [
                ((m.name,), m.last_event_us / 1e6) for m in snapshot.models if m.last_event_us is not None
            ]
        case _:
            return _process_rows(name, snapshot)


def _thresholds(snapshot: Snapshot) -> list[Row]:
    """Return each rule's numbers, and of bounds that depend on the window those of each instance."""
    none = ("",) * len(SERIES)
    fixed = {(t.model, t.alert, t.metric, t.bound): t.value for t in snapshot.thresholds}
    rows: dict[tuple[str, ...], float] = {(*key, *none): value for key, value in fixed.items()}
    for alert in snapshot.alerts:
        for bound, value in alert.bounds.items():
            key = (alert.model, alert.alert, alert.metric, bound)
            if key not in fixed:
                rows[(*key, *_series(alert))] = value
    return list(rows.items())


def _series(alert: AlertView) -> tuple[str, ...]:
    return tuple(getattr(alert, name) or "" for name in SERIES)


def _labels(names: tuple[str, ...], values: tuple[str, ...]) -> dict[str, str]:
    pairs = zip(names, map(label_value, values), strict=True)
    return {name: value for name, value in pairs if value or name not in SERIES}


def _process_rows(name: str, snapshot: Snapshot) -> Iterable[Row]:
    match name:
        case "consumer_lag_records":
            return _sum(
                ((p.source, p.topic, p.partition if p.partition.isdecimal() else ""), p.lag_records)
                for p in snapshot.partitions
                if p.lag_records is not None
            )
        case "partition_halted":
            return _sum(((p.source, p.topic), bool(p.halted)) for p in snapshot.partitions)
        case "source_connected":
            return _any(((s.name,), s.connected) for s in snapshot.sources)
        case "outbox_pending":
            return [] if snapshot.outbox_pending is None else [((), snapshot.outbox_pending)]
        case "store_bytes":
            return [] if snapshot.store_bytes is None else [((), snapshot.store_bytes)]
        case _:
            return [((), snapshot.taken_us / 1e6)] if snapshot.taken_us else []


def _sum(pairs: Iterable[tuple[tuple[str, ...], float]]) -> list[Row]:
    totals: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for key, value in pairs:
        totals[key] += value
    return sorted(totals.items())


def _any(pairs: Iterable[tuple[tuple[str, ...], bool]]) -> list[Row]:
    return [(key, float(total > 0)) for key, total in _sum(pairs)]
