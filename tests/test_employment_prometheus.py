"""The employment stream end to end: a real Prometheus scrapes the daemon and tells a real Alertmanager.

The injected recode fires in Prometheus and arrives; when upstream is mended, it is resolved. Meanwhile every
query of every dashboard and rule is asked of these real numbers.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from daemon_process import DaemonProcess, running
from test_alertmanager import alertmanager
from test_web_prometheus import RULES, Prometheus, command, dashboard_queries, eventually
from webhook_peer import Peer, serving

from monitor.examples import employment
from monitor.time import DAY_US

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
DAYS = 9  # the recode comes with the eighth
FILLED = {"$model": "employment", "$version": "*", "$segment": "^$", "$feature": "schooling"}
FILLED |= {"$__rate_interval": "1m", "$__interval": "1m"}
NOTHING_THERE = {  # pattern of a query -> why this model has no data for it
    r"model_monitor_(mae|rmse|mean_error|r2)\{": "it is no regression",
    r"model_monitor_(mrr|ndcg_at_10|catalogue_coverage)\{": "it ranks nothing",
    r"_worst_segment": "it has no segments",
    r"feature_(ks_statistic|ks_pvalue|wasserstein|out_of_range_ratio)\{": "schooling is categorical",
    r"model_monitor_estimated_accuracy": "checks.estimate is not on",
    r'alert_threshold\{[^}]*metric=~"(?![^"]*\b(psi|accuracy|equalized_odds_difference)\b)': "no alert",
    r"alert_silenced\{": "nothing is silenced",
    r"model_monitor_retrain_": "a recoded feature alone asks for no retraining",
    r"model_monitor_webhook_attempts_total": "so no message has been sent",
    r"quarantined|feature_faults_total": "nothing is refused, nothing is mistyped",
    r"partition_halted\) > 0": "no partition has stopped",
    r"consumer_lag_records": "a files source reports no lag",
}


@dataclass(frozen=True, slots=True)
class World:
    """What runs: the daemon on its folder, Prometheus, Alertmanager's address, and whom it tells."""

    folder: Path
    model: Any
    start_us: int
    daemon: DaemonProcess
    prometheus: Prometheus
    alertmanager: str
    told: Peer

    def write(self, story: employment.Story, first_us: int, end_us: int) -> None:
        for name, lines in zip(("predictions", "feedback"), story.between(first_us - 1, end_us), strict=True):
            with (self.folder / f"{name}.jsonl").open("a") as file:
                file.write("".join(f"{line}\n" for line in lines))

    def notified(self) -> list[tuple[str, str]]:
        """Return status and name of each alert on a model that the Alertmanager has told of."""
        groups = [json.loads(body) for _, _, body in self.told.requests]
        alerts = [alert for group in groups for alert in group["alerts"]]
        return [
            (a["status"], a["labels"]["alert"]) for a in alerts if a["labels"]["alertname"] == "ModelAlert"
        ]


def prometheus_config(folder: Path, target: str, told: str) -> Path:
    """Write Prometheus' configuration, with our rules as they are but for how long they wait."""
    for rules in RULES.parent.glob("*.yaml"):
        (folder / rules.name).write_text(re.sub(r"^( +for:) .*$", r"\1 1s", rules.read_text(), flags=re.M))
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(folder / rules.name) for rules in RULES.parent.glob("*.yaml")],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [told.split("//")[1]]}]}]},
        "scrape_configs": [
            {"job_name": "model-monitor", "static_configs": [{"targets": [target.split("//")[1]]}]}
        ],
    }
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder, binary = tmp_path_factory.mktemp("employment"), command("prometheus")
    model = employment.train()
    employment.prepare(folder, model)
    (folder / "webhook.secret").write_text(SECRET)
    config = employment.write_config(folder, listen="127.0.0.1:0", receiver="http://127.0.0.1:9/")
    config.write_text(config.read_text().replace("poll: 500ms", "poll: 500ms, idle_timeout: 1s"))
    start_us = employment.start_of(time.time_ns() // 1000)
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    for name in ("predictions", "feedback"):
        (folder / f"{name}.jsonl").touch()
    with (
        serving() as told,
        alertmanager(folder / "am", resolve_timeout="5m", told=f"http://127.0.0.1:{told.port}") as address,
        running(config) as daemon,
        (folder / "prometheus.log").open("wb") as log,
    ):
        file = prometheus_config(folder, daemon.url, address)
        started = [binary, f"--config.file={file}", f"--storage.tsdb.path={folder}/data"]
        process = subprocess.Popen([*started, f"--web.listen-address={listen}"], stdout=log, stderr=log)
        try:
            api = Prometheus(f"http://{listen}")
            eventually(api.ready)
            found = World(folder, model, start_us, daemon, api, address, told)
            found.write(employment.story(model, start_us), start_us, start_us + DAYS * DAY_US)
            yield found
            api.client.close()
        finally:
            process.terminate()
            process.wait(20)


@pytest.mark.slow
def test_the_injected_drift_fires_in_prometheus_and_arrives_at_alertmanager(world: World) -> None:
    firing = 'ALERTS{alertname="ModelAlert",alertstate="firing",alert="feature-drift"}'
    eventually(lambda: world.prometheus.query(firing), 90)
    eventually(lambda: ("firing", "feature-drift") in world.notified(), 30)
    assert {name for _, name in world.notified()} == {"feature-drift"}
    psi = world.prometheus.query('model_monitor_feature_psi{version="*",segment=""} > 0.2')
    assert [labels[0] for labels in psi] == ["schooling"]


@pytest.mark.slow
def test_every_query_of_dashboards_and_rules_finds_data_where_there_is_data(world: World) -> None:
    eventually(lambda: world.prometheus.query("rate(model_monitor_events_total[1m])"))
    groups = [g for path in RULES.parent.glob("*.yaml") for g in yaml.safe_load(path.read_text())["groups"]]
    rules = [rule for group in groups for rule in group["rules"]]
    selectors = {
        s for rule in rules for s in re.findall(r"\b(?:model_monitor_\w+|up)\b(?:\{[^}]*\})?", rule["expr"])
    }
    recorded = [rule["record"] for rule in rules if "record" in rule]
    empty = []
    for expression in [*dashboard_queries(), *sorted(selectors), *recorded]:
        for name, value in FILLED.items():
            expression = expression.replace(name, value)
        if not world.prometheus.query(expression):
            empty.append(expression)
    assert [e for e in empty if not any(re.search(pattern, e) for pattern in NOTHING_THERE)] == []
    unused = [p for p in NOTHING_THERE if not any(re.search(p, e) for e in empty)]
    assert unused == [], "these have data by now: take them off the list"


@pytest.mark.slow
def test_a_mended_upstream_resolves_the_alert_everywhere(world: World) -> None:
    mended_us = world.start_us + DAYS * DAY_US
    world.write(employment.story(world.model, mended_us, seed=1), mended_us, mended_us + 3 * DAY_US)
    eventually(
        lambda: not world.prometheus.query('model_monitor_alert_firing{alert="feature-drift"} == 1'), 60
    )
    eventually(lambda: ("resolved", "feature-drift") in world.notified(), 60)
    assert world.daemon.stop() == 0
