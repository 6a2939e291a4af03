"""What must hold of an ``explain`` check: trust in code, a reference, an address that may be asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from monitor.config.document import Part
from monitor.config.explain import ModelFile
from monitor.config.models import Model
from monitor.config.problems import unknown
from monitor.time import SECOND_US

Loc = tuple[Part, ...]
LONGEST_US = 50 * SECOND_US  # twice this (a window and the reference) is no stall of the evaluation yet


def explain_problems(
    model: Model,
    declared: Callable[[Loc], list[str]],
    url_problems: Callable[[str, tuple[str, ...]], Iterable[str]],
) -> Iterator[tuple[Loc, str]]:
    """Yield the place below ``checks.explain`` and the sentence of each problem."""
    check = model.checks.explain
    if check is None:
        return
    explained = check.model
    if explained is None:
        for key in ("explainer", "output", "background", "deadline", "memory_limit"):
            if key in check.model_fields_set:
                yield (key,), "has no effect without a model; the events' own attributions are as logged"
        return
    if check.deadline > LONGEST_US:
        yield ("deadline",), "must be at most 50s; windows wait for each other, and alerts for windows"
    if not declared(("reference",)):
        yield ("model",), "needs a reference, whose rows stand for absent features; give reference"
    features = declared(("features",))
    for i, name in enumerate(explained.inputs):
        if isinstance(model.features, dict) and name not in features:
            yield ("model", "inputs", i), unknown("feature", name, features)
    if not isinstance(explained, ModelFile):
        yield from ((("model", "url"), text) for text in url_problems(explained.url, explained.allow_hosts))
        if check.explainer in ("tree", "linear"):
            yield ("explainer",), f"{check.explainer} looks inside a model, which a remote one does not allow"
        return
    if explained.kind in ("sklearn-joblib", "mlflow") and not explained.allow_pickle:
        what = "an mlflow model" if explained.kind == "mlflow" else "a sklearn-joblib model"
        yield ("model",), f"{what} can run any code when it is loaded; set allow_pickle: true to trust it"
    if explained.path.is_dir() != (explained.kind == "mlflow"):
        yield ("model", "path"), f"must be a {'folder' if explained.kind == 'mlflow' else 'file'}"
