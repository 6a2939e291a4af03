"""The pages of a running daemon for everybody: by keyboard, for other eyes, on a phone; and by command.

The employment example's daemon on ten days of its story, in which one alert fires; beside it a page in memory
with every state that there is.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from accessibility import low_contrast, nameless, tabbed
from browser import Browser, browsing
from daemon_process import DaemonProcess, command, running, until
from test_status_page import SHARES, history
from web_backend import RESULTS, SNAPSHOT, WINDOW, MemoryBackend, result, serving

from monitor.actions.signing import new_secret
from monitor.demo import free_port
from monitor.examples import employment
from monitor.time import DAY_US, to_rfc3339
from monitor.web.backend import Health
from monitor.web.snapshot import AlertView

pytestmark = pytest.mark.slow
DAYS = 10
VIEWS = [(width, dark) for width in (1280, 390) for dark in (False, True)]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """Return a daemon that has evaluated ten days of the story, without the model's own explanations."""
    folder = tmp_path_factory.mktemp("employment")
    model = employment.train()
    employment.prepare(folder, model)
    (folder / "webhook.secret").write_text(new_secret())
    config = employment.write_config(
        folder, listen=f"127.0.0.1:{free_port(0)}", receiver="http://127.0.0.1:9/"
    )
    text = config.read_text()
    config.write_text(text.partition("      explain:")[0] + text[text.index("      fairness:") :])
    start_us = employment.start_of(time.time_ns() // 1000)
    story = employment.story(model, start_us)
    lines = story.between(start_us, start_us + DAYS * DAY_US)
    for name, found in zip(("predictions.jsonl", "feedback.jsonl"), lines, strict=True):
        (folder / name).write_text("\n".join(found) + "\n")
    with running(config) as daemon:
        until(lambda: '"firing": 1' in daemon.get("/api/v1/status"), 90)
        yield daemon


@pytest.fixture(scope="module")
def memory() -> Iterator[str]:
    """Return the address of a page with every phase, state and mark."""
    more = (
        AlertView("credit", "calibration", "info", "pending", "brier_score", value=0.2, bound=0.19,
                  bounds={"above": 0.19}, silence="migration", runbook="https://wiki.example/calibration",
                  description="Scores are read as probabilities downstream.", window=WINDOW),
    )  # fmt: skip
    failed = result("f1", state="failed", detail={"error": "no answer by the deadline"})
    shown = replace(SNAPSHOT, results=(*RESULTS, *SHARES, failed), alerts=(*SNAPSHOT.alerts, *more))
    backend = MemoryBackend(shown, [*history(), failed])
    backend.now = Health(waiting=("source events: no broker yet",))
    with serving(backend) as server:
        yield server.url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as browser:
        yield browser


@pytest.fixture(params=["memory", "status", "report"])
def page(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Return a page's name and address."""
    if request.param == "memory":
        return "memory", request.getfixturevalue("memory") + "/?model=credit&feature=income"
    url = request.getfixturevalue("daemon").url
    return request.param, url + ("/" if request.param == "status" else "/reports/employment")


@pytest.mark.parametrize(("width", "dark"), VIEWS)
def test_a_page_is_for_every_eye_and_hand(
    browser: Browser, page: tuple[str, str], width: int, dark: bool
) -> None:
    name, url = page
    seen = browser.load(url, width=width, dark=dark)
    browser.shoot(f"live-{name}-{width}-{'dark' if dark else 'light'}")
    assert not seen.complaints
    host = url.split("/")[2]
    assert not [one for one in seen.requests if not one.startswith((f"http://{host}/", "data:"))]
    assert browser.value("document.documentElement.scrollWidth") <= width
    drawn = "[...document.querySelectorAll('svg')].filter(s => s.getBoundingClientRect().height > 15).length"
    assert browser.value(drawn) >= 6
    assert tabbed(browser) == []
    assert nameless(browser) == []
    assert low_contrast(browser) == []


def test_what_is_not_for_everybody_is_noticed(browser: Browser, memory: str) -> None:
    browser.load(memory, width=1280, dark=False)
    browser.value(
        "document.querySelector('h1').style.color = '#999';"
        "document.querySelector('summary').tabIndex = -1;"
        "document.querySelector('.skip').style.outline = 'none';"
        "document.querySelector('th').removeAttribute('scope');"
        "document.querySelector('svg desc').remove();"
    )
    assert [what for _, what, _ in low_contrast(browser)] == ["Model Monitor"]
    assert len(nameless(browser)) == 2
    assert len(tabbed(browser)) == 2


def test_a_feature_is_chosen_by_keyboard_without_scripts(browser: Browser, memory: str) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        for control, key in (("A", "income"), ("BUTTON", "show beside the reference")):
            browser.load(memory, width=1280, dark=False)
            for _ in range(60):
                if key in browser.tab() and browser.value("document.activeElement.tagName") == control:
                    break
            else:
                pytest.fail(f"no {control} with {key} was reached")
            if control == "BUTTON":  # the feature that is first in the list has no distribution here
                browser.value("document.querySelector('select').value = 'income'")
            browser.enter()
            until(lambda: browser.value("!!document.querySelector('svg.overlay')"), 10)
            assert browser.value("location.search") == "?model=credit&feature=income"
            assert browser.value("location.hash") == "#distribution"
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


def unwritten(text: str) -> str:
    """Return a report without the moment at which it was written."""
    return re.sub(r"Written [^<]*? by", "Written by", text)


def test_report_and_results_are_the_same_from_the_daemon_and_after_it_from_the_store(
    daemon: DaemonProcess, tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    words = ("report", "-c", str(daemon.config), "--model", "employment", "-o", str(file))
    earlier = to_rfc3339(employment.start_of(time.time_ns() // 1000) + 5 * DAY_US)
    served = {}
    for window in (None, earlier):
        done = command(*words, *(("--window", window) if window else ()))
        assert (done.returncode, done.stdout) == (0, f"{file}: written\n"), done.stderr
        served[window] = unwritten(file.read_text())
        query = f"?window={window}" if window else ""
        assert served[window] == unwritten(daemon.get(f"/reports/employment{query}"))
    assert earlier[:10] in served[earlier] and served[None] != served[earlier]
    assert "1 alert firing now" in served[earlier]
    none = command(*words, "--window", "2020-01-01")
    assert none.returncode == 1 and "no evaluation of a window that starts at" in none.stderr
    asked = ("results", "-c", str(daemon.config), "--metric", "accuracy", "--format", "jsonl")
    rows = command(*asked).stdout
    assert len(rows.splitlines()) > 3  # every window, not the newest alone
    assert daemon.stop() == 0
    assert daemon.said.rstrip().endswith("stopped")
    assert command(*asked).stdout == rows
    assert command(*words, "--window", earlier).returncode == 0
    assert unwritten(file.read_text()) == served[earlier]
