"""Which input each column of a pipeline's last step comes from, and what that last step is.

A structural walk: through pipelines, column transformers and the steps whose columns have one input each.
What mixes inputs (PCA, polynomials, a function of one's own) ends it; the whole is then asked from outside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.explain import Floats

Owners = npt.NDArray[np.intp]
FOREIGN_TREES = {"LGBMModel": "raw_score", "XGBModel": "output_margin", "CatBoost": "prediction_type"}


@dataclass(frozen=True, slots=True)
class Family:
    """A final estimator that shap has an explainer for; see :class:`~monitor.explain.models.Fast`."""

    kind: str
    shap: Any
    margin: Callable[[Any], Floats]
    units: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """An input that an encoder (``categories``) or another step for texts (None) takes."""

    categories: tuple[Any, ...] | None


def unwrap(estimator: Any) -> tuple[list[Any], Any]:
    """Return the steps before the final estimator, and that one."""
    if hasattr(estimator, "best_estimator_"):
        return unwrap(estimator.best_estimator_)
    if hasattr(estimator, "steps"):
        before = [step for _, step in estimator.steps[:-1] if step not in (None, "passthrough")]
        inner, final = unwrap(estimator.steps[-1][1])
        return [*before, *inner], final
    return [], estimator


def dense(values: Any) -> Floats:
    """Return what a transformer gave as a float64 matrix."""
    values = values.toarray() if hasattr(values, "toarray") else values
    return np.asarray(values, dtype=np.float64)


def owners(steps: list[Any], inputs: int) -> Owners | None:
    """Return for each column that the last step takes its input's position; None when one has several."""
    found: Owners | None = np.arange(inputs, dtype=np.intp)
    for step in steps:
        found = None if found is None else _through(step, found)
    return found


def _through(step: Any, owned: Owners) -> Owners | None:
    """Return the owners of a step's output columns, given those of its input columns."""
    from sklearn.base import OneToOneFeatureMixin
    from sklearn.feature_selection import SelectorMixin
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

    if step in (None, "passthrough") or isinstance(step, str):
        return None if step == "drop" else owned
    if hasattr(step, "transformers_"):
        return _columns(step, owned)
    if hasattr(step, "steps"):
        found: Owners | None = owned
        for _, one in step.steps:
            found = None if found is None else _through(one, found)
        return found
    if hasattr(step, "transformer_list"):
        parts = [_through(one, owned) for _, one in step.transformer_list]
        whole = [part for part in parts if part is not None]
        return np.concatenate(whole) if len(whole) == len(parts) and whole else None
    if isinstance(step, OneHotEncoder):
        return np.repeat(owned, _widths(step))
    if hasattr(step, "statistics_") and hasattr(step, "indicator_"):
        return _imputed(step, owned)
    if isinstance(step, SelectorMixin):
        return np.asarray(owned[step.get_support()])
    if isinstance(step, FunctionTransformer):
        return owned if step.func is None else None
    return owned if isinstance(step, OneToOneFeatureMixin) else None


def _columns(step: Any, owned: Owners) -> Owners | None:
    blocks: dict[int, Owners] = {}
    for name, transformer, columns in step.transformers_:
        place = step.output_indices_[name]
        positions = _positions(step, columns)
        if transformer == "drop" or not len(positions):
            continue
        block = _through(transformer, owned[positions])
        if block is None or len(block) != place.stop - place.start:
            return None
        blocks[place.start] = block
    return np.concatenate([blocks[at] for at in sorted(blocks)]) if blocks else None


def _positions(step: Any, columns: Any) -> Owners:
    """Return the positions of a column transformer's selection, by names, numbers, a slice or a mask."""
    names = {name: i for i, name in enumerate(getattr(step, "feature_names_in_", ()))}
    if isinstance(columns, slice):
        bounds = [names[end] + add if isinstance(end, str) else end
                  for end, add in ((columns.start, 0), (columns.stop, 1))]  # fmt: skip
        return np.arange(step.n_features_in_)[bounds[0] : bounds[1] : columns.step].astype(np.intp)
    listed = [columns] if isinstance(columns, str | int) else list(columns)
    if listed and isinstance(listed[0], bool | np.bool_):
        return np.flatnonzero(listed).astype(np.intp)
    return np.array([names[c] if isinstance(c, str) else c for c in listed], dtype=np.intp)


def _widths(step: Any) -> list[int]:
    """Return how many columns a one-hot encoder makes of each of its inputs."""
    rare = getattr(step, "infrequent_categories_", None) or [None] * len(step.categories_)
    dropped = step.drop_idx_ if step.drop_idx_ is not None else [None] * len(step.categories_)
    return [
        len(known) - (len(few) - 1 if few is not None and len(few) else 0) - (gone is not None)
        for known, few, gone in zip(step.categories_, rare, dropped, strict=True)
    ]


def _imputed(step: Any, owned: Owners) -> Owners:
    """Return the owners after an imputer: empty columns may be gone, marks of missing values added."""
    empty = np.array([canonical_missing(s) for s in step.statistics_])
    kept = owned if step.keep_empty_features else owned[~empty]
    return kept if step.indicator_ is None else np.concatenate([kept, owned[step.indicator_.features_]])


def canonical_missing(value: Any) -> bool:
    """Tell whether an imputer's statistic says that its column was empty."""
    return value is None or value != value


def categories(estimator: Any, inputs: int) -> dict[int, Encoded]:
    """Return the inputs (by position) that an encoder or another step for texts takes."""
    found: dict[int, Encoded] = {}
    owned: Owners | None = np.arange(inputs, dtype=np.intp)
    steps, _ = unwrap(estimator)
    for step in steps:
        if owned is None:
            break
        _encoders(step, owned, found)
        owned = _through(step, owned)
    return found


def _encoders(step: Any, owned: Owners, found: dict[int, Encoded]) -> None:
    if hasattr(step, "transformers_"):
        for _, transformer, columns in step.transformers_:
            positions = _positions(step, columns)
            if transformer != "drop" and len(positions):
                _encoders(transformer, owned[positions], found)
    elif hasattr(step, "steps"):
        current: Owners | None = owned
        for _, one in step.steps:
            if current is not None:
                _encoders(one, current, found)
                current = _through(one, current)
    elif hasattr(step, "transformer_list"):
        for _, one in step.transformer_list:
            _encoders(one, owned, found)
    elif len(getattr(step, "categories_", ())) == len(owned):
        for i, known in zip(owned, step.categories_, strict=True):
            found.setdefault(int(i), Encoded(tuple(known)))
    elif _through(step, owned) is None and not isinstance(step, str):  # it may take texts as they are
        found.update({int(i): Encoded(None) for i in owned if int(i) not in found})


def family(final: Any) -> Family | None:
    """Return how shap explains an estimator fast; None when it does not."""
    from sklearn import ensemble, tree

    kinds = {base.__name__: base for base in type(final).__mro__}
    if foreign := next((name for name in FOREIGN_TREES if name in kinds), None):
        return _foreign(final, foreign)
    forests = (ensemble.RandomForestClassifier, ensemble.ExtraTreesClassifier, tree.DecisionTreeClassifier)
    regressors = (
        ensemble.RandomForestRegressor, ensemble.ExtraTreesRegressor, tree.DecisionTreeRegressor,
        ensemble.GradientBoostingRegressor,
    )  # fmt: skip
    if isinstance(final, forests) and getattr(final, "n_outputs_", 1) == 1:
        return Family("tree", final, lambda x: np.asarray(final.predict_proba(x)), "probability")
    if isinstance(final, regressors) and getattr(final, "n_outputs_", 1) == 1:
        return Family("tree", final, lambda x: _column(final.predict(x)), "prediction")
    if isinstance(final, ensemble.GradientBoostingClassifier) and len(final.classes_) == 2:
        return Family("tree", final, lambda x: _column(final.decision_function(x)), "log-odds")
    histogram = (ensemble.HistGradientBoostingClassifier, ensemble.HistGradientBoostingRegressor)
    if isinstance(final, histogram) and getattr(final, "is_categorical_", None) is None:
        return _histogram(final)  # shap misreads categorical splits
    return _linear(final)


def _column(scores: Any) -> Floats:
    values: Floats = np.asarray(scores, dtype=np.float64)
    return values.reshape(len(values), -1)


def _histogram(final: Any) -> Family | None:
    if hasattr(final, "classes_"):
        units = "log-odds" if len(final.classes_) == 2 else "margin"
        return Family("tree", final, lambda x: _column(final.decision_function(x)), units)
    linked = final.loss in ("gamma", "poisson")
    return Family(
        "tree", final, lambda x: _column(final._raw_predict(x)), "margin" if linked else "prediction"
    )


def _foreign(final: Any, name: str) -> Family | None:
    option = {FOREIGN_TREES[name]: "RawFormulaVal" if name == "CatBoost" else True}
    if getattr(final, "booster", None) == "gblinear":
        return None
    classes = len(getattr(final, "classes_", ()))
    units = "log-odds" if classes == 2 else "margin" if classes else "prediction"
    return Family("tree", final, lambda x: _column(final.predict(x, **option)), units)


def _linear(final: Any) -> Family | None:
    from sklearn.linear_model._base import LinearClassifierMixin, LinearModel
    from sklearn.linear_model._glm.glm import _GeneralizedLinearRegressor
    from sklearn.svm import LinearSVR

    linked = isinstance(final, _GeneralizedLinearRegressor)
    classifies = isinstance(final, LinearClassifierMixin)
    if not (linked or classifies or isinstance(final, LinearModel | LinearSVR)):
        return None
    weights = np.asarray(final.coef_, dtype=np.float64)
    intercept = np.asarray(final.intercept_, dtype=np.float64)
    if weights.ndim == 2 and len(weights) == 1:
        weights, intercept = weights[0], intercept.reshape(-1)[0]
    if weights.ndim > 2 or not (np.ndim(intercept) in (0, weights.ndim - 1) or np.size(intercept) == 1):
        return None

    def margin(x: Any) -> Floats:
        return _column(x @ weights.T + intercept)

    logistic = type(final).__name__.startswith("LogisticRegression") and weights.ndim == 1
    units = "log-odds" if logistic else "margin" if classifies or linked else "prediction"
    if np.ndim(intercept) == 1 and weights.ndim == 1:
        intercept = intercept[0]
    return Family("linear", (weights, intercept), margin, units)
