"""Commands for operators: refused records and the outbox of webhooks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from monitor.access import opened, outbox_rows, refused_records, retry_messages, retry_refused, send_test
from monitor.build import plan
from monitor.config import load
from monitor.console import Format, print_rows
from monitor.errors import ConfigError, MonitorError
from monitor.store.outbox import STATES
from monitor.store.quarantine import payload, purge

quarantine = typer.Typer(help="Refused records: list, show, try again, purge.", no_args_is_help=True)
webhook = typer.Typer(help="The outbox of webhooks: list, retry, test.", no_args_is_help=True)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The configuration file (YAML).")]
Reason = Annotated[str | None, typer.Option(help="Only records refused for this reason.")]


@quarantine.command("list", epilog="Example: model-monitor quarantine list -c credit.yaml --reason future")
def quarantine_list(config: ConfigOption, reason: Reason = None, limit: int = 100) -> None:
    """List refused records, newest first."""
    print_rows(refused_records(load(config), reason=reason, limit=limit))


@quarantine.command("show", epilog="Example: model-monitor quarantine show -c credit.yaml 17")
def quarantine_show(config: ConfigOption, seq: int) -> None:
    """Print the stored part of one refused record as it came."""
    with opened(load(config)) as (_, cursor):
        found = payload(cursor, seq)
    if found is None:
        raise MonitorError(f"no refused record has number {seq}; see model-monitor quarantine list")
    sys.stdout.buffer.write(found + b"\n")


@quarantine.command("replay", epilog="Example: model-monitor quarantine replay -c credit.yaml")
def quarantine_replay(config: ConfigOption, reason: Reason = None) -> None:
    """Try refused records again, after a fix of the configuration (the daemon must be stopped)."""
    landed, refused, cut = retry_refused(plan(load(config)), reason=reason)
    typer.echo(f"{landed} landed, {refused} refused again, {cut} kept: their payload was cut when stored")


@quarantine.command("purge", epilog="Example: model-monitor quarantine purge -c credit.yaml --reason csv")
def quarantine_purge(config: ConfigOption, reason: Reason = None) -> None:
    """Delete refused records (the daemon must be stopped); they stay counted."""
    with opened(load(config)) as (store, cursor):
        typer.echo(f"{purge(store, cursor, reason=reason)} deleted")


@webhook.command("list", epilog="Example: model-monitor webhook list -c credit.yaml --state dead")
def webhook_list(
    config: ConfigOption,
    state: Annotated[str | None, typer.Option(help=f"Only these: {', '.join(STATES)}.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most messages.")] = 1_000,
    format: Annotated[Format, typer.Option(help="How to print.")] = Format.table,
) -> None:
    """List the newest messages, oldest first; asks the daemon when it holds the store."""
    if state not in (None, *STATES):
        raise ConfigError([f"--state: unknown state {state!r}; allowed: {', '.join(STATES)}"])
    print_rows(outbox_rows(load(config), state=state, limit=limit), format)


@webhook.command("retry", epilog="Example: model-monitor webhook retry -c credit.yaml --action pipeline")
def webhook_retry(
    config: ConfigOption,
    id: Annotated[str | None, typer.Option("--id", help="Only this message.")] = None,
    action: Annotated[str | None, typer.Option(help="Only messages to this action.")] = None,
) -> None:
    """Make dead and disabled messages due again, through the daemon when it holds the store."""
    typer.echo(f"{retry_messages(load(config), id=id, action=action)} due again")


@webhook.command("test", epilog="Example: model-monitor webhook test -c credit.yaml pipeline")
def webhook_test(
    config: ConfigOption, action: Annotated[str, typer.Argument(help="Name of the action.")]
) -> None:
    """Send a made-up message to an action, now; one with a template starts what it would start."""
    for sentence in send_test(load(config), action):
        typer.echo(sentence)
