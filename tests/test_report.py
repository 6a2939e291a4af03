"""Reports: what they say of a window against hand counts, over HTTP and in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from browser import Browser, browsing
from in_process import FEEDBACK, PREDICTIONS, SMALL, InProcess, feedback, prediction
from sklearn.metrics import roc_curve
from streams import HOUR_US, START_US
from test_reference_stream import DAY_US, core_of, events, land
from web_backend import MemoryBackend, serving

from monitor.errors import NotThereError
from monitor.reference.period import Rolling
from monitor.reference.profile import Reference
from monitor.report import charts
from monitor.report.material import gather
from monitor.report.page import rendered, report
from monitor.summaries.categorical import CategoricalSummary
from monitor.summaries.numeric import NumericSummary, cuts_from
from monitor.types import ChecksSpec

HOSTILE = '<script>alert("x")</script>'
CHECKS = ChecksSpec(
    drift=True, performance=True, quality=True, fairness=True, sensitive=(("sex",),), min_group_size=1,
    explain=True, logged_attributions=True,
)  # fmt: skip
WIDTHS, SCHEMES = (1280, 390), (False, True)


def reference() -> Reference:
    ages = np.arange(20.0, 70.0)
    plans = CategoricalSummary.lift([HOSTILE, "gold"], [25, 25], categories=(HOSTILE, "gold"))
    numeric = NumericSummary.lift(ages, cuts=cuts_from(ages))
    return Reference("ref", 50, {"age": numeric, "plan": plans})


@pytest.fixture(scope="module")
def core() -> InProcess:
    """Return two evaluated hours: in the first 40 rows, 3 of 4 right; labels of the second are awaited."""
    spec = replace(SMALL, checks=CHECKS)
    core = InProcess(spec, reference=reference())
    events, labels = [], []
    for i in range(80):
        score = (i % 40 + 0.5) / 40
        plan = HOSTILE if i % 4 == 0 else "gold"
        events.append(
            prediction(
                f"e{i}", i * 1.5, prediction=str(int(score >= 0.5)), score=score,
                features={"age": 20 + i % 40, "plan": plan}, segments={"sex": "FM"[i % 2]},
                attributions={"age": 0.3, "plan": -0.1},
            )
        )  # fmt: skip
        if i < 40:
            labels.append(feedback(f"e{i}", str(int((score >= 0.5) != (i % 4 == 1)))))
    core.land({PREDICTIONS: events, FEEDBACK: labels})
    core.turn(START_US + 2 * HOUR_US + 1)
    return core


@pytest.fixture(scope="module")
def text(core: InProcess) -> str:
    return report(core.cursor, core.cycle.monitored, None, now_us=START_US + 3 * HOUR_US)


def test_a_report_takes_the_newest_window_with_its_labels_unless_asked_for_another(core: InProcess) -> None:
    def of(start_us: int | None) -> tuple[int, bool, float | None]:
        standing = gather(core.cursor, core.cycle.monitored, start_us).standing
        return standing.window.start_us, standing.labels_complete, standing.coverage

    assert of(None) == (START_US, True, 1.0)
    assert of(START_US + HOUR_US) == (START_US + HOUR_US, False, 0.0)
    with pytest.raises(NotThereError, match="no evaluation of a window that starts at"):
        of(START_US + 9 * HOUR_US)


def test_a_report_shows_the_counts_that_were_made_by_hand(text: str) -> None:
    assert "100.0 % of predictions" in text and ">final<" in text
    cells = re.findall(r"<td class=\"num\">(\d+)<br>", text)
    assert cells == ["15", "5", "5", "15"]  # 20 rows of each truth, every fourth of them wrong
    accuracy = re.search(r">accuracy</th><td class=\"num\">([\d.]+)</td>", text)
    assert accuracy and accuracy.group(1) == "0.75"


def test_a_report_has_each_chart(text: str) -> None:
    for label in (
        "psi of each feature", "distribution of plan, reference and window", "ROC curve of class 1",
        "calibration of class 1", "group selection rate by sex", "share of attribution of each feature",
    ):  # fmt: skip
        assert f'aria-label="{label}"' in text
    assert "data:image/svg+xml;base64," in text  # the sample of rows


def test_a_report_holds_no_script_and_no_address_and_escapes_what_events_say(text: str) -> None:
    assert "<script" not in text and "&lt;script&gt;" in text
    assert not re.search(r"(?:src|href)=\"(?!#|data:)", text)
    assert not re.search(r"url\(|@import", text)
    later = "provisional: awaiting labels"
    assert later not in text


def test_a_report_compares_with_the_stored_reference_that_the_window_was_compared_with() -> None:
    core = core_of({"*": Rolling(2 * DAY_US)})
    land(core, events(4))
    core.turn(START_US + 4 * DAY_US)
    newest = core.answers[-1]
    material = gather(core.cursor, core.cycle.monitored, newest.window.start_us)
    named = {r.detail.get("reference") for r in newest.results if r.metric == "psi"}
    assert material.reference is not None and named == {material.reference.id}
    assert set(material.pairs) == {r.feature for r in newest.results if r.metric == "psi" and r.feature}


def test_a_report_says_why_labelled_predictions_could_not_be_counted(core: InProcess) -> None:
    material = replace(gather(core.cursor, core.cycle.monitored, None), labelled=None, failed="Error: <no>")
    text = rendered(material, [], now_us=START_US)
    assert "could not be counted: Error: &lt;no&gt;" in text and "ROC curve of" not in text


def test_the_roc_curve_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    scores, truths = rng.integers(0, 30, 500), rng.random(500) < 0.4
    counts = np.stack([np.bincount(scores[truths == t], minlength=30) for t in (False, True)])
    x, y = charts.roc(counts)
    expected = roc_curve(truths, scores, drop_intermediate=False)
    np.testing.assert_allclose(x, expected[0])
    np.testing.assert_allclose(y, expected[1])


def test_a_sparkline_breaks_where_a_window_has_no_value_and_draws_its_limit() -> None:
    points = [charts.Point(0.0), charts.Point(1.0), charts.Point(None), charts.Point(1.0)]
    drawn = charts.sparkline(points, 2.0, 'of "it"')
    assert drawn.count("<polyline") == 2
    assert 'points="0.00,28.00 33.33,15.00"' in drawn and 'y1="2.00"' in drawn
    assert "&#34;it&#34;" in drawn
    assert charts.sparkline([charts.Point(None)], 1.0, "nothing") == ""


def test_a_report_is_served_with_a_policy_that_forbids_scripts_and_other_hosts() -> None:
    with serving(MemoryBackend()) as server, httpx.Client(base_url=server.url) as client:
        answer = client.get("/reports/credit?window=2026-11-22T09:00:00Z")
        assert answer.status_code == 200 and "credit 17" in answer.text
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src" not in policy
        assert client.get("/reports/other").json() == {"error": "no model 'other'; there are credit"}
        assert client.get("/reports/credit?window=soon").status_code == 400


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as browser:
        yield browser


@pytest.mark.slow
@pytest.mark.parametrize("dark", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_browser_shows_a_report_without_a_complaint_or_another_host(
    browser: Browser, text: str, tmp_path: Path, width: int, dark: bool
) -> None:
    file = tmp_path / "report.html"
    file.write_text(text, encoding="utf-8")
    seen = browser.load(file.as_uri(), width=width, dark=dark)
    browser.shoot(f"report-{width}-{'dark' if dark else 'light'}")
    assert not seen.complaints
    assert not [url for url in seen.requests if not url.startswith(("file:", "data:"))]
    assert browser.value("document.documentElement.scrollWidth") <= width
    charts_shown = "[...document.querySelectorAll('svg.bars, svg.overlay, svg.curve')]"
    assert browser.value(f"{charts_shown}.length") >= 6
    assert browser.value(f"{charts_shown}.every(s => s.getBoundingClientRect().height > 20)")
    background = browser.value("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(17, 21, 27)" if dark else "rgb(246, 247, 249)")
    assert "Skip to the report" in browser.tab() and "#alerts" in browser.tab()
