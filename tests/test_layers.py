"""Imports point down only; what lies below ``explain`` reads no clock, no network and no global random."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "monitor"

# From the top to the bottom; what shares a line does not import each other.
LAYERS = (
    {"__main__"},
    {"cli"},
    {"look"},
    {"admin", "demo"},
    {"console"},
    {"examples", "trial"},
    {"backtest"},
    {"daemon", "replay", "access", "checkup", "logs"},
    {"systemd", "pauses"},
    {"remote", "stored"},
    {"worker"},
    {"view"},
    {"web"},
    {"report"},
    {"pictures"},
    {"ingest"},
    {"build"},
    {"deliveries", "specs", "alerting", "explainer"},
    {"cycle"},
    {"references", "notices", "retraining", "due"},
    {"config"},
    {"actions"},
    {"sources"},
    {"explaining_event"},
    {"explaining"},
    {"explain"},
    {"baselines"},
    {"evaluate", "watermark"},
    {"segments", "worst"},
    {"lift", "attributions", "facts"},
    {"lift_lists"},
    {"rules"},
    {"reference"},
    {"metrics"},
    {"summaries"},
    {"engine"},
    {"store"},
    {"decode"},
    {"types"},
    {"errors", "time"},
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
DETERMINISTIC = {name for name, rank in RANK.items() if rank > RANK["explain"]} - {"time"}
IMPURE = {
    "asyncio", "ftplib", "http", "httpx", "logging", "random", "requests", "secrets", "socket", "ssl",
    "subprocess", "time", "urllib", "uuid",
}  # fmt: skip
SEEDED = {"Generator", "SeedSequence", "PCG64", "default_rng"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def unit(path: Path) -> str:
    """Return the layer's name of a module: the first name below the package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(source: str) -> list[str]:
    """Return the absolute names of everything imported anywhere in the module."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def upward(own: str, source: str) -> list[str]:
    """Return imports that do not point down from the layer ``own``."""
    others = {name.split(".")[1] for name in imported(source) if name.startswith("monitor.")} - {own}
    return sorted(o for o in others - {"__version__"} if RANK[o] <= RANK[own])


def impure(source: str) -> list[str]:
    """Return what a deterministic module must not use."""
    found = [name for name in imported(source) if name.split(".")[0] in IMPURE]
    found += [
        name for name in imported(source) if name in ("monitor.time.SystemClock", "datetime.datetime.now")
    ]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            text = ast.unparse(node)
            if text.endswith((".now", ".utcnow", ".today")) and "datetime" in text:
                found.append(text)
            if text.startswith("np.random.") and text.split(".")[2] not in SEEDED:
                found.append(text)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("default_rng") and not node.args:
            found.append("default_rng without a seed")
    return found


def test_every_module_belongs_to_a_layer() -> None:
    assert {unit(path) for path in modules()} - {"__init__"} <= set(RANK)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down_only(path: Path) -> None:
    if unit(path) == "__init__":
        assert not [name for name in imported(path.read_text()) if name.startswith("monitor")]
    else:
        assert upward(unit(path), path.read_text()) == []


@pytest.mark.parametrize(
    "path", [p for p in modules() if unit(p) in DETERMINISTIC], ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_lower_layers_are_deterministic(path: Path) -> None:
    assert impure(path.read_text()) == []


def test_an_upward_import_is_found_wherever_it_hides() -> None:
    source = "def late():\n    from monitor.web.app import create_app\n    import monitor.cli\n"
    assert upward("store", source) == ["cli", "web"]
    assert upward("daemon", source) == ["cli"]


@pytest.mark.parametrize(
    "line",
    [
        "import time",
        "from time import monotonic",
        "import logging",
        "from monitor.time import SystemClock",
        "x = np.random.rand(3)",
        "x = np.random.default_rng()",
        "x = datetime.datetime.now()",
    ],
)
def test_what_would_make_a_lower_layer_depend_on_the_moment_is_found(line: str) -> None:
    assert impure(line)


def test_seeded_random_and_time_arithmetic_are_allowed() -> None:
    assert impure("from monitor.time import DAY_US\nx = np.random.default_rng(7)") == []
