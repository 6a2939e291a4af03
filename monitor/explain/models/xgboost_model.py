"""XGBoost's JSON and UBJSON files (``Booster.save_model``)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from monitor.errors import ExplainError
from monitor.explain import Floats
from monitor.explain.batch import Batch, codes, numbers
from monitor.explain.models import Fast, class_names, input_names
from monitor.explain.settings import Settings

NEEDS = ("xgboost",)

_LOGISTIC = ("binary:logistic", "binary:logitraw")


class XgBoost:
    """A booster; categories are handed to it as the positions that its file says."""

    def __init__(self, booster: Any, settings: Settings, names: Sequence[str] = ()) -> None:
        self.booster = booster
        own = booster.feature_names
        count = booster.num_features()
        self.inputs = input_names(list(own) if own else None, count, settings)
        self.own, self.types = own, booster.feature_types
        self.categories = self._categories()
        learner = json.loads(booster.save_config())["learner"]
        self.objective = str(learner["objective"]["name"])
        classes = int(learner["learner_model_param"]["num_class"])
        self.labels = class_names(list(names), max(classes, 2), settings)
        binary, several = self.objective in _LOGISTIC, self.objective.startswith("multi:")
        self.units = "probability" if binary or several else "prediction"
        units = "log-odds" if binary else "margin" if several or self._linked else "prediction"
        owners = np.arange(count, dtype=np.intp)
        self.fast: Fast | None = Fast(
            "tree", booster, self._matrix, owners, self._margin, units, not self.categories
        )
        if learner["gradient_booster"]["name"] == "gblinear":
            self.fast = None

    @property
    def _linked(self) -> bool:
        """Whether predictions are a function of the sum of trees, not the sum."""
        return self.objective in ("reg:gamma", "reg:tweedie", "count:poisson", "reg:logistic", "survival:cox")

    def _categories(self) -> dict[str, list[object]]:
        if "c" not in (self.types or ()):
            return {}
        try:
            found = dict(self.booster.get_categories(export_to_arrow=True).to_arrow())
        except (AttributeError, ValueError, TypeError):
            found = {}
        listed = {}
        for name, own, kind in zip(self.inputs, self.own or self.inputs, self.types, strict=True):
            if kind == "c":
                if found.get(own) is None:
                    raise ExplainError(
                        f"the file does not say what the categories of {name!r} are; save the model with "
                        "XGBoost 3.1 or newer, trained on a data frame"
                    )
                listed[name] = found[own].to_pylist()
        return listed

    def _matrix(self, batch: Batch) -> Any:
        import xgboost

        columns = [
            codes(batch[n], self.categories[n]) if n in self.categories else numbers(n, batch[n])
            for n in self.inputs
        ]
        return xgboost.DMatrix(
            np.column_stack(columns), feature_names=self.own, feature_types=self.types,
            enable_categorical=bool(self.categories), nthread=1,
        )  # fmt: skip

    def _margin(self, matrix: Any) -> Floats:
        scores = self.booster.predict(matrix, output_margin=True).astype(np.float64)
        return np.asarray(scores.reshape(matrix.num_row(), -1))

    def predict(self, batch: Batch) -> Floats:
        matrix = self._matrix(batch)
        if self.objective.startswith("multi:"):  # softmax answers with classes
            margin = self._margin(matrix)
            odds = np.exp(margin - margin.max(axis=1, keepdims=True))
            return np.asarray(odds / odds.sum(axis=1, keepdims=True))
        if self.objective in _LOGISTIC:  # of the two logitraw answers with the margin
            return np.asarray(1.0 / (1.0 + np.exp(-self._margin(matrix))))
        return np.asarray(self.booster.predict(matrix).astype(np.float64).reshape(matrix.num_row(), -1))


def load(data: bytes, settings: Settings, _: pa.Table) -> XgBoost:
    """Load a model file."""
    import xgboost

    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(data))
    return XgBoost(booster, settings)
