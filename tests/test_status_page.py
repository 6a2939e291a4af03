"""The status page as people meet it: without scripts, and in a real browser at both widths and schemes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from browser import Browser, browsing
from web_backend import RESULTS, SNAPSHOT, WINDOW, MemoryBackend, result, serving

from monitor.time import HOUR_US
from monitor.types import Result, Window
from monitor.web.snapshot import Snapshot

SHARES = (
    result("attribution_share", 0.7, feature="income", lower=0.65, upper=0.75),
    result("attribution_share", 0.3, feature="age", lower=0.25, upper=0.35),
)


def history() -> list[Result]:
    """Return three windows of every series, the newest that of the snapshot."""
    before = [Window(WINDOW.start_us - k * HOUR_US, WINDOW.end_us - k * HOUR_US) for k in (2, 1)]
    return [replace(r, window=w) for w in before for r in RESULTS] + list(RESULTS)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    shown: Snapshot = replace(SNAPSHOT, results=(*RESULTS, *SHARES))
    with serving(MemoryBackend(shown, history())) as server:
        yield server.url


def test_the_page_says_all_of_it_without_a_script(url: str) -> None:
    text = httpx.get(url).text
    plain = re.sub(r"<script.*?</script>|<style.*?</style>", "", text, flags=re.DOTALL)
    for said in ("income-drift", "final", "98 % labelled", "waiting for a new version", "3 not json"):
        assert said in plain
    assert 'href="reports/credit"' in plain
    assert plain.count('class="spark"') >= 6 and "over 3 windows" in plain
    assert 'class="lim"' in plain
    assert 'aria-label="share of attribution of each feature"' in plain
    assert not re.search(r"\son[a-z]+=", plain)


def test_a_chosen_feature_is_drawn_beside_its_reference_and_another_is_said_not_to_be(url: str) -> None:
    text = httpx.get(f"{url}/?model=credit&feature=income").text
    assert 'aria-label="distribution of income"' in text
    assert httpx.get(f"{url}/?model=credit&feature=ag").status_code == 404
    assert httpx.get(f"{url}/?modell=credit").status_code == 400


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as browser:
        yield browser


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_the_page_without_a_complaint_or_another_host(
    browser: Browser, url: str, width: int, dark: bool
) -> None:
    seen = browser.load(f"{url}/?model=credit&feature=income", width=width, dark=dark)
    browser.shoot(f"status-{width}-{'dark' if dark else 'light'}")
    assert not seen.complaints
    assert not [one for one in seen.requests if not one.startswith((url, "data:"))]
    assert browser.value("document.documentElement.scrollWidth") <= width
    drawn = "[...document.querySelectorAll('svg')].filter(s => s.getBoundingClientRect().height > 15).length"
    assert browser.value(drawn) >= 6
    background = browser.value("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(17, 21, 27)" if dark else "rgb(246, 247, 249)")
    assert "Skip to the models" in browser.tab()
    assert browser.value("document.querySelectorAll('main').length") == 1
