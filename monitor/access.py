"""What the commands do with a store: open it, ask the daemon when it holds it, try refused records again."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from monitor.actions.webhook import send
from monitor.build import Plan, endpoints, monitored
from monitor.config import Config
from monitor.errors import ConfigError, StoreError
from monitor.store.landing import land
from monitor.store.quarantine import listed, taken
from monitor.store.results import read_results
from monitor.store.store import Cursor, Store
from monitor.time import to_rfc3339
from monitor.types import RAW_SCHEMA, RawBatch


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
    """Return stored results as JSON rows, oldest window first; from the daemon's API when it runs."""
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
        wanted = {"model": model, "metric": metric, "limit": "10000"}
        rows = _ask_daemon(config, "results", {k: v for k, v in wanted.items() if v}, error)["results"]
        return sorted(rows, key=lambda row: (row["model"], row["window_start"]))


def refused_records(config: Config, *, reason: str | None, limit: int) -> list[dict[str, Any]]:
    """Return the newest refused records, from the daemon's API when it runs."""
    try:
        with opened(config) as (_, cursor):
            rows = listed(cursor, reason=reason, limit=limit)
        return [{"at": to_rfc3339(row.pop("at_us")), **row} for row in rows]
    except StoreError as error:
        if "in use" not in str(error):
            raise
        rows = list(_ask_daemon(config, "quarantine", {"limit": str(limit)}, error)["quarantine"])
        return [row for row in rows if reason in (None, row["reason"])]


def _ask_daemon(config: Config, what: str, parameters: dict[str, str], reason: StoreError) -> Any:
    import httpx

    scheme = "https" if config.server.tls else "http"
    url = f"{scheme}://{config.server.listen}/api/v1/{what}"
    try:
        answer = httpx.get(url, params=parameters, timeout=10.0, trust_env=False)
        answer.raise_for_status()
        return answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise StoreError(f"{reason}; and the daemon does not answer at {url}: {error}") from None


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


def send_test(config: Config, action: str) -> str:
    """Send one signed test message; return what came of it in a sentence."""
    known = endpoints(config)
    if action not in known:
        raise ConfigError([f"unknown action {action!r}; configured are {', '.join(known) or 'none'}"])
    message_id, body = f"msg_{secrets.token_hex(16)}", b'{"type":"model_monitor.test","data":{}}'
    attempt = send(known[action], message_id, body, now_us=time.time_ns() // 1000)
    return f"{message_id}: {attempt.outcome}" + (f" ({attempt.error})" if attempt.error else "")
