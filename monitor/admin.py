"""Commands for operators: refused records and the outbox of webhooks.

What they work with is imported when one runs: help, and a shell that completes a word, do not wait for it.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from monitor.console import Format, print_rows
from monitor.errors import MonitorError

quarantine = typer.Typer(help="Refused records: list, show, try again, purge.", no_args_is_help=True)
webhook = typer.Typer(help="The outbox of webhooks: list, retry, test.", no_args_is_help=True)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The configuration file (YAML).")]
Reason = Annotated[
    str | None,
    typer.Option(help="Only records refused for this reason, as the list has it, such as not_json."),
]


class State(StrEnum):
    """How far a message of the outbox is."""

    pending = "pending"
    delivered = "delivered"
    dead = "dead"
    disabled = "disabled"


@quarantine.command("list", epilog="Example: model-monitor quarantine list -c credit.yaml --reason future")
def quarantine_list(
    config: ConfigOption,
    reason: Reason = None,
    limit: Annotated[int, typer.Option(min=1, help="Most records.")] = 100,
) -> None:
    """List refused records, newest first; asks the daemon when it holds the store."""
    from monitor.access import refused_records
    from monitor.config import load

    print_rows(refused_records(load(config), reason=reason, limit=limit))


@quarantine.command("show", epilog="Example: model-monitor quarantine show -c credit.yaml 17")
def quarantine_show(
    config: ConfigOption,
    seq: Annotated[int, typer.Argument(help="Number of the record, as quarantine list shows it.")],
) -> None:
    """Print the stored part of one refused record as it came (the daemon must be stopped)."""
    from monitor.access import opened
    from monitor.config import load
    from monitor.store.quarantine import payload

    with opened(load(config)) as (_, cursor):
        found = payload(cursor, seq)
    if found is None:
        raise MonitorError(f"no refused record has number {seq}; see model-monitor quarantine list")
    sys.stdout.buffer.write(found + b"\n")


@quarantine.command("replay", epilog="Example: model-monitor quarantine replay -c credit.yaml")
def quarantine_replay(config: ConfigOption, reason: Reason = None) -> None:
    """Try refused records again, after a fix of the configuration (the daemon must be stopped)."""
    from monitor.access import retry_refused
    from monitor.build import plan
    from monitor.config import load

    landed, refused, cut = retry_refused(plan(load(config)), reason=reason)
    typer.echo(f"{landed} landed, {refused} refused again, {cut} kept: their payload was cut when stored")


@quarantine.command("purge", epilog="Example: model-monitor quarantine purge -c credit.yaml --reason csv")
def quarantine_purge(config: ConfigOption, reason: Reason = None) -> None:
    """Delete refused records (the daemon must be stopped); they stay counted."""
    from monitor.access import opened
    from monitor.config import load
    from monitor.store.quarantine import purge

    with opened(load(config)) as (store, cursor):
        typer.echo(f"{purge(store, cursor, reason=reason)} deleted")


@webhook.command("list", epilog="Example: model-monitor webhook list -c credit.yaml --state dead")
def webhook_list(
    config: ConfigOption,
    state: Annotated[State | None, typer.Option(help="Only these.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most messages.")] = 1_000,
    format: Annotated[Format, typer.Option(help="How to print.")] = Format.table,
) -> None:
    """List the newest messages, oldest first; asks the daemon when it holds the store."""
    from monitor.access import outbox_rows
    from monitor.config import load

    print_rows(outbox_rows(load(config), state=state, limit=limit), format)


@webhook.command("retry", epilog="Example: model-monitor webhook retry -c credit.yaml --action pipeline")
def webhook_retry(
    config: ConfigOption,
    id: Annotated[str | None, typer.Option("--id", help="Only this message.")] = None,
    action: Annotated[str | None, typer.Option(help="Only messages to this action.")] = None,
) -> None:
    """Make dead and disabled messages due again, through the daemon when it holds the store."""
    from monitor.access import retry_messages
    from monitor.config import load

    typer.echo(f"{retry_messages(load(config), id=id, action=action)} due again")


@webhook.command("test", epilog="Example: model-monitor webhook test -c credit.yaml pipeline")
def webhook_test(
    config: ConfigOption, action: Annotated[str, typer.Argument(help="Name of the action.")]
) -> None:
    """Send a made-up message to an action, now; one with a template starts what it would start."""
    from monitor.access import send_test
    from monitor.config import load

    for sentence in send_test(load(config), action):
        typer.echo(sentence)
