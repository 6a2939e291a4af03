"""Broken configurations: each says in comments the exact sentences, with their lines, that it must give."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.config import load
from monitor.errors import ConfigError

FILES = sorted((Path(__file__).parent / "configs" / "broken").glob("*.yaml"))
PREFIX = "# expect: "


def line_of(problem: str) -> int:
    return int(problem.split(":")[1].split()[0])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_broken_configuration_says_every_fault_with_its_line(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    expected = [f"{file.name}:{line.removeprefix(PREFIX)}" for line in lines if line.startswith(PREFIX)]
    assert expected
    with pytest.raises(ConfigError) as caught:
        load(file, environ={"HOME_TOWN": "not-to-be-shown"})
    found = [problem.replace(f"{file.parent}/", "") for problem in caught.value.problems]
    assert sorted(found) == sorted(expected)
    assert [line_of(one) for one in found] == sorted(line_of(one) for one in expected)
    assert "not-to-be-shown" not in str(caught.value)


def test_there_are_enough_broken_configurations() -> None:
    assert len(FILES) >= 10


def test_an_unknown_metric_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(
        'sources: {events: {kind: kafka, bootstrap_servers: "localhost:9092"}}\n'
        "models:\n"
        "  - {name: m, task: binary, predictions: {source: events, topic: p}, window: {size: 1h},\n"
        "     checks: {drift: {}}, alerts: [\n"
        "       {name: a, metric: pis, above: 0.2}]}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load(file, environ={})
    (problem,) = caught.value.problems
    assert problem.startswith(
        f"{file}:5 models[0].alerts[0].metric: unknown metric 'pis'; did you mean 'psi'? Allowed: "
    )
