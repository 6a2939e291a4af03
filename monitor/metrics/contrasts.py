"""Intervals of the largest difference between groups, by inverting its test.

The largest difference is picked after looking, and is never below 0: it is biased upwards, and the more so
the more groups are close to the extremes. Neither percentile nor pivotal bootstrap intervals of it hold, and
bounds for all pairs together hold too often. So each candidate for the true difference is tested: the groups
are moved as little as must be for their largest difference to be the candidate (those beyond it move onto the
edge), their sampling errors are drawn around there, and the candidate stays in the interval when what was
seen is neither among the 2.5 % largest nor the 2.5 % smallest of what is drawn.

References
----------
Davison, Hinkley (1997), Bootstrap Methods and their Application, section 5.6 (test inversion).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from monitor.metrics.intervals import FAR, TAIL, Z, edge
from monitor.summaries import FloatArray, IntArray


class Side(Protocol):
    """One statistic of G groups: where each is, float64[G], on a scale on which groups are compared."""

    @property
    def values(self) -> FloatArray: ...
    @property
    def errors(self) -> FloatArray: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...

    def draw(self, at: FloatArray) -> FloatArray:
        """Return what would be seen of groups that are truly ``at`` float64[G]: float64[G, draws]."""


@dataclass(frozen=True, eq=False)
class Means:
    """Means with their standard errors; ``noise`` is float64[G, draws] of unit scale."""

    values: FloatArray
    errors: FloatArray
    noise: FloatArray
    low: float = -math.inf
    high: float = math.inf

    def draw(self, at: FloatArray) -> FloatArray:
        drawn: FloatArray = at[:, None] + self.errors[:, None] * self.noise
        return drawn


class Proportions:
    """Shares ``hits`` of ``rows`` (int64[G]), compared as they are or, ``logs``, by their logarithms.

    Drawn with the binomial variance at the candidate, as Wilson's interval does, so that groups with none or
    all are no exception. Logarithms are of shares with half a row added, so that 0 has one.
    """

    def __init__(self, hits: IntArray, rows: IntArray, noise: FloatArray, *, logs: bool = False) -> None:
        self.rows, self.noise, self.logs = rows[:, None].astype(np.float64), noise, logs
        smooth = (hits + 0.5) / (rows + 1)
        self.values = np.log(smooth) if logs else hits / rows
        self.errors = np.sqrt((1 - smooth) / (smooth * rows) if logs else smooth * (1 - smooth) / rows)
        self.low, self.high = (-math.inf if logs else 0.0), (0.0 if logs else 1.0)

    def draw(self, at: FloatArray) -> FloatArray:
        share = (np.exp(at) if self.logs else at)[:, None]
        drawn: FloatArray = share + np.sqrt(share * (1 - share) / np.maximum(self.rows - 1, 1)) * self.noise
        np.clip(drawn, 0.0, 1.0, out=drawn)
        return np.log((drawn * self.rows + 0.5) / (self.rows + 1)) if self.logs else drawn


def largest_difference(sides: Sequence[Side], base: int | None = None) -> tuple[float, float]:
    """Return the 95 % interval of the largest difference between groups within any of the sides.

    With ``base`` only ``values[base] - values[other]`` count, with their sign; otherwise all pairs. For
    candidates above what was seen it is the groups (and, of several, the side) that may most easily lie that
    far apart which are moved.
    """
    seen = [_farthest(side, base, 0.0) for side in sides]
    spans = [float(side.values[hi] - side.values[lo]) for side, (lo, hi) in zip(sides, seen, strict=True)]
    span = max(spans)
    scale = max(float(np.hypot(*side.errors[list(ends)])) for side, ends in zip(sides, seen, strict=True))
    slack = 1e-12 * max(abs(span), scale)  # of rounding, where nothing varies

    def reached(candidate: float) -> bool:
        moved = [
            _moved(side, ends, candidate, base) if candidate < own else side.values
            for side, ends, own in zip(sides, seen, spans, strict=True)
        ]
        return bool((_drawn(sides, moved, base) >= span - slack).mean() >= TAIL)

    lowest = max(span - FAR * scale, -math.inf if base is not None else 0.0)
    uppers = [span]
    for place, side in enumerate(sides):
        ends, scale = _farthest(side, base, Z), float(np.hypot(*side.errors[list(seen[place])]))
        scale = max(scale, float(np.hypot(*side.errors[list(ends)])))

        def left(candidate: float, place: int = place, ends: tuple[int, int] = ends) -> bool:
            moved = [side.values for side in sides]
            moved[place] = _moved(sides[place], ends, candidate, base)
            return bool((_drawn(sides, moved, base) <= span + slack).mean() >= TAIL)

        uppers.append(edge(left, min(span + FAR * scale, side.high - side.low), span))
    return edge(reached, lowest, span), max(uppers)


def _farthest(side: Side, base: int | None, margin: float) -> tuple[int, int]:
    """Return the groups at bottom and top of the largest difference, with so many errors added to each."""
    spread = side.values - side.values[:, None] + margin * np.hypot(side.errors, side.errors[:, None])
    np.fill_diagonal(spread, -np.inf)
    if base is not None:
        return int(spread[:, base].argmax()), base
    bottom, top = np.unravel_index(int(spread.argmax()), spread.shape)
    return int(bottom), int(top)


def _drawn(sides: Sequence[Side], at: Sequence[FloatArray], base: int | None) -> FloatArray:
    """Return the largest difference that would be seen of groups that are truly there, float64[draws]."""
    spans = [_spans(side.draw(one), base) for side, one in zip(sides, at, strict=True)]
    return np.asarray(np.max(spans, axis=0))


def _moved(side: Side, ends: tuple[int, int], span: float, base: int | None) -> FloatArray:
    """Return the groups moved as little as must be for their largest difference to be ``span``.

    The two at the ends move by their variances; others that would be beyond them are taken along.
    """
    lo, hi = ends
    variances = np.square(side.errors[[lo, hi]])
    weight = float(variances[0] / variances.sum()) if variances.sum() else 0.5
    bottom = float(side.values[lo]) + (float(side.values[hi] - side.values[lo]) - span) * weight
    bottom = max(min(bottom, side.high - max(span, 0.0)), side.low - min(span, 0.0))
    at: FloatArray = np.maximum(side.values, bottom)
    if base is None:
        at = np.minimum(at, bottom + span)
    at[lo], at[hi] = bottom, bottom + span
    return at


def _spans(drawn: FloatArray, base: int | None) -> FloatArray:
    """Return the largest difference of each draw, float64[draws]."""
    if base is not None:
        rest = np.delete(drawn, base, axis=0)
        return np.asarray(drawn[base] - rest.min(axis=0))
    return np.asarray(drawn.max(axis=0) - drawn.min(axis=0))
