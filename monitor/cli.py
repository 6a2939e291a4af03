"""The command line: nothing but wiring. Errors are clear sentences on stderr; exit 2 for usage and config."""

from __future__ import annotations

import json
import logging
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from monitor import __version__
from monitor.admin import ConfigOption, quarantine, webhook
from monitor.console import Format, print_rows, progress_reporter, write_lines
from monitor.errors import ConfigError, MonitorError
from monitor.look import config_of, look, moment_of, plan_of

app = typer.Typer(
    name="model-monitor",
    help="Watches deployed ML models: Kafka topics or files in, Prometheus metrics and retrain webhooks out.",
    epilog="Start with: model-monitor demo. With tables or topics of your own: check, replay, then run."
    " Exit codes: 0 done, 1 failed or problems found, 2 wrong use or configuration.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.registered_commands += look.registered_commands
app.add_typer(quarantine, name="quarantine", rich_help_panel="Operate")
app.add_typer(webhook, name="webhook", rich_help_panel="Operate")


class LogFormat(StrEnum):
    """How log lines look."""

    text = "text"
    json = "json"


@app.callback(invoke_without_command=True)
def common(
    context: typer.Context,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log more; before the command: model-monitor -v run …")
    ] = False,
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


@app.command(rich_help_panel="Watch", epilog="Example: model-monitor run -c credit.yaml")
def run(context: typer.Context, config: ConfigOption) -> None:
    """Run the daemon until SIGTERM or Ctrl-C: read, evaluate, alert, and serve what server.listen says.

    By default http://127.0.0.1:9108/ is the status page and /metrics what Prometheus scrapes. SIGHUP or a
    POST to /-/reload reads the configuration again; a wrong one leaves the old in force. Logs go to stderr.
    """
    from monitor.daemon import Daemon

    settings = config_of(config)
    _logging(context, settings.log.level, settings.log.format)
    Daemon(settings, lambda: config_of(config)).run()


@app.command(rich_help_panel="Prepare", epilog="Example: model-monitor check -c credit.yaml --rows 5000")
def check(
    config: ConfigOption,
    rows: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Rows that a window will hold, for the outlook on alerts; by default a twentieth of the"
            " reference.",
        ),
    ] = None,
) -> None:
    """Validate the configuration, references, connections and first records; exit 1 with every problem.

    Of files the first 1,000 records are tried: what would be refused is said, with the fields they have.
    When all is well, say of each alert how many false alarms to expect and the smallest drift it sees.
    """
    from monitor.checkup import outlooks, problems
    from monitor.logs import configure
    from monitor.trial import Trial, try_files

    configure(logging.CRITICAL, json_lines=False)  # what is wrong is said once, in the problems
    try:
        found = problems(config)
        tried = Trial((), ()) if found else try_files(plan_of(config))
    except ConfigError as error:
        found, tried = list(error.problems), Trial((), ())
    found += tried.problems
    for one in (*found, *(f"note: {remark}" for remark in tried.remarks)):
        typer.echo(one, err=True)
    if found:
        raise typer.Exit(1)
    typer.echo(f"{config}: all is well")
    for one in outlooks(config, rows):
        typer.echo(one)


@app.command(
    rich_help_panel="Prepare",
    epilog="Example: model-monitor replay -c credit.yaml --from 2026-11-01 --alerts alerts.jsonl",
)
def replay(
    context: typer.Context,
    config: ConfigOption,
    from_: Annotated[
        str | None,
        typer.Option("--from", help="First window start, such as 2026-11-01 or 2026-11-01T10:00:00Z (UTC)."),
    ] = None,
    to: Annotated[str | None, typer.Option("--to", help="Last window end, likewise.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write final results here, as JSON lines.")] = None,
    alerts: Annotated[Path | None, typer.Option(help="Write alert transitions here, as JSON lines.")] = None,
    stored: Annotated[
        bool, typer.Option("--stored", help="Ask the store of a stopped daemon, not the sources.")
    ] = False,
    compare: Annotated[
        Path | None, typer.Option(help="Another configuration: what its rules would have done, side by side.")
    ] = None,
    format: Annotated[Format, typer.Option(help="How to print what the rules did.")] = Format.table,
) -> None:
    """Backtest: evaluate history as the daemon would have at each moment, and print what each rule did."""
    from monitor.backtest import compared, replayed_summary
    from monitor.replay import replay as run_replay

    plans = [plan_of(path) for path in (config, compare) if path]
    _logging(context, plans[0].config.log.level, plans[0].config.log.format)
    for path in (output, alerts):
        if path is not None and not path.parent.is_dir():
            raise ConfigError([f"{path}: its folder does not exist"])
    if from_ and to and (moment_of(from_) or 0) >= (moment_of(to) or 0):
        raise ConfigError([f"--from {from_} is not before --to {to}"])
    started, from_us, to_us = time.monotonic(), moment_of(from_), moment_of(to)
    with progress_reporter() as progress:
        outcomes = [
            run_replay(one, from_us=from_us, to_us=to_us, progress=progress, stored=stored) for one in plans
        ]
    if output:
        write_lines(output, (r.to_json() for r in outcomes[0].results))
    if alerts:
        write_lines(alerts, outcomes[0].transitions)
    summaries = [replayed_summary(one.config, done) for one, done in zip(plans, outcomes, strict=True)]
    print_rows(compared(*summaries) if compare else summaries[0], format)
    for outcome in outcomes:
        windows = len({(r.model, r.window) for r in outcome.results})
        typer.echo(
            f"{outcome.read} records read ({outcome.quarantined} refused), {windows} windows,"
            f" {len(outcome.results)} results, {len(outcome.transitions)} transitions and decisions,"
            f" {time.monotonic() - started:.1f} s",
            err=format is not Format.table,
        )


@app.command(rich_help_panel="Prepare", epilog="Example: model-monitor schema > monitor.schema.json")
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    from monitor.config import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))


@app.command(rich_help_panel="Watch", epilog="Example: model-monitor demo --folder state/quickstart")
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


def _logging(context: typer.Context, level: str, format: str) -> None:
    from monitor.logs import configure

    given_level, given_format = context.obj or (None, None)
    configure(given_level or getattr(logging, level.upper()), (given_format or format) == "json")


def _logging_plain() -> None:
    from monitor.logs import configure

    configure(logging.WARNING, json_lines=False)
