"""The configuration: what a good file becomes, its hash, its schema and its page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from monitor.config import Config, FilesSource, KafkaSource, RelativeToReference, json_schema, load
from monitor.config.alerts import Streak
from monitor.config.bounds import Rate
from monitor.config.docs import TITLES, render
from monitor.config.problems import sections
from monitor.errors import ConfigError

HERE = Path(__file__).parent / "configs"
GOOD = HERE / "good.yaml"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SMALL = """
sources: {events: {kind: kafka, bootstrap_servers: "localhost:9092"}}
models:
  - {name: m, task: binary, predictions: {source: events, topic: p}, window: {size: 1h}}
"""


def written(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> Config:
    file = folder / "a.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file, environ=environ or {})


def problems(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        written(folder, text, environ)
    return [one.removeprefix(f"{folder}/a.yaml:") for one in caught.value.problems]


def test_the_documented_example_loads_with_every_value_in_its_unit() -> None:
    config = load(GOOD, environ={})
    model = config.models[0]
    assert (config.store.path, config.store.retention) == (HERE / "state/monitor.duckdb", 3_024_000_000_000)
    assert config.store.memory_limit == 1_000_000_000
    assert (config.server.host, config.server.port) == ("127.0.0.1", 9108)
    assert model.features == {"age": "numeric", "income": "numeric", "plan": "categorical"}
    assert (model.window.every, model.window.label_wait) == (3_600_000_000, 604_800_000_000)
    assert model.reference is not None and model.reference.columns.label == "repaid"
    assert model.checks.fairness is not None and model.checks.fairness.intersections == (("sex", "region"),)
    assert model.checks.estimate is None
    assert [(a.above, a.below, a.for_.needed, a.for_.of) for a in model.alerts] == [
        (0.2, None, 2, 3),
        (None, 0.8, 1, 1),
        (0.1, None, 1, 1),
    ]
    assert model.retrain is not None
    assert [name for _, name in model.retrain.when.names()] == ["accuracy-drop", "income-drift", "parity"]
    assert [secret.reveal() for secret in config.actions["pipeline"].secrets] == [SECRET]


def test_what_is_left_out_has_the_documented_defaults(tmp_path: Path) -> None:
    config = written(tmp_path, SMALL + "store:\n")
    source, model = config.sources["events"], config.models[0]
    assert isinstance(source, KafkaSource)
    assert config.store.path == tmp_path / "state/monitor.duckdb"
    assert (source.on_offset_loss, source.isolation) == ("halt", "read_committed")
    assert (source.max_record_bytes, source.max_batch_bytes) == (1_048_576, 64_000_000)
    assert (model.window.every, model.window.lateness) == (3_600_000_000, 300_000_000)
    assert (model.positive_class, model.negative_class, model.threshold) == ("1", "0", 0.5)
    assert (model.timestamp_unit, model.features, model.checks.drift) == ("rfc3339", "infer", None)
    assert config.scheduler.drain == 25_000_000


def test_a_check_without_content_is_on_and_an_absent_one_is_off(tmp_path: Path) -> None:
    text = SMALL.replace("window:", "checks: {drift: , quality: {}}, window:")
    checks = written(tmp_path, text).models[0].checks
    assert checks.drift is not None and checks.drift.bins == 10
    assert checks.quality is not None and checks.performance is None


def test_class_names_written_as_yaml_scalars_become_texts(tmp_path: Path) -> None:
    for scalar, expected in (("1", ("1", "0")), ("true", ("true", "false")), ("'no'", ("no", "0"))):
        text = SMALL.replace("window:", f"positive_class: {scalar}, window:")
        model = written(tmp_path, text).models[0]
        assert (model.positive_class, model.negative_class) == expected


def test_bounds_derived_from_the_reference_are_typed(tmp_path: Path) -> None:
    forms = (
        "{relative_to_reference: -5%}",
        "{reference_sd: 3}",
        "{critical: 0.01}",
        "{false_alarms: 1 per 30d}",
    )
    (tmp_path / "r.csv").write_text("age\n1\n")
    alerts = ", ".join(f"{{name: a{i}, metric: psi, above: {form}}}" for i, form in enumerate(forms))
    alerts += ", {name: b, metric: psi, outside: [0, 1], clear: [0.2, 0.8], for: 3}"
    text = SMALL.replace(
        "window:", f"reference: {{path: r.csv}}, checks: {{drift: {{}}}}, alerts: [{alerts}], window:"
    )
    found = list(written(tmp_path, text).models[0].own_alerts.values())
    assert found[0].above == RelativeToReference(relative_to_reference="-5%")  # type: ignore[arg-type]
    assert found[0].above.relative_to_reference == pytest.approx(-0.05, abs=0)
    assert getattr(found[3].above, "false_alarms", None) == Rate(1, 30 * 86_400_000_000)
    assert (found[4].outside, found[4].clear, found[4].for_) == ((0.0, 1.0), (0.2, 0.8), Streak(3, 3))


def test_the_hash_is_the_same_wherever_the_folder_is_and_changes_with_a_value(tmp_path: Path) -> None:
    shutil.copytree(HERE, tmp_path / "copy")
    copy = tmp_path / "copy" / "good.yaml"
    before = load(GOOD, environ={}).hash
    assert len(before) == 64 and load(copy, environ={}).hash == before
    copy.write_text(copy.read_text().replace("bins: 10", "bins: 11"))
    assert load(copy, environ={}).hash != before


def test_the_hash_does_not_depend_on_the_secret_itself(tmp_path: Path) -> None:
    text = SMALL + 'actions: {a: {kind: webhook, url: "https://ci.example", secret: "${HOOK}"}}'
    other = "whsec_" + "QUJDRA" * 6
    assert written(tmp_path, text, {"HOOK": SECRET}).hash == written(tmp_path, text, {"HOOK": other}).hash


def test_long_values_are_cut(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, SMALL + f"log: {{level: {'x' * 500}}}")
    assert "x" * 79 + "…" in found and "x" * 80 not in found


def test_http_is_allowed_to_this_machine_and_to_listed_hosts(tmp_path: Path) -> None:
    urls = {
        "http://127.0.0.1:1/": "[]",
        "http://ci.local/": "[ci.local]",
        "https://10.1.2.3/": "[10.0.0.0/8]",
    }
    for url, allowed in urls.items():
        action = f'{{kind: webhook, url: "{url}", secret: {SECRET}, allow_hosts: {allowed}}}'
        assert written(tmp_path, f"{SMALL}actions: {{a: {action}}}").actions["a"].url == url


def test_a_whole_scalar_from_the_environment_is_read_as_the_number_that_is_expected(tmp_path: Path) -> None:
    text = SMALL.replace("window: {size: 1h}", "threshold: '${T}', window: {size: '${SIZE:-2h}'}")
    text = text.replace("topic: p", "topic: 'a$${b}'")
    config = written(tmp_path, text + "store: {threads: '${N}'}", {"T": "0.25", "N": "3", "SIZE": ""})
    model = config.models[0]
    assert (config.store.threads, model.threshold, model.window.size) == (3, 0.25, 7_200_000_000)
    assert model.predictions.topic == "a${b}"


def test_paths_start_from_the_file_and_globs_stay_globs(tmp_path: Path) -> None:
    text = (
        "sources: {f: {kind: files, follow: false}}\nmodels: [{name: m, task: regression, "
        "predictions: {source: f, path: ../logs/*.jsonl}, window: {size: 1h}}]\nstore: {path: /var/x.duckdb}"
    )
    config = written(tmp_path, text)
    assert config.models[0].predictions.path == tmp_path.parent / "logs" / "*.jsonl"
    assert str(config.store.path) == "/var/x.duckdb" and config.directory == tmp_path
    source = config.sources["f"]
    assert isinstance(source, FilesSource) and not source.follow


def test_faults_of_values_and_of_names_are_reported_together(tmp_path: Path) -> None:
    text = SMALL.replace(
        "window: {size: 1h}", "window: {size: 1h, lateness: soon}, retrain: {when: a, actions: [b]}"
    )
    assert [one.partition(":")[0] for one in problems(tmp_path, text)] == [
        "4 models[0].window.lateness",
        "4 models[0].retrain.when",
        "4 models[0].retrain.actions[0]",
    ]


def test_a_misspelt_required_key_is_one_problem_and_not_two(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, SMALL.replace("task: binary", "tsak: binary"))
    assert found.startswith(
        "4 models[0].tsak: unknown key 'tsak'; did you mean 'task'? Allowed: name, task, "
    )


def test_many_problems_are_counted_instead_of_listed(tmp_path: Path) -> None:
    found = problems(tmp_path, SMALL + "\n".join(f"key{i}: 1" for i in range(150)))
    assert len(found) == 101 and found[-1].strip() == "and 50 more problems"


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    for name, content, expected in (
        ("none.yaml", None, "cannot be read: No such file or directory; give an existing YAML file"),
        ("latin.yaml", b"a: 1\nb: \xe9", "is not UTF-8 text; a configuration must be"),
        ("big.yaml", b"#" * (1024**2 + 1), "is over 1 MiB; that is the limit of a configuration"),
    ):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            load(tmp_path / name)
        (problem,) = caught.value.problems
        assert problem.endswith(": " + expected)


def objects(schema: Any) -> list[dict[str, Any]]:
    inner = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else []
    here = [schema] if isinstance(schema, dict) and "properties" in schema and "title" in schema else []
    return here + [one for part in inner for one in objects(part)]


def own() -> set[str]:
    """Return the sections of the configuration itself, without those of the web configuration file."""
    return {name for name, one in sections().items() if one.__module__ != "monitor.config.web_file"}


def test_the_schema_closes_every_section_and_describes_every_key() -> None:
    schema = json_schema()
    found = [one for one in objects(schema) if isinstance(one["properties"], dict)]
    assert len(found) >= len(own()) - 2  # Quality and Estimate have no keys
    open_ones = [one["title"] for one in found if one["additionalProperties"] is not False]
    assert open_ones == ["Columns"]
    mute = [
        (one["title"], k) for one in found for k, v in one["properties"].items() if not v.get("description")
    ]
    assert mute == []
    assert schema["$defs"]["Store"]["properties"]["retention"]["default"] == "35d"
    assert json.loads(json.dumps(schema)) == schema


def test_the_page_about_the_configuration_is_what_the_models_say() -> None:
    page = (Path(__file__).parent.parent / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == render(), "run: python -m monitor.config.docs docs/configuration.md"
    assert set(TITLES) == own()
    keys = {
        f.alias or name
        for one in sections().values()
        if one.__name__ in own()
        for name, f in one.model_fields.items()
    }
    assert [key for key in sorted(keys) if f"| `{key}` |" not in page] == []
