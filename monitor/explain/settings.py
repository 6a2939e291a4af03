"""What a worker is told about a model: where it is, how it may be loaded, and how to explain it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from monitor.types import Kind, Task

REMOTE = ("tensorflow-serving", "open-inference", "invocations")
PICKLED = ("sklearn-joblib", "mlflow")  # loading these can run any code


@dataclass(frozen=True, slots=True)
class Settings:
    """One model to explain, as plain values that travel as JSON.

    Parameters
    ----------
    kind
        How the model is loaded: a name in ``models.KINDS``.
    path, sha256
        File (or MLflow folder) and the hex digest it must have.
    url, headers, datatype, layout
        Of a remote model: its address, request headers, type of its numbers, and whether it takes an input
        per feature (``named``) or one matrix.
    features
        Input feature -> kind, of the monitored model.
    inputs
        The model's inputs in order, where it does not name them itself; empty: ``features`` in their order.
    task, positive_class, classes
        Of the monitored model; ``classes`` in the order of the model's outputs where it does not name them.
    explainer, output
        As configured: ``auto`` or a name; ``auto``, ``raw`` or ``probability``.
    output_name
        Of several outputs of an ONNX or remote model the one that holds the scores.
    background
        Most rows that absent features are filled in from.
    trusted
        Types that a skops file may hold beyond those known to be safe.
    """

    kind: str
    features: Mapping[str, Kind]
    path: str = ""
    sha256: str = ""
    allow_pickle: bool = False
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    datatype: str = "FP64"
    layout: str = "named"
    inputs: tuple[str, ...] = ()
    task: Task = "binary"
    positive_class: str = "1"
    classes: tuple[str, ...] = ()
    explainer: str = "auto"
    output: str = "auto"
    output_name: str = ""
    background: int = 100
    trusted: tuple[str, ...] = ()

    @property
    def model_hash(self) -> str:
        """Identity of the model: its digest, or that of the address of a remote one."""
        return self.sha256.lower() or hashlib.sha256(f"{self.kind} {self.url}".encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Settings:
        """Read what :meth:`to_json` wrote."""
        lists = {key: tuple(row[key]) for key in ("inputs", "classes", "trusted")}
        return cls(**{**row, **lists})

    @property
    def cache_key(self) -> str:
        """Digest of everything that an explanation depends on but the rows."""
        shown = {k: v for k, v in self.to_json().items() if k not in ("headers", "path")}
        return hashlib.sha256(json.dumps(shown).encode()).hexdigest()
