"""Models of every kind behind one contract: named columns in, scores out.

A kind is a module with ``NEEDS``, the libraries that it takes, perhaps ``WELCOME``, those it can do without,
and ``load(data, settings, rows)``, which is given rows of the reference to try the model on. Libraries are
imported in the worker only, before it gives up its rights; ``load`` is called after.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from monitor.errors import ExplainError
from monitor.explain import Floats
from monitor.explain.batch import Batch
from monitor.explain.settings import REMOTE, Settings

# Kind -> module, and the extra that brings its library (None: it is always there).
KINDS: dict[str, tuple[str, str | None]] = {
    "sklearn-joblib": ("sklearn_model", None),
    "sklearn-skops": ("skops_model", "skops"),
    "lightgbm": ("lightgbm_model", "lightgbm"),
    "xgboost": ("xgboost_model", "xgboost"),
    "catboost": ("catboost_model", "catboost"),
    "onnx": ("onnx_model", "onnx"),
    "mlflow": ("mlflow_model", "mlflow"),
    **{kind: ("remote", None) for kind in REMOTE},
}


@dataclass(frozen=True, slots=True)
class Fast:
    """What an explainer for a family of models needs beyond the scores.

    Parameters
    ----------
    kind
        ``tree`` or ``linear``.
    estimator
        What shap takes: a tree ensemble, or ``(coefficients, intercept)``.
    prepare
        From a batch to what the estimator takes.
    owners
        int[columns]: for each column that the estimator takes the model's input that it comes from.
    margin
        float64[n, outputs] of what ``prepare`` gave, on the scale that shap explains.
    units
        Of the margin.
    plain
        Whether ``prepare`` gives a matrix without categories, which shap can compare with a background.
    """

    kind: str
    estimator: Any
    prepare: Callable[[Batch], Any]
    owners: npt.NDArray[np.intp]
    margin: Callable[[Any], Floats]
    units: str
    plain: bool = True


class Model(Protocol):
    """A loaded model.

    ``inputs`` are its features in order; ``labels`` the classes of its outputs, ``("prediction",)`` of a
    regression; ``units`` are those of :meth:`predict`.
    """

    @property
    def inputs(self) -> tuple[str, ...]: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def units(self) -> str: ...
    @property
    def fast(self) -> Fast | None: ...

    def predict(self, batch: Batch) -> Floats:
        """Return scores, float64[n, len(labels)], or one column for two labels: of the second."""
        ...


def module(kind: str) -> ModuleType:
    """Import what a kind needs.

    Raises
    ------
    ExplainError
        When its library is not installed, with what installs it.
    """
    name, extra = KINDS[kind]
    found = import_module(f"monitor.explain.models.{name}")
    try:
        for library in found.NEEDS:
            import_module(library)
    except ImportError as error:
        install = f"; install it with: pip install 'model-monitor[{extra}]'" if extra else ""
        raise ExplainError(
            f"models of kind {kind} need a library that is missing ({error}){install}"
        ) from None
    for library in getattr(found, "WELCOME", ()):
        with suppress(ImportError):
            import_module(library)
    return found


def input_names(own: list[str] | None, count: int, settings: Settings) -> tuple[str, ...]:
    """Return the names of a model's inputs: its own, else the configured ones, whose number must fit.

    Raises
    ------
    ExplainError
        When the model names none and the number differs.
    """
    if settings.inputs:
        names = settings.inputs
    elif own is not None:
        return tuple(own)
    else:
        names = tuple(settings.features)
    if count and len(names) != count:
        raise ExplainError(
            f"the model takes {count} inputs and does not name them, but there are {len(names)} names; list "
            "the model's inputs in their order in 'inputs'"
        )
    return names


def class_names(own: list[str] | None, count: int, settings: Settings) -> tuple[str, ...]:
    """Return the classes of ``count`` outputs: the model's own, else the configured ones, else 0, 1, ….

    A binary model that names none has the positive class second.
    """
    if settings.task not in ("binary", "multiclass"):
        return ("prediction",)
    if own:
        return tuple(own)
    numbered = tuple(str(i) for i in range(count))
    if settings.task == "binary":
        others = [name for name in settings.classes if name != settings.positive_class]
        return (others[0] if others else f"not {settings.positive_class}", settings.positive_class)
    same = len(settings.classes) == count and set(settings.classes) != set(numbered)
    return settings.classes if same else numbered
