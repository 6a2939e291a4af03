"""``model-monitor check``: everything that would stop the daemon, found before it is started."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from monitor import config as cfg
from monitor.actions.signing import parse_secret
from monitor.alerting import alert_rules
from monitor.baselines import CHUNKS
from monitor.build import Plan, matching_files, open_source, plan
from monitor.deliveries import endpoints
from monitor.errors import MonitorError
from monitor.explainer import deadline_s, open_explainer
from monitor.rules.calibrate import frame
from monitor.rules.power import Outlook, outlook

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


def outlooks(path: Path, rows: int | None) -> Iterator[str]:
    """Yield for each rule of each model with a reference a sentence of what it will do.

    Windows are taken to have ``rows`` rows, by default a twentieth of the reference's.
    """
    the_plan = plan(cfg.load(path))
    for model, spec in zip(the_plan.config.models, the_plan.specs, strict=True):
        reference = the_plan.references[spec.name]
        if reference is None or not reference.rows:
            continue
        n = rows or max(reference.rows // CHUNKS, 1)
        resolved = frame(reference, spec)
        for rule in alert_rules(model, spec):
            yield f"{spec.name}: {sentence(outlook(rule, spec, reference, resolved, n), n)}"


def sentence(one: Outlook, rows: int) -> str:
    """Say what to expect of a rule."""
    if not one.series:
        return f"{one.alert} watches nothing that the reference has"
    about = f"{one.alert} ({one.series} series, windows of {rows} rows)"
    if one.false_alarms is None:
        return f"{about}: false alarms cannot be told from the reference"
    rate = "under 0.01" if one.false_alarms < 0.01 else f"about {one.false_alarms:.2g}"
    some = "" if one.simulated == one.series else f" (in {one.simulated} series)"
    sees = f"; sees {one.drift}" if one.drift else ""
    return f"{about}: {rate} false alarms in 30 days{some}{sees}"


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
