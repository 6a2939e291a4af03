"""The ``models`` section: what is monitored, where its events come from and what is asked about them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, PlainSerializer, PlainValidator, Tag, WithJsonSchema

from monitor.config.alerts import Alert, Alerts, Retrain
from monitor.config.base import (
    AnyPath,
    Count,
    Duration,
    ExistingFile,
    Given,
    Label,
    Name,
    Number,
    PositiveDuration,
    Section,
    Share,
    Text,
    tagged,
)
from monitor.config.checks import Checks
from monitor.time import DAY_US, MINUTE_US, from_rfc3339, to_rfc3339
from monitor.types import Kind, Task, TimestampUnit


class Columns(Section):
    """Names of the columns; a key beyond these maps a segment or sensitive attribute to its column."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Text] = Field(init=False)

    event_id: Text | None = None
    """Column of the event id; by default `event_id`."""
    timestamp: Text | None = None
    """Column of the event time; by default `timestamp`."""
    model: Text | None = None
    """Column of the model's name; by default `model`."""
    version: Text | None = None
    """Column of the model's version; by default `version`."""
    prediction: Text | None = None
    """Column of the predicted class or number; by default `prediction`."""
    score: Text | None = None
    """Column of the score of the positive class; by default `score`."""
    scores: Text | None = None
    """Column of the scores by class, or of a list's items; by default `scores`, where it is no text."""
    label: Text | None = None
    """Column of the truth; by default `label`."""
    item: Text | None = None
    """Ranking: column of the item that a label is about; by default `item`, in files without predictions."""
    features: dict[str, Text] = Field(default={})
    """Feature to column, where the names differ."""

    attributions: dict[str, Text] = Field(default={})
    """Feature to the column of its attribution, where there is no column `attributions` with all of them."""

    @property
    def segments(self) -> dict[str, str]:
        """Segment or sensitive attribute to its column, where the names differ."""
        return dict(self.__pydantic_extra__ or {})


class Stream(Section):
    """Where events come from."""

    source: Text
    """Name of a source."""
    topic: Text | None = None
    """Topic to read; required with a kafka source."""
    path: AnyPath | None = None
    """Files to read, a glob; required with a files source."""
    format: Text = "canonical"
    """Format of the records."""
    columns: Annotated[Columns, Given] = Columns()
    """Column names of CSV and Parquet files, where they differ from the canonical ones."""
    other_models: Literal["quarantine", "ignore"] = "quarantine"
    """What happens to events that name another model."""


def _period(value: object) -> tuple[int, int]:
    if isinstance(value, tuple) and len(value) == 2:
        return value
    try:
        start, end = map(from_rfc3339, str(value).split("/"))
    except ValueError:
        start = end = 0
    if not isinstance(value, str) or not start < end:
        raise ValueError("must be two moments, the earlier first, as in 2026-01-01/2026-02-01")
    return start, end


Period = Annotated[
    tuple[int, int],
    PlainValidator(_period),
    PlainSerializer(lambda ends: "/".join(map(to_rfc3339, ends)), return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "examples": ["2026-01-01/2026-02-01"]}),
]


class ReferenceData(Section):
    """Where the rows of a reference come from: exactly one of `path`, `window`, `rolling`."""

    path: ExistingFile | None = None
    """A file."""
    window: Period | None = None
    """A fixed period of the stream itself, `start/end` (RFC 3339 or dates, UTC); the end is not in it."""
    rolling: PositiveDuration | None = None
    """A moving period of the stream: so long before the day (UTC) in which a window starts."""
    format: Literal["auto", "parquet", "csv", "jsonl"] = "auto"
    """The file's format; `auto` goes by the name's ending."""
    columns: Annotated[Columns, Given] = Columns()
    """The file's column names, where they differ from the canonical ones."""
    sample: Count = 10_000
    """Rows kept, chosen by a fixed seed, for explanations; the profile itself counts every row."""


class VersionReference(ReferenceData):
    """What one version of the model is compared with."""


class Reference(ReferenceData):
    """What windows are compared with: what the model was trained or accepted on, or an earlier time."""

    versions: dict[Label, VersionReference] = Field(default={})
    """Version to a reference of its own; other versions, and all together, are compared with the default."""


class WindowConfig(Section):
    """Shape of the windows of event time in which metrics are computed."""

    size: PositiveDuration
    """Length of a window; a multiple of `every`."""
    every: PositiveDuration = Field(default_factory=lambda data: data.get("size", 0))
    """Time from one window's start to the next; by default `size`. Shorter gives sliding windows."""
    lateness: Duration = 5 * MINUTE_US
    """A window is first asked when the watermark is this far past its end."""
    label_wait: Duration = 7 * DAY_US
    """Longest wait for labels before metrics that need them are computed anyway."""
    min_label_coverage: Share = 0.8
    """Share of predictions with a label from which such metrics are computed at once."""


def _features(value: Any) -> str | None:
    return "map" if isinstance(value, dict) else "infer" if value == "infer" else None


_FEATURES = "must be 'infer' or a mapping from feature to numeric, categorical, boolean, text or embedding"


class Model(Section):
    """A monitored model."""

    NEGATIVES: ClassVar = {"true": "false", "false": "true", "0": "1", "True": "False", "yes": "no"}

    name: Name
    """Unique; the value of the label `model` everywhere."""
    task: Task
    """What the model predicts."""
    predictions: Stream
    """Where its predictions come from."""
    feedback: Stream | None = None
    """Where labels come from, at any later time."""
    features: Annotated[
        Annotated[Literal["infer"], Tag("infer")] | Annotated[dict[str, Kind], Tag("map")],
        tagged(_features, _FEATURES),
    ] = "infer"
    """Feature to kind; `infer` takes names and kinds from the reference (none without one)."""
    positive_class: Label = "1"
    """Binary tasks: the class that a score speaks of and whose rates are compared."""
    threshold: Number = 0.5
    """Binary tasks: a score from here on counts as the positive class where no prediction is logged."""
    classes: Annotated[tuple[Label, ...], Field(min_length=2)] | None = None
    """All classes, where they are to be fixed."""
    reference: Reference | None = None
    """Data to compare windows with."""
    window: WindowConfig
    """Shape of the windows."""
    segments: tuple[Text, ...] = ()
    """Features or names in the events' `segments` by whose values metrics are also computed."""
    timestamp_unit: TimestampUnit = "rfc3339"
    """Unit of the events' times; with `rfc3339` a number is rejected rather than guessed at."""
    checks: Annotated[Checks, Given] = Checks()
    """Which metrics are computed."""
    alerts: Alerts = ()
    """Bounds on metrics; `default`, also as one of a list, stands for the default ones."""
    notify: tuple[Text, ...] = ()
    """Actions told when an alert fires and when it is resolved."""
    retrain: Retrain | None = None
    """When to ask for a new model."""

    @property
    def own_alerts(self) -> dict[int, Alert]:
        """The alerts that are written out, by their place in the list."""
        return {i: alert for i, alert in enumerate(self.alerts) if isinstance(alert, Alert)}

    @property
    def negative_class(self) -> str:
        """The other class of a binary task: of ``classes``, else the usual opposite, else ``"0"``."""
        others = [label for label in self.classes or () if label != self.positive_class]
        return others[0] if others else self.NEGATIVES.get(self.positive_class, "0")
