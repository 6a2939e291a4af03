"""What a configuration asks for and this version cannot do is refused when it is read, not passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor import config
from monitor.build import plan
from monitor.errors import ConfigError

CONFIG = """
sources: {events: {kind: memory}}
models:
  - name: house
    task: regression
    predictions: {source: events, topic: p}
    feedback: {source: events, topic: f}
    features: {age: numeric}
    window: {size: 1h}
    checks: {performance: {}, quality: {}}
    alerts: [{name: one, metric: METRIC, below: 1}]
"""


def problems(folder: Path, metric: str) -> list[str]:
    (folder / "c.yaml").write_text(CONFIG.replace("METRIC", metric))
    try:
        plan(config.load(folder / "c.yaml"))
    except ConfigError as error:
        return list(error.problems)
    return []


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("accuracy", "accuracy is not defined for regression models; it is for binary, multiclass"),
    ],
)
def test_an_alert_that_could_never_fire_is_refused(tmp_path: Path, metric: str, said: str) -> None:
    assert problems(tmp_path, metric) == [f"models[0] (house).alerts[0].metric: {said}"]


@pytest.mark.parametrize("metric", ["mae", "missing_ratio", "row_count", "late_ratio", "staleness_seconds"])
def test_an_alert_on_a_metric_of_the_task_is_taken(tmp_path: Path, metric: str) -> None:
    assert problems(tmp_path, metric) == []
