"""Retraining of one model: which firing alerts count, what is put on record, what came of requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from monitor.engine.duckdb import WindowQuery
from monitor.engine.slices import MAX_VERSIONS
from monitor.metrics import check_of
from monitor.rules.loop import HEADLINE, Request, follow
from monitor.rules.retrain import Decision, RetrainRule, RetrainState, Verdict, decide
from monitor.rules.silences import Silence, silenced
from monitor.rules.state import AlertState, firing
from monitor.store.requests import known_versions, newest_shares, newest_values, read_requests, read_verdicts
from monitor.store.store import Cursor
from monitor.time import to_rfc3339
from monitor.types import Result, Transition, Window


def look(
    rule: RetrainRule,
    state: RetrainState,
    states: Iterable[AlertState],
    *,
    silences: Sequence[Silence],
    shares: Mapping[str, float],
    window: Window,
    transitions: Sequence[Transition],
    at_us: int,
) -> tuple[RetrainState, Verdict]:
    """Decide after a window, or at a later moment on what was held back; see :func:`rules.retrain.decide`.

    ``shares`` is each feature's share of the attributions; a feature without one counts.
    """
    fired = [s for s in states if s.phase == "firing"]
    heard = [s for s in fired if not silenced(silences, s.alert, s.series, at_us)]
    counted = [s for s in heard if not _negligible(s, shares, rule.min_attribution)]
    discounted = {name: "is silenced" for name in firing(fired) - firing(heard)}
    discounted |= {
        name: f"is about features that hold less than {rule.min_attribution:.0%} of the attributions"
        for name in firing(heard) - firing(counted)
    }
    return decide(
        rule, state, firing(fired),
        window=window, transitions=transitions, at_us=at_us, discounted=discounted,
    )  # fmt: skip


def _negligible(state: AlertState, shares: Mapping[str, float], least: float) -> bool:
    metric, feature = state.series[2:4]
    if not feature or check_of(metric) != "drift":
        return False
    share = shares.get(feature, shares.get(feature.rpartition(".")[0]))  # ``bio.length`` is made of ``bio``
    return share is not None and share < least


def attribution_shares(
    cursor: Cursor, rule: RetrainRule, model: int, results: Sequence[Result]
) -> dict[str, float]:
    """Return each feature's share, of these results or the newest stored; none where nobody asks."""
    if not rule.min_attribution:
        return {}
    found: dict[str, float] = {}
    for r in results:
        if r.metric == "attribution_share" and r.feature and r.value is not None and r.segment is None:
            found[r.feature] = max(r.value, found.get(r.feature, 0.0))
    return found or newest_shares(cursor, model)


def made(cursor: Cursor, model: int, decision: Decision) -> Request:
    """Return the record of a request with what is known then; inside the transaction that makes it."""
    end_us = decision.window.end_us
    return Request(
        decision.id,
        decision.model,
        decision.at_us,
        decision.window,
        decision.alerts,
        tuple(known_versions(cursor, model, before_us=end_us)),
        newest_values(cursor, model, HEADLINE, upto_us=end_us),
    )


def followed(cursor: Cursor, model: int, query: WindowQuery, results: Sequence[Result]) -> list[Request]:
    """Return the requests about which a window says something new."""
    stored = [Request.from_json(row) for row in read_requests(cursor, model)]
    waiting = [one for one in stored if one.concerns(query.window)]
    if not waiting:
        return []
    versions = query.values("version", limit=MAX_VERSIONS)
    changed = [(r, follow(r, query.window, versions, results)) for r in waiting]
    return [new for old, new in changed if new != old]


def verdict_json(rule: RetrainRule, one: Verdict, window: Window, at_us: int) -> dict[str, Any]:
    """Return the record of a verdict."""
    return {
        "kind": "retrain_verdict", "model": rule.model, "rule": rule.name, "outcome": one.outcome,
        "why": one.why, "alerts": list(one.alerts), "id": one.decision.id if one.decision else None,
        "window_start": to_rfc3339(window.start_us), "window_end": to_rfc3339(window.end_us),
        "at": to_rfc3339(at_us),
    }  # fmt: skip


def decision_json(one: Decision) -> dict[str, object]:
    """Return the public JSON form of a decision to retrain."""
    return {
        "kind": "retrain", "model": one.model, "rule": one.rule, "id": one.id, "alerts": list(one.alerts),
        "window_start": to_rfc3339(one.window.start_us), "window_end": to_rfc3339(one.window.end_us),
        "at": to_rfc3339(one.at_us),
    }  # fmt: skip


def retrain_history(
    cursor: Cursor, models: Mapping[str, int], model: str | None, limit: int
) -> dict[str, Any]:
    """Return the newest requests with what came of them, and the record of decisions, as the API's JSON.

    ``models`` maps the names to show to their numbers; ``model`` is the one asked for, None for all.
    """
    rows = [row for number in models.values() for row in read_requests(cursor, number, limit=limit)]
    requests = [Request.from_json(row).public() for row in sorted(rows, key=lambda row: row["at_us"])]
    return {"requests": requests[-limit:], "verdicts": read_verdicts(cursor, model, limit=limit)}
