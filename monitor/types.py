"""Frozen core types that every layer shares: records, windows, results, alerts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from monitor.time import to_rfc3339

ALL_VERSIONS = "*"

State = Literal[
    "ok",
    "insufficient_samples",
    "no_labels",
    "awaiting_labels",
    "single_class",
    "no_reference",
    "not_applicable",
    "failed",
]


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """One ordered log: a Kafka topic partition, or one file.

    ``source`` is the configured name, ``topic`` the Kafka topic or the file glob, ``key`` the partition
    number or the file's path. The order of all three (numbers as numbers) is the *log order*.
    """

    source: str
    topic: str
    key: str

    @property
    def log_rank(self) -> tuple[str, str, int, str]:
        """Sort key of the log order."""
        number = int(self.key) if self.key.isdecimal() else -1
        return (self.source, self.topic, number, self.key)


@dataclass(frozen=True, slots=True)
class Position:
    """Where to go on reading a partition: the next offset, and whatever else its source must remember."""

    offset: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that was refused, with the place it came from and a payload capped in size."""

    partition: Partition
    offset: int
    reason: str
    detail: str
    payload: bytes = b""
    size: int = 0


RAW_SCHEMA = pa.schema(
    [
        pa.field("part", pa.int32(), nullable=False),  # index into RawBatch.partitions
        pa.field("off", pa.int64(), nullable=False),
        pa.field("record_us", pa.int64()),  # the log's own time of the record, null where it has none
        pa.field("value", pa.binary()),  # null: a tombstone
    ]
)


@dataclass(frozen=True, slots=True)
class RawBatch:
    """What one poll returned: undecoded records of one or more partitions, in log order within each.

    ``records`` has :data:`RAW_SCHEMA`. ``positions`` holds, for *every* partition this poll moved (also
    over holes and rejected records), where to go on once the batch is stored. ``rejected`` are records
    that the source itself refused (oversize, checksum).
    """

    partitions: tuple[Partition, ...]
    records: pa.Table
    positions: Mapping[Partition, Position]
    rejected: tuple[Rejected, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A half-open event-time interval ``[start_us, end_us)``."""

    start_us: int
    end_us: int


# What identifies results over time: model, version, metric, feature, attribute, group, segment; "" for none.
Series = tuple[str, str, str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class Result:
    """One number about one window, or the reason there is none.

    ``value`` is ``None`` unless ``state`` is ``"ok"``; it is never NaN. ``n`` counts the rows of the
    window that the number rests on, ``n_reference`` those of the reference.
    """

    model: str
    version: str
    window: Window
    metric: str
    state: State
    value: float | None = None
    feature: str | None = None
    attribute: str | None = None
    group: str | None = None
    segment: str | None = None
    lower: float | None = None
    upper: float | None = None
    n: int = 0
    n_reference: int = 0
    revision: int = 1
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def series(self) -> Series:
        """What identifies the series over time: everything but the window and the numbers."""
        return (
            self.model,
            self.version,
            self.metric,
            self.feature or "",
            self.attribute or "",
            self.group or "",
            self.segment or "",
        )

    def to_json(self) -> dict[str, Any]:
        """Return the public JSON form, one flat object."""
        row = asdict(self)
        window = row.pop("window")
        return {
            "model": row["model"],
            "version": row["version"],
            "window_start": to_rfc3339(window["start_us"]),
            "window_end": to_rfc3339(window["end_us"]),
            "revision": row["revision"],
            **{k: row[k] for k in ("metric", "feature", "attribute", "group", "segment")},
            **{k: row[k] for k in ("state", "value", "lower", "upper", "n", "n_reference")},
            "detail": dict(self.detail),
        }


@dataclass(frozen=True, slots=True)
class Baseline:
    """What one series is on the reference: a metric's value there, and how it varies between equal chunks.

    ``value`` is the metric of the whole reference where it has one (performance, fairness, quality; drift of
    the reference against itself means nothing). ``mean`` and ``sd`` (one degree of freedom off) are over the
    ``chunks`` chunks in which it has a value; a chunk has ``chunk_rows`` rows.
    """

    value: float | None
    mean: float | None
    sd: float | None
    chunks: int
    chunk_rows: int


BaselineKey = tuple[str, str, str, str, str]  # metric, feature, attribute, group, segment; "" for none


AlertPhase = Literal["ok", "pending", "firing"]


@dataclass(frozen=True, slots=True)
class Transition:
    """An alert instance that changed its phase: what rules tell the outbox, the log and the API.

    A silenced one is history only: nobody is told, and nothing is done because of it.
    """

    model: str
    alert: str
    severity: str
    series: Series
    window: Window
    before: AlertPhase
    after: AlertPhase
    value: float
    bound: float
    at_us: int
    silenced: bool = False


Task = Literal["binary", "multiclass", "regression", "ranking"]
Kind = Literal["numeric", "categorical", "boolean", "text", "embedding"]
StreamKind = Literal["prediction", "feedback"]
TimestampUnit = Literal["rfc3339", "s", "ms", "us", "ns"]


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """Shape of a model's windows; all in microseconds of event time."""

    size_us: int
    every_us: int
    lateness_us: int
    label_wait_us: int
    min_label_coverage: float = 0.8

    def containing(self, bucket: int) -> range:
        """Return the start indices (in units of ``every_us``) of the windows that contain a bucket.

        >>> list(WindowSpec(30, 10, 0, 0).containing(5))
        [3, 4, 5]
        """
        return range(bucket - self.size_us // self.every_us + 1, bucket + 1)

    def at(self, index: int) -> Window:
        """Return the window that starts at ``index * every_us``."""
        return Window(index * self.every_us, index * self.every_us + self.size_us)


@dataclass(frozen=True, eq=False)
class ItemVectors:
    """Embeddings of items: their names (string[n]) and vectors of length one, float64[n, d], or all zeros."""

    items: pa.Array
    vectors: npt.NDArray[np.float64]


TRAILING_WINDOWS = 20  # before one, whose median number of rows is what is usual


@dataclass(frozen=True, slots=True)
class ChecksSpec:
    """Which checks a model has on, and their parameters (METRICS' defaults)."""

    drift: bool = False
    bins: int = 10
    alpha: float = 0.01
    multivariate: bool = False  # drift of the features together: costs a second a window
    performance: bool = False
    ks: tuple[int, ...] = (10,)  # cutoffs of ranking metrics, ascending
    popular: float = 0.2  # share of the reference's items that counts as popular
    catalogue_size: int | None = None  # None: the items of the reference
    embeddings: ItemVectors | None = None  # of items, for the diversity of lists
    estimate: bool = False
    quality: bool = False
    vocabulary: int = 0  # words of the reference that texts are compared with; 0: their words are not kept
    silent_windows: int = 0  # without events, asked after one with some
    fairness: bool = False
    sensitive: tuple[tuple[str, ...], ...] = ()  # one tuple per attribute, longer ones are intersections
    min_group_size: int = 50
    privileged: Mapping[str, str] = field(default_factory=dict)
    drift_columns: tuple[str, ...] | None = None  # features whose drift is asked; None: all
    explain: bool = False
    logged_attributions: bool = False  # explanations are what events carry; otherwise a model gives them
    explain_sample: int = 500  # rows of a window that a model explains


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A monitored model as the deterministic layers see it.

    ``features`` maps names to kinds; ``segments`` are further columns (declared segments and sensitive
    attributes): a feature's own when they are one, else read from an event's ``segments`` or ``features``.
    """

    name: str
    task: Task
    features: Mapping[str, Kind]
    window: WindowSpec
    checks: ChecksSpec = ChecksSpec()
    segments: tuple[str, ...] = ()
    extra_columns: tuple[str, ...] = ()
    positive_class: str = "1"
    negative_class: str = "0"
    threshold: float = 0.5
    timestamp_unit: TimestampUnit = "rfc3339"

    @property
    def prediction_type(self) -> str:
        """SQL type of predictions: a class, a number, or the first of a list of items."""
        return "DOUBLE" if self.task == "regression" else "VARCHAR"

    @property
    def label_type(self) -> str:
        """SQL type of labels: a class, a number, or what is known of items."""
        return "STRUCT(item VARCHAR, relevance DOUBLE)[]" if self.task == "ranking" else self.prediction_type
