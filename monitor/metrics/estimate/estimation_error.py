"""How far each estimate was from the value that the labels then gave: one metric for each estimate."""

from __future__ import annotations

import math

from monitor.metrics.estimates import EstimateData
from monitor.metrics.registry import Metric, Outcome, add, find

ESTIMATED = {
    **dict.fromkeys(("accuracy", "precision", "recall", "f1", "roc_auc"), ("binary", "ratio", 1.0)),
    **dict.fromkeys(("mae", "rmse"), ("regression", "label", math.inf)),
}


def difference(data: EstimateData, name: str) -> Outcome:
    """Return estimated minus realised ``name``, with what its detail needs to be read."""
    assert data.realised is not None  # lack has answered otherwise
    estimate, realised = find(f"estimated_{name}")(data), find(name)(data.realised)
    if estimate.value is None or realised.value is None:
        return estimate if estimate.value is None else realised
    value = estimate.value - realised.value
    detail = {"estimated": estimate.value, "realised": realised.value, "estimated_rows": estimate.n}
    if estimate.lower is None or estimate.upper is None:
        return Outcome(value, n=realised.n, n_reference=estimate.n_reference, detail=detail)
    wider = math.sqrt(max(estimate.n / realised.n, 1.0))
    lower = value - (estimate.value - estimate.lower) * wider
    upper = value + (estimate.upper - estimate.value) * wider
    return Outcome(value, "ok", lower, upper, realised.n, estimate.n_reference, detail)


def _register(name: str, task: str, unit: str, most: float) -> None:
    def function(data: EstimateData) -> Outcome:
        return difference(data, name)

    sign = "above 0" if unit == "ratio" else "below 0"
    function.__doc__ = f"""Estimated minus realised {name}, as labels land; away from 0 suspect concept drift.

    ``estimated_{name}`` of all rows of the window minus ``{name}`` of those with a label. 0 means that the
    estimate was right, {sign} that the model does worse than its inputs promise: the truth behind them has
    changed, or the labelled rows do not speak for all. Interval: that of the estimate, shifted by the
    realised value and wider by the root of rows over labelled rows; 0 lies in it when nothing has changed.

    References
    ----------
    Kivimäki, Białek, Nurminen, Kuberski (2025), Confidence-based Estimators for Predictive Performance in
    Model Monitoring, J. Artificial Intelligence Research 82.
    """
    low = -most
    entry = Metric(
        f"estimation_error_{name}", "estimate", "estimate", frozenset({task}), unit, low, most, True, False,
        function, worse_at="neither",
    )  # fmt: skip
    add(entry)


for _name, (_task, _unit, _most) in ESTIMATED.items():
    _register(_name, _task, _unit, _most)
