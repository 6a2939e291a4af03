"""Writes ``docs/configuration.md`` from the models: ``python -m monitor.config.docs docs/configuration.md``.

The models' docstrings are the one place where keys are described; the JSON Schema and this page show them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from monitor.config.load import json_schema

INTRO = """# Configuration

<!-- Written by `python -m monitor.config.docs docs/configuration.md` from the models' docstrings. -->

One YAML file says what is monitored. It is strict: an unknown key, a key that appears twice or a value that
does not fit is an error. `model-monitor check -c FILE` lists every problem at once, each with its line, its
path and what is allowed:

```text
configs/a.yaml:14 models[0].checks.drift.bin: unknown key 'bin'; did you mean 'bins'? Allowed: bins, alpha, …
```

`model-monitor schema` prints the JSON Schema, for completion and checking in editors.

## How values are written

| what | how |
|---|---|
| durations | a number with its unit, also several: `500ms`, `90s`, `5m`, `1h30m`, `7d`, `2w` |
| sizes | `512MB`, `1GB` count by 1000; `64MiB`, `1GiB` by 1024 |
| paths | relative ones start from the folder of the configuration file |
| true and false | only `true` and `false`; `yes`, `no`, `on`, `off` are texts |
| numbers | YAML 1.2: `012` is twelve, `0o14` and `0x0c` too; `12:30` and `2026-01-01` are texts |
| environment | `${NAME}` reads a variable, `${NAME:-default}` also an unset or empty one, `$$` is a `$` |
| lists of one | only where this page says *one or a list* may the brackets be left out |

A variable's value is always a text inside its scalar, never YAML of its own; where a number, a duration or
`true` is expected, the text is read as one. Anchors, aliases, tags, merge keys and second documents are
refused. Limits: 1 MiB, 32 levels, 50,000 values.

## Secrets

Passwords, signing secrets, header values and password hashes are never shown: not in errors, logs, the API,
dumps or the configuration's hash. Prefer a file (`…_file`) or a variable to writing them down. Files are read
again at each use, so a rotated secret counts at once; a missing or empty file is an error at the start.

## What is checked between sections

Names must exist (sources, actions, alerts, metrics, features, sensitive attributes, segments); a kafka stream
needs `topic` and a files stream `path`; one topic is read as predictions or as feedback, not both; an alert's
check must be on, and a metric that needs labels needs `feedback`; `every` divides `size`; `size` and
`label_wait` together stay within `store.retention`, and so does a rolling [reference](references.md); `clear`
lies on the healthy side of its bound; passwords travel over TLS unless told otherwise; webhooks use https
unless the host is this machine or in `allow_hosts`. These run on everything that is valid by itself, so both
sorts of problems show together; what is inside a section that is wrong as a whole is checked once that is
mended.
"""

# The order and headings of the page; a test keeps it complete.
TITLES = {
    "Config": "The whole file",
    "Store": "store",
    "Server": "server",
    "Tls": "server.tls",
    "BasicAuth": "server.basic_auth",
    "Scheduler": "scheduler",
    "Log": "log",
    "KafkaSource": "sources: kafka",
    "Security": "sources: kafka: security",
    "OAuth": "sources: kafka: security.oauth",
    "FilesSource": "sources: files",
    "MemorySource": "sources: memory",
    "Model": "models",
    "Stream": "models: predictions and feedback",
    "Columns": "columns",
    "Reference": "models: reference",
    "VersionReference": "models: reference.versions",
    "WindowConfig": "models: window",
    "Checks": "models: checks",
    "Drift": "checks.drift",
    "Performance": "checks.performance",
    "ItemEmbeddings": "checks.performance.embeddings",
    "Fairness": "checks.fairness",
    "Quality": "checks.quality",
    "Explain": "checks.explain",
    "ModelFile": "checks.explain.model: files",
    "RemoteModel": "checks.explain.model: remote",
    "Estimate": "checks.estimate",
    "Alert": "models: alerts",
    "ReferenceSd": "bound: reference_sd",
    "RelativeToReference": "bound: relative_to_reference",
    "Critical": "bound: critical",
    "FalseAlarms": "bound: false_alarms",
    "Retrain": "models: retrain",
    "WebhookAction": "actions: webhook",
    "AlertmanagerAction": "actions: alertmanager",
    "SlackAction": "actions: slack",
    "Authorization": "actions: authorization",
    "ActionBasicAuth": "actions: basic_auth",
    "Silence": "silences",
}


def render() -> str:
    """Return the page as Markdown."""
    schema = json_schema()
    models = {"Config": schema, **schema["$defs"]}
    parts = [INTRO]
    for name, title in TITLES.items():
        parts.append(f"## {title}\n\n{models[name]['description'].replace('``', '`')}\n")
        rows = [_row(key, one, models[name]) for key, one in models[name].get("properties", {}).items()]
        if rows:
            parts.append("\n".join(["| key | allowed | default | meaning |", "|---|---|---|---|", *rows, ""]))
        else:
            parts.append("It has no keys: write `{}`.\n")
    return "\n".join(parts)


def _row(key: str, one: dict[str, Any], model: dict[str, Any]) -> str:
    default = "**required**" if key in model.get("required", ()) else _default(one.get("default"))
    cells = [f"`{key}`", _allowed(one), default, one.get("description", "")]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _default(value: Any) -> str:
    if value is None or isinstance(value, dict) or value in ([], ""):
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _allowed(one: dict[str, Any]) -> str:
    """Say in a few words what a piece of the schema allows."""
    if "$ref" in one:
        name = one["$ref"].rpartition("/")[2]
        anchor = "".join(c for c in TITLES[name].replace(" ", "-") if c.isalnum() or c in "-_")
        return f"[{TITLES[name]}](#{anchor})"
    if choices := one.get("anyOf") or one.get("oneOf"):
        several = [_allowed(choice) for choice in choices if choice.get("type") != "null"]
        if len(several) == 2 and several[1] == f"list: {several[0]}":
            return f"one or a list: {several[0]}"
        return " or ".join(several)
    if "const" in one or "enum" in one:
        return ", ".join(f"`{value}`" for value in one.get("enum", [one.get("const")]))
    kind = one.get("type")
    if kind == "array":
        return f"list: {_allowed(one['items'])}"
    if kind == "object":
        inner = one.get("additionalProperties") or next(iter(one.get("patternProperties", {}).values()), None)
        return f"mapping to {_allowed(inner)}" if isinstance(inner, dict) else "mapping"
    return _scalar(one, kind)


def _scalar(one: dict[str, Any], kind: Any) -> str:
    if isinstance(kind, list) or not kind:
        return "text, number, true or false" if kind else "anything"
    if one.get("examples"):
        return "as in " + ", ".join(f"`{example}`" for example in one["examples"])
    if kind == "string":
        return "secret" if one.get("writeOnly") else "path" if one.get("format") == "path" else "text"
    if kind == "boolean":
        return "`true`, `false`"
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {one[key]:g}" for key, sign in signs.items() if key in one and one[key] != 2**31 - 1]
    return " ".join(["whole number" if kind == "integer" else "number", ", ".join(limits)]).strip()


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")
