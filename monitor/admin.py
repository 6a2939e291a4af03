"""Commands for operators: refused records and the outbox of webhooks."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from monitor.access import opened, refused_records, retry_refused, send_test
from monitor.build import plan
from monitor.config import load
from monitor.console import print_rows
from monitor.errors import MonitorError
from monitor.store.outbox import listed, retry
from monitor.store.quarantine import payload, purge
from monitor.time import to_rfc3339

quarantine = typer.Typer(help="Refused records: list, show, try again, purge.", no_args_is_help=True)
webhook = typer.Typer(help="The outbox of webhooks: list, retry, test.", no_args_is_help=True)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The configuration file (YAML).")]
Reason = Annotated[str | None, typer.Option(help="Only records refused for this reason.")]


@quarantine.command("list")
def quarantine_list(config: ConfigOption, reason: Reason = None, limit: int = 100) -> None:
    """List refused records, newest first."""
    print_rows(refused_records(load(config), reason=reason, limit=limit))


@quarantine.command("show")
def quarantine_show(config: ConfigOption, seq: int) -> None:
    """Print the stored part of one refused record as it came."""
    with opened(load(config)) as (_, cursor):
        found = payload(cursor, seq)
    if found is None:
        raise MonitorError(f"no refused record has number {seq}; see model-monitor quarantine list")
    sys.stdout.buffer.write(found + b"\n")


@quarantine.command("replay")
def quarantine_replay(config: ConfigOption, reason: Reason = None) -> None:
    """Try refused records again, after a fix of the configuration (the daemon must be stopped)."""
    landed, refused, cut = retry_refused(plan(load(config)), reason=reason)
    typer.echo(f"{landed} landed, {refused} refused again, {cut} kept: their payload was cut when stored")


@quarantine.command("purge")
def quarantine_purge(config: ConfigOption, reason: Reason = None) -> None:
    """Delete refused records (the daemon must be stopped); they stay counted."""
    with opened(load(config)) as (store, cursor):
        typer.echo(f"{purge(store, cursor, reason=reason)} deleted")


@webhook.command("list")
def webhook_list(config: ConfigOption) -> None:
    """List the outbox (the daemon must be stopped)."""
    with opened(load(config)) as (_, cursor):
        rows = [
            {k.removesuffix("_us"): to_rfc3339(v) if k.endswith("_us") else v for k, v in row.items()}
            for row in listed(cursor)
        ]
    print_rows(rows)


@webhook.command("retry")
def webhook_retry(
    config: ConfigOption, id: Annotated[str | None, typer.Option("--id", help="Only this message.")] = None
) -> None:
    """Make dead and disabled messages due again (the daemon must be stopped)."""
    with opened(load(config)) as (store, cursor):
        typer.echo(f"{retry(store, cursor, id, time.time_ns() // 1000)} due again")


@webhook.command("test")
def webhook_test(
    config: ConfigOption, action: Annotated[str, typer.Argument(help="Name of the action.")]
) -> None:
    """Send one signed test message to an action, now."""
    typer.echo(send_test(load(config), action))
