"""Intervals of the largest difference between groups, by inverting its test.

The largest difference is picked after looking, and is never below 0: it is biased upwards, and the more so
the more groups are close to the extremes. Neither percentile nor pivotal bootstrap intervals of it hold, and
bounds for all pairs together hold too often. So each candidate for the true difference is tested: the groups
are put where they are most likely with the candidate as their largest difference, their sampling errors are
drawn around there, and the candidate stays in the interval when what was seen is neither among the 2.5 %
largest nor the 2.5 % smallest of what is drawn.

Where the groups in between are matters too: what was seen of them is spread by sampling, so that fewer seem
to compete for the extremes than do. They are drawn together by as much as sampling explains their spread
(empirical Bayes).

References
----------
Davison, Hinkley (1997), Bootstrap Methods and their Application, section 5.6 (test inversion);
DerSimonian, Laird (1986), Meta-analysis in clinical trials, Controlled Clinical Trials 7 (variance between
groups).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from monitor.metrics.intervals import FAR, TAIL, Z, edge
from monitor.summaries import FloatArray, IntArray

GRID = np.linspace(0.0, 1.0, 17)
LEAST = 1e-6  # of the largest standard error


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

    def deviance(self, at: FloatArray) -> FloatArray:
        """Return how unlikely what was seen is of groups ``at`` float64[..., G]: float64[...]."""

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

    def deviance(self, at: FloatArray) -> FloatArray:
        return np.asarray(np.square((at - self.values) / _positive(self.errors)).sum(-1))

    def draw(self, at: FloatArray) -> FloatArray:
        drawn: FloatArray = at[:, None] + self.errors[:, None] * self.noise
        return drawn


class Proportions:
    """Shares ``hits`` of ``rows`` (int64[G]), compared as they are or, ``logs``, by their logarithms.

    Drawn with the binomial variance and skewness at the candidate, so that groups with none or all are no
    exception. Logarithms are of shares with half a row added, so that 0 has one.
    """

    def __init__(self, hits: IntArray, rows: IntArray, noise: FloatArray, *, logs: bool = False) -> None:
        self.hits, self.rows = hits.astype(np.float64), rows.astype(np.float64)
        self.noise, self.logs = noise, logs
        self.bend = (np.square(noise) - 1) / 6  # what the third moment adds, by Cornish and Fisher
        smooth = (hits + 0.5) / (rows + 1)
        self.values = np.log(smooth) if logs else hits / rows
        self.errors = np.sqrt((1 - smooth) / (smooth * rows) if logs else smooth * (1 - smooth) / rows)
        self.low, self.high = (-math.inf if logs else 0.0), (0.0 if logs else 1.0)

    def deviance(self, at: FloatArray) -> FloatArray:
        share = np.clip(np.exp(at) if self.logs else at, 1e-12, 1 - 1e-12)
        likelihood = self.hits * np.log(share) + (self.rows - self.hits) * np.log1p(-share)
        return np.asarray(-likelihood.sum(-1))

    def draw(self, at: FloatArray) -> FloatArray:
        share, rows = (np.exp(at) if self.logs else at)[:, None], self.rows[:, None]
        drawn: FloatArray = np.sqrt(share * (1 - share) / np.maximum(rows - 1, 1)) * self.noise
        drawn += (1 - 2 * share) / rows * self.bend
        drawn += share
        np.clip(drawn, 0.0, 1.0, out=drawn)
        return np.log((drawn * rows + 0.5) / (rows + 1)) if self.logs else drawn


def largest_difference(sides: Sequence[Side], base: int | None = None) -> tuple[float, float]:
    """Return the 95 % interval of the largest difference between groups within any of the sides.

    With ``base`` only ``values[base] - values[other]`` count, with their sign; otherwise all pairs. For
    candidates above what was seen it is the groups (and, of several, the side) that may most easily lie that
    far apart which are moved.
    """
    seen = [_farthest(side, base, 0.0) for side in sides]
    middles = [_drawn_together(side) for side in sides]
    spans = [float(side.values[hi] - side.values[lo]) for side, (lo, hi) in zip(sides, seen, strict=True)]
    span = max(spans)
    scale = max(float(np.hypot(*side.errors[list(ends)])) for side, ends in zip(sides, seen, strict=True))
    slack = 1e-12 * max(abs(span), scale)  # of rounding, where nothing varies

    def placed(candidate: float) -> list[FloatArray]:
        parts = zip(sides, middles, seen, spans, strict=True)
        return [_placed(side, at, ends, min(candidate, own), base) for side, at, ends, own in parts]

    def reached(candidate: float) -> bool:
        return bool((_drawn(sides, placed(candidate), base) >= span - slack).mean() >= TAIL)

    lowest = max(span - FAR * scale, -math.inf if base is not None else 0.0)
    uppers, others = [span], placed(math.inf)
    for place, side in enumerate(sides):
        ends, scale = _farthest(side, base, Z), float(np.hypot(*side.errors[list(seen[place])]))
        scale = max(scale, float(np.hypot(*side.errors[list(ends)])))

        def left(candidate: float, place: int = place, ends: tuple[int, int] = ends) -> bool:
            at = list(others)
            at[place] = _placed(sides[place], middles[place], ends, candidate, base)
            return bool((_drawn(sides, at, base) <= span + slack).mean() >= TAIL)

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


def _positive(errors: FloatArray) -> FloatArray:
    """Return standard errors that can be divided by, also of groups whose rows do not vary."""
    most = float(errors.max())
    return np.maximum(errors, LEAST * most) if most else np.ones_like(errors)


def _drawn_together(side: Side) -> FloatArray:
    """Return where groups are without the part of their spread that sampling explains, float64[G]."""
    errors = _positive(side.errors)
    scale = float(errors.min()) ** 2
    weights = scale / np.square(errors)
    total = float(weights.sum())
    mean = weights @ side.values / total
    excess = weights @ np.square(side.values - mean) - (len(errors) - 1) * scale
    between = excess / (total - weights @ weights / total) if len(errors) > 1 else 0.0
    if between <= 0:
        return np.full(len(errors), mean)
    weights = 1 / (np.square(errors) + between)
    mean = weights @ side.values / weights.sum()
    return np.asarray(mean + between * weights * (side.values - mean))


def _placed(
    side: Side, middle: FloatArray, ends: tuple[int, int], span: float, base: int | None
) -> FloatArray:
    """Return the groups where they are most likely when their largest difference is ``span``.

    The two at the ends are that far apart; the others between them (with ``base``: not below the lower one).
    """
    lo, hi = ends

    def laid(values: FloatArray, bottom: FloatArray) -> FloatArray:
        at: FloatArray = np.maximum(values, bottom)
        at = at if base is not None else np.minimum(at, bottom + span)
        at[..., lo], at[..., hi] = bottom[..., 0], bottom[..., 0] + span
        return at

    least, most = side.low - min(span, 0.0), side.high - max(span, 0.0)
    a, b = (max(min(x, most), least) for x in (float(side.values[lo]), float(side.values[hi]) - span))
    for _ in range(2):
        bottoms = a + (b - a) * GRID
        best = int(side.deviance(laid(side.values, bottoms[:, None])).argmin())
        a, b = bottoms[max(best - 1, 0)], bottoms[min(best + 1, len(GRID) - 1)]
    return laid(middle, bottoms[best : best + 1])


def _spans(drawn: FloatArray, base: int | None) -> FloatArray:
    """Return the largest difference of each draw, float64[draws]."""
    if base is not None:
        rest = np.delete(drawn, base, axis=0)
        return np.asarray(drawn[base] - rest.min(axis=0))
    return np.asarray(drawn.max(axis=0) - drawn.min(axis=0))
