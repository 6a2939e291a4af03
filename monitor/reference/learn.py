"""What is learnt from a labelled reference file, so that performance can be estimated without labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from monitor.decode.columns import feature_column, literal, quote, whole_number
from monitor.errors import ReferenceDataError
from monitor.reference.profile import ReferenceFile
from monitor.summaries.calibration import Calibrator
from monitor.summaries.error_model import ErrorModel
from monitor.types import Kind, Task

ROWS = 10_000  # labelled rows that an error model is learnt on
INPUTS = ("numeric", "categorical", "boolean")


def learn(
    file: ReferenceFile, features: Mapping[str, Kind], *, task: Task, positive: str
) -> Calibrator | ErrorModel:
    """Return the calibrator of a binary model's scores, or the error model of a regression.

    Raises
    ------
    ReferenceDataError
        When the file lacks what is needed: a label, and a score (binary) or a prediction (regression).
    """
    role = "score" if task == "binary" else "prediction"
    if task not in ("binary", "regression"):
        raise ReferenceDataError(
            f"{file.path}: checks.estimate knows binary and regression models, not {task}; remove it"
        )
    for name in ("label", role):
        if file.source(name) is None:
            raise ReferenceDataError(
                f"{file.path}: checks.estimate needs a labelled reference with a {role}, and there is "
                f"no column for {name}; add it or map it in reference.columns; the file has "
                f"{', '.join(file.types)}"
            )
    try:
        return _calibrator(file, positive) if task == "binary" else _error_model(file, features)
    except ValueError as error:
        raise ReferenceDataError(f"{file.path}: checks.estimate cannot learn from it: {error}") from None


def model_inputs(features: Mapping[str, Kind]) -> dict[str, str]:
    """Return the inputs of an error model: name -> SQL over a model's stored predictions.

    >>> model_inputs({"age": "numeric", "bio": "text"})
    {'prediction': 'prediction', 'feature age': '"n:age"'}
    """
    stored = {f"feature {n}": quote(feature_column(n, k)) for n, k in features.items() if k in INPUTS}
    return {"prediction": "prediction", **stored}


def as_columns(table: pa.Table) -> dict[str, Any]:
    """Return the table's columns as numpy arrays: numbers with NaN where missing, text with None."""
    return {name: table[name].to_numpy() for name in table.column_names}


def _calibrator(file: ReferenceFile, positive: str) -> Calibrator:
    score = f"try_cast({quote(str(file.source('score')))} AS DOUBLE)"
    label = whole_number(f"{quote(str(file.source('label')))}::VARCHAR")
    columns = {"score": score, "truth": f"{label} = {literal(positive)}"}
    rows = file.select(columns, where=f"isfinite({score}) AND {label} IS NOT NULL")
    return Calibrator.fit(rows["score"].to_numpy(), rows["truth"].to_numpy())


def _error_model(file: ReferenceFile, features: Mapping[str, Kind]) -> ErrorModel:
    prediction, label = (_number(str(file.source(name))) for name in ("prediction", "label"))
    columns = {"prediction": prediction, "label": label}
    for name, kind in features.items():
        if kind in INPUTS and (column := file.source(name)):
            value = _number(column) if kind == "numeric" else whole_number(f"{quote(column)}::VARCHAR")
            columns[f"feature {name}"] = value
    rows = as_columns(file.select(columns, where=f"isfinite({prediction}) AND isfinite({label})", k=ROWS))
    errors = rows["prediction"] - rows.pop("label")
    return ErrorModel.fit(rows, np.asarray(errors, dtype=np.float64))


def _number(column: str) -> str:
    return f"try_cast({quote(column)} AS DOUBLE)"
