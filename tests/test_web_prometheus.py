"""Against the real Prometheus: it scrapes every series, marks vanished ones stale, and runs our rules."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import pytest
import yaml
from test_web_server import make_certificate
from web_backend import RESULTS, SNAPSHOT, MemoryBackend, result, serving

from monitor.metrics import metric_names
from monitor.web import gauges, telemetry
from monitor.web.exposition import Exposition
from monitor.web.names import family
from monitor.web.snapshot import AlertView, RetrainView, ThresholdView
from monitor.web.telemetry import PREFIX

DASHBOARDS = Path(__file__).parents[1] / "dashboards"
RULES = DASHBOARDS / "prometheus/alerts.yaml"
RULE_GROUPS = yaml.safe_load(RULES.read_text())["groups"]


def command(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        assert not os.environ.get("CI"), f"{name} is needed in CI"
        pytest.skip(f"needs {name}, as from Debian's prometheus package")
    return path


def eventually(question: Callable[[], Any], within_s: float = 30.0) -> Any:
    end = time.monotonic() + within_s
    while not (answer := question()):
        assert time.monotonic() < end, f"still {answer!r} after {within_s} s"
        time.sleep(0.2)
    return answer


class Prometheus:
    """A running Prometheus' HTTP API."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=10)

    def query(self, expression: str) -> dict[tuple[str, ...], float]:
        answer = self.client.get("/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", (expression, answer)
        found = answer["data"]["result"]
        return {
            tuple(
                v for k, v in sorted(row["metric"].items()) if k not in ("__name__", "instance", "job")
            ): float(row["value"][1])
            for row in found
        }

    def ready(self) -> bool:
        try:
            return self.client.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture(scope="module")
def backend() -> MemoryBackend:
    everything = tuple(
        result(name, 0.5, lower=0.25, upper=0.75, feature="all") for name in sorted(metric_names())
    )
    worst = {"worst_segment": {"segment": "plan=gold", "value": 0.4, "n": 500, "of": 3}}
    by_segment = result("accuracy", 0.5, feature="sliced", detail=worst)
    limits = tuple(
        ThresholdView("credit", f"limit-{name}", name, "above", 0.9) for name in sorted(metric_names())
    )
    silenced = AlertView("credit", "planned", "info", "firing", "psi", margin=-0.1, silence="migration")
    backend = MemoryBackend(
        replace(
            SNAPSHOT,
            results=(*RESULTS, *everything, by_segment),
            thresholds=SNAPSHOT.thresholds + limits,
            alerts=(*SNAPSHOT.alerts, silenced),
            retrains=(RetrainView("credit", 1, 1, SNAPSHOT.taken_us, "4", {"accuracy": 0.02}),),
        )
    )
    backend.telemetry.evaluation_duration.labels("credit").observe(0.2)
    backend.telemetry.quarantined.labels("not_json").inc(7)
    return backend


@pytest.fixture(scope="module")
def prometheus(backend: MemoryBackend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    binary, folder = command("prometheus"), tmp_path_factory.mktemp("prometheus")
    tls = make_certificate(folder, "scraped")
    users = {"scraper": bcrypt.hashpw(b"secret", bcrypt.gensalt(6)).decode()}
    with serving(backend) as plain, serving(backend, tls=tls, basic_auth=users) as guarded:
        secure = {
            "scheme": "https",
            "basic_auth": {"username": "scraper", "password": "secret"},
            "tls_config": {"ca_file": str(tls.cert_file)},
        }
        jobs = [("model-monitor", plain, {}), ("guarded", guarded, secure)]
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES), str(RULES.with_name("recording.yaml"))],
            "scrape_configs": [
                {"job_name": job, **more, "static_configs": [{"targets": [server.url.split("//")[1]]}]}
                for job, server, more in jobs
            ],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        with socket.create_server(("127.0.0.1", 0)) as free:
            listen = f"127.0.0.1:{free.getsockname()[1]}"
        started = [binary, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                   f"--web.listen-address={listen}"]  # fmt: skip
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(started, stdout=log, stderr=log)
        try:
            api = Prometheus(f"http://{listen}")
            eventually(api.ready)
            eventually(lambda: len(api.query("up == 1")) and sum(api.query("count(up == 1)").values()) == 2)
            yield api
            api.client.close()
        finally:
            process.terminate()
            process.wait(20)


@pytest.mark.slow
def test_prometheus_has_every_series_with_its_value(prometheus: Prometheus, backend: MemoryBackend) -> None:
    plain = '{job="model-monitor"}'
    assert prometheus.query('model_monitor_feature_psi{feature="income",job="model-monitor"}') == {
        ("income", "credit", "*"): 0.31
    }
    assert prometheus.query('model_monitor_accuracy_lower{feature="",job="model-monitor"}') == {
        ("credit", "*"): 0.8
    }
    assert prometheus.query('model_monitor_alert_firing{alert="income-drift",job="guarded"}') == {
        ("income-drift", "credit", "warning"): 1.0
    }
    assert prometheus.query('model_monitor_quarantined_total{job="model-monitor"}') == {("not_json",): 7.0}
    pieces = Exposition(backend.snapshot, backend.telemetry).render()[1]
    rendered = b"".join(piece.text for piece in pieces).decode()
    lines = [line for line in rendered.splitlines() if line and not line.startswith("#")]
    assert sum(prometheus.query("scrape_samples_scraped" + plain).values()) == len(lines)


@pytest.mark.slow
def test_every_query_of_the_dashboard_runs_and_the_main_ones_find_something(prometheus: Prometheus) -> None:
    filled = {
        "$model": "credit",
        "$version": "*",
        "$segment": "^$",
        "$feature": "all",
        "$__rate_interval": "1m",
    }
    filled |= {"$__interval": "1m"}
    eventually(lambda: prometheus.query("rate(model_monitor_quarantined_total[1m])"))  # two scrapes
    empty = []
    for expression in dashboard_queries():
        for name, value in filled.items():
            expression = expression.replace(name, value)
        if not prometheus.query(expression):
            empty.append(expression)
    counted_nothing = re.compile(
        r"changes\(|feature_faults_total|webhook_attempts_total|config_last_reload|> 0$"
    )
    assert [expression for expression in empty if not counted_nothing.search(expression)] == []


@pytest.mark.slow
def test_the_example_rules_are_healthy_and_pass_on_a_firing_alert(prometheus: Prometheus) -> None:
    def firing() -> bool:
        alerts = prometheus.client.get("/api/v1/alerts").json()["data"]["alerts"]
        return any(a["labels"].get("alert") == "income-drift" and a["state"] == "firing" for a in alerts)

    eventually(firing)
    groups = prometheus.client.get("/api/v1/rules").json()["data"]["groups"]
    health = {
        rule["name"]: (rule["health"], rule.get("lastError")) for group in groups for rule in group["rules"]
    }
    assert {name: state for name, state in health.items() if state[0] != "ok"} == {}


@pytest.mark.slow
def test_a_series_that_vanished_is_stale_within_seconds(
    prometheus: Prometheus, backend: MemoryBackend
) -> None:
    before = backend.snapshot()
    question = 'model_monitor_accuracy{feature="",job="model-monitor"}'
    assert prometheus.query(question)
    backend.current.publish(
        replace(before, results=tuple(r for r in before.results if r.metric != "accuracy"))
    )
    eventually(lambda: not prometheus.query(question), 5)
    assert prometheus.query('model_monitor_f1{job="model-monitor"}')
    backend.current.publish(before)


def test_promtool_finds_nothing_to_say_about_the_metrics(backend: MemoryBackend) -> None:
    text = b"".join(piece.text for piece in Exposition(backend.snapshot, backend.telemetry).render()[1])
    checked = subprocess.run(
        [command("promtool"), "check", "metrics"], input=text, capture_output=True, timeout=30, check=False
    )
    assert (checked.stdout + checked.stderr).decode() == ""
    assert checked.returncode == 0


@pytest.mark.slow
def test_every_rule_fires_when_it_should_and_only_then() -> None:
    cases = Path(__file__).parent / "prometheus_rules.yaml"
    checked = subprocess.run(
        [command("promtool"), "test", "rules", str(cases)], capture_output=True, timeout=60, check=False
    )
    assert checked.returncode == 0, (checked.stdout + checked.stderr).decode()
    tried = {
        case["alertname"]
        for unit in yaml.safe_load(cases.read_text())["tests"]
        for case in unit["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert tried == {rule["alert"] for group in RULE_GROUPS for rule in group["rules"]}


def test_grafana_is_given_the_same_rules() -> None:
    provisioned = yaml.safe_load(
        (DASHBOARDS / "grafana/provisioning/alerting/model-monitor.yaml").read_text()
    )
    rules = [rule for group in provisioned["groups"] for rule in group["rules"]]
    mine = [rule for group in RULE_GROUPS for rule in group["rules"]]
    assert [rule["data"][0]["model"]["expr"] for rule in rules] == [rule["expr"] for rule in mine]
    assert len({rule["uid"] for rule in rules}) == len(rules)
    assert [rule for rule in rules if "{{ $value " in str(rule["annotations"])] == []


# --- names in dashboards, without Prometheus -------------------------------------------------------------


def exported_names() -> set[str]:
    names = {family(name) for name in metric_names()}
    names |= {name + end for name in names for end in ("_lower", "_upper")} | {PREFIX + "check_state"}
    own = set(MemoryBackend().telemetry.registry._names_to_collectors)  # with _total, _bucket and so on
    return names | {PREFIX + name for name in gauges.TABLE} | own


BOARDS = {path.name: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


def dashboard_queries() -> list[str]:
    """Return every query of every panel, annotation and variable's default."""
    panels = [panel for board in BOARDS.values() for panel in board["panels"]]
    found = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return found + [a["expr"] for board in BOARDS.values() for a in board["annotations"]["list"]]


def used_names() -> set[str]:
    texts = [p.read_text() for p in (*DASHBOARDS.glob("*.json"), *DASHBOARDS.glob("**/*.yaml"))]
    return set(re.findall(r"(?<!:)\bmodel_monitor_\w+(?!:)\b", "\n".join(texts)))  # not recorded names


def test_every_name_in_the_dashboard_and_the_rules_is_exported() -> None:
    assert len(used_names()) > 40
    assert used_names() - exported_names() == set()


def test_the_dashboard_shows_every_counter_and_gauge_of_the_monitor() -> None:
    shown = "\n".join(dashboard_queries())
    tables = {**telemetry.TABLE, **gauges.TABLE}
    elsewhere = {"config_last_reload_success_timestamp_seconds", "snapshot_timestamp_seconds", "results"}
    assert [name for name in tables if PREFIX + name not in shown and name not in elsewhere] == []


@pytest.mark.parametrize("name", BOARDS)
def test_panels_of_a_dashboard_do_not_overlap_and_have_distinct_ids(name: str) -> None:
    panels = BOARDS[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_the_dashboards_are_what_their_source_writes() -> None:
    source = DASHBOARDS / "generate.py"
    names = runpy.run_path(str(source))
    pages = names["pages"]()
    assert {name: (DASHBOARDS / name).read_text() for name in pages} == pages, (
        "run: python dashboards/generate.py"
    )
    assert {path.name for path in DASHBOARDS.glob("*.json")} < pages.keys()


def test_limits_are_drawn_of_metrics_that_exist() -> None:
    drawn = [re.search(r'alert_threshold\{model="\$model",metric=~"([^"]+)"', q) for q in dashboard_queries()]
    limited = {name for found in drawn if found for name in found[1].split("|")}
    assert len(limited) > 20
    assert limited - metric_names() == set()
