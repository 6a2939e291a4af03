"""Help that teaches: every command has an example that is a command line, and shells can complete them."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from monitor.cli import app

ROOT = Path(__file__).resolve().parent.parent
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


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """Return an environment with an empty home, in which the command is found."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "HOME": str(tmp_path), "PATH": path, "PYTHONPATH": str(ROOT)}


def typed(shell: str, script: str, home: dict[str, str]) -> str:
    """Return what a shell prints that runs a script."""
    if shutil.which(shell) is None:
        assert not os.environ.get("CI"), f"{shell} is needed in CI"
        pytest.skip(f"needs {shell}")
    done = subprocess.run([shell, "-c", script], env=home, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_bash_completes_with_what_the_command_installs(home: dict[str, str]) -> None:
    assert "completion installed" in typed("bash", "model-monitor --install-completion; true", home)
    script = "source ~/.bashrc; complete -p model-monitor; COMP_WORDS=(model-monitor @@)\n"
    script += "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _model_monitor_completion model-monitor\n"
    script += "echo ${COMPREPLY[@]}"
    registered, found = typed("bash", script.replace("@@", "re"), home).splitlines()
    assert "-F _model_monitor_completion" in registered
    assert {"replay", "results", "report", "reference", "retraining"} == set(found.split())
    assert typed("bash", script.replace("@@", "webhook list --state d"), home).split()[-3:] == [
        "delivered", "dead", "disabled"
    ]  # fmt: skip


def test_zsh_completes_with_what_the_command_installs(home: dict[str, str]) -> None:
    assert "completion installed" in typed("zsh", "model-monitor --install-completion; true", home)
    words = "compdef() { print registered $@ }; _arguments() { print -r -- $@ }\n"
    words += "words=(model-monitor quarantine p); CURRENT=3\nsource ~/.zfunc/_model-monitor\n"
    words += "_model_monitor_completion"
    said = typed("zsh", words, home)
    assert "registered _model_monitor_completion model-monitor" in said
    assert "purge" in said and "list" not in said


def test_help_and_completion_wait_for_nothing_heavy() -> None:
    heavy = {"numpy", "duckdb", "pyarrow", "pandas", "sklearn"}
    asked = f"import sys, monitor.cli; print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, "\n"), done.stderr
