"""Tiny models of every kind for the tests of explanations, with what each says of rows by its own library."""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from monitor.explain import Explained
from monitor.explain.settings import Settings
from monitor.types import Kind

os.environ.setdefault("NUMBA_DISABLE_JIT", "1")  # as in the worker; compiling takes longer than all tests
with warnings.catch_warnings():  # matplotlib's, of shap's colour maps
    warnings.simplefilter("ignore")
    import shap

ROWS, BACKGROUND = 200, 20
FEATURES: dict[str, Kind] = {
    "age": "numeric",
    "plan": "categorical",
    "income": "numeric",
    "member": "boolean",
}
NUMBERS: dict[str, Kind] = {"age": "numeric", "income": "numeric", "debt": "numeric"}


def people(seed: int = 7) -> pd.DataFrame:
    """Return rows with numbers (some missing), a category and a switch."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({
        "age": rng.normal(40, 10, ROWS), "plan": rng.choice(["free", "gold", "silver"], ROWS),
        "income": rng.lognormal(10, 1, ROWS), "member": rng.random(ROWS) < 0.5, "debt": rng.normal(size=ROWS),
    })  # fmt: skip
    frame.loc[frame.index[::17], "income"] = np.nan
    return frame


def truth(frame: pd.DataFrame) -> np.ndarray:
    """Return a binary target that needs several of the features."""
    score = (frame["age"] - 40) / 10 + (frame["plan"] == "gold") - 0.5 * frame["member"] + 0.3 * frame["debt"]
    return np.asarray(score > 0.2).astype(int)


def rows_of(frame: pd.DataFrame, features: dict[str, Kind]) -> pa.Table:
    """Return rows as the store has them: numbers as float64, the rest as texts, missing as null."""
    columns: dict[str, pa.Array] = {}
    for name, kind in features.items():
        if kind == "numeric":
            columns[name] = pa.array(frame[name].astype(float), from_pandas=True, type=pa.float64())
        elif kind == "boolean":
            columns[name] = pa.array(["true" if value else "false" for value in frame[name]])
        else:
            columns[name] = pa.array([None if value is None else str(value) for value in frame[name]])
    return pa.table(columns)


def settings_of(kind: str, data: bytes, path: Path, features: dict[str, Kind], **more: Any) -> Settings:
    """Write a model file and return what a worker needs to know of it."""
    path.write_bytes(data)
    more = {"allow_pickle": True, "background": BACKGROUND} | more
    return Settings(kind, features, path=str(path), sha256=hashlib.sha256(data).hexdigest(), **more)


def explain_here(
    settings: Settings, rows: pa.Table, background: pa.Table, *, budget_s: float = 60.0
) -> Explained:
    """Explain in this process, without a worker."""
    from monitor.explain import batch
    from monitor.explain.explainers import Explaining
    from monitor.explain.models import module

    library = module(settings.kind)
    model = library.load(Path(settings.path).read_bytes() if settings.path else b"", settings, background)
    explaining = Explaining(model, batch.from_table(background, model.inputs), settings)
    return explaining.explain(batch.from_table(rows, model.inputs), budget_s=budget_s)


def tree_shap(model: Any, rows: Any, **options: Any) -> tuple[np.ndarray, Any]:
    """Return what shap itself says: values [n, columns(, outputs)] and the expected value."""
    explainer = shap.TreeExplainer(model, **options)
    values = explainer.shap_values(rows)
    return np.asarray(values), explainer.expected_value
