"""Family names, help texts and places of the metrics, as the registry of metrics has them.

A stored result may be of a metric that this version no longer has; it is still shown, under its own name.
"""

from __future__ import annotations

import re
from functools import lru_cache

from monitor.metrics import Metric, check_of, family_of, find
from monitor.web.telemetry import PREFIX

Place = tuple[str, str, str]


@lru_cache
def family(metric: str) -> str:
    """Return the Prometheus family of a result's metric.

    >>> family("psi"), family("prediction_psi"), family("gone@3")
    ('model_monitor_feature_psi', 'model_monitor_prediction_psi', 'model_monitor_gone_3')
    """
    try:
        return family_of(metric)
    except KeyError:
        return PREFIX + re.sub(r"[^a-zA-Z0-9_]", "_", metric)


@lru_cache
def help_text(metric: str) -> str:
    """Return one line of help."""
    try:
        return find(metric).help.replace("``", "")
    except KeyError:
        return "A metric that this version of the program no longer computes."


@lru_cache
def place(metric: str) -> Place:
    """Return (check, subject, column of a column metric) for grouping results on a page.

    >>> place("score_psi"), place("accuracy")
    (('drift', 'score', 'psi'), ('performance', 'task', 'accuracy'))
    """
    try:
        entry: Metric = find(metric)
    except KeyError:
        return "other", "task", metric
    if entry.subject != "column":
        return check_of(metric), entry.subject, metric
    target = "feature" if metric == entry.name else metric.removesuffix("_" + entry.name)
    return check_of(metric), target, entry.name
