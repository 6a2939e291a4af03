"""Documentation is held to account: links and their anchors lead somewhere, and every configuration loads."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from pages import DOCS, ROOT, Block, blocks

from monitor.build import plan
from monitor.config import Config, Model, load

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")])
TOP, MODEL = set(Config.model_fields), set(Model.model_fields)
ELSEWHERE = {  # blocks that show another program's file, or a part that stands deeper than these keys say
    "http.md": {"tls_server_config"},
    "prometheus.md": {"scrape_configs"},
    "tutorial.md": {"scrape_configs"},
    "actions.md": {"pager"},
    "explanations.md": {"checks"},  # models' files with their digests; test_explain_models.py loads such
    "events.md": {"predictions", "reference"},  # column maps of another model's tables
}


def keys(block: Block) -> set[str]:
    found = yaml.safe_load(block.text)
    return set(found) if isinstance(found, dict) else set()


SHOWN = [
    pytest.param(page, block, id=f"{page.relative_to(ROOT)}:{block.line}")
    for page in PAGES
    for block in blocks(page)
    if block.language == "yaml"
]


def base() -> dict[str, Any]:
    return {
        "name": "credit",
        "task": "binary",
        "predictions": {"source": "logs", "path": "predictions.jsonl"},
        "feedback": {"source": "logs", "path": "labels.jsonl"},
        "features": {"age": "numeric", "income": "numeric", "plan": "categorical"},
        "reference": {"path": "reference.parquet"},
        "window": {"size": "1h", "label_wait": "7d"},
        "segments": ["plan"],
        "checks": {"drift": {}, "performance": {}, "quality": {}, "fairness": {"sensitive": ["sex"]}},
    }


def completed(part: dict[str, Any]) -> dict[str, Any]:
    """Return a whole configuration around the part that a page shows."""
    whole = {key: value for key, value in part.items() if key in TOP}
    kafka = {"kind": "kafka", "bootstrap_servers": "localhost:9092"}
    whole["sources"] = {"logs": {"kind": "files"}} | whole.get("sources", {"events": kafka})
    own = {key: value for key, value in part.items() if key in MODEL and key not in TOP}
    whole["models"] = [base() | {"name": "other"} | one | own for one in whole.get("models", [base()])]
    for model in whole["models"]:
        model["predictions"].setdefault("source", "logs")
        _with_alerts(model)
    named = {name for model in whole["models"] for name in _named(model)}
    stub = {"kind": "slack", "url": "https://hooks.slack.com/services/T/B/x"}
    whole["actions"] = {name: stub for name in named} | whole.get("actions", {})
    if not whole["actions"]:
        del whole["actions"]
    return whole


def _with_alerts(model: dict[str, Any]) -> None:
    """Add the alerts that a shown condition names and does not show."""
    alerts = model.get("alerts", [])
    alerts = alerts if isinstance(alerts, list) else [alerts]
    known = {alert["name"] for alert in alerts if isinstance(alert, dict)}
    wanted = set(re.findall(r"[\w-]+", json.dumps(model.get("retrain", {}).get("when", ""))))
    missing = sorted(wanted - known - {"any", "all", "not"})
    if missing:
        model["alerts"] = [*alerts, *({"name": name, "metric": "psi", "above": 0.2} for name in missing)]


def _named(model: dict[str, Any]) -> set[str]:
    alerts = [a for a in model.get("alerts", []) if isinstance(a, dict)]
    lists = [model.get("notify", []), model.get("retrain", {}).get("actions", [])]
    return {name for one in [*lists, *(a.get("notify") or [] for a in alerts)] for name in one}


@pytest.mark.parametrize(("page", "block"), SHOWN)
def test_every_configuration_that_is_shown_loads(page: Path, block: Block, tmp_path: Path) -> None:
    names = keys(block)
    if names & ELSEWHERE.get(str(page.relative_to(DOCS)) if DOCS in page.parents else "", set()):
        return
    assert names and names <= TOP | MODEL, f"neither a configuration nor listed as something else: {names}"
    file = tmp_path / "shown.yaml"
    text = block.text.replace("/run/secrets/", f"{tmp_path}/").replace("$2y$10$…", "$2y$10$" + "a" * 53)
    file.write_text(yaml.safe_dump(completed(yaml.safe_load(text)), sort_keys=False))
    for name in ("hook.secret", "server.crt", "server.key", "ca.crt", "kafka"):
        (tmp_path / name).write_text(SECRET)
    rows = {"age": [30, 40], "income": [1.5, 2.5], "plan": ["gold", "base"], "sex": ["f", "m"]}
    truth = {"prediction": [0, 1], "score": [0.2, 0.7], "label": [0, 1]}
    for name in {"reference.parquet", *re.findall(r"[\w-]+\.parquet", block.text)}:
        pd.DataFrame(rows | truth).to_parquet(tmp_path / name)
    environment = {
        "RETRAIN_SECRET": SECRET,
        "KAFKA_PASSWORD": "x",
        "SLACK_WEBHOOK_URL": "https://h.example/x",
    }
    config = load(file, environ=environment)
    if page.name == "alerting-cookbook.md":
        assert plan(config).specs  # the names of its metrics and features exist


def test_the_cookbook_has_ten_recipes() -> None:
    text = (DOCS / "alerting-cookbook.md").read_text()
    assert re.findall(r"^## (\d+)\. ", text, re.MULTILINE) == [str(n) for n in range(1, 11)]


# --- links -------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    heads = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", h) for h in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def dead_links(page: Path) -> list[str]:
    dead = []
    for path, anchor in re.findall(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text()):
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            dead.append(path)
        elif anchor and target.suffix == ".md" and anchor not in anchors(target):
            dead.append(f"{path}#{anchor}")
    return dead


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_leads_to_a_page_and_a_heading(page: Path) -> None:
    assert dead_links(page) == []


def test_a_dead_link_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# One two\n[x](b.md) [y](#one-two) [z](a.md#three)\n")
    assert dead_links(tmp_path / "a.md") == ["b.md", "a.md#three"]
