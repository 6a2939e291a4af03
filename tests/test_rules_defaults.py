"""The default alerts: which there are, and that they are quiet until something happens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monitor import config
from monitor.alerting import alert_rules
from monitor.build import plan
from monitor.errors import ConfigError
from monitor.metrics import metric_names
from monitor.replay import replay
from monitor.rules.defaults import NAMES, default_rules
from monitor.time import DAY_US, from_rfc3339
from monitor.types import ChecksSpec, ModelSpec, WindowSpec

ALL = ChecksSpec(
    drift=True, performance=True, quality=True, fairness=True, estimate=True, sensitive=(("sex",),)
)


def spec(task: str = "binary", checks: ChecksSpec = ALL) -> ModelSpec:
    return ModelSpec("m", task, {"age": "numeric"}, WindowSpec(1, 1, 0, 0), checks)  # type: ignore[arg-type]


def by_name(
    task: str = "binary", checks: ChecksSpec = ALL, reference: bool = True, labels: bool = True
) -> dict:
    rules = default_rules(spec(task, checks), has_reference=reference, has_feedback=labels)
    return {rule.name: rule for rule in rules}


def test_with_everything_on_there_is_one_of_each_name_and_its_metric_exists() -> None:
    assert tuple(sorted(by_name())) == tuple(sorted(NAMES))
    for task in ("binary", "multiclass", "regression", "ranking"):
        assert {rule.metric for rule in by_name(task).values()} <= metric_names()


def test_performance_is_that_of_the_task_and_without_labels_the_estimate() -> None:
    found = [by_name(task)["default.performance"].metric for task in ("binary", "regression", "ranking")]
    assert found == ["accuracy", "mae", "ndcg@10"]
    assert by_name(labels=False)["default.performance"].metric == "estimated_accuracy"
    assert "default.odds" not in by_name(labels=False)


def test_without_a_reference_only_what_needs_none_is_left() -> None:
    assert sorted(by_name(reference=False)) == ["default.missing", "default.wrong-types"]
    assert by_name(checks=ChecksSpec()) == {}


CONFIG = """
sources: {events: {kind: memory}}
models:
  - name: credit
    task: binary
    predictions: {source: events, topic: p}
    features: {age: numeric}
    window: {size: 1h}
    checks: {quality: {}}
    alerts: ALERTS
    retrain: {when: WHEN, actions: [a]}
actions: {a: {kind: webhook, url: "https://ci.example", secret: whsec_QUJDRAQUJDRAQUJDRAQUJDRAQUJDRAQUJDRA}}
"""


def names(folder: Path, alerts: str, when: str = "default.missing") -> list[str]:
    (folder / "c.yaml").write_text(CONFIG.replace("ALERTS", alerts).replace("WHEN", when))
    model = config.load(folder / "c.yaml").models[0]
    return [rule.name for rule in alert_rules(model, spec(checks=ChecksSpec(quality=True)))]


def test_default_stands_alone_or_among_own_rules_and_gives_way_to_a_namesake(tmp_path: Path) -> None:
    both = ["default.missing", "default.wrong-types"]
    assert names(tmp_path, "default") == names(tmp_path, "[default]") == both
    own = "{name: default.missing, metric: missing_ratio, above: 0.5}"
    assert names(tmp_path, f"[{own}, default]") == both
    assert names(tmp_path, f"[default, {own}]") == both[::-1]


def test_default_twice_and_a_default_that_is_not_asked_for_are_refused(tmp_path: Path) -> None:
    for alerts, said in (
        ("[default, default]", "'default' is taken"),
        ("[]", "unknown alert 'default.missing'"),
    ):
        with pytest.raises(ConfigError, match=said):
            names(tmp_path, alerts)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 5])
def test_on_the_census_story_they_are_silent_for_a_week_and_then_tell_both_faults(
    tmp_path: Path, seed: int
) -> None:
    from monitor.examples import employment

    model = employment.train()
    employment.prepare(tmp_path, model)
    story = employment.story(model, employment.start_of(1_790_000_000_000_000), seed=seed)
    (tmp_path / "predictions.jsonl").write_text("\n".join(story.predictions) + "\n")
    (tmp_path / "feedback.jsonl").write_text("\n".join(story.labels) + "\n")
    text = (employment.HERE / "quickstart.yaml").read_text()
    before, rest = text.split("    alerts:\n")
    (tmp_path / "webhook.secret").write_text("whsec_" + "QUJDRA" * 6)
    actions = rest[rest.index("actions:\n  pipeline") :]
    (tmp_path / "c.yaml").write_text(before + "    alerts: default\n" + actions)
    told = []
    for row in replay(plan(config.load(tmp_path / "c.yaml"))).transitions:
        day = (from_rfc3339(row["window_start"]) - story.start_us) // DAY_US
        told.append((day, row["alert"], row["feature"] or row["attribute"], row["after"]))
    assert [one for one in told if one[0] < employment.RECODE_DAY] == [], json.dumps(told)
    assert {one for one in told if one[3] == "firing"} == {
        (employment.RECODE_DAY + 1, "default.drift", "schooling", "firing"),
        (employment.RECODE_DAY + 1, "default.score-drift", None, "firing"),
        (employment.CHANGE_DAY + 1, "default.performance", None, "firing"),
        (employment.CHANGE_DAY + 1, "default.odds", "sex", "firing"),
    }
