"""What one committed moment shows: the immutable view that scrapes, the API and the page are served from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from monitor.types import AlertPhase, Result, Task, Window


@dataclass(frozen=True, slots=True)
class AlertView:
    """One instance of an alert: the rule applied to one series.

    ``no_data`` is True when the newest window gave no value, so that the phase is a kept, older one, and
    ``reason`` says why. ``bounds`` are the limits of ``window``: ``above``, ``below``, ``clear``,
    ``clear_above``, ``clear_below``; ``margin`` is the value's distance to the nearest one, negative beyond.
    ``silence`` is the comment of the silence that covers it (``"silenced"`` where that has none), or empty.
    """

    model: str
    alert: str
    severity: str
    phase: AlertPhase
    metric: str = ""
    version: str = "*"
    feature: str | None = None
    attribute: str | None = None
    group: str | None = None
    segment: str | None = None
    value: float | None = None
    bound: float | None = None
    since_us: int | None = None
    window: Window | None = None
    no_data: bool = False
    reason: str = ""
    bounds: Mapping[str, float] = field(default_factory=dict)
    margin: float | None = None
    silence: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    runbook: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class ModelView:
    """One monitored model; ``state`` is one word or sentence for people, ``"ok"`` when all is well."""

    name: str
    task: Task
    watermark_us: int | None = None
    last_window: Window | None = None
    reference_id: str | None = None
    state: str = "ok"
    last_event_us: int | None = None


@dataclass(frozen=True, slots=True)
class RetrainView:
    """One model's requests to retrain: how many, and what the newest answered one has come to.

    ``gains`` is the mean gain of ``version``, which answered, by metric; positive is better.
    """

    model: str
    waiting: int
    answered: int
    last_us: int
    version: str | None = None
    gains: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ThresholdView:
    """One bound of an alert rule that is a number, the same for all of its instances."""

    model: str
    alert: str
    metric: str
    bound: str  # above, below, clear, ...
    value: float


@dataclass(frozen=True, slots=True)
class SourceView:
    """How one configured source is doing."""

    name: str
    connected: bool
    error: str = ""


@dataclass(frozen=True, slots=True)
class PartitionView:
    """One Kafka partition or file; ``lag_records`` is None where the distance to the end is unknown."""

    source: str
    topic: str
    partition: str
    lag_records: int | None = None
    halted: str = ""


@dataclass(frozen=True, slots=True)
class QuarantineView:
    """One refused record, without its payload: that is for the operator's own command."""

    at_us: int
    model: str
    reason: str
    detail: str
    source: str
    topic: str
    partition: str
    offset: int
    size: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything shown at one moment. Never changed, only replaced.

    ``results`` holds, for each series, the newest window that is complete for it. ``window_ends`` maps
    (model, check) to the end of the newest evaluated window, ``last_success`` a model to the moment of its
    last evaluation without a failure; both in microseconds since the epoch.
    """

    taken_us: int = 0
    results: tuple[Result, ...] = ()
    alerts: tuple[AlertView, ...] = ()
    models: tuple[ModelView, ...] = ()
    thresholds: tuple[ThresholdView, ...] = ()
    retrains: tuple[RetrainView, ...] = ()
    sources: tuple[SourceView, ...] = ()
    partitions: tuple[PartitionView, ...] = ()
    window_ends: Mapping[tuple[str, str], int] = field(default_factory=dict)
    last_success: Mapping[str, int] = field(default_factory=dict)
    store_bytes: int | None = None
    outbox_pending: int | None = None


class Current:
    """Holder of the newest snapshot; replacing it is one atomic assignment, so no reader ever waits."""

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        self._snapshot = snapshot or Snapshot()

    def get(self) -> Snapshot:
        return self._snapshot

    def publish(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
