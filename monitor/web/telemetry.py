"""The process's own counters, on a registry of their own; one table declares every name and label."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from types import MappingProxyType

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

import monitor

PREFIX = "model_monitor_"

# name without prefix and suffix -> (labels, help). Label values come from the configuration and from
# fixed vocabularies, never from events.
TABLE = MappingProxyType(
    {
        "events": (
            ("model", "kind", "outcome"),
            "Records decoded from the sources, by what became of them: landed, duplicate, conflict "
            "(an id seen before with another payload), late, quarantined, ignored.",
        ),
        "quarantined": (("reason",), "Records refused, by reason."),
        "feature_faults": (
            ("model", "feature", "fault"),
            "Feature values that could not be used as configured and were taken as missing.",
        ),
        "evaluation_duration_seconds": (("model",), "Time to evaluate one window of one model."),
        "evaluation_failures": (("model",), "Evaluations of a window that ended in an error."),
        "webhook_attempts": (
            ("action", "outcome"),
            "Webhook requests sent, by outcome: delivered, retry, dead, disabled.",
        ),
        "series_dropped": (
            (),
            "Result series left out of the exposition by the series budget, counted once for each set of "
            "results exposed (not once a scrape).",
        ),
        "ticks_skipped": ((), "Evaluation ticks skipped because the one before was still running."),
        "conservation_violations": (
            (),
            "Checks of read = landed + duplicate + quarantined that did not hold; any is a defect.",
        ),
        "config_last_reload_successful": ((), "1 when the last configuration reload succeeded, else 0."),
        "config_last_reload_success_timestamp_seconds": (
            (),
            "Moment of the last successful configuration load.",
        ),
        "build_info": (("version", "python"), "Always 1; the program's version and Python's."),
    }
)

KINDS = ("prediction", "feedback")
OUTCOMES = ("landed", "duplicate", "conflict", "late", "quarantined", "ignored")
DURATION_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Telemetry:
    """Counters, one attribute each; every one may be used from any thread.

    Examples
    --------
    >>> telemetry = Telemetry()
    >>> telemetry.events.labels("credit", "prediction", "landed").inc(3)
    >>> telemetry.value("model_monitor_events_total", model="credit", kind="prediction", outcome="landed")
    3.0
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.events = self._counter("events")
        self.quarantined = self._counter("quarantined")
        self.feature_faults = self._counter("feature_faults")
        self.evaluation_failures = self._counter("evaluation_failures")
        self.webhook_attempts = self._counter("webhook_attempts")
        self.series_dropped = self._counter("series_dropped")
        self.ticks_skipped = self._counter("ticks_skipped")
        self.conservation_violations = self._counter("conservation_violations")
        self.config_last_reload_successful = self._gauge("config_last_reload_successful")
        self.config_last_reload_success = self._gauge("config_last_reload_success_timestamp_seconds")
        labels, text = TABLE["evaluation_duration_seconds"]
        self.evaluation_duration = Histogram(
            PREFIX + "evaluation_duration_seconds",
            text,
            labels,
            registry=self.registry,
            buckets=DURATION_BUCKETS,
        )
        self._gauge("build_info").labels(monitor.__version__, platform.python_version()).set(1)

    def _counter(self, name: str) -> Counter:
        labels, text = TABLE[name]
        return Counter(PREFIX + name, text, labels, registry=self.registry)

    def _gauge(self, name: str) -> Gauge:
        labels, text = TABLE[name]
        return Gauge(PREFIX + name, text, labels, registry=self.registry)

    def declare(self, models: Iterable[str]) -> None:
        """Start the counters of these models at 0, so that ``increase()`` sees even the first event."""
        for model in models:
            self.evaluation_failures.labels(model)
            self.evaluation_duration.labels(model)
            for kind in KINDS:
                for outcome in OUTCOMES:
                    self.events.labels(model, kind, outcome)

    def config_loaded(self, now_us: int) -> None:
        """Note a successful configuration load."""
        self.config_last_reload_successful.set(1)
        self.config_last_reload_success.set(now_us / 1e6)

    def events_of(self, model: str) -> dict[str, dict[str, int]]:
        """Return how many events of a model there have been since the start, by kind and outcome."""
        name = PREFIX + "events_total"
        return {
            kind: {
                outcome: int(self.value(name, model=model, kind=kind, outcome=outcome) or 0)
                for outcome in OUTCOMES
            }
            for kind in KINDS
        }

    def value(self, sample: str, **labels: str) -> float | None:
        """Return one sample's value, None where it does not exist yet."""
        return self.registry.get_sample_value(sample, labels)
