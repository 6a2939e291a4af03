"""LightGBM's text files (``Booster.save_model``)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from monitor.errors import ExplainError
from monitor.explain import Floats
from monitor.explain.batch import Batch, codes, numbers
from monitor.explain.models import Fast, class_names, input_names
from monitor.explain.settings import Settings

NEEDS = ("lightgbm",)


class LightGbm:
    """A booster; its matrix holds the positions of categories among those it was trained with."""

    def __init__(self, booster: Any, settings: Settings, names: Sequence[str] = ()) -> None:
        self.booster = booster
        own = list(booster.feature_name())
        unnamed = all(re.fullmatch(r"Column_\d+", name) for name in own)
        self.inputs = input_names(None if unnamed else own, len(own), settings)
        self.categories = self._categories(own, settings)
        classes = booster.num_model_per_iteration()
        self.labels = class_names(list(names), max(classes, 2), settings)
        objective = re.search(r"^objective=(\S+)", booster.model_to_string(num_iteration=1), re.MULTILINE)
        name = objective[1] if objective else ""
        known = name in ("binary", "multiclass", "multiclassova", "cross_entropy")
        self.units = "probability" if known else "prediction"
        units = "log-odds" if name in ("binary", "cross_entropy") else "margin" if known else "prediction"
        owners = np.arange(len(own), dtype=np.intp)
        self.fast: Fast | None = Fast(
            "tree", booster, self._matrix, owners, self._margin, units, not self.categories
        )

    def _categories(self, own: list[str], settings: Settings) -> dict[str, list[object]]:
        """Return input -> its categories as pandas had them at training."""
        listed = self.booster.pandas_categorical or []
        if not listed:
            return {}
        infos = self.booster.dump_model(num_iteration=1)["feature_infos"]
        ruled = [i for i, name in enumerate(own) if name in infos and infos[name].get("values")]
        texts = [
            i for i, n in enumerate(self.inputs) if settings.features.get(n) in ("categorical", "boolean")
        ]
        found = next((some for some in (ruled, texts) if len(some) == len(listed)), None)
        if found is None:
            raise ExplainError(
                f"the model has {len(listed)} categorical inputs, but which ones cannot be told: the "
                f"configuration has {len(texts)} categorical and boolean features among its inputs"
            )
        return {self.inputs[i]: one for i, one in zip(found, listed, strict=True)}

    def _matrix(self, batch: Batch) -> Floats:
        columns = [
            codes(batch[n], self.categories[n]) if n in self.categories else numbers(n, batch[n])
            for n in self.inputs
        ]
        return np.column_stack(columns)

    def _margin(self, matrix: Any) -> Floats:
        scores: Floats = self.booster.predict(matrix, raw_score=True)
        return scores.reshape(len(matrix), -1)

    def predict(self, batch: Batch) -> Floats:
        matrix = self._matrix(batch)
        scores: Floats = self.booster.predict(matrix)
        return scores.reshape(len(matrix), -1)


def load(data: bytes, settings: Settings, _: pa.Table) -> LightGbm:
    """Load a model file."""
    import lightgbm

    return LightGbm(lightgbm.Booster(model_str=data.decode()), settings)
