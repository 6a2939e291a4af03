"""Explaining a model by asking it alone: about rows in which features are filled in from the background."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from monitor.explain import Floats

SEED = 0
EVALUATIONS = 500  # of the model for a row and background row, as shap's own default
CELLS = 4_000_000  # values handed to the model at once

Values = tuple[Floats, Floats, Floats]  # [n, outputs, inputs], base [n, outputs], scores [n, outputs]
Step = Callable[[int, int], Values]  # first row, row after the last


def sampled(predict: Callable[[Floats], Floats], background: Floats, rows: Floats, *, exact: bool) -> Step:
    """Explain over all subsets of the features, or over random orders of them, forwards and backwards."""
    import shap

    masker = shap.maskers.Independent(background, max_samples=len(background))
    width = rows.shape[1]
    options: dict[str, Any] = {"batch_size": max(1, CELLS // (len(background) * width)), "silent": True}
    if exact:
        explainer = shap.ExactExplainer(predict, masker)
        options["max_evals"] = 2**width
    else:
        explainer = shap.PermutationExplainer(predict, masker, seed=SEED)
        options["max_evals"] = max(EVALUATIONS, 2 * width + 1)

    def explain(start: int, stop: int) -> Values:
        some = rows[start:stop]
        scores = predict(some).reshape(len(some), -1)
        base, values = scores.copy(), np.zeros((*scores.shape, width))
        varied = np.array([not np.isclose(row, background).all() for row in some])
        if varied.any():  # a row like the whole background has nothing to explain, and shap cannot say so
            found = explainer(some[varied], **options)
            base[varied] = np.asarray(found.base_values).reshape(int(varied.sum()), -1)
            each = found.values if found.values.ndim == 3 else found.values[:, :, None]
            values[varied] = each.transpose(0, 2, 1)
        return values, base, scores

    return explain


def kernel(predict: Callable[[Floats], Floats], background: Floats, rows: Floats) -> Step:
    import shap

    explainer = shap.KernelExplainer(predict, background)

    def explain(start: int, stop: int) -> Values:
        values = np.asarray(explainer.shap_values(rows[start:stop], silent=True))
        values = values if values.ndim == 3 else values[:, :, None]
        scores = predict(rows[start:stop]).reshape(stop - start, -1)
        base = np.broadcast_to(np.atleast_1d(explainer.expected_value), scores.shape)
        return values.transpose(0, 2, 1), base, scores

    return explain
