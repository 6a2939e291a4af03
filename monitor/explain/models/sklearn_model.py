"""scikit-learn's estimators, alone or at the end of pipelines, and what is written like them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa

from monitor.errors import ExplainError
from monitor.explain import Floats
from monitor.explain.batch import Batch, Column, canonical, numbers, rows_of
from monitor.explain.models import Fast, Model, class_names, input_names
from monitor.explain.models import pipelines as pipe
from monitor.explain.settings import Settings

NEEDS = (
    "joblib", "pandas", "sklearn.compose", "sklearn.ensemble", "sklearn.linear_model", "sklearn.pipeline",
)  # fmt: skip
WELCOME = ("lightgbm", "xgboost", "catboost")  # whose estimators pipelines may end in


class SkLearn:
    """An estimator. What it was fitted on decides what it gets: a data frame or an array."""

    def __init__(self, estimator: Any, settings: Settings) -> None:
        if not hasattr(estimator, "predict"):
            raise ExplainError(f"the file holds {type(estimator).__name__}, not an estimator with predict()")
        self.estimator = estimator
        named = getattr(estimator, "feature_names_in_", None)
        count = int(getattr(estimator, "n_features_in_", 0) or 0)
        self.named = named is not None
        self.inputs = input_names([str(n) for n in named] if named is not None else None, count, settings)
        self.own = list(named) if named is not None else list(range(len(self.inputs)))
        classes = getattr(estimator, "classes_", None)
        self.classifies = classes is not None and settings.task in ("binary", "multiclass")
        own = [str(canonical(c)) for c in classes] if classes is not None and self.classifies else None
        self.labels = class_names(own, 2, settings)
        self.scorer = self._scorer()
        self.units = {"predict_proba": "probability", "decision_function": "margin"}.get(
            self.scorer, "prediction"
        )
        self.encoded = pipe.categories(estimator, len(self.inputs))
        self.fast = self._fast()

    def _scorer(self) -> str:
        if not self.classifies:
            return "predict"
        for name in ("predict_proba", "decision_function"):
            if hasattr(self.estimator, name):
                return name
        raise ExplainError(
            f"{type(self.estimator).__name__} has neither predict_proba nor decision_function, so it has no "
            "scores to explain"
        )

    def _fast(self) -> Fast | None:
        steps, final = pipe.unwrap(self.estimator)
        family = pipe.family(final)
        owners = pipe.owners(steps, len(self.inputs))
        if family is None or owners is None:
            return None

        def prepare(batch: Batch) -> Floats:
            values = self.raw(batch)
            for step in steps:
                values = step.transform(values)
            return pipe.dense(values)

        return Fast(family.kind, family.shap, prepare, owners, family.margin, family.units)

    def raw(self, batch: Batch) -> Any:
        """Return what ``predict`` takes."""
        import pandas as pd

        columns = {}
        for i, (own, name) in enumerate(zip(self.own, self.inputs, strict=True)):
            columns[own] = self._column(batch[name], self.encoded.get(i), name)
        if self.named:
            return pd.DataFrame(columns)
        if any(column.dtype == object for column in columns.values()):
            return np.column_stack([column.astype(object) for column in columns.values()])
        return np.column_stack(list(columns.values()))

    @staticmethod
    def _column(column: Column, encoded: pipe.Encoded | None, name: str) -> Column:
        """Return the values that the input was fitted on: an encoder's own, else texts or numbers."""
        if encoded is None:
            return numbers(name, column)
        if encoded.categories is None:
            found = [canonical(v) for v in column]
            return np.array([np.nan if text is None else text for text in found], dtype=object)
        known = {canonical(category): category for category in encoded.categories}
        if all(isinstance(c, int | float | np.number) for c in encoded.categories):
            if column.dtype != object:
                return column
            return np.array([_number(text, known) for text in column], dtype=np.float64)
        missing = next((c for c in encoded.categories if canonical(c) is None), np.nan)
        texts = [canonical(v) for v in column]
        return np.array([missing if t is None else known.get(t, t) for t in texts], dtype=object)

    def predict(self, batch: Batch) -> Floats:
        scores = np.asarray(getattr(self.estimator, self.scorer)(self.raw(batch)))
        if not np.issubdtype(scores.dtype, np.number):
            raise ExplainError("the model's predictions are no numbers, so they cannot be explained")
        return scores.astype(np.float64).reshape(rows_of(batch), -1)


def _number(text: object, known: dict[str | None, Any]) -> float:
    if text in known:
        return float(known[text])
    try:
        return float(str(text))  # never seen by the encoder
    except ValueError:
        return float("nan")


def adapt(estimator: Any, settings: Settings) -> Model:
    """Return the model of any estimator; boosters that stand alone know their own categories."""
    steps, final = pipe.unwrap(estimator)
    bases = {base.__name__ for base in type(final).__mro__}
    classes = [str(canonical(c)) for c in getattr(final, "classes_", ())]
    if not steps and "LGBMModel" in bases:
        from monitor.explain.models.lightgbm_model import LightGbm

        return LightGbm(final.booster_, settings, classes)
    if not steps and "XGBModel" in bases:
        from monitor.explain.models.xgboost_model import XgBoost

        booster, best = final.get_booster(), getattr(final, "best_iteration", None)
        return XgBoost(booster if best is None else booster[: best + 1], settings, classes)
    if not steps and "CatBoost" in bases:
        from monitor.explain.models.catboost_model import CatBoost

        return CatBoost(final, settings)
    return SkLearn(estimator, settings)


def load(data: bytes, settings: Settings, _: pa.Table) -> Model:
    """Unpickle a joblib file; that it may be was decided before."""
    import joblib

    return adapt(joblib.load(io.BytesIO(data)), settings)
