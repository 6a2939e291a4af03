"""The worst segment of each metric, named on the result of the whole window."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from monitor.metrics import find
from monitor.types import ALL_VERSIONS, Result

LEAST_ROWS = 100  # of a segment that may be the worst: a smaller one is bad by chance too often


def with_worst_segments(results: Sequence[Result]) -> tuple[Result, ...]:
    """Return the results; those of whole windows say in ``detail.worst_segment`` which segment is worst.

    Where a metric has a bad end, and at least two segments of 100 rows or more have a value. What has a
    critical value is judged by how far it is beyond that, as small segments differ more by chance; of equal
    ones the first by name is named.
    """
    rivals: dict[tuple[str, ...], list[Result]] = defaultdict(list)
    for result in results:
        if result.segment and result.value is not None and result.n >= LEAST_ROWS:
            rivals[_place(result)].append(result)
    return tuple(_named(result, rivals.get(_place(result), ())) for result in results)


def _place(result: Result) -> tuple[str, ...]:
    return result.series[2:6]


def _named(result: Result, rivals: Sequence[Result]) -> Result:
    worse = find(result.metric).worse
    if result.segment or result.version != ALL_VERSIONS or worse is None or len(rivals) < 2:
        return result
    sign = 1 if worse == "high" else -1
    worst = min(rivals, key=lambda one: (-sign * _excess(one), one.segment))
    said: dict[str, Any] = {k: getattr(worst, k) for k in ("segment", "value", "lower", "upper", "n")}
    return replace(result, detail={**result.detail, "worst_segment": {**said, "of": len(rivals)}})


def _excess(result: Result) -> float:
    assert result.value is not None
    critical = result.detail.get("critical")
    return result.value - critical if isinstance(critical, float | int) else result.value
