"""The tutorial does what it says: each file it shows is written, each command typed, each output compared."""

from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pages import DOCS, ROOT, Shell, blocks, commands, matches

from monitor.config import load

TUTORIAL = DOCS / "tutorial.md"
LIMIT_S = 60


def newcomer(folder: Path) -> dict[str, str]:
    """Return the environment of someone who has installed the package: the command is on the path."""
    binary = folder / "bin"
    binary.mkdir()
    for name, words in (("model-monitor", "-m monitor"), ("python", "")):
        program = binary / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    path = f"{binary}:{os.environ['PATH']}"
    return {"PATH": path, "PYTHONPATH": str(ROOT), "MODEL_MONITOR": str(ROOT), "COLUMNS": "200"}


def port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return str(free.getsockname()[1])


@pytest.mark.slow
def test_every_block_of_the_tutorial_does_what_it_shows(tmp_path: Path) -> None:
    here, own = tmp_path / "empty", port()
    here.mkdir()
    shell = Shell(here, newcomer(tmp_path))
    typed = 0
    try:
        for block in blocks(TUTORIAL):
            text = block.text.replace("9108", own)
            if block.language == "yaml":
                name = re.match(r"# ([\w.]+)", text)
                assert name, f"line {block.line}: the first line names no file"
                (here / name[1]).write_text(text)
                continue
            assert block.language == "console", f"line {block.line}: nobody runs this block"
            for command, shown in commands(text):
                patient = command.startswith("until")
                printed = shell.type(f"timeout {LIMIT_S} bash -c {quoted(command)}" if patient else command)
                said = f"line {block.line}: $ {command}\nshows\n{shown}\nprinted\n{printed}"
                assert command.endswith("&") or matches(shown, printed), said
                typed += 1
    finally:
        shell.close()
    assert typed > 12
    assert "refused" not in (here / "monitor.log").read_text()


def quoted(command: str) -> str:
    return "'" + command.replace("'", "'\\''") + "'"


def test_its_notification_fits_into_its_configuration(tmp_path: Path) -> None:
    files = {b.text.split()[1].rstrip(":"): b.text for b in blocks(TUTORIAL) if b.language == "yaml"}
    config, told = yaml.safe_load(files["loans.yaml"]), yaml.safe_load(files["told.yaml"])
    config["models"][0]["notify"] = told["notify"]
    (tmp_path / "loans.yaml").write_text(yaml.safe_dump(config | {"actions": told["actions"]}))
    assert list(load(tmp_path / "loans.yaml").actions) == ["team"]


def test_its_example_is_the_same_every_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        subprocess.run([sys.executable, ROOT / "examples/loans.py", tmp_path / name], check=True)
    assert (tmp_path / "one/scored.csv").read_bytes() == (tmp_path / "two/scored.csv").read_bytes()


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [("a\n…z\n", "a\nb\nyz\n", True), ("a.c\n", "abc\n", False), ("", "", True), ("", "surprise", False)],
)
def test_an_output_is_compared_to_the_letter_but_for_what_is_left_out(
    shown: str, printed: str, same: bool
) -> None:
    assert matches(shown, printed) == same
