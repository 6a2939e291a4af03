"""Help that teaches: every command has an example that is a command line, and shells can complete them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import click
import pytest
import typer
from typer.testing import CliRunner

from monitor.cli import app

GROUP = typer.main.get_command(app)


def leaves(command: click.Command, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, child in getattr(command, "commands", {}).items():
        yield from leaves(child, *path, name)
    if not hasattr(command, "commands"):
        yield path, command


@pytest.mark.parametrize(
    ("path", "command"), [pytest.param(*one, id=" ".join(one[0])) for one in leaves(GROUP)]
)
def test_the_example_of_a_command_is_one_of_its_command_lines(
    path: tuple[str, ...], command: click.Command
) -> None:
    words = shlex.split((command.epilog or "").removeprefix("Example: ").partition(" > ")[0])
    assert tuple(words[: len(path) + 1]) == ("model-monitor", *path)
    command.make_context(path[-1], words[len(path) + 1 :])  # raises at what it does not know
    assert command.help


def test_a_shell_is_given_what_completes_a_command() -> None:
    found = CliRunner().invoke(
        app, [], prog_name="model-monitor",
        env={"_MODEL_MONITOR_COMPLETE": "complete_bash", "COMP_WORDS": "model-monitor re", "COMP_CWORD": "1"},
    )  # fmt: skip
    assert {"replay", "results", "reference", "retraining"} <= set(found.stdout.split())
