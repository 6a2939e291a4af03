"""What is learnt from a labelled reference, so that performance can be estimated without labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from monitor.decode.columns import feature_column, quote
from monitor.engine.duckdb import Slice, WindowQuery
from monitor.engine.rows import labelled_sample, labelled_scores
from monitor.errors import ReferenceDataError
from monitor.reference.data import Reference
from monitor.summaries.calibration import Calibrator
from monitor.summaries.error_model import ErrorModel
from monitor.types import Kind

ROWS = 10_000  # labelled rows that an error model is learnt on
INPUTS = ("numeric", "categorical", "boolean")


def learn(query: WindowQuery, reference: Reference) -> Calibrator | ErrorModel:
    """Return the calibrator of a binary model's scores, or the error model of a regression.

    Parameters
    ----------
    query
        The reference's rows.
    reference
        Their profile.

    Raises
    ------
    ReferenceDataError
        When the rows lack what is needed: labels, and scores (binary) or predictions (regression).
    """
    spec = query.spec
    role = "score" if spec.task == "binary" else "prediction"
    if spec.task not in ("binary", "regression"):
        raise ReferenceDataError(
            f"checks.estimate knows binary and regression models, not {spec.task}; remove it"
        )
    for name in ("label", role):
        if name not in reference.targets:
            raise ReferenceDataError(
                f"checks.estimate needs a labelled reference with a {role}, and no row has a {name}; add "
                f"them, or map their column in reference.columns; there are "
                f"{', '.join([*reference.targets, *spec.features])}"
            )
    try:
        return _calibrator(query) if spec.task == "binary" else _error_model(query)
    except ValueError as error:
        raise ReferenceDataError(f"checks.estimate cannot learn from the reference: {error}") from None


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


def _calibrator(query: WindowQuery) -> Calibrator:
    pieces = list(labelled_scores(query, Slice(), query.panes(), query.spec.positive_class))
    scores, truths = (np.concatenate(side) for side in zip(*pieces, strict=True))
    return Calibrator.fit(scores, truths)


def _error_model(query: WindowQuery) -> ErrorModel:
    rows = as_columns(labelled_sample(query, model_inputs(query.spec.features), ROWS))
    errors = rows["prediction"] - rows.pop("label")
    return ErrorModel.fit(rows, np.asarray(errors, dtype=np.float64))
