"""MLflow model folders (pyfunc). What they wrap is explained itself, where it can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from monitor.errors import ExplainError
from monitor.explain import Floats
from monitor.explain.batch import Batch, from_table, numbers, rows_of
from monitor.explain.models import Fast, Model, class_names, input_names, sklearn_model
from monitor.explain.settings import Settings

NEEDS = ("mlflow.pyfunc", *sklearn_model.NEEDS)
WELCOME = sklearn_model.WELCOME

_INTEGERS = {"integer": np.int32, "long": np.int64}


class PyFunc:
    """A function of data frames, with the columns and types of its signature."""

    fast: Fast | None = None

    def __init__(self, model: Any, settings: Settings, rows: pa.Table) -> None:
        self.model = model
        schema = model.metadata.get_input_schema()
        own = schema.input_names() if schema is not None and schema.has_input_names() else None
        self.types = dict(zip(own, schema.input_types(), strict=True)) if own else {}
        self.inputs = input_names(own, 0, settings)
        scores = self.predict(from_table(rows.slice(0, 1), self.inputs)).shape[1]
        self.labels = class_names(None, scores, settings)
        self.units = "prediction" if settings.task in ("regression", "ranking") else "probability"

    def predict(self, batch: Batch) -> Floats:
        import pandas as pd

        frame = pd.DataFrame({name: self._column(name, batch) for name in self.inputs})
        found = self.model.predict(frame)
        found = found.to_numpy() if hasattr(found, "to_numpy") else np.asarray(found)
        if not np.issubdtype(found.dtype, np.number):
            raise ExplainError(
                "the pyfunc predicts labels, not scores; log the model with pyfunc_predict_fn='predict_proba'"
            )
        return np.asarray(found, dtype=np.float64).reshape(rows_of(batch), -1)

    def _column(self, name: str, batch: Batch) -> Any:
        kind = getattr(self.types.get(name), "name", "string" if batch[name].dtype == object else "double")
        if kind == "string":
            return batch[name]
        values = numbers(name, batch[name])
        if kind in _INTEGERS and not np.isnan(values).any():
            return values.astype(_INTEGERS[kind])
        return values == 1 if kind == "boolean" else values.astype(np.float32) if kind == "float" else values


def load(folder: Path, settings: Settings, rows: pa.Table) -> Model:
    """Load a folder; that it may run code was decided before."""
    import mlflow.pyfunc

    model = mlflow.pyfunc.load_model(str(folder))
    raw = getattr(model, "get_raw_model", lambda: None)()
    bases = {f"{base.__module__.split('.')[0]}.{base.__name__}" for base in type(raw).__mro__}
    if "sklearn.BaseEstimator" in bases or bases & {"xgboost.XGBModel", "catboost.CatBoost"}:
        return sklearn_model.adapt(raw, settings)
    if "lightgbm.Booster" in bases:
        from monitor.explain.models.lightgbm_model import LightGbm

        return LightGbm(raw, settings)
    if "xgboost.Booster" in bases:
        from monitor.explain.models.xgboost_model import XgBoost

        return XgBoost(raw, settings)
    return PyFunc(model, settings, rows)
