"""The first records of each files source, landed in a store that is thrown away: what ``check`` says of them.

A configuration can be valid and still fit no record: a column by another name, a period long past. That is
found here, before a daemon fills its quarantine with it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

from monitor import config as cfg
from monitor.build import Plan, matching_files, monitored
from monitor.errors import MonitorError
from monitor.replay import temporary_store
from monitor.store.landing import LandReport, land
from monitor.store.quarantine import payload
from monitor.store.schema import predictions_table
from monitor.store.store import Cursor, Store
from monitor.time import DAY_US, SECOND_US, to_rfc3339

RECORDS, MANY = 1_000, 20
_REMEDY = {
    "missing_event_id": "columns.event_id",
    "missing_timestamp": "columns.timestamp",
    "bad_timestamp": "timestamp_unit, or columns.timestamp",
    "missing_prediction": "columns.prediction or columns.score",
    "missing_label": "columns.label",
}


@dataclass(frozen=True, slots=True)
class Trial:
    """What trying the first records found: a problem where many are all refused, else remarks."""

    problems: tuple[str, ...]
    remarks: tuple[str, ...]


def try_files(the_plan: Plan) -> Trial:
    """Read the first :data:`RECORDS` records that each glob of the files sources has, and land them."""
    problems: list[str] = []
    remarks: list[str] = []
    with temporary_store(the_plan, None) as store:
        cursor, now_us = store.cursor(), time.time_ns() // 1000
        numbers = {one.spec.name: one.model for one in monitored(the_plan, store)}
        for name, routes in the_plan.routes.items():
            if isinstance(the_plan.config.sources[name], cfg.FilesSource):
                for topic in filter(matching_files, routes):
                    try:
                        report = _first(the_plan, store, cursor, name, topic, now_us)
                    except MonitorError as error:
                        problems.append(f"sources.{name}: {error}")
                        continue
                    if report is not None and (said := _refused(cursor, topic, report)):
                        hopeless = sum(report.quarantined.values()) == report.read >= MANY
                        (problems if hopeless else remarks).append(said)
        for model, number in numbers.items():
            remarks += _features(cursor, model, number)
            remarks += _age(the_plan, cursor, model, number, now_us)
    return Trial(tuple(problems), tuple(remarks))


def _first(
    the_plan: Plan, store: Store, cursor: Cursor, name: str, topic: str, now_us: int
) -> LandReport | None:
    from monitor.sources.files import FilesSource

    columns = {topic: the_plan.globs[name][topic]}
    source = FilesSource(name, [topic], columns=columns, max_batch_records=RECORDS, follow=False)
    source.start({})
    try:
        batch = source.poll(0.5)
        return land(store, cursor, batch, the_plan.routes[name], now_us=now_us) if batch else None
    finally:
        source.close()


def _refused(cursor: Cursor, topic: str, report: LandReport) -> str:
    """Say how many records are refused, why, and which fields the first of them has; empty when none is."""
    if not report.quarantined:
        return ""
    (_, reason), count = report.quarantined.most_common(1)[0]
    seq, detail = cursor.execute(
        "SELECT seq, q.detail FROM quarantine q JOIN partitions p ON p.id = q.part"
        " WHERE topic = ? AND reason = ? ORDER BY seq LIMIT 1",
        [topic, reason],
    ).fetchall()[0]
    said = f"{topic}: of the first {report.read:,} records {count:,} are refused as {reason}"
    said += f" ({detail})" if detail else ""
    if fields := _fields(payload(cursor, seq) or b""):
        said += f"; the first of them has {', '.join(fields)}"
    if remedy := _REMEDY.get(reason):
        said += f": say which is meant under {remedy}"
    return said


def _fields(record: bytes) -> list[str]:
    """Return the field names of a record, a table's other columns among them."""
    try:
        found = json.loads(record)
    except ValueError:
        return []
    if not isinstance(found, dict):
        return []
    features = found.pop("features", {})
    return [*found, *(features if isinstance(features, dict) else {})]


def _features(cursor: Cursor, model: str, number: int) -> Iterator[str]:
    """Name the features that none of the predictions has."""
    table = predictions_table(number)
    named = [row[0] for row in cursor.execute(f"DESCRIBE {table}").fetchall()]
    columns = [name for name in named if name[:2] in ("n:", "c:")]
    counted = ", ".join('count("{}")'.format(name.replace('"', '""')) for name in columns)
    rows = cursor.execute(f"SELECT count(*){', ' if counted else ''}{counted} FROM {table}").fetchall()[0]
    for name, count in zip(columns, rows[1:], strict=True):
        if rows[0] and not count:
            yield (
                f"{model}: none of the first {rows[0]:,} predictions has a value for {name[2:]};"
                " is its name, or its column, another one?"
            )


def _age(the_plan: Plan, cursor: Cursor, model: str, number: int, now_us: int) -> Iterator[str]:
    """Say when the first predictions are older than what is kept."""
    (oldest,) = cursor.execute(f"SELECT min(event_us) FROM {predictions_table(number)}").fetchall()[0]
    retention = the_plan.config.store.retention
    if oldest is not None and oldest < now_us - retention:
        needed = -(-(now_us - oldest) // DAY_US) + 1
        yield (
            f"{model}: the first predictions are of {to_rfc3339(oldest // SECOND_US * SECOND_US)}, older than"
            f" store.retention ({retention // DAY_US}d) keeps; to see windows of that time in the daemon,"
            f" set it to {needed}d or more (replay sees them anyway)"
        )
