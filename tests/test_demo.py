"""The demonstration: its data and story, the configurations that belong to it, and one real run of it."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from kafka_broker import Cluster

from monitor.build import plan
from monitor.config import load
from monitor.demo import free_port, run_demo
from monitor.errors import MonitorError
from monitor.examples import employment
from monitor.replay import Replayed, replay
from monitor.time import DAY_US, HOUR_US

ROOT = Path(__file__).parent.parent
START_US = 20_000 * DAY_US  # 2024-10-04
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(scope="module")
def model() -> Any:
    return employment.train()


@pytest.fixture(scope="module")
def story(model: Any) -> employment.Story:
    return employment.story(model, START_US)


def events(lines: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]


def moment(text: str) -> int:
    return round(dt.datetime.fromisoformat(text).timestamp() * 1e6)


def told(
    folder: Path, model: Any, seed: int, *, explain: bool = False, days: int = employment.PAST_DAYS
) -> Replayed:
    """Write a story as the demonstration does, and replay it on the demonstration's configuration."""
    found = employment.story(model, START_US, seed=seed)
    employment.prepare(folder, model)
    (folder / "webhook.secret").write_text(SECRET)
    lines = found.between(START_US - 1, START_US + days * DAY_US)
    for name, part in zip(("predictions.jsonl", "feedback.jsonl"), lines, strict=True):
        (folder / name).write_text("\n".join(part) + "\n")
    config = employment.write_config(folder, listen="127.0.0.1:0", receiver="http://127.0.0.1:9/")
    if not explain:
        text = config.read_text()
        before, after = text.index("      explain:"), text.index("      fairness:")
        config.write_text(text[:before] + text[after:])
    return replay(plan(load(config)), folder=folder)


@pytest.mark.slow
def test_every_prediction_is_dated_inside_its_day_and_in_order(story: employment.Story) -> None:
    times = [moment(event["timestamp"]) for event in events(story.predictions)]
    assert times == list(story.prediction_times_us) == sorted(times)
    days, counts = np.unique((np.array(times) - START_US) // DAY_US, return_counts=True)
    assert days.tolist() == list(range(24))
    assert set(counts) == {2_500}


@pytest.mark.slow
def test_labels_come_four_to_twenty_hours_later_for_92_percent(story: employment.Story) -> None:
    made = {e["event_id"]: moment(e["timestamp"]) for e in events(story.predictions)}
    labels = events(story.labels)
    delays = [(moment(e["timestamp"]) - made[e["event_id"]]) / HOUR_US for e in labels]
    assert min(delays) >= 4
    assert max(delays) < 20
    assert len(labels) / len(made) == pytest.approx(0.92, abs=0.01)
    assert [moment(e["timestamp"]) for e in labels] == sorted(story.label_times_us)


@pytest.mark.slow
def test_the_recode_changes_schooling_alone_and_only_from_its_day_on(story: employment.Story) -> None:
    rows = employment.people("stream").sample(60_000, random_state=0, ignore_index=True)
    sent = pd.DataFrame([e["features"] for e in events(story.predictions)])
    changed = sent != rows[sent.columns]
    assert changed.columns[changed.any()].tolist() == ["schooling"]
    assert changed["schooling"].idxmax() // 2_500 == employment.RECODE_DAY


@pytest.mark.slow
def test_scores_are_those_of_the_features_as_sent(model: Any, story: employment.Story) -> None:
    some = events(story.predictions)[::7_000]
    matrix = [[float(e["features"][name]) for name in employment.FEATURES] for e in some]
    assert [e["score"] for e in some] == pytest.approx(model.predict_proba(matrix)[:, 1], abs=1e-6)
    assert [e["prediction"] for e in some] == ["1" if e["score"] >= 0.5 else "0" for e in some]


@pytest.mark.slow
def test_a_line_is_written_exactly_once_however_the_time_is_cut(story: employment.Story) -> None:
    rng = np.random.default_rng(1)
    cuts = [START_US - 1, *sorted(rng.integers(START_US, START_US + 25 * DAY_US, 50)), START_US + 30 * DAY_US]
    pieces = [story.between(a, b) for a, b in zip(cuts, cuts[1:], strict=False)]
    assert [line for p, _ in pieces for line in p] == story.predictions
    assert [line for _, labels in pieces for line in labels] == story.labels


@pytest.mark.slow
def test_the_recode_shows_in_the_attributions_from_its_day_on(tmp_path: Path, model: Any) -> None:
    """The model leans on ``schooling`` differently once its codes mean something else."""
    outcome = told(tmp_path, model, 0, explain=True, days=10)
    by_metric: dict[str, list[Any]] = {}
    for r in sorted(outcome.results, key=lambda r: r.window):
        if r.metric == "attribution_distance" or r.series[2:4] == ("attribution_share", "schooling"):
            by_metric.setdefault(r.metric, []).append(r)
    distance, share = by_metric["attribution_distance"], by_metric["attribution_share"]
    assert len(distance) == len(share) == 10 and {r.state for r in (*distance, *share)} == {"ok"}
    recoded = [day >= employment.RECODE_DAY for day in range(10)]
    assert [r.value > 0.05 for r in distance] == recoded
    assert [r.lower > 0.03 for r in distance] == recoded  # the interval too: by chance it is not so
    assert [r.value > 0.11 for r in share] == recoded
    assert {(r.n, r.n_reference) for r in distance} == {(500, 500)}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_nothing_fires_before_its_cause_and_everything_after_it(
    tmp_path: Path, model: Any, seed: int
) -> None:
    outcome = told(tmp_path, model, seed)
    fired = [t for t in outcome.transitions if t.get("after") == "firing"]
    assert [(t["alert"], t["feature"] or t["attribute"]) for t in fired] == [
        ("feature-drift", "schooling"),
        ("accuracy-fall", None),
        ("fairness-gap", "sex"),
    ]
    days = [(moment(t["window_start"]) - START_US) // DAY_US for t in fired]
    assert days == [8, 15, 15]  # the second bad day after the causes on days 7 and 14
    assert [t["alerts"] for t in outcome.transitions if t["kind"] == "retrain"] == [
        ["accuracy-fall", "fairness-gap"]
    ]
    assert outcome.quarantined == 0


def test_the_kept_configuration_is_the_one_that_runs() -> None:
    shipped = yaml.safe_load((employment.HERE / "quickstart.yaml").read_text())
    text = (ROOT / "configs" / "quickstart.yaml").read_text()
    assert yaml.safe_load(text.replace("../state/quickstart/", "")) == shipped


@pytest.mark.slow
def test_the_kafka_configuration_watches_the_same_model_the_same_way(tmp_path: Path, model: Any) -> None:
    employment.prepare(tmp_path, model)
    (tmp_path / "webhook.secret").write_text(SECRET)
    config = load(ROOT / "configs" / "kafka.yaml", environ={"EMPLOYMENT": str(tmp_path)})
    plan(config)
    kafka = yaml.safe_load((ROOT / "configs" / "kafka.yaml").read_text())["models"]
    files = yaml.safe_load((employment.HERE / "quickstart.yaml").read_text())["models"]
    different = {
        key for one, other in zip(kafka, files, strict=True) for key in one if one[key] != other[key]
    }
    assert different == {"predictions", "feedback", "reference"}
    assert config.sources["events"].kind == "kafka"


def test_the_readmes_first_configuration_loads(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text().split("```yaml\n")[1].split("```")[0]
    (tmp_path / "credit.yaml").write_text(text)
    rows = {"age": [30, 40], "income": [1.5, 2.5], "plan": ["gold", "base"], "prediction": [0, 1]}
    pd.DataFrame(rows).to_parquet(tmp_path / "reference.parquet")
    found = plan(load(tmp_path / "credit.yaml", environ={"RETRAIN_SECRET": SECRET}))
    assert [spec.name for spec in found.specs] == ["credit"]


def test_a_taken_port_is_replaced_by_a_free_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert free_port(port) not in (0, port)
    assert free_port(port) == port


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(MonitorError, match="is not empty"):
        run_demo(tmp_path, once=True)


def demo(folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "monitor", "demo", "--folder", str(folder), "--port", "0", *more]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
def test_the_demonstration_tells_its_story_to_the_end(tmp_path: Path) -> None:
    process = demo(tmp_path / "demo", "--once")
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said
    for part in ("ALERT feature-drift", "psi of schooling", "ALERT accuracy-fall", "ALERT fairness-gap",
                 "signature verified", "retrain request for model 'employment'"):  # fmt: skip
        assert said.count(part) == 1, part
    # an alert is read off the next snapshot, so a request that it causes may be there before it is told
    order = [said.index(p) for p in ("ALERT feature-drift", "ALERT accuracy-fall", "signature verified")]
    assert order[0] == min(order)


@pytest.mark.kafka
@pytest.mark.slow
def test_the_same_story_on_kafka_ends_in_a_verified_retrain_request(tmp_path: Path, broker: Cluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        receiver = f"127.0.0.1:{free.getsockname()[1]}"
    names = {"KAFKA": broker.bootstrap, "EMPLOYMENT": str(tmp_path), "RECEIVER": f"http://{receiver}/"}
    names |= {"STORE": str(tmp_path / "monitor.duckdb"), "LISTEN": "127.0.0.1:0"}
    script = [ROOT / "examples" / "produce_employment.py", "--bootstrap", broker.bootstrap, "--seconds", "20"]
    script += ["--folder", tmp_path, "--receive", receiver]
    said, log = tmp_path / "said", tmp_path / "log"
    with said.open("wb") as out:
        world = subprocess.Popen(
            [sys.executable, *script], env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=out,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    daemon = None
    try:
        eventually((tmp_path / "ready").exists, world, said)
        with log.open("wb") as out:
            daemon = subprocess.Popen(
                [sys.executable, "-m", "monitor", "run", "-c", ROOT / "configs" / "kafka.yaml"],
                env=os.environ | names, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip
        eventually(lambda: "retrain request for model 'employment'" in said.read_text(), daemon, log)
    finally:
        for process in (daemon, world):
            if process is not None:
                process.send_signal(signal.SIGINT)
                process.wait(40)
    fired = [line for line in log.read_text().splitlines() if "→ firing" in line]
    assert ["feature-drift" in fired[0], "schooling" in fired[0], len(fired)] == [True, True, 3]


def eventually(question: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 150
    while not question():
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3_000:]
        time.sleep(0.2)


@pytest.mark.slow
def test_an_interrupt_stops_the_daemon_too(tmp_path: Path) -> None:
    process = demo(tmp_path / "demo")
    log = tmp_path / "demo" / "daemon.log"
    deadline = time.monotonic() + 60
    while not (log.exists() and "serving" in log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=40)
    assert process.returncode == 0, said
    assert log.read_text().rstrip().endswith("stopped")
    with socket.socket() as probe:
        port = int(log.read_text().split("127.0.0.1:")[1].split("/")[0])
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    assert (tmp_path / "demo" / "state" / "monitor.duckdb").exists()
