"""An alert that is configured anew forgets what it does not watch any more."""

from __future__ import annotations

from dataclasses import replace

from in_process import FEEDBACK, PREDICTIONS, InProcess, feedback, prediction

from monitor.cycle import Cycle
from monitor.rules.rule import AlertRule
from monitor.rules.state import firing
from monitor.types import ModelSpec


def restarted(one: InProcess, rule: AlertRule, spec: ModelSpec | None = None) -> Cycle:
    spec = spec or one.cycle.monitored.spec
    one.cycle = Cycle(one.store, one.cursor, replace(one.cycle.monitored, spec=spec, alerts=(rule,)))
    return one.cycle


def test_an_alert_moved_to_another_metric_does_not_go_on_firing_for_the_old_one() -> None:
    """Accuracy 0 fires; the same name then watches coverage, which is 1 and so never below 0.1."""
    one = InProcess()
    restarted(one, AlertRule(name="x", metric="accuracy", below=0.9, min_samples=1))
    one.land({PREDICTIONS: [prediction("a")], FEEDBACK: [feedback("a", "0")]})
    one.turn()
    assert firing(one.cycle.states.values()) == {"x"}
    restarted(one, AlertRule(name="x", metric="label_coverage", below=0.1, min_samples=1))
    one.land({PREDICTIONS: [prediction("b", 70)], FEEDBACK: [feedback("b", "1", 80)]})
    one.turn()
    assert firing(one.cycle.states.values()) == frozenset()


def test_an_alert_does_not_go_on_firing_for_a_feature_that_was_removed() -> None:
    one = InProcess()
    rule = AlertRule(name="x", metric="missing_ratio", above=0.5, min_samples=1)
    restarted(one, rule)
    one.land({PREDICTIONS: [prediction("a", features={"age": None, "plan": "gold"})]})
    one.turn()
    assert firing(one.cycle.states.values()) == {"x"}
    restarted(one, rule, replace(one.cycle.monitored.spec, features={"plan": "categorical"}))
    assert firing(one.cycle.states.values()) == frozenset()
