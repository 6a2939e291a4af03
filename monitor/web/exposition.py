"""The Prometheus exposition: families built at scrape time from the newest committed snapshot.

A value that does not exist is an absent series, so a series ends when its result does. One family per
statistic; labels only from :data:`RESULT_LABELS`. Order: the process's own counters, alerts and gauges,
then the results under what the series budget leaves, most general first.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from monitor.types import ALL_VERSIONS, Result
from monitor.web.gauges import gauges
from monitor.web.labels import label_value
from monitor.web.names import family, help_text
from monitor.web.pieces import Piece
from monitor.web.snapshot import Snapshot
from monitor.web.telemetry import PREFIX, Telemetry

SERIES_BUDGET = 20_000
RESULT_LABELS = ("model", "version", "feature", "attribute", "group", "segment")
STATE_FAMILY = PREFIX + "check_state"
STATE_HELP = "Always 1: the reason why this result has no value. A result with a value has no such series."
WORST = "_worst_segment"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
_EOF = b"# EOF\n"

Key = tuple[str, tuple[tuple[str, str], ...]]


class SnapshotCollector(Collector):
    """A prometheus_client collector over one set of results, cut to a budget of series.

    Parameters
    ----------
    results
        In any order; the same set gives the same output.
    budget
        Series that may be exposed. Results are taken whole, in the order of :func:`rank`, until the first
        that does not fit; it and all after it are left out.

    Attributes
    ----------
    dropped
        Series left out, over the budget or under the same labels as a series before.
    """

    def __init__(self, results: Iterable[Result], budget: int = SERIES_BUDGET) -> None:
        self.dropped = 0
        self._families: dict[str, Metric] = {}
        seen: set[Key] = set()
        left = budget
        for result in sorted(results, key=rank):
            samples = [s for s in _samples(result) if _key(s) not in seen]
            left = left - len(samples) if len(samples) <= left else -1
            if left < 0:
                self.dropped += _cost(result)
                continue
            self.dropped += _cost(result) - len(samples)
            seen.update(map(_key, samples))
            for sample in samples:
                self._family(sample.name, result.metric).samples.append(sample)

    def _family(self, name: str, metric: str) -> Metric:
        if name not in self._families:
            self._families[name] = Metric(name, _help(name, metric), "gauge")
        return self._families[name]

    def collect(self) -> Iterator[Metric]:
        yield from (self._families[name] for name in sorted(self._families))


def rank(result: Result) -> tuple[object, ...]:
    """Sort key of the budget: whole models before segments, all versions before one, newest window first."""
    return (
        result.segment is not None,
        result.version != ALL_VERSIONS,
        result.group is not None,
        result.series,
        -result.window.start_us,
        -result.revision,
    )


def _has_value(result: Result) -> bool:
    return result.state == "ok" and result.value is not None and math.isfinite(result.value)


def _has_interval(result: Result) -> bool:
    return all(bound is not None and math.isfinite(bound) for bound in (result.lower, result.upper))


def _cost(result: Result) -> int:
    if not _has_value(result):
        return 1
    return 1 + 2 * _has_interval(result) + bool(result.detail.get("worst_segment"))


def _samples(result: Result) -> list[Sample]:
    labels = {name: label_value(text) for name in RESULT_LABELS if (text := getattr(result, name))}
    if not _has_value(result):
        state = "failed" if result.state == "ok" else result.state
        return [Sample(STATE_FAMILY, labels | {"metric": result.metric, "state": state}, 1.0)]
    name = family(result.metric)
    values = {name: result.value}
    if _has_interval(result):
        values |= {name + "_lower": result.lower, name + "_upper": result.upper}
    samples = [Sample(n, labels, v) for n, v in values.items() if v is not None]
    worst = result.detail.get("worst_segment")
    if worst:
        of_worst = labels | {"segment": label_value(worst["segment"])}
        samples.append(Sample(name + WORST, of_worst, worst["value"]))
    return samples


def _key(sample: Sample) -> Key:
    return sample.name, tuple(sample.labels.items())


def _help(name: str, metric: str) -> str:
    if name == STATE_FAMILY:
        return STATE_HELP
    base = family(metric)
    if name == base:
        return help_text(metric)
    if name == base + WORST:
        return f"The worst segment's value of {base}; its label segment names it."
    return f"{name.removeprefix(base + '_').capitalize()} end of the confidence interval of {base}."


class _Shown:
    """One snapshot rendered: results and gauges, each in the formats that have been asked for."""

    def __init__(self, snapshot: Snapshot, live: list[Metric], collector: SnapshotCollector) -> None:
        self.snapshot, self.live, self.collector = snapshot, live, collector
        self.results: dict[bool, Piece] = {}
        self.gauges: dict[bool, Piece] = {}


class Exposition:
    """Rendered ``/metrics``; what follows from a snapshot is rendered and compressed once for all scrapes.

    Parameters
    ----------
    snapshot
        Returns the newest snapshot, at once.
    telemetry
        The process's counters; ``series_dropped`` grows once for each set of results exposed.
    budget
        Most series in one exposition, the process's own included.
    """

    def __init__(
        self, snapshot: Callable[[], Snapshot], telemetry: Telemetry, *, budget: int = SERIES_BUDGET
    ) -> None:
        self._snapshot = snapshot
        self._telemetry = telemetry
        self._budget = budget
        self._lock = threading.Lock()  # held while a snapshot is rendered; scrapes of a rendered one pass by
        self._shown: tuple[_Shown, ...] = ()  # the published one, and the one about to be
        self._formats = {True}  # whether OpenMetrics, as Prometheus asks first

    def render(self, accept: str = "") -> tuple[str, tuple[Piece, ...]]:
        """Return the content type chosen for an ``Accept`` header, and the body in pieces."""
        _, content_type = _encoder(accept)
        openmetrics = content_type.startswith("application/openmetrics-text")
        snapshot = self._snapshot()
        shown = self._of(snapshot)
        if shown is None or openmetrics not in shown.gauges:
            with self._lock:
                self._formats.add(openmetrics)
                shown = self._rendered(snapshot)
        own = _piece(_own(self._telemetry), openmetrics)
        end = Piece(_EOF if openmetrics else b"")
        return content_type, (own, shown.gauges[openmetrics], shown.results[openmetrics], end)

    def prepare(self, snapshot: Snapshot) -> None:
        """Render a snapshot that is going to be published, so that no scrape has to wait for it."""
        with self._lock:
            self._rendered(snapshot)

    def _of(self, snapshot: Snapshot) -> _Shown | None:
        return next((one for one in self._shown if one.snapshot is snapshot), None)

    def _rendered(self, snapshot: Snapshot) -> _Shown:
        shown = self._of(snapshot) or self._planned(snapshot)
        for openmetrics in self._formats - shown.gauges.keys():
            if openmetrics not in shown.results:
                shown.results[openmetrics] = _piece(shown.collector.collect(), openmetrics)
            shown.gauges[openmetrics] = _piece(shown.live, openmetrics)
        self._shown = (*(one for one in self._shown[-1:] if one is not shown), shown)
        return shown

    def _planned(self, snapshot: Snapshot) -> _Shown:
        live = list(gauges(snapshot))
        for before in self._shown[::-1]:
            if before.snapshot.results is snapshot.results:
                shown = _Shown(snapshot, live, before.collector)
                shown.results = before.results
                return shown
        used = sum(len(m.samples) for m in [*_own(self._telemetry), *live])
        collector = SnapshotCollector(snapshot.results, max(0, self._budget - used))
        self._telemetry.series_dropped.inc(collector.dropped)
        return _Shown(snapshot, live, collector)


def _piece(families: Iterable[Metric], openmetrics: bool) -> Piece:
    encode, _ = _encoder(OPENMETRICS if openmetrics else "")
    return Piece(encode(_Families(families)).removesuffix(_EOF))


class _Families(Collector):
    """A collector of families that are already built."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def _own(telemetry: Telemetry) -> Iterator[Metric]:
    """Yield the process's families without the ``_created`` series that nobody asks for."""
    for metric in telemetry.registry.collect():
        metric.samples = [_clean(s) for s in metric.samples if not s.name.endswith("_created")]
        if metric.samples:
            yield metric


def _clean(sample: Sample) -> Sample:
    return sample._replace(labels={k: label_value(v) for k, v in sample.labels.items()})


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is no number
        return choose_encoder("")
