"""What the commands do with a store: open it, ask the daemon when it holds it, try refused records again."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from monitor.actions.payload import ALERT, RETRAIN
from monitor.actions.samples import samples
from monitor.actions.webhook import send
from monitor.build import Plan, monitored
from monitor.config import AlertmanagerAction, Config
from monitor.config.action_checks import message_types
from monitor.deliveries import endpoints, renderer
from monitor.errors import ConfigError, StoreError
from monitor.reference.data import Reference
from monitor.reference.period import Fixed, Period, Rolling
from monitor.remote import ask_daemon
from monitor.report.page import report as report_of
from monitor.retraining import retrain_history
from monitor.store.landing import land
from monitor.store.outbox import listed as outbox_listed
from monitor.store.outbox import retry
from monitor.store.outbox import to_json as outbox_json
from monitor.store.profiles import newest_periods
from monitor.store.quarantine import listed, taken
from monitor.store.results import read_results
from monitor.store.store import Cursor, Store
from monitor.time import to_rfc3339
from monitor.types import RAW_SCHEMA, RawBatch

log = logging.getLogger(__name__)
MOST_ROWS = 10_000  # that the API gives at once


@contextmanager
def opened(config: Config) -> Iterator[tuple[Store, Cursor]]:
    """Open the configured store, which must exist, and close it again.

    Raises
    ------
    StoreError
        When there is none yet, or a running daemon holds it.
    """
    if not config.store.path.exists():
        raise StoreError(f"{config.store.path}: no store there yet; model-monitor run makes it")
    store = Store(
        config.store.path, memory_limit_bytes=config.store.memory_limit, threads=config.store.threads
    )
    try:
        yield store, store.cursor()
    finally:
        store.close()


def stored_results(config: Config, *, model: str | None, metric: str | None) -> list[dict[str, Any]]:
    """Return stored results as JSON rows, oldest window first.

    While a daemon runs they come from its API, which gives the newest 10,000.
    """
    try:
        with opened(config) as (_, cursor):
            found = read_results(
                cursor,
                "name = coalesce(?, name) AND metric = coalesce(?, metric)",
                [model, metric],
                tail='ORDER BY name, start_us, version, metric, feature, attribute, "group", segment',
            )
        return [r.to_json() for r in found]
    except StoreError as error:
        if "in use" not in str(error):
            raise
        wanted = {"model": model, "metric": metric, "window": "all", "limit": str(MOST_ROWS)}
        rows = ask_daemon(config, "/api/v1/results", {k: v for k, v in wanted.items() if v}, error)["results"]
        if len(rows) == MOST_ROWS:
            log.warning(
                "only the newest %d results: ask for one --model or --metric, or stop the daemon", MOST_ROWS
            )
        keys = ("model", "window_start", "version", "metric", "feature", "attribute", "group", "segment")
        return sorted(rows, key=lambda row: [row[key] or "" for key in keys])


def refused_records(config: Config, *, reason: str | None, limit: int) -> list[dict[str, Any]]:
    """Return the newest refused records, from the daemon's API when it runs."""
    try:
        with opened(config) as (_, cursor):
            rows = listed(cursor, reason=reason, limit=limit)
        return [{"at": to_rfc3339(row.pop("at_us")), **row} for row in rows]
    except StoreError as error:
        if "in use" not in str(error):
            raise
        rows = list(ask_daemon(config, "/api/v1/quarantine", {"limit": str(limit)}, error)["quarantine"])
        return [row for row in rows if reason in (None, row["reason"])]


def stored_references(plan: Plan) -> dict[tuple[str, str], list[tuple[Period, Reference]]]:
    """Return, by model and version, the newest profile made of a period of the stream.

    None where no model asks for any, or the store is not there yet.

    Raises
    ------
    StoreError
        When a running daemon holds the store.
    """
    models = {
        name for name, of in plan.origins.items() if any(isinstance(o, Fixed | Rolling) for o in of.values())
    }
    if not models or not plan.config.store.path.exists():
        return {}
    found: dict[tuple[str, str], list[tuple[Period, Reference]]] = {}
    with opened(plan.config) as (_, cursor):
        for model in sorted(models):
            for one in newest_periods(cursor, model):
                period = Period(*one.key[2:])
                found[model, one.key[1]] = [(period, Reference.from_json(one.text))]
    return found


def outbox_rows(config: Config, *, state: str | None, limit: int) -> list[dict[str, Any]]:
    """Return the newest messages of the outbox, oldest first, from the daemon's API when it runs."""
    try:
        with opened(config) as (_, cursor):
            rows = outbox_json(outbox_listed(cursor, state=state, limit=limit))
    except StoreError as error:
        if "in use" not in str(error):
            raise
        wanted = {"limit": str(limit)} | ({"state": state} if state else {})
        rows = ask_daemon(config, "/api/v1/outbox", wanted, error)["outbox"]
    known = endpoints(config)
    for row in rows:
        if row["action"] not in known and row["state"] == "pending":
            row["last_error"] = f"no action {row['action']!r} is configured"
    return rows


def retraining(the_plan: Plan, *, model: str | None, limit: int) -> Mapping[str, Any]:
    """Return requests to retrain and the record of decisions, from the daemon's API when it runs."""
    try:
        with opened(the_plan.config) as (store, cursor):
            shown = {m.spec.name: m.model for m in monitored(the_plan, store) if model in (None, m.spec.name)}
            return retrain_history(cursor, shown, model, limit)
    except StoreError as error:
        if "in use" not in str(error):
            raise
        wanted = {"limit": str(limit)} | ({"model": model} if model else {})
        found: Mapping[str, Any] = ask_daemon(the_plan.config, "/api/v1/retraining", wanted, error)
        return found


def report(the_plan: Plan, model: str, *, start_us: int | None) -> str:
    """Return the report of a window as HTML, from the daemon when it runs."""
    try:
        with opened(the_plan.config) as (store, cursor):
            one = next(m for m in monitored(the_plan, store) if m.spec.name == model)
            return report_of(cursor, one, start_us, now_us=time.time_ns() // 1000)
    except StoreError as error:
        if "in use" not in str(error):
            raise
        wanted = {} if start_us is None else {"window": to_rfc3339(start_us)}
        return str(ask_daemon(the_plan.config, f"/reports/{quote(model, safe='')}", wanted, error))


def retry_messages(config: Config, *, id: str | None, action: str | None) -> int:
    """Make dead and disabled messages due again, through the daemon when it runs; return how many."""
    try:
        with opened(config) as (store, cursor):
            return retry(store, cursor, time.time_ns() // 1000, id=id, action=action)
    except StoreError as error:
        if "in use" not in str(error):
            raise
        wanted = {name: text for name, text in (("id", id), ("action", action)) if text}
        return int(ask_daemon(config, "/-/webhook/retry", wanted, error, method="POST")["due_again"])


def retry_refused(plan: Plan, *, reason: str | None) -> tuple[int, int, int]:
    """Land refused records again; return (landed, refused again, left because their payload was cut)."""
    landed = refused = cut = 0
    with opened(plan.config) as (store, cursor):
        monitored(plan, store)
        by_number = {number: partition for partition, number in store.partition_ids.items()}
        rows = taken(cursor, reason=reason)
        whole = [row for row in rows if row[5] == len(row[4])]
        cut = len(rows) - len(whole)
        for part in sorted({row[1] for row in whole}):
            mine = [row for row in whole if row[1] == part]
            partition = by_number[part]
            columns = {
                "part": [0] * len(mine), "off": [row[2] for row in mine],
                "record_us": [row[6] for row in mine], "value": [row[4] for row in mine],
            }  # fmt: skip
            batch = RawBatch((partition,), pa.table(columns, schema=RAW_SCHEMA), {})
            routes = plan.routes.get(partition.source, {})
            now_us = time.time_ns() // 1000
            report = land(store, cursor, batch, routes, now_us=now_us, retaken=[row[0] for row in mine])
            landed += sum(report.landed.values())
            refused += sum(report.quarantined.values())
    return landed, refused, cut


def send_test(config: Config, action: str) -> list[str]:
    """Send a test message to each endpoint of an action; return what came of it in sentences.

    Raises
    ------
    ConfigError
        When there is no such action.
    ActionError
        When its template fails on the test message.
    """
    if action not in config.actions:
        known = ", ".join(config.actions) or "none"
        raise ConfigError([f"unknown action {action!r}; configured are {known}"])
    now_us, render = time.time_ns() // 1000, renderer(config, config.actions[action])
    alerts = isinstance(config.actions[action], AlertmanagerAction)
    kind = (message_types(config, action) or [ALERT if alerts else RETRAIN])[0]
    told = []
    for name, endpoint in endpoints(config).items():
        if name.partition("/")[0] == action:
            message_id = f"msg_{secrets.token_hex(16)}"
            body = render(message_id, samples(kind, at_us=now_us)[0])
            attempt = send(endpoint, message_id, body, now_us=now_us)
            why = f" ({attempt.error})" if attempt.error else ""
            told.append(f"{message_id} to {name}: {attempt.outcome}{why}")
    return told
