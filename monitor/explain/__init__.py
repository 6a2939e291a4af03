"""Attributions of a model's scores to its input features, computed by shap in a process of their own.

The daemon's side of it: what an explanation is and who gives it. Nothing here imports shap, scikit-learn or a
model: a model is code, and code that is not ours runs in :mod:`monitor.explain.worker` only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Explained:
    """What each feature added to each score; ``base + values.sum(axis=2) == scores`` but for rounding.

    Parameters
    ----------
    values
        float64[n, outputs, features]. ``n`` is less than the rows asked for when the time was up before the
        last; then these are the first ``n``.
    base
        float64[n, outputs]: the score before any feature is known.
    scores
        float64[n, outputs]: what the model says, in ``units``.
    features
        Names of the model's input features, in its own order.
    outputs
        The class each output speaks of: of a binary model the positive one alone, of a regression
        ``prediction``.
    units
        What values, base and scores are measured in: ``probability``, ``log-odds``, ``margin`` (a raw score
        on the model's own scale) or ``prediction`` (the units of the target).
    explainer
        ``tree``, ``linear``, ``exact``, ``permutation`` or ``kernel``.
    """

    values: Floats
    base: Floats
    scores: Floats
    features: tuple[str, ...]
    outputs: tuple[str, ...]
    units: str = "margin"
    explainer: str = "tree"


class Explainer(Protocol):
    """Explains rows of one model. Calls from several threads wait for each other.

    ``model_hash`` identifies the model: the SHA-256 of its file, or of the address of a remote one.
    """

    @property
    def model_hash(self) -> str: ...

    @property
    def key(self) -> str:
        """Identity of all that an explanation depends on but the rows: the model, settings, background."""
        ...

    def explain(self, rows: pa.Table, *, deadline_s: float) -> Explained:
        """Explain rows.

        Parameters
        ----------
        rows
            A column per input feature under its name: numbers as float64, categories and booleans as texts,
            with nulls where missing. Columns that the model does not use are passed over.
        deadline_s
            Seconds from now until an answer is no longer wanted, the worker's start included.

        Raises
        ------
        ExplainError
            With the reason, a sentence.
        Stopped
            After :meth:`close`.
        """
        ...

    def close(self) -> None:
        """End the worker at once, also from another thread; what is or will be asked raises Stopped."""
        ...
