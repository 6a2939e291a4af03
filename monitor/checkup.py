"""``model-monitor check``: everything that would stop the daemon, found before it is started."""

from __future__ import annotations

import time
from pathlib import Path

from monitor import config as cfg
from monitor.actions.signing import parse_secret
from monitor.build import Plan, matching_files, open_source, plan
from monitor.deliveries import endpoints
from monitor.errors import MonitorError
from monitor.explainer import deadline_s, open_explainer

CONNECT_S = 10.0


def problems(path: Path) -> list[str]:
    """Return one sentence for each problem of the configuration, its references, secrets and connections.

    Raises
    ------
    ConfigError
        With every problem of the file itself; connections are then not tried.
    """
    the_plan = plan(cfg.load(path))
    return [*_actions(the_plan), *_models(the_plan), *_sources(the_plan)]


def _models(the_plan: Plan) -> list[str]:
    """Load each model that is to be explained, hash and all, and explain a row of its reference."""
    found = []
    for i, (model, spec) in enumerate(zip(the_plan.config.models, the_plan.specs, strict=True)):
        reference = the_plan.references[model.name]
        asked = open_explainer(model, spec, reference)
        if asked is None or reference is None or reference.sample is None:
            continue
        try:
            asked.explain(reference.sample.slice(0, 1), deadline_s=deadline_s(model))
        except MonitorError as error:
            found.append(f"models[{i}] ({model.name}).checks.explain.model: {error}")
        finally:
            asked.close()
    return found


def _actions(the_plan: Plan) -> list[str]:
    found = []
    try:
        for name, endpoint in endpoints(the_plan.config).items():
            try:
                for secret in endpoint.secrets():
                    parse_secret(secret)
            except MonitorError as error:
                found.append(f"actions.{name}: {error}")
    except MonitorError as error:
        found.append(str(error))
    return found


def _sources(the_plan: Plan) -> list[str]:
    found = []
    for name, topics in the_plan.routes.items():
        if isinstance(the_plan.config.sources[name], cfg.FilesSource):
            found += [f"sources.{name}: no file matches {t}" for t in topics if not matching_files(t)]
            continue
        try:
            found += _connect(the_plan, name)
        except MonitorError as error:
            found.append(f"sources.{name}: {error}")
    return found


def _connect(the_plan: Plan, name: str) -> list[str]:
    source = open_source(the_plan, name)
    try:
        source.start({})
        deadline_s = time.monotonic() + CONNECT_S
        while not source.status().connected and time.monotonic() < deadline_s:
            source.poll(0.2)
        status = source.status()
        if status.connected:
            return []
        why = f": {status.error}" if status.error else ""
        return [f"sources.{name}: not reached within {CONNECT_S:.0f} s{why}"]
    finally:
        source.close()
