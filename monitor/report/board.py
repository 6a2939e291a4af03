"""What the status page shows beside the newest numbers: recent history, read by a few bounded queries."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from monitor.cycle import Monitored
from monitor.engine.settled import settled_query
from monitor.errors import NotThereError
from monitor.references import kept_reference
from monitor.report.material import Standing, distributions, history, standing_of
from monitor.report.page import overlay_of
from monitor.store.requests import read_requests
from monitor.store.store import Cursor
from monitor.types import ALL_VERSIONS, Result, Series

MOST_TRANSITIONS, MOST_REQUESTS = 12, 5


@dataclass(frozen=True, slots=True)
class Board:
    """Recent history of all models.

    ``history`` has the results of a series over the 30 newest windows, oldest first; ``standings`` the newest
    window by model; ``transitions`` the newest changes of alerts and decisions, newest first; ``refused`` how
    many records are in quarantine by reason, the most frequent first; ``requests`` the newest to retrain.
    """

    history: Mapping[Series, Sequence[Result]] = field(default_factory=dict)
    standings: Mapping[str, Standing] = field(default_factory=dict)
    transitions: Sequence[Mapping[str, Any]] = ()
    refused: Sequence[tuple[str, int]] = ()
    requests: Sequence[Mapping[str, Any]] = ()


def board(cursor: Cursor, models: Sequence[Monitored]) -> Board:
    """Read the board of these models."""
    series: dict[Series, list[Result]] = {}
    standings: dict[str, Standing] = {}
    requests: list[Mapping[str, Any]] = []
    for one in models:
        try:
            standings[one.spec.name] = standing_of(cursor, one, None, newest=True)
        except NotThereError:
            continue  # no window yet
        series |= history(cursor, one, standings[one.spec.name].window)
        requests += [{**row, "model": one.spec.name} for row in read_requests(cursor, one.model, limit=3)]
    rows = cursor.execute(
        f"SELECT body FROM transitions ORDER BY seq DESC LIMIT {MOST_TRANSITIONS}"
    ).fetchall()
    refused = cursor.execute(
        "SELECT reason, count(*) AS n FROM quarantine GROUP BY 1 ORDER BY n DESC, 1"
    ).fetchall()
    newest = sorted(requests, key=lambda row: -int(row["at_us"]))[:MOST_REQUESTS]
    return Board(series, standings, [json.loads(row[0]) for row in rows], refused, newest)


def distribution(cursor: Cursor, one: Monitored, feature: str) -> tuple[Standing, Markup]:
    """Draw one column of the newest window beside the reference.

    Raises
    ------
    NotThereError
        When there is no window yet, no reference, or no such column in both.
    """
    standing = standing_of(cursor, one, None, newest=True)
    origin = one.origins.get(ALL_VERSIONS, one.reference)
    reference = kept_reference(cursor, one.spec, origin, standing.window, sample=one.sample)
    pairs = distributions(settled_query(cursor, one.spec, one.model, standing.window), reference)
    if feature not in pairs:
        known = ", ".join(pairs) or "none"
        raise NotThereError(f"no distribution of {feature!r} beside a reference; there are {known}")
    return standing, overlay_of(feature, pairs[feature])
