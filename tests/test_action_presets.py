"""The ready-made actions: each loads, and what it sends is what the documentation of that API asks for.

The schemas are written by hand from the pages that each file names; where an API refuses fields it does not
know, the schema does too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jsonschema
import pytest

from monitor import config
from monitor.actions.payload import ALERT, LIMIT_BYTES, RETRAIN, retrain_message
from monitor.actions.samples import samples
from monitor.actions.signing import new_secret
from monitor.deliveries import endpoints, renderer
from monitor.rules.retrain import Decision
from monitor.rules.state import AlertState
from monitor.types import Window

FOLDER = Path(__file__).parents[1] / "configs" / "actions"
FILES = sorted(FOLDER.glob("*.yaml"))
ID = "msg_0123456789abcdef0123456789abcdef"
MODEL = """
sources: {events: {kind: kafka, bootstrap_servers: "localhost:9092"}}
models: [{name: credit, task: binary, predictions: {source: events, topic: p}, window: {size: 1h}}]
"""
VALUES = {  # where a name alone does not do
    "GITHUB_REPOSITORY": "acme/credit", "GITLAB_PROJECT": "7", "SAGEMAKER_URL": "https://api.example/start",
    "AZURE_ML_URL": "https://retrain.westeurope.inference.ml.azure.com/jobs",
    "ARGO_HOST": "argo.example:12000", "ARGO_NAME": "argo.example", "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T0/B0/secret",
    "VERTEX_REGION": "europe-west4", "VERTEX_BUCKET": "gs://bucket/retrain",
    "VERTEX_TEMPLATE": "https://europe-west4-kfp.pkg.dev/acme/pipelines/retrain/latest",
    "VERTEX_ACCOUNT": "retrain@acme.iam.gserviceaccount.com", "WEBHOOK_SECRET": new_secret(),
}  # fmt: skip

TEXT = {"type": "string"}
MOMENT = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
LITERAL = {
    "type": "object",
    "required": ["JobInputType", "Value"],
    "properties": {"JobInputType": {"const": "Literal"}, "Value": {}},
    "additionalProperties": False,
}


def exactly(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the schema of an object with these fields and no others."""
    properties = {**required, **(optional or {})}
    return {
        "type": "object", "required": list(required), "properties": properties, "additionalProperties": False
    }  # fmt: skip


CONF = exactly({"model": TEXT, "alerts": {"type": "array"}, "window": {"type": "object"}}, {"reason": {}})
RUN_ID = {"type": "string", "pattern": r"^[A-Za-z0-9_.~:+-]+$", "maxLength": 250}
SCHEMAS: dict[str, dict[str, Any]] = {
    "github": exactly(
        {"event_type": {"type": "string", "maxLength": 100}},
        {"client_payload": {"type": "object", "maxProperties": 10}},
    ),
    "gitlab": exactly({"ref": {"type": "string", "minLength": 1}}, {"variables": TEXTS, "inputs": {}}),
    "airflow": exactly(
        {"logical_date": {"anyOf": [MOMENT, {"type": "null"}]}},
        {"dag_run_id": RUN_ID, "conf": CONF, "note": TEXT, "run_after": MOMENT},
    ),
    "airflow2": exactly({}, {"dag_run_id": RUN_ID, "conf": CONF, "note": TEXT, "logical_date": MOMENT}),
    "kubeflow": exactly(
        {
            "display_name": {"type": "string", "minLength": 1},
            "pipeline_version_reference": exactly({"pipeline_id": TEXT}, {"pipeline_version_id": TEXT}),
        },
        {
            "description": TEXT,
            "experiment_id": TEXT,
            "service_account": TEXT,
            "runtime_config": exactly({"parameters": {"type": "object"}}, {"pipeline_root": TEXT}),
        },
    ),
    "argo-events": exactly({"type": {"const": RETRAIN}, "timestamp": MOMENT, "data": {"type": "object"}}),
    "sagemaker": exactly(
        {
            "PipelineName": {"type": "string", "maxLength": 2048, "minLength": 1},
            "ClientRequestToken": {"type": "string", "minLength": 32, "maxLength": 128},
        },
        {
            "PipelineExecutionDisplayName": {"pattern": r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,81}$"},
            "PipelineExecutionDescription": {"type": "string", "minLength": 1, "maxLength": 3072},
            "PipelineParameters": {
                "type": "array",
                "maxItems": 200,
                "items": exactly(
                    {
                        "Name": {"pattern": r"^[A-Za-z0-9\-_]*$", "maxLength": 256},
                        "Value": {"type": "string", "maxLength": 1024},
                    }
                ),
            },
        },
    ),
    "azure-ml": exactly(
        {"properties": exactly({"InputData": {"type": "object", "additionalProperties": LITERAL}})}
    ),
    "azure-ml-v1": exactly(
        {"ExperimentName": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,255}$"}},
        {"ParameterAssignments": TEXTS, "RunSource": TEXT},
    ),
    "vertex-ai": exactly(
        {
            "templateUri": {"pattern": r"^(gs://|https://[a-z0-9-]+-kfp\.pkg\.dev/)"},
            "runtimeConfig": exactly(
                {"gcsOutputDirectory": {"pattern": "^gs://"}}, {"parameterValues": {"type": "object"}}
            ),
        },
        {
            "displayName": {"type": "string", "maxLength": 128},
            "labels": {"type": "object", "additionalProperties": {"pattern": "^[a-z0-9_-]{0,63}$"}},
            "serviceAccount": {"pattern": "^[^@]+@[^@]+$"},
            "network": TEXT,
        },
    ),
    "alertmanager": {
        "type": "array",
        "items": exactly(
            {"labels": {**TEXTS, "required": ["alertname"], "propertyNames": {"pattern": "^[a-zA-Z_]\\w*$"}}},
            {"annotations": TEXTS, "startsAt": MOMENT, "endsAt": MOMENT, "generatorURL": TEXT},
        ),
    },
    "slack": exactly(
        {"text": {"type": "string", "minLength": 1}}, {"blocks": {"type": "array", "maxItems": 50}}
    ),
}
URLS = {
    "github": "https://api.github.com/repos/acme/credit/dispatches",
    "gitlab": "https://gitlab.com/api/v4/projects/7/trigger/pipeline?token=gitlab-trigger-token",
    "airflow": "https://airflow-host/api/v2/dags/airflow-dag/dagRuns",
    "airflow2": "https://airflow-host/api/v1/dags/airflow-dag/dagRuns",
    "kubeflow": "https://kfp-host/apis/v2beta1/runs",
    "jenkins": "https://jenkins-host/job/jenkins-job/buildWithParameters",
    "vertex-ai": "https://europe-west4-aiplatform.googleapis.com/v1/projects/vertex-project/locations/"
    "europe-west4/pipelineJobs",
    "alertmanager": "http://127.0.0.1:9093/api/v2/alerts",
}  # fmt: skip


def loaded(file: Path, folder: Path) -> config.Config:
    """Load a minimal configuration with the file's actions; every variable it reads is set."""
    text = file.read_text()
    names = re.findall(r"\$\{(\w+)\}", text) + re.findall(r"_env: (\w+)", text)
    environ = {name: VALUES.get(name, name.lower().replace("_", "-")) for name in names}
    for name in (n for n in environ if n.endswith("_FILE")):
        (folder / name).write_text("a-token\n")
        environ[name] = str(folder / name)
    (folder / "monitor.yaml").write_text(MODEL + text)
    return config.load(folder / "monitor.yaml", environ=environ)


def bodies(file: Path, folder: Path, kind: str) -> dict[str, list[bytes]]:
    """Return what each action of the file sends for the made-up messages of a type."""
    settings = loaded(file, folder)
    return {
        name: [renderer(settings, action)(ID, message) for message in samples(kind)]
        for name, action in settings.actions.items()
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_a_preset_sends_has_the_form_its_api_documents(file: Path, tmp_path: Path) -> None:
    alerts_only = file.stem == "alertmanager"
    for name, sent in bodies(file, tmp_path, ALERT if alerts_only else RETRAIN).items():
        for body in sent:
            assert len(body) < LIMIT_BYTES
            if name != "jenkins":
                jsonschema.validate(json.loads(body), SCHEMAS[name])


def test_every_preset_names_the_documentation_it_was_written_from() -> None:
    assert len(FILES) >= 11
    for file in FILES:
        comment = file.read_text().partition("actions:")[0]
        assert re.search(r"^# API: .*https://", comment, re.MULTILINE), file.name


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_preset_calls_the_documented_address(file: Path, tmp_path: Path) -> None:
    for name, endpoint in endpoints(loaded(file, tmp_path)).items():
        assert endpoint.url == URLS.get(name, endpoint.url)
        assert endpoint.method == "POST"
        assert endpoint.signed is (name == "argo-events")


def headers(name: str, folder: Path, action: str = "") -> Mapping[str, str]:
    return endpoints(loaded(FOLDER / f"{name}.yaml", folder))[action or name].headers()


def test_presets_show_who_is_calling_as_their_api_wants_it(tmp_path: Path) -> None:
    assert headers("github", tmp_path) == {
        "Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28",
        "authorization": "Bearer github-token",
    }  # fmt: skip
    assert headers("airflow", tmp_path)["authorization"] == "Bearer a-token"
    assert headers("airflow", tmp_path, "airflow2")["authorization"].startswith("Basic bW9kZWwtbW9uaXRvcjph")
    assert headers("sagemaker", tmp_path) == {"x-api-key": "sagemaker-api-key"}
    assert headers("jenkins", tmp_path)["authorization"].startswith("Basic ")
    assert headers("gitlab", tmp_path) == {}


def test_a_token_file_is_read_again_for_each_request(tmp_path: Path) -> None:
    endpoint = endpoints(loaded(FOLDER / "vertex-ai.yaml", tmp_path))["vertex-ai"]
    assert endpoint.headers() == {"authorization": "Bearer a-token"}
    (tmp_path / "VERTEX_TOKEN_FILE").write_text("another-token\n")
    assert endpoint.headers() == {"authorization": "Bearer another-token"}


def test_jenkins_gets_a_form_with_every_parameter(tmp_path: Path) -> None:
    [full, _] = bodies(FOLDER / "jenkins.yaml", tmp_path, RETRAIN)["jenkins"]
    settings = loaded(FOLDER / "jenkins.yaml", tmp_path)
    assert endpoints(settings)["jenkins"].content_type == "application/x-www-form-urlencoded"
    assert parse_qs(full.decode(), strict_parsing=True, keep_blank_values=True) == {
        "MODEL_MONITOR_ID": [ID], "MODEL": ["model-monitor-test"], "ALERTS": ["income-drift"],
        "WINDOW_START": ["2026-11-22T09:00:00Z"], "WINDOW_END": ["2026-11-22T10:00:00Z"],
    }  # fmt: skip


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_largest_request_with_the_oddest_names_still_fits(file: Path, tmp_path: Path) -> None:
    name = 'a"b\\c\u2028<&>é' + "x" * 110
    state = AlertState(name, ("m" * 128, "*", "psi", name, "", "", ""), "firing", value=1.0, bound=0.5)
    decision = Decision(ID, "m" * 128, "retrain", Window(0, 1), tuple([name] * 300), 0)
    message = retrain_message(
        decision, [state] * 300, evidence=[], reference_id="r" * 64, config_hash="0" * 64
    )
    settings = loaded(file, tmp_path)
    for action_name, action in settings.actions.items():
        if action_name not in ("alertmanager", "jenkins"):
            body = renderer(settings, action)(ID, message)
            assert len(body) < LIMIT_BYTES
            if action_name != "sagemaker":  # its display names are far shorter than 300 odd alerts' names
                jsonschema.validate(json.loads(body), SCHEMAS[action_name])
