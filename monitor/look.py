"""Commands that look: stored results, requests to retrain, reports, references."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.admin import ConfigOption
from monitor.console import Format, print_rows, reference_tables
from monitor.errors import ConfigError

look = typer.Typer()  # cli.py takes its commands as its own

ModelOption = Annotated[str | None, typer.Option("--model", help="Only this model.")]


@look.command(
    rich_help_panel="Look",
    epilog="Example: model-monitor results -c credit.yaml --metric accuracy --format csv",
)
def results(
    config: ConfigOption,
    model: ModelOption = None,
    metric: Annotated[str | None, typer.Option(help="Only this metric.")] = None,
    format: Annotated[Format, typer.Option(help="How to print.")] = Format.table,
) -> None:
    """Print stored results, oldest window first; asks the daemon when it holds the store."""
    from monitor.access import stored_results

    the_config = config_of(config)
    _known_model(the_config, model)
    rows = stored_results(the_config, model=model, metric=metric)
    if format is Format.table:
        kept = ("model", "version", "window_start", "metric", "feature", "attribute", "group", "segment")
        rows = [{k: row[k] for k in (*kept, "state", "value", "lower", "upper", "n")} for row in rows]
    print_rows(rows, format)


@look.command(
    rich_help_panel="Look", epilog="Example: model-monitor retraining -c credit.yaml --model credit"
)
def retraining(
    config: ConfigOption,
    model: ModelOption = None,
    limit: Annotated[int, typer.Option(help="Most requests, and most decisions.")] = 100,
    format: Annotated[Format, typer.Option(help="How to print; all but the table hold all there is.")] = (
        Format.table
    ),
) -> None:
    """Print requests to retrain, what came of them, and why others were not made."""
    from monitor.access import retraining as history

    the_plan = plan_of(config)
    _known_model(the_plan.config, model)
    found = history(the_plan, model=model, limit=limit)
    if format is not Format.table:
        return print_rows([*found["requests"], *found["verdicts"]], format)
    kept = ("at", "model", "alerts", "answered_by", "answered")
    requests = [{**{k: row[k] for k in kept}, "mean gain": _gains(row["gains"])} for row in found["requests"]]
    verdicts = [{k: row[k] for k in ("at", "model", "outcome", "why", "alerts")} for row in found["verdicts"]]
    print_rows(requests)
    print_rows(verdicts)


@look.command(
    rich_help_panel="Look",
    epilog="Example: model-monitor report -c credit.yaml --model credit -o report.html",
)
def report(
    config: ConfigOption,
    model: Annotated[str, typer.Option("--model", help="The model, by its name in the configuration.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Write the report here, as HTML.")],
    window: Annotated[
        str | None,
        typer.Option(
            help="Start of the window, as 2026-11-01T10:00:00Z; by default the newest with all its labels."
        ),
    ] = None,
) -> None:
    """Write one window's report as a single HTML file; asks the daemon when it holds the store."""
    from monitor.access import report as report_of

    the_plan = plan_of(config)
    _known_model(the_plan.config, model)
    output.write_text(report_of(the_plan, model, start_us=moment_of(window)), encoding="utf-8")
    typer.echo(f"{output}: written")


@look.command(rich_help_panel="Look", epilog="Example: model-monitor reference -c credit.yaml")
def reference(config: ConfigOption, model: ModelOption = None) -> None:
    """Build the reference profiles of files and describe them; of the stream, those that the store has."""
    the_plan = plan_of(config)
    _known_model(the_plan.config, model)
    from monitor.access import stored_references

    reference_tables(the_plan, model, stored_references(the_plan))


def config_of(path: Path) -> Any:
    """Return the configuration of a file."""
    from monitor.config import load

    return load(path)


def plan_of(path: Path) -> Any:
    """Return what a configuration file makes, references read."""
    from monitor.build import plan

    return plan(config_of(path))


def _known_model(config: Any, model: str | None) -> None:
    names = [one.name for one in config.models]
    if model is not None and model not in names:
        raise ConfigError([f"--model: unknown model {model!r}; configured are {', '.join(names)}"])


def _gains(gains: dict[str, Any]) -> str:
    return ", ".join(f"{name} {g['mean_gain']:+.4g} ({g['windows']} windows)" for name, g in gains.items())


def moment_of(text: str | None) -> int | None:
    """Return the moment that an option names, None where it is not given."""
    from monitor.time import from_rfc3339

    if text is None:
        return None
    try:
        return from_rfc3339(text)
    except ValueError:
        raise ConfigError(
            [f"{text!r} is no RFC 3339 moment; write 2026-11-22 or 2026-11-22T10:00:00Z"]
        ) from None
