"""From a configured model to what explains it: its settings, its background, its limits."""

from __future__ import annotations

from typing import Any

from monitor import config as cfg
from monitor.errors import ConfigError
from monitor.explain.client import WorkerExplainer
from monitor.explain.settings import Settings
from monitor.explaining import DEADLINE_S
from monitor.reference.data import Reference
from monitor.types import ModelSpec


def open_explainer(model: cfg.Model, spec: ModelSpec, reference: Reference | None) -> WorkerExplainer | None:
    """Return what explains a model's scores, its worker not yet started; None where no model is given.

    Raises
    ------
    ConfigError
        When the reference keeps no rows to explain against.
    """
    check = model.checks.explain
    if check is None or check.model is None:
        return None
    if reference is None or reference.sample is None or not reference.sample.num_rows:
        raise ConfigError([f"{model.name}: checks.explain.model needs a reference with rows"])
    one = check.model
    where: dict[str, Any]
    if isinstance(one, cfg.ModelFile):
        where = {"path": str(one.path), "sha256": one.sha256}
        where |= {"allow_pickle": one.allow_pickle, "trusted": one.trusted}
    else:
        headers = {name: secret.reveal() for name, secret in one.headers.items()}
        where = {"url": one.url, "headers": headers, "layout": one.layout, "datatype": one.datatype}
    settings = Settings(
        kind=one.kind,
        features=dict(spec.features),
        inputs=one.inputs,
        task=model.task,
        positive_class=model.positive_class,
        classes=model.classes or reference.classes,
        explainer=check.explainer,
        output=check.output,
        output_name=one.output_name or "",
        background=check.background,
        **where,
    )
    return WorkerExplainer(settings, reference.sample, memory_bytes=check.memory_limit)


def deadline_s(model: cfg.Model) -> float:
    """Return the longest time for explaining one window, in seconds."""
    return model.checks.explain.deadline / 1e6 if model.checks.explain else DEADLINE_S
