"""What is shown of an alert: its bounds as they were for the newest window, its margin, its silence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from in_process import FEEDBACK, PREDICTIONS, InProcess, feedback, prediction
from test_rules_silences import CONFIG
from typer.testing import CliRunner

from monitor.cli import app
from monitor.config import load
from monitor.cycle import Cycle
from monitor.errors import ConfigError
from monitor.rules.rule import AlertRule
from monitor.rules.silences import Silence
from monitor.view import snapshot
from monitor.web.gauges import gauges
from monitor.web.jsonable import alert_json
from monitor.web.snapshot import AlertView, Snapshot


def samples(shown: Snapshot, family: str) -> dict[tuple[tuple[str, str], ...], float]:
    found = {f.name: f for f in gauges(shown)}[f"model_monitor_{family}"]
    return {tuple(sorted(s.labels.items())): s.value for s in found.samples}


def test_bounds_that_are_numbers_are_shown_once_and_those_of_a_window_for_each_instance() -> None:
    fixed = AlertRule(name="fixed", metric="accuracy", below=0.9, clear=0.95, min_samples=1)
    own = AlertRule(
        name="own", metric="accuracy", below=(0.8, 0.9), min_samples=1, labels=(("team", "risk"),),
        runbook="https://wiki.example/x",
    )  # fmt: skip
    one = InProcess()
    quiet = Silence(alerts="own", comment="holidays")
    setup = replace(one.cycle.monitored, alerts=(fixed, own), silences=(quiet,))
    one.cycle = Cycle(one.store, one.cursor, setup)
    one.land({PREDICTIONS: [prediction("a")], FEEDBACK: [feedback("a", "0")]})
    one.turn()
    shown = snapshot(
        one.store, one.cursor, [one.cycle], (), {}, last_success={}, states={}, now_us=1
    )  # fmt: skip
    about = (("metric", "accuracy"), ("model", "credit"))
    assert samples(shown, "alert_threshold") == {
        (("alert", "fixed"), ("bound", "below"), *about): 0.9,
        (("alert", "fixed"), ("bound", "clear"), *about): 0.95,
        (("alert", "own"), ("bound", "below"), *about, ("version", "*")): 0.8,
    }
    assert samples(shown, "alert_margin") == {
        (("alert", "fixed"), *about, ("version", "*")): pytest.approx(-0.9),
        (("alert", "own"), *about, ("version", "*")): pytest.approx(-0.8),
    }
    severity = ("severity", "warning")
    assert samples(shown, "alert_silenced") == {
        (("alert", "fixed"), ("model", "credit"), severity): 0.0,
        (("alert", "own"), ("model", "credit"), severity): 1.0,
    }
    row = alert_json(next(a for a in shown.alerts if a.alert == "own"))
    assert (row["phase"], row["silence"], row["labels"]) == ("firing", "holidays", {"team": "risk"})
    assert (row["bounds"], row["runbook"]) == ({"below": 0.8}, "https://wiki.example/x")
    assert row["margin"] == pytest.approx(-0.8)


def test_an_alert_without_a_value_yet_has_no_margin_and_says_why() -> None:
    row = alert_json(AlertView("m", "a", "warning", "ok", no_data=True, reason="no_bound"))
    assert (row["margin"], row["bounds"], row["reason"]) == (None, {}, "no_bound")


def refused(folder: Path, alert: str, size: str = "1h") -> str:
    text = CONFIG.partition("silences:")[0].replace("size: 1h", f"size: 1h, every: {size}")
    (folder / "r.csv").write_text("age\n1\n2\n")
    text = text.replace(
        "checks: {quality: {}}", "checks: {quality: {}, drift: {}}\n    reference: {path: r.csv}"
    )
    (folder / "c.yaml").write_text(f"{text}    alerts: [{{name: a, {alert}}}]\n")
    with pytest.raises(ConfigError) as caught:
        load(folder / "c.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("alert", "said"),
    [
        ("metric: psi, above: 0.2, anytime: true", "anytime: goes with shares and their gaps only"),
        (
            "metric: missing_ratio, above: {critical: 0.01}",
            "has no critical value; that have",
        ),
        (
            "metric: wasserstein, above: {false_alarms: 1 per 7d}",
            "cannot be calibrated; that can",
        ),
        ("metric: row_count, below: {false_alarms: 1 per 7d}", "'row_count' cannot be calibrated"),
        ("metric: ks_pvalue, above: {critical: 0.01}", "of 'ks_pvalue' goes with below"),
        ("metric: psi, below: {false_alarms: 1 per 7d}", "of 'psi' goes with above"),
        ("metric: psi, feature: [age, inc*], above: 1", "unknown feature 'inc*'"),
        ("metric: psi, above: 1, runbook: here", "must be a URL, https://host/path"),
        ("metric: psi, above: []", "above"),
    ],
)
def test_what_a_rule_cannot_have_is_refused_with_what_it_can(tmp_path: Path, alert: str, said: str) -> None:
    assert said in refused(tmp_path, alert)


def test_anytime_rules_want_windows_that_do_not_overlap(tmp_path: Path) -> None:
    said = refused(tmp_path, "metric: missing_ratio, above: 0.2, anytime: true", size="30m")
    assert "goes with windows that do not overlap" in said


def test_check_says_of_each_rule_what_to_expect(tmp_path: Path) -> None:
    rows = "\n".join(str(i) for i in range(2_000))
    (tmp_path / "r.csv").write_text(f"age\n{rows}\n")
    text = CONFIG.partition("silences:")[0].replace("{quality: {}}", "{drift: {}}")
    alerts = "[{name: d, metric: psi, above: {critical: 0.001}}, {name: w, metric: wasserstein, above: 1}]"
    (tmp_path / "c.yaml").write_text(f"{text}    reference: {{path: r.csv}}\n    alerts: {alerts}\n")
    answer = CliRunner().invoke(app, ["check", "-c", str(tmp_path / "c.yaml"), "--rows", "400"])
    assert answer.exit_code == 0, answer.output
    first, drift, other = answer.output.splitlines()
    assert first.endswith("all is well")
    assert drift.startswith("credit: d (1 series, windows of 400 rows): about 0.")
    assert "false alarms in 30 days; sees a shift by 0." in drift
    assert (
        other == "credit: w (1 series, windows of 400 rows): false alarms cannot be told from the reference"
    )
