"""How long labels take."""

from __future__ import annotations

import math

from monitor.metrics.registry import Outcome, metric
from monitor.metrics.window import WindowFacts

TASKS = frozenset({"binary", "multiclass", "regression", "ranking"})


@metric(
    "label_delay_seconds",
    check="performance",
    subject="window",
    applies=TASKS,
    unit="seconds",
    high=math.inf,
    needs_labels=True,
)
def label_delay_seconds(facts: WindowFacts) -> Outcome:
    """Median time from a prediction to its label.

    Event time of the label minus that of the prediction, over the window's labelled rows; the other
    quantiles are in ``detail``. Early labels weigh more until the window is fully labelled.

    Examples
    --------
    >>> label_delay_seconds(WindowFacts(1, label_delays_s={"0.5": 60.0})).value
    60.0

    References
    ----------
    Lakkaraju et al. (2017), The Selective Labels Problem, KDD.
    """
    if not facts.label_delays_s or "0.5" not in facts.label_delays_s:
        return Outcome.none("no_labels", "no row of the window has a label", n=facts.rows)
    return Outcome(facts.label_delays_s["0.5"], n=facts.rows, detail=dict(facts.label_delays_s))
