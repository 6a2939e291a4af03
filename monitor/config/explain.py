"""The ``explain`` check: which model is asked why, by what method, and within what limits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, Tag

from monitor.config.actions import shown_url, url_text
from monitor.config.base import (
    AnyPath,
    NotSwitch,
    PositiveDuration,
    Section,
    Size,
    Switch,
    Text,
    kind_of,
    tagged,
)
from monitor.config.secret import Secret
from monitor.time import SECOND_US


def _there(path: Path) -> Path:
    if not path.exists():
        raise ValueError(f"must be an existing file or folder; there is no file {str(path)[:300]}")
    return path


class ModelFile(Section):
    """A model file, or an MLflow folder, to explain predictions with."""

    kind: Literal["sklearn-joblib", "sklearn-skops", "lightgbm", "xgboost", "catboost", "onnx", "mlflow"]
    """How it is loaded."""
    path: Annotated[AnyPath, AfterValidator(_there)]
    """The model file; the folder of an `mlflow` one."""
    sha256: Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")]
    """SHA-256 of the file, 64 hexadecimal digits; another file is not loaded."""
    allow_pickle: Switch = False
    """Required by `sklearn-joblib` and `mlflow`: loading these can run any code."""
    trusted: tuple[Text, ...] = ()
    """Types that a `sklearn-skops` file may hold beyond those that skops knows to be safe."""
    inputs: tuple[Text, ...] = ()
    """The model's features in its order, where it does not name them; by default `features` in theirs."""
    output_name: Text | None = None
    """Of several outputs of an `onnx` model the one with the scores."""


class RemoteModel(Section):
    """A model server to explain predictions with; it is asked for the scores of rows mixed from others."""

    kind: Literal["tensorflow-serving", "open-inference", "invocations"]
    """Its protocol: TensorFlow Serving's REST, Open Inference Protocol v2, MLflow's or SageMaker's."""
    url: Annotated[
        str, PlainValidator(url_text, json_schema_input_type=str), PlainSerializer(shown_url, return_type=str)
    ] = Field(repr=False)
    """The address that predicts: `…:predict`, `…/infer`, `…/invocations`; https, or http as for webhooks."""
    headers: dict[str, Secret] = Field(default={})
    """Request headers; the values are kept secret."""
    allow_hosts: tuple[Text, ...] = ()
    """Host names, addresses and networks to ask though not public, also by http."""
    layout: Literal["named", "matrix"] = "named"
    """Whether it takes features by name, or one matrix of numbers (CSV by `invocations`)."""
    datatype: Literal["FP64", "FP32", "INT64", "INT32"] = "FP64"
    """Type of the numbers for `open-inference`."""
    inputs: tuple[Text, ...] = ()
    """The model's features in its order; by default `features` in their order."""
    output_name: Text | None = None
    """Of several outputs the one with the scores."""


_TAGS = {
    **dict.fromkeys(
        ("sklearn-joblib", "sklearn-skops", "lightgbm", "xgboost", "catboost", "onnx", "mlflow"), "ModelFile"
    ),
    **dict.fromkeys(("tensorflow-serving", "open-inference", "invocations"), "RemoteModel"),
}
ExplainModel = Annotated[
    Annotated[ModelFile, Tag("ModelFile")] | Annotated[RemoteModel, Tag("RemoteModel")],
    tagged(lambda value: _TAGS.get(kind_of(value) or ""), f"kind: {', '.join(_TAGS)}"),
]


class Explain(Section):
    """Which features the predictions rest on."""

    model: ExplainModel | None = None
    """The model; without it the events' own `attributions` are used."""
    sample: Annotated[int, Field(ge=1, le=100_000), NotSwitch] = 500
    """Rows of each window that are explained, chosen by the hash of their ids."""
    explainer: Literal["auto", "tree", "linear", "exact", "permutation", "kernel"] = "auto"
    """shap's explainer; `auto` takes `tree` or `linear` where they fit, else `exact` or `permutation`."""
    output: Literal["auto", "raw", "probability"] = "auto"
    """What is explained: `raw` is the log-odds or margin, `auto` what the explainer does fastest."""
    background: Annotated[int, Field(ge=1, le=1_000), NotSwitch] = 100
    """Rows of the reference that stand for an absent feature."""
    deadline: PositiveDuration = 30 * SECOND_US
    """Longest time for one window, loading included, at most 50s; when it is up, fewer rows are explained."""
    memory_limit: Size = 2_000_000_000
    """Most memory of the process that holds the model."""
