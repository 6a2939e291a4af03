"""The immutable snapshot that scrapes, the API and the page are served from, made from committed state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from monitor.cycle import Cycle, Monitored
from monitor.metrics import check_of
from monitor.rules.loop import Request
from monitor.rules.state import AlertState
from monitor.sources import SourceStatus
from monitor.store.outbox import pending
from monitor.store.requests import read_requests
from monitor.store.results import latest_results
from monitor.store.store import Cursor, Store
from monitor.types import Result, Window
from monitor.web.snapshot import (
    AlertView,
    ModelView,
    PartitionView,
    RetrainView,
    Snapshot,
    SourceView,
    ThresholdView,
)


def snapshot(
    store: Store,
    cursor: Cursor,
    cycles: Sequence[Cycle],
    results: tuple[Result, ...],
    sources: Mapping[str, tuple[SourceStatus, str]],
    *,
    last_success: Mapping[str, int],
    states: Mapping[str, str],
    now_us: int,
) -> Snapshot:
    """Build the snapshot of this moment.

    Parameters
    ----------
    store, cursor
        What has been committed.
    cycles
        The models' turns, for their alert states.
    results
        What :func:`current_results` gave; the same object while nothing changed, for the sake of caches.
    sources
        Source name -> (status, why landing is paused or empty).
    last_success, states
        By model: moment of the last evaluation without a failure; one word or sentence of how it is.
    now_us
        The moment.
    """
    ends = _window_ends(results)
    marks = dict(cursor.execute("SELECT name, watermark_us FROM models").fetchall())
    return Snapshot(
        taken_us=now_us,
        results=results,
        alerts=tuple(
            _alert(cycle.monitored, state, now_us)
            for cycle in cycles
            for _, state in sorted(cycle.states.items())
        ),
        models=tuple(_model(cycle, ends, marks, states) for cycle in cycles),
        retrains=tuple(view for cycle in cycles for view in _retrains(cursor, cycle.monitored)),
        thresholds=tuple(t for cycle in cycles for t in _thresholds(cycle.monitored)),
        sources=tuple(
            SourceView(name, status.connected, paused or status.error)
            for name, (status, paused) in sources.items()
        ),
        partitions=_partitions(store, sources),
        window_ends={key: window.end_us for key, window in ends.items()},
        last_success=dict(last_success),
        store_bytes=store.size_bytes(),
        outbox_pending=pending(cursor),
    )


def current_results(cursor: Cursor, cycles: Sequence[Cycle]) -> tuple[Result, ...]:
    """Return the newest complete results of the configured models."""
    names = {cycle.monitored.spec.name for cycle in cycles}
    return tuple(r for r in latest_results(cursor) if r.model in names)


def _window_ends(results: Sequence[Result]) -> dict[tuple[str, str], Window]:
    ends: dict[tuple[str, str], Window] = {}
    for result in results:
        if result.state != "awaiting_labels":
            key = (result.model, check_of(result.metric))
            ends[key] = max(ends.get(key, result.window), result.window)
    return ends


def _model(
    cycle: Cycle,
    ends: Mapping[tuple[str, str], Window],
    marks: Mapping[str, int | None],
    states: Mapping[str, str],
) -> ModelView:
    spec, reference = cycle.monitored.spec, cycle.compared.default
    windows = [window for (model, _), window in ends.items() if model == spec.name]
    return ModelView(
        name=spec.name,
        task=spec.task,
        watermark_us=marks.get(spec.name),
        last_event_us=cycle.latest_event(),
        last_window=max(windows, default=None),
        reference_id=reference.id if reference else None,
        state=states.get(spec.name, "ok"),
    )


def _alert(monitored: Monitored, state: AlertState, now_us: int) -> AlertView:
    model, version, metric, feature, attribute, group, segment = state.series
    rule = next((rule for rule in monitored.alerts if rule.name == state.alert), None)
    quiet = [s for s in monitored.silences if s.covers(state.alert, state.series, now_us)]
    return AlertView(
        model=model, alert=state.alert, severity=rule.severity if rule else "warning", phase=state.phase,
        metric=metric, version=version,
        feature=feature or None, attribute=attribute or None, group=group or None, segment=segment or None,
        value=state.value, bound=state.bound, since_us=state.since_us, window=state.window,
        no_data=state.no_data, reason=state.reason, bounds=_limits(state), margin=state.margin,
        silence=(quiet[0].comment or "silenced") if quiet else "",
        labels=dict(rule.labels) if rule else {}, runbook=rule.runbook if rule else "",
        description=rule.description if rule else "",
    )  # fmt: skip


def _limits(state: AlertState) -> dict[str, float]:
    """Return the limits of the newest counted window by name; ``clear`` alone where there is one side."""
    sides = {"above": state.high, "below": state.low}
    clear = {"clear_above": state.clear_high, "clear_below": state.clear_low}
    if state.high is None or state.low is None:
        clear = {"clear": state.clear_low if state.high is None else state.clear_high}
    return {name: value for name, value in (sides | clear).items() if value is not None}


def _retrains(cursor: Cursor, monitored: Monitored) -> list[RetrainView]:
    requests = [Request.from_json(row) for row in read_requests(cursor, monitored.model)]
    answered = [one for one in requests if one.answered_by is not None]
    if not requests:
        return []
    newest = answered[-1] if answered else None
    gains = {name: gain for name, (gain, _) in newest.gains().items()} if newest else {}
    counts = (len(requests) - len(answered), len(answered))
    version = newest.answered_by if newest else None
    return [RetrainView(monitored.spec.name, *counts, requests[-1].at_us, version, gains)]


def _thresholds(monitored: Monitored) -> list[ThresholdView]:
    """Return the bounds that are numbers: they are known before anything has been evaluated."""
    found = []
    for rule in monitored.alerts:
        pairs = [("above", rule.above), ("below", rule.below), ("clear", rule.clear)]
        if isinstance(rule.outside, tuple):
            pairs = [("below", rule.outside[0]), ("above", rule.outside[1])]
        found += [
            ThresholdView(monitored.spec.name, rule.name, rule.metric, bound, value)
            for bound, value in pairs
            if isinstance(value, float | int)
        ]
    return found


def _partitions(store: Store, sources: Mapping[str, tuple[SourceStatus, str]]) -> tuple[PartitionView, ...]:
    return tuple(
        PartitionView(p.source, p.topic, p.key, status.lag_records.get(p), status.halted.get(p, ""))
        for name, (status, _) in sources.items()
        for p in sorted(
            {q for q in store.partition_ids if q.source == name} | {*status.halted, *status.lag_records},
            key=lambda q: q.log_rank,
        )
    )
