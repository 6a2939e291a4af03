"""Requests to retrain and what came of them, and the record of the decisions, in the store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from monitor.store.schema import predictions_table
from monitor.store.store import Cursor

MAX_VERSIONS = 1_000


def write_requests(cursor: Cursor, model: int, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add or replace requests (their stored form, with ``id``) inside the caller's transaction."""
    for row in rows:
        cursor.execute("DELETE FROM retrain_requests WHERE model = ? AND id = ?", [model, row["id"]])
        cursor.execute(
            "INSERT INTO retrain_requests VALUES (?, ?, ?, ?)",
            [model, row["id"], row["at_us"], json.dumps(row)],
        )


def read_requests(cursor: Cursor, model: int, *, limit: int = 20) -> list[Mapping[str, Any]]:
    """Return the newest requests of a model in their stored form, oldest first."""
    rows = cursor.execute(
        "SELECT body FROM retrain_requests WHERE model = ? ORDER BY at_us DESC, id LIMIT ?", [model, limit]
    ).fetchall()
    return [json.loads(row[0]) for row in reversed(rows)]


def known_versions(cursor: Cursor, model: int, *, before_us: int) -> list[str]:
    """Return the versions of all stored predictions dated before a moment, sorted."""
    rows = cursor.execute(
        f"SELECT DISTINCT version FROM {predictions_table(model)} WHERE event_us < ? AND version IS NOT NULL"
        " ORDER BY 1 LIMIT ?",
        [before_us, MAX_VERSIONS],
    ).fetchall()
    return [row[0] for row in rows]


def newest_shares(cursor: Cursor, model: int) -> dict[str, float]:
    """Return each feature's share of the newest window's attributions; of several classes the largest."""
    rows = cursor.execute(
        "SELECT feature, max(value) FROM results WHERE model = ? AND metric = 'attribution_share'"
        " AND version = '*' AND segment IS NULL AND state = 'ok' AND start_us = (SELECT max(start_us)"
        " FROM results WHERE model = ? AND metric = 'attribution_share' AND state = 'ok') GROUP BY feature",
        [model, model],
    ).fetchall()
    return dict(rows)


def newest_values(cursor: Cursor, model: int, metrics: Iterable[str], *, upto_us: int) -> dict[str, float]:
    """Return metric -> value of all versions together, of the newest windows that end by a moment."""
    names = list(metrics)
    rows = cursor.execute(
        "SELECT metric, arg_max(value, start_us) FROM results WHERE model = ?"
        " AND list_contains(?, split_part(metric, '@', 1)) AND version = '*' AND segment IS NULL"
        " AND \"group\" IS NULL AND state = 'ok' AND end_us <= ? GROUP BY metric",
        [model, names, upto_us],
    ).fetchall()
    return dict(rows)


def read_verdicts(cursor: Cursor, model: str | None, *, limit: int) -> list[Mapping[str, Any]]:
    """Return the newest records of decisions, oldest first."""
    rows = cursor.execute(
        "SELECT body FROM transitions WHERE body->>'kind' = 'retrain_verdict'"
        " AND body->>'model' = coalesce(?, body->>'model') ORDER BY seq DESC LIMIT ?",
        [model, limit],
    ).fetchall()
    return [json.loads(row[0]) for row in reversed(rows)]
