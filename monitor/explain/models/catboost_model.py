"""CatBoost's binary files (``save_model(…, format="cbm")``)."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa

from monitor.errors import ExplainError
from monitor.explain import Floats
from monitor.explain.batch import Batch, canonical, numbers
from monitor.explain.models import Fast, class_names, input_names
from monitor.explain.settings import Settings

NEEDS = ("catboost",)

_SWITCH = {"true": "1", "false": "0"}  # what CatBoost makes of a bool


class CatBoost:
    """A CatBoost model. It hashes categories as texts; a missing one is the text ``nan``."""

    def __init__(self, model: Any, settings: Settings) -> None:
        self.model = model
        own = list(model.feature_names_)
        unnamed = all(re.fullmatch(r"\d+", name) for name in own)
        self.inputs = input_names(None if unnamed else own, len(own), settings)
        if model.get_text_feature_indices() or model.get_embedding_feature_indices():
            raise ExplainError("the model takes texts or embeddings, which are not kept as they are")
        self.categorical = set(model.get_cat_feature_indices())
        self.kinds = settings.features
        classes = [str(canonical(c)) for c in model.classes_]
        self.classifies = len(classes) > 1
        self.labels = class_names(classes or None, 2, settings)
        self.units = "probability" if self.classifies else "prediction"
        units = "prediction" if not self.classifies else "log-odds" if len(classes) == 2 else "margin"
        owners = np.arange(len(own), dtype=np.intp)
        self.fast: Fast | None = Fast(
            "tree", model, self._pool, owners, self._margin, units, not self.categorical
        )

    def _pool(self, batch: Batch) -> Any:
        import catboost

        columns = [batch[name] for name in self.inputs]
        if not self.categorical:
            matrix = np.column_stack([numbers(n, c) for n, c in zip(self.inputs, columns, strict=True)])
            return catboost.Pool(matrix, thread_count=1)
        values = np.empty((len(columns[0]), len(columns)), dtype=object)
        for i, (name, column) in enumerate(zip(self.inputs, columns, strict=True)):
            values[:, i] = self._texts(name, column) if i in self.categorical else numbers(name, column)
        return catboost.Pool(values, cat_features=sorted(self.categorical), thread_count=1)

    def _texts(self, name: str, column: Any) -> list[str]:
        texts = [canonical(value) or "nan" for value in column]
        return [_SWITCH.get(t, t) for t in texts] if self.kinds.get(name) == "boolean" else texts

    def _margin(self, pool: Any) -> Floats:
        scores = self.model.predict(pool, prediction_type="RawFormulaVal", thread_count=1)
        return np.asarray(scores, dtype=np.float64).reshape(pool.num_row(), -1)

    def predict(self, batch: Batch) -> Floats:
        pool = self._pool(batch)
        if not self.classifies:
            return self._margin(pool)
        scores = self.model.predict(pool, prediction_type="Probability", thread_count=1)
        return np.asarray(scores, dtype=np.float64).reshape(pool.num_row(), -1)


def load(data: bytes, settings: Settings, _: pa.Table) -> CatBoost:
    """Load a model file."""
    import catboost

    model = catboost.CatBoost()
    model.load_model(blob=data)
    return CatBoost(model, settings)
