"""Metrics: pure functions of summaries, one file each, registered by decorator.

Importing this package imports every file below it, so a new file is a new metric and nothing else changes.
None of them imports scipy, scikit-learn or fairlearn before it is called.
"""

from __future__ import annotations

import importlib
import pkgutil

from monitor.metrics.columns import ColumnPair
from monitor.metrics.groups import GroupData
from monitor.metrics.registry import (
    TARGETS,
    Metric,
    Outcome,
    Target,
    check_of,
    cutoff_of,
    family_of,
    find,
    is_metric,
    metric,
    metric_names,
    metrics,
    needs_labels,
    target_of,
)
from monitor.metrics.tasks import TaskData
from monitor.metrics.window import WindowFacts

__all__ = [
    "TARGETS",
    "ColumnPair",
    "GroupData",
    "Metric",
    "Outcome",
    "Target",
    "TaskData",
    "WindowFacts",
    "check_of",
    "cutoff_of",
    "family_of",
    "find",
    "is_metric",
    "metric",
    "metric_names",
    "metrics",
    "needs_labels",
    "target_of",
]

for _package in pkgutil.iter_modules(__path__, f"{__name__}."):
    if _package.ispkg:
        for _module in pkgutil.iter_modules(
            importlib.import_module(_package.name).__path__, f"{_package.name}."
        ):
            importlib.import_module(_module.name)
