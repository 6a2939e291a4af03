"""What is deployed: the compose file, the container's recipe, the systemd unit, the Kubernetes manifests."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import bcrypt
import jsonschema
import kubernetes_validate
import pytest
import yaml
from daemon_process import until
from test_web_server import make_certificate

from monitor import config
from monitor.actions.signing import new_secret
from monitor.demo import free_port
from monitor.examples import employment

ROOT = Path(__file__).resolve().parent.parent
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
MANIFESTS = sorted(p for p in (ROOT / "deploy/kubernetes").glob("*.yaml") if p.name != "config.yaml")
UNIT = ROOT / "deploy/systemd/model-monitor.service"
OWN = ("kustomization.yaml", "servicemonitor.yaml")  # kinds that Kubernetes itself does not know
PINNED = re.compile(r"[a-z0-9./-]+:v?\d+\.\d+\.\d+(-[a-z0-9.-]+)?")
# The part of monitoring.coreos.com/v1 that a ServiceMonitor of ours uses (the operator's API reference).
SERVICE_MONITOR = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "additionalProperties": False,
    "properties": {
        "apiVersion": {"const": "monitoring.coreos.com/v1"},
        "kind": {"const": "ServiceMonitor"},
        "metadata": {"type": "object", "required": ["name"]},
        "spec": {
            "type": "object",
            "required": ["selector", "endpoints"],
            "additionalProperties": False,
            "properties": {
                "jobLabel": {"type": "string"},
                "selector": {"type": "object", "required": ["matchLabels"]},
                "endpoints": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["port"],
                        "additionalProperties": False,
                        "properties": {
                            "port": {"type": "string"},
                            "interval": {"pattern": "^[0-9]+s$"},
                            "scrapeTimeout": {"pattern": "^[0-9]+s$"},
                        },
                    },
                },
            },
        },
    },
}


def tool(*names: str) -> str:
    """Return the first of these commands that is installed; in CI one of them must be."""
    for name in names:
        if path := shutil.which(name):
            return path
    assert not os.environ.get("CI"), f"CI needs {names[0]}"
    pytest.skip(f"needs {' or '.join(names)}")


def manifest(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "deploy/kubernetes" / name).read_text())
    return found


def test_compose_accepts_its_file() -> None:
    known = (
        subprocess.run(["docker", "compose", "version"], capture_output=True)
        if shutil.which("docker")
        else None
    )
    command = ["docker", "compose"] if known and known.returncode == 0 else [tool("docker-compose")]
    done = subprocess.run([*command, "config", "--quiet"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_image_is_pinned_to_a_version() -> None:
    images = {name: service["image"] for name, service in COMPOSE["services"].items()}
    images |= {
        f"FROM {i}": i for i in re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    }
    pod = manifest("statefulset.yaml")["spec"]["template"]["spec"]
    images |= {c["name"]: c["image"] for c in pod["containers"]}
    assert {name: image for name, image in images.items() if not PINNED.fullmatch(image)} == {}


def test_no_service_of_compose_is_root_privileged_or_without_a_health_check() -> None:
    for name, service in COMPOSE["services"].items():
        assert service["user"].split(":")[0] not in ("root", "0"), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["healthcheck"]["test"], name
        assert service.get("read_only") or name == "kafka", name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name


def test_what_compose_mounts_is_in_the_repository() -> None:
    mounts = [m for s in COMPOSE["services"].values() for m in s.get("volumes", ()) if m.startswith("./")]
    assert len(mounts) >= 5
    assert [m for m in mounts if not (ROOT / m.split(":")[0]).exists()] == []


def copied() -> list[str]:
    """Return what the container's recipe copies from the repository."""
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    return [source for line in lines for source in line.split()]


def test_what_the_image_copies_is_in_the_repository_and_sent_to_the_engine() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {"requirements.lock", "pyproject.toml", "monitor", "configs", "examples"} <= set(copied())
    assert [source for source in copied() if not (ROOT / source).exists() or source not in sent] == []
    assert sent - set(copied()) == set()  # and nothing else is sent


def test_the_services_find_each_other_and_what_is_mounted() -> None:
    prometheus = yaml.safe_load((ROOT / "deploy/compose/prometheus.yml").read_text())
    told = prometheus["alerting"]["alertmanagers"] + prometheus["scrape_configs"]
    addresses = [t for one in told for c in one["static_configs"] for t in c["targets"]]
    services = COMPOSE["services"]
    assert addresses == ["alertmanager:9093", "model-monitor:9108"]
    assert {a.split(":")[0] for a in addresses} <= services.keys()
    assert services["model-monitor"]["environment"]["LISTEN"] == ":9108"
    mounts = dict(m.split(":")[:2][::-1] for s in services.values() for m in s.get("volumes", ()))
    assert mounts["/etc/prometheus/rules"] == "./dashboards/prometheus"
    assert prometheus["rule_files"] == ["/etc/prometheus/rules/*.yaml"]
    provisioning = ROOT / mounts["/etc/grafana/provisioning"]
    [provider] = yaml.safe_load((provisioning / "dashboards/model-monitor.yaml").read_text())["providers"]
    folder = ROOT / mounts[provider["options"]["path"]]
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert Path(home).parent == Path(provider["options"]["path"]) and (folder / Path(home).name).exists()
    [source] = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    alerting = yaml.safe_load((provisioning / "alerting/model-monitor.yaml").read_text())
    asked = {q["datasourceUid"] for g in alerting["groups"] for rule in g["rules"] for q in rule["data"]}
    assert asked == {source["uid"], "__expr__"}


def test_prometheus_and_alertmanager_accept_their_configurations(tmp_path: Path) -> None:
    text = (ROOT / "deploy/compose/prometheus.yml").read_text()
    (tmp_path / "prometheus.yml").write_text(
        text.replace("/etc/prometheus/rules", str(ROOT / "dashboards/prometheus"))
    )
    for command, sign in (
        ([tool("promtool"), "check", "config", str(tmp_path / "prometheus.yml")], "2 rule files found"),
        ([tool("amtool"), "check-config", str(ROOT / "deploy/compose/alertmanager.yml")], "SUCCESS"),
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0 and sign in done.stdout, done.stdout + done.stderr


def image(folder: Path) -> Path:
    """Build what the image holds as its recipe does, but for the dependencies; return its root."""
    context, root = folder / "context", folder / "image"
    context.mkdir()
    for source in copied():
        place = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        place(ROOT / source, context / source)
    (root / "usr/share").mkdir(parents=True)
    for name in ("configs", "examples"):
        shutil.copytree(context / name, root / "usr/share/model-monitor" / name)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(root / "opt"), "."], cwd=context, check=True, timeout=120)
    return root


@pytest.mark.slow
def test_the_image_starts_as_compose_says_and_its_health_checks_hold(tmp_path: Path) -> None:
    root, port = image(tmp_path), str(free_port(0))
    recipe = (ROOT / "Dockerfile").read_text()
    assert 'ENTRYPOINT ["model-monitor"]' in recipe
    places = {
        "/usr/share/model-monitor": str(root / "usr/share/model-monitor"), "/employment": str(tmp_path),
        "/var/lib/model-monitor": str(tmp_path), ":9108": f"127.0.0.1:{port}", "kafka:9092": "127.0.0.1:9",
    }  # fmt: skip

    def here(text: str) -> str:
        for there, place in places.items():
            text = text.replace(there, place)
        return text

    service = COMPOSE["services"]["model-monitor"]
    environment = os.environ | {name: here(value) for name, value in service["environment"].items()}
    environment["PYTHONPATH"] = str(root / "opt")  # where the image has a virtual environment
    employment.prepare(tmp_path, employment.train())
    (tmp_path / "webhook.secret").write_text(new_secret())
    check = json.loads(re.search(r"HEALTHCHECK .*? CMD (\[.*?\])", recipe.replace("\\\n", ""), re.S)[1])  # type: ignore[index]
    healthy = [service["healthcheck"]["test"][1:], check]
    assert healthy[0] == healthy[1]
    asked = [sys.executable, healthy[0][1], healthy[0][2].replace("9108", port)]
    assert subprocess.run(asked, capture_output=True).returncode != 0  # nobody is there yet
    words = [sys.executable, str(root / "opt/bin/model-monitor"), *(here(w) for w in service["command"])]
    with (tmp_path / "log").open("wb") as log:
        daemon = subprocess.Popen(words, env=environment, cwd=tmp_path, stdout=log, stderr=log)
    try:
        until(lambda: daemon.poll() or b"serving" in (tmp_path / "log").read_bytes(), 60)
        assert subprocess.run(asked, capture_output=True).returncode == 0, (tmp_path / "log").read_text()
        for page in ("", "metrics", "api/v1/models"):
            with urlopen(f"http://127.0.0.1:{port}/{page}", timeout=10) as answer:
                assert b"employment" in answer.read(), page
        source = subprocess.run(
            [sys.executable, "-c", "import monitor; print(monitor.__file__)"],
            env=environment, cwd=tmp_path, capture_output=True, text=True,
        )  # fmt: skip
        assert source.stdout.startswith(str(root / "opt"))
    finally:
        daemon.terminate()
        assert daemon.wait(30) == 0
    script = here(COMPOSE["services"]["world"]["entrypoint"][1])
    told = subprocess.run([sys.executable, script, "--help"], env=environment, capture_output=True, text=True)
    assert told.returncode == 0
    words = COMPOSE["services"]["world"]["command"]
    assert [w for w in words if w.startswith("--") and w not in told.stdout] == []


def test_the_unit_exposes_little() -> None:
    done = subprocess.run(
        [tool("systemd-analyze"), "security", "--offline=true", str(UNIT)], capture_output=True, text=True
    )
    found = re.search(r"Overall exposure level for model-monitor.service: ([\d.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert float(found[1]) <= 2.0


def test_systemd_understands_every_line_of_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "model-monitor"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/model-monitor/bin/model-monitor", str(program)))
    done = subprocess.run([tool("systemd-analyze"), "verify", str(copy)], capture_output=True, text=True)
    assert [line for line in done.stderr.splitlines() if UNIT.name in line] == []


@pytest.mark.parametrize("path", [p for p in MANIFESTS if p.name not in OWN], ids=lambda p: p.name)
def test_kubernetes_knows_the_manifest(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        kubernetes_validate.validate(document, "1.37", strict=True)


def test_the_operator_knows_the_service_monitor() -> None:
    jsonschema.validate(manifest("servicemonitor.yaml"), SERVICE_MONITOR)


def test_kustomize_lists_every_manifest_and_the_parts_fit() -> None:
    assert {p.name for p in MANIFESTS} == {*manifest("kustomization.yaml")["resources"], "kustomization.yaml"}
    pod = manifest("statefulset.yaml")["spec"]["template"]
    [container] = pod["spec"]["containers"]
    [port] = container["ports"]
    service = manifest("service.yaml")["spec"]
    assert service["selector"].items() <= pod["metadata"]["labels"].items()
    assert service["ports"][0]["targetPort"] == port["name"]
    assert manifest("servicemonitor.yaml")["spec"]["endpoints"][0]["port"] == service["ports"][0]["name"]
    assert (
        container["securityContext"]["readOnlyRootFilesystem"]
        and pod["spec"]["securityContext"]["runAsNonRoot"]
    )
    assert {"livenessProbe", "readinessProbe", "startupProbe"} <= container.keys()
    assert container["resources"]["limits"]["memory"]


def test_the_example_configuration_of_the_pod_is_valid(tmp_path: Path) -> None:
    text = (ROOT / "deploy/kubernetes/config.yaml").read_text()
    for name in ("kafka", "hook"):
        (tmp_path / name).write_text(new_secret())
    (tmp_path / "config.yaml").write_text(text.replace("/run/secrets/model-monitor", str(tmp_path)))
    assert config.load(tmp_path / "config.yaml").models[0].name == "credit"


def test_the_production_configuration_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = make_certificate(tmp_path, "tls")
    shutil.copy(tls.cert_file, tmp_path / "tls.crt")
    shutil.copy(tls.key_file, tmp_path / "tls.key")
    shutil.copy(tls.cert_file, tmp_path / "kafka-ca.crt")
    for name in ("kafka", "hook"):
        (tmp_path / name).write_text(new_secret())
    (tmp_path / "reference.parquet").touch()
    values = {
        "SECRETS": tmp_path, "CREDIT": tmp_path, "STORE": tmp_path / "s.duckdb", "KAFKA": "kafka:9093",
        "PROMETHEUS_BCRYPT": bcrypt.hashpw(b"secret", bcrypt.gensalt(10)).decode(),
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(name, str(value))
    loaded = config.load(ROOT / "configs/production.yaml")
    assert loaded.server.tls is not None
    assert loaded.server.users.keys() == {"prometheus"}
