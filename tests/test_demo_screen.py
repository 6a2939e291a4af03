"""The demonstration's live view: what it takes from the API, how it fits a terminal, a run in a real one."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from rich.console import Console
from terminal import Emulator, InTerminal
from web_backend import RESULTS, SNAPSHOT, WINDOW, MemoryBackend, serving

from monitor.examples.screen import Screen, can_live, spark
from monitor.examples.watching import Line, watch
from monitor.time import HOUR_US, SystemClock
from monitor.types import Window
from monitor.web.snapshot import AlertView

ROOT = Path(__file__).parent.parent
LIMITS = {"income-drift": {"above": 0.2}, "accuracy-drop": {"below": 0.8}, "auc-drop": {"below": 0.7}}
MARGINS = {"income-drift": -0.11, "accuracy-drop": 0.0125}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    alerts = [replace(a, bounds=LIMITS[a.alert], margin=MARGINS.get(a.alert)) for a in SNAPSHOT.alerts]
    calm = AlertView("credit", "income-drift", "warning", "ok", "psi", feature="age", value=0.003,
                     bounds={"above": 0.2}, margin=0.197)  # fmt: skip
    before = [
        replace(r, window=Window(WINDOW.start_us - k * HOUR_US, WINDOW.end_us - k * HOUR_US), value=v)
        for r in RESULTS[:1]
        for k, v in ((2, 0.01), (1, 0.16))
    ]
    backend = MemoryBackend(replace(SNAPSHOT, alerts=(*alerts, calm)), [*before, *RESULTS])
    backend.telemetry.events.labels("credit", "prediction", "landed").inc(41_822)
    with serving(backend) as server:
        yield server.url


def screen(url: str, columns: int, rows: int) -> tuple[Screen, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=columns, height=rows, color_system="truecolor")
    return Screen(console, url, SystemClock()), out


def test_what_is_shown_is_what_the_api_says_with_the_loudest_first(url: str) -> None:
    with httpx.Client(base_url=url) as client:
        sight = watch(client)
    assert (sight.ready, sight.firing) == (True, ["income-drift (income)"])
    assert sight.requests == {"pending": 0, "delivered": 1, "dead": 1}
    (model,) = sight.models
    assert (model.name, model.watermark) == ("credit", "2026-11-22T10:01:00Z")
    assert model.events == {"prediction": 41_822, "feedback": 0}
    assert [(line.metric, line.about, line.state) for line in model.lines] == [
        ("psi", "income", "firing"), ("accuracy", "", "ok"), ("roc_auc", "", "ok"),
        ("prediction_psi", "", "ok"),
    ]  # fmt: skip
    assert model.lines[0] == Line(
        "psi", "income", 0.31, {"above": 0.2}, "firing", [0.01, 0.16, 0.31]
    )  # one line an alert: that of the feature age is quiet


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (132, 50), (48, 14)])
def test_the_view_fills_a_terminal_of_any_size_and_no_line_is_too_long(
    url: str, columns: int, rows: int
) -> None:
    view, out = screen(url, columns, rows)
    terminal = Emulator(columns, rows)
    with view:
        for day in range(9):
            view.say(f"day {day} " + "numbers " * 20)
        view.say("\nALERT that matters\n", "bold red")
        view.look("day 9 of 24")
        terminal.feed(out.getvalue().replace("\n", "\r\n"))
        assert terminal.alternate and not terminal.cursor_shown and not terminal.wrapped
        lines = terminal.text.splitlines()
        assert "day 9 of 24" in lines[0] and "1 delivered" in lines[1]
        assert any("income: psi" in line and "0.31" in line and "firing" in line for line in lines)
        assert "ALERT that matters" in terminal.text and "Ctrl-C" in lines[-1]
        assert f"{url}/" in lines[-2]
    terminal.feed(out.getvalue().replace("\n", "\r\n"))
    assert not terminal.alternate and terminal.cursor_shown


def test_what_is_left_afterwards_has_the_numbers_and_what_mattered(url: str) -> None:
    view, out = screen(url, 80, 24)
    with view:
        view.say("a day went by")
        view.say("ALERT that matters", "bold red")
        view.look("day 9 of 24")
    out.seek(0)
    out.truncate()
    view.console.print(view.summary())
    left = out.getvalue()
    assert "income: psi" in left and "ALERT that matters" in left and "a day went by" not in left


def test_history_is_red_beyond_a_bound_on_either_side() -> None:
    drawn = spark(Line("x", "", 1.0, {"above": 2.0, "below": 0.0}, "ok", [-1.0, 0.0, 1.0, 2.0, 3.0]), 9)
    assert drawn.plain == "▁▃▅▆█"
    assert [span.style for span in drawn.spans] == ["red", "cyan", "cyan", "cyan", "red"]
    assert spark(Line("x", "", None, {}, "no labels", [None, None]), 9).plain == "  "


@pytest.mark.parametrize(
    ("terminal", "environment", "encoding", "expected"),
    [(True, {"TERM": "xterm"}, "utf-8", True), (True, {"TERM": "dumb"}, "utf-8", False),
     (True, {"TERM": "xterm"}, "latin-1", False), (False, {"TERM": "xterm"}, "utf-8", False)],
)  # fmt: skip
def test_only_a_terminal_with_a_cursor_and_block_characters_has_the_live_view(
    terminal: bool, environment: dict[str, str], encoding: str, expected: bool
) -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    assert can_live(Console(file=file, force_terminal=terminal, _environ=environment)) is expected


@pytest.mark.slow
def test_a_demonstration_in_a_terminal_shows_its_story_resizes_and_leaves_the_terminal_clean(
    tmp_path: Path,
) -> None:
    told = "import sys; from pathlib import Path; from monitor.demo import run_demo\n"
    told += "sys.exit(run_demo(Path(sys.argv[1]), port=0, story_s=12.0))"
    environment = {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}
    run = InTerminal([sys.executable, "-c", told, str(tmp_path / "demo")], columns=80, rows=24, cwd=ROOT,
                     environment=environment)  # fmt: skip
    try:
        run.until(lambda s: s.alternate and "Ctrl-C ends it" in s.text.splitlines()[-1], 90)
        run.until(lambda s: any("schooling: psi" in x and "firing" in x for x in s.text.splitlines()), 200)
        run.until(lambda s: "1 delivered" in s.text and "▁" in s.text, 60)
        assert run.screen.wrapped == 0
        run.resize(110, 34)
        run.until(lambda s: len(s.text.splitlines()) == 34 and s.text.splitlines()[2] == "─" * 110, 90)
        run.press("\x03")
    finally:
        run.press("\x03")
        code = run.close()
    assert code == 0
    assert not run.screen.alternate and run.screen.cursor_shown
    left = "\n".join([*run.screen.scrolled, run.screen.text])
    for part in ("schooling: psi", "ALERT feature-drift", "signature verified", "stopped"):
        assert left.count(part) == 1, (part, left)
    assert (tmp_path / "demo" / "daemon.log").read_text().rstrip().endswith("stopped")
