"""One independent computation for each registered metric, on raw rows: the table, and how to compare.

A family of metrics shares what rows look like: ``draw`` makes them in one of the :data:`SHAPES`, ``lift``
makes of them what the metric takes. ``value`` never sees that: it computes from the rows, by scipy,
scikit-learn, fairlearn or plain Python, and says None where the metric does not exist.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

SHAPES = (
    "random", "ties", "heavy tails", "constant", "one row", "no rows", "one class", "missing group",
)  # fmt: skip
Rng = np.random.Generator
Number = float | None
Expected = Number | Mapping[str, Number]


@dataclass(frozen=True)
class Family:
    """What metrics of one subject have in common: how rows are drawn, and how they are lifted."""

    draw: Callable[[Rng, str], Any]
    lift: Callable[[Any], Any]
    shapes: tuple[str, ...] = SHAPES
    kinds: frozenset[str] = frozenset()  # of columns or of models, as a metric's ``applies``


@dataclass(frozen=True)
class Oracle:
    """The computation of one metric on a family's rows, and how near it must be met."""

    family: Family
    value: Callable[[Any], Expected]
    rel: float
    within: float


NEAR = 1e-9  # relative and absolute
Value = Callable[..., Expected]
V = TypeVar("V", bound=Value)
ORACLES: dict[str, tuple[Oracle, ...]] = {}


def oracle(of: Family, *names: str, rel: float = NEAR, within: float = NEAR) -> Callable[[V], V]:
    """Register the decorated function as the oracle of metrics; of several it takes the name first."""

    def register(function: Callable[..., Expected]) -> Callable[..., Expected]:
        for name in names:

            def value(rows: Any, name: str = name) -> Expected:
                return function(name, rows) if len(names) > 1 else function(rows)

            ORACLES[name] = (*ORACLES.get(name, ()), Oracle(of, value, rel, within))
        return function

    return register


def table(family: Family, functions: Mapping[str, Callable[[Any], Expected]], **near: float) -> None:
    """Register a table of oracles."""
    for name, function in functions.items():
        oracle(family, name, **near)(function)


def asked(name: str, data: Any, k: int = 3) -> Any:
    """Return what the metric answers: an outcome, or outcomes by group or feature."""
    from monitor.metrics import find

    entry = find(name.replace("@k", f"@{k}"))
    if entry.subject not in ("group", "attribution"):
        return entry(data)
    return {} if data.lack(entry) else entry.by_group(data)


def unlike(found: Any, expected: Expected, one: Oracle) -> list[str]:
    """Return where an answer is not what was expected: a number, or no value for a reason but failure."""
    if isinstance(expected, Mapping):
        keys = sorted({*found, *expected})
        return [f"{k}: {d}" for k in keys for d in unlike(found.get(k), expected.get(k), one)]
    if found is None:
        return [] if expected is None else [f"nothing, expected {expected}"]
    if expected is None or not math.isfinite(expected):
        known = found.value is None and found.state != "failed"
        return [] if known else [f"{found.state} {found.value}, expected no value"]
    if found.value is None:
        return [f"{found.state} ({found.detail}), expected {expected}"]
    near = math.isclose(found.value, expected, rel_tol=one.rel, abs_tol=one.within)
    return [] if near else [f"{found.value}, expected {expected}"]
