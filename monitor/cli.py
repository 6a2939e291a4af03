"""The command line: nothing but wiring. Errors are clear sentences on stderr; exit 2 for usage and config."""

from __future__ import annotations

import csv
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from monitor import __version__
from monitor.errors import ConfigError, MonitorError

app = typer.Typer(
    name="model-monitor",
    help="Watches deployed ML models: Kafka in, Prometheus metrics and retrain webhooks out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
quarantine = typer.Typer(help="Refused records: list, show, try again, purge.", no_args_is_help=True)
webhook = typer.Typer(help="The outbox of webhooks: list, retry, test.", no_args_is_help=True)
app.add_typer(quarantine, name="quarantine")
app.add_typer(webhook, name="webhook")

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The configuration file (YAML).")]
Moment = Annotated[str | None, typer.Option(help="RFC 3339 moment or date, UTC unless it says otherwise.")]
ModelOption = Annotated[str | None, typer.Option("--model", help="Only this model.")]
Reason = Annotated[str | None, typer.Option(help="Only records refused for this reason.")]


class Format(StrEnum):
    """How results are printed."""

    table = "table"
    jsonl = "jsonl"
    csv = "csv"


class LogFormat(StrEnum):
    """How log lines look."""

    text = "text"
    json = "json"


@app.callback(invoke_without_command=True)
def common(
    context: typer.Context,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Log warnings and errors only.")] = False,
    log_format: Annotated[LogFormat | None, typer.Option(help="Log lines as text or JSON.")] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Set up what every command shares."""
    if version:
        typer.echo(f"model-monitor {__version__}")
        raise typer.Exit
    level = logging.DEBUG if verbose else logging.WARNING if quiet else None
    context.obj = (level, log_format)


@app.command()
def run(context: typer.Context, config: ConfigOption) -> None:
    """Run the daemon."""
    from monitor.daemon import Daemon

    the_plan = _plan(config)
    _logging(context, the_plan.config.log.level, the_plan.config.log.format)
    Daemon(the_plan, lambda: _plan(config)).run()


@app.command()
def check(config: ConfigOption) -> None:
    """Validate the configuration, references and connections; exit 1 with every problem and its line."""
    from monitor.checkup import problems

    try:
        found = problems(config)
    except ConfigError as error:
        found = list(error.problems)
    for one in found:
        typer.echo(one, err=True)
    if found:
        raise typer.Exit(1)
    typer.echo(f"{config}: all is well")


@app.command()
def replay(
    context: typer.Context,
    config: ConfigOption,
    from_: Annotated[str | None, typer.Option("--from", help="First window start (RFC 3339).")] = None,
    to: Annotated[str | None, typer.Option("--to", help="Last window end (RFC 3339).")] = None,
    output: Annotated[Path | None, typer.Option(help="Write final results here, as JSON lines.")] = None,
    alerts: Annotated[Path | None, typer.Option(help="Write alert transitions here, as JSON lines.")] = None,
) -> None:
    """Evaluate stored history as the daemon would have at each moment; sends nothing."""
    from monitor.replay import replay as run_replay

    the_plan = _plan(config)
    _logging(context, the_plan.config.log.level, the_plan.config.log.format)
    started = time.monotonic()
    with _progress() as progress:
        outcome = run_replay(the_plan, from_us=_moment(from_), to_us=_moment(to), progress=progress)
    if output:
        _write_lines(output, (r.to_json() for r in outcome.results))
    if alerts:
        _write_lines(alerts, outcome.transitions)
    windows = len({(r.model, r.window) for r in outcome.results})
    typer.echo(
        f"{outcome.read} records read ({outcome.quarantined} refused), {windows} windows,"
        f" {len(outcome.results)} results, {len(outcome.transitions)} transitions and decisions,"
        f" {time.monotonic() - started:.1f} s"
    )


@app.command()
def results(
    config: ConfigOption,
    model: ModelOption = None,
    metric: Annotated[str | None, typer.Option(help="Only this metric.")] = None,
    format: Annotated[Format, typer.Option(help="How to print.")] = Format.table,
) -> None:
    """Print stored results, oldest window first; asks the daemon when it holds the store."""
    from monitor.access import stored_results

    rows = stored_results(_config(config), model=model, metric=metric)
    _print_rows(rows, format)


@app.command()
def reference(config: ConfigOption, model: ModelOption = None) -> None:
    """Build the reference profiles and describe them."""
    from monitor.describe import reference_tables

    the_plan = _plan(config)
    _known_model(the_plan.config, model)
    reference_tables(the_plan, model)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    from monitor.config import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))


@app.command()
def demo(
    folder: Annotated[
        Path | None, typer.Option(help="Keep the demonstration's files here (default: a temporary folder).")
    ] = None,
    port: Annotated[int, typer.Option(help="Port of metrics and status page.")] = 9108,
    once: Annotated[bool, typer.Option("--once", help="Stop when the story is told.")] = False,
) -> None:
    """Run a self-contained demonstration: a model, its stream, a fault upstream, and what comes of it."""
    from monitor.demo import run_demo

    _logging_plain()
    raise typer.Exit(run_demo(folder, port=port, once=once))


@quarantine.command("list")
def quarantine_list(config: ConfigOption, reason: Reason = None, limit: int = 100) -> None:
    """List refused records, newest first."""
    from monitor.access import refused_records

    _print_rows(refused_records(_config(config), reason=reason, limit=limit), Format.table)


@quarantine.command("show")
def quarantine_show(config: ConfigOption, seq: int) -> None:
    """Print the stored part of one refused record as it came."""
    from monitor.access import opened
    from monitor.store.quarantine import payload

    with opened(_config(config)) as (_, cursor):
        found = payload(cursor, seq)
    if found is None:
        raise MonitorError(f"no refused record has number {seq}; see model-monitor quarantine list")
    sys.stdout.buffer.write(found + b"\n")


@quarantine.command("replay")
def quarantine_replay(config: ConfigOption, reason: Reason = None) -> None:
    """Try refused records again, after a fix of the configuration (the daemon must be stopped)."""
    from monitor.access import retry_refused

    landed, refused, cut = retry_refused(_plan(config), reason=reason)
    typer.echo(f"{landed} landed, {refused} refused again, {cut} kept: their payload was cut when stored")


@quarantine.command("purge")
def quarantine_purge(config: ConfigOption, reason: Reason = None) -> None:
    """Delete refused records (the daemon must be stopped); they stay counted."""
    from monitor.access import opened
    from monitor.store.quarantine import purge

    with opened(_config(config)) as (store, cursor):
        typer.echo(f"{purge(store, cursor, reason=reason)} deleted")


@webhook.command("list")
def webhook_list(config: ConfigOption) -> None:
    """List the outbox (the daemon must be stopped)."""
    from monitor.access import opened
    from monitor.store.outbox import listed

    with opened(_config(config)) as (_, cursor):
        rows = listed(cursor)
    _print_rows(rows, Format.table)


@webhook.command("retry")
def webhook_retry(
    config: ConfigOption, id: Annotated[str | None, typer.Option("--id", help="Only this message.")] = None
) -> None:
    """Make dead and disabled messages due again (the daemon must be stopped)."""
    from monitor.access import opened
    from monitor.store.outbox import retry

    with opened(_config(config)) as (store, cursor):
        typer.echo(f"{retry(store, cursor, id, time.time_ns() // 1000)} due again")


@webhook.command("test")
def webhook_test(
    config: ConfigOption, action: Annotated[str, typer.Argument(help="Name of the action.")]
) -> None:
    """Send one signed test message to an action, now."""
    from monitor.access import send_test

    typer.echo(send_test(_config(config), action))


def main() -> None:
    """Run the command line; turn our own errors into a sentence and an exit code."""
    try:
        app()
    except ConfigError as error:
        for problem in error.problems:
            typer.echo(problem, err=True)
        sys.exit(2)
    except MonitorError as error:
        typer.echo(f"model-monitor: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        sys.exit(0)


def _config(path: Path) -> Any:
    from monitor.config import load

    return load(path)


def _plan(path: Path) -> Any:
    from monitor.build import plan

    return plan(_config(path))


def _known_model(config: Any, model: str | None) -> None:
    names = [one.name for one in config.models]
    if model is not None and model not in names:
        raise ConfigError([f"--model: unknown model {model!r}; configured are {', '.join(names)}"])


def _moment(text: str | None) -> int | None:
    from monitor.time import from_rfc3339

    if text is None:
        return None
    try:
        return from_rfc3339(text)
    except ValueError:
        raise ConfigError(
            [f"{text!r} is no RFC 3339 moment; write 2026-11-22 or 2026-11-22T10:00:00Z"]
        ) from None


def _write_lines(path: Path, rows: Any) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, allow_nan=False) + "\n")


def _print_rows(rows: list[dict[str, Any]], format: Format) -> None:
    if format is Format.jsonl:
        for row in rows:
            typer.echo(json.dumps(row, default=str))
        return
    columns = list(rows[0]) if rows else []
    if format is Format.csv:
        writer = csv.DictWriter(sys.stdout, columns)
        writer.writeheader()
        writer.writerows(rows)
        return
    from monitor.describe import print_table

    print_table(columns, [[row[c] for c in columns] for row in rows])


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int | None], None]]:
    """Yield a reporter: a bar on a terminal, a log line now and then elsewhere."""
    log, said = logging.getLogger("monitor"), [time.monotonic()]
    if not sys.stderr.isatty():

        def line(what: str, done: int, total: int | None) -> None:
            if time.monotonic() - said[0] > 5.0:
                said[0] = time.monotonic()
                log.info("%s: %d%s", what, done, f" of {total}" if total else "")

        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def advance(what: str, done: int, total: int | None) -> None:
            task = tasks.get(what)
            if task is None:
                task = tasks[what] = bars.add_task(what, total=total)
            bars.update(task, completed=done, total=total)

        yield advance


def _logging(context: typer.Context, level: str, format: str) -> None:
    from monitor.logs import configure

    given_level, given_format = context.obj or (None, None)
    configure(given_level or getattr(logging, level.upper()), (given_format or format) == "json")


def _logging_plain() -> None:
    from monitor.logs import configure

    configure(logging.WARNING, json_lines=False)
