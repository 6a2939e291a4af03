"""Limits calibrated to a rate of false alarms: the reference simulated at the live window's size.

A rule with ``false_alarms: 1 per 30d`` is to raise one false alarm in 30 days over *all* its series. So with
W windows in the period and S series each may raise 1 / (W S) a window; ``for: m of n`` says with which chance
a window may then be bad, and the limit is what simulated windows without drift pass with that chance.

Sizes differ from window to window. Limits are simulated at sizes that double, and taken from straight lines
in x = sqrt(1/n + 1/m) between them (for distances, which grow with x, of the logarithms). Where nothing can
be simulated, the limit is the metric's critical value at that chance, or for what has neither a Student t
quantile of the reference's chunks. Everything is seeded by what is asked.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from math import exp, log, sqrt

import numpy as np

from monitor.metrics import GroupData, find, target_of
from monitor.reference.profile import Reference
from monitor.rules import resample
from monitor.rules.bounds import FalseAlarms, Frame, baseline_key
from monitor.rules.rates import bad_chance, streak_quantile, tail_quantile
from monitor.rules.resample import Resampled
from monitor.rules.rule import AlertRule
from monitor.summaries.confusion import EVERYONE
from monitor.types import Baseline, BaselineKey, ModelSpec, Result

LEAST_DRAWS, MOST_DRAWS = 20_000, 200_000
BEYOND = 400  # draws wanted beyond the limit
TRUTHS, EACH = 10_000, 20  # for "m of n": what may be true, and windows of each


def frame(reference: Reference | None, spec: ModelSpec) -> Frame:
    """Return what a model's bounds are resolved against."""
    if reference is None:
        return Frame()
    return Frame(reference.baselines, Calibration(reference, spec).limit)


@dataclass(frozen=True, slots=True)
class Asked:
    """A rule of ``needed`` bad windows of ``of``, to raise ``rate`` false alarms a window on one ``side``."""

    needed: int
    of: int
    rate: float
    side: int


@dataclass(frozen=True, eq=False)
class Calibration:
    """The calibrated limits of one model's series.

    ``known`` remembers what was simulated, by counts: the deciles of two columns without ties are the same.
    """

    reference: Reference
    spec: ModelSpec
    known: dict[tuple[str, Asked, int], float | None] = field(default_factory=dict)
    _series: dict[BaselineKey, Resampled | None] = field(default_factory=dict)

    def limit(
        self, rule: AlertRule, bound: FalseAlarms, result: Result, side: int, series: int
    ) -> float | None:
        """Return the limit at the result's size; None where the series has nothing to calibrate on."""
        metric, key = find(result.metric), baseline_key(result)
        asked = Asked(rule.needed, rule.of, self._rate(rule, bound, series), side)
        source = self.series(key)
        if source is not None and result.n > 0:
            return self._between(source, asked, result.n, metric.check == "drift")
        chance = bad_chance(asked.rate, rule.needed, rule.of)
        if metric.critical is not None:
            return metric.critical(result, chance)
        known = self.reference.baselines.get(key)
        return None if metric.check == "drift" or not known else chunk_limit(known, chance, side, result.n)

    def _rate(self, rule: AlertRule, bound: FalseAlarms, series: int) -> float:
        """Return the alarms a window that one side of one series may raise."""
        sides = 1 if rule.outside is None else 2
        return bound.count * self.spec.window.every_us / bound.per_us / max(series, 1) / sides

    def series(self, key: BaselineKey, *, whole: bool = False) -> Resampled | None:
        """Return the series as it can be simulated, None where it cannot; ``whole``: cheaply or not."""
        if whole:
            return self._resampled(key, whole=True)
        if key not in self._series:
            self._series[key] = self._resampled(key)
        return self._series[key]

    def _resampled(self, key: BaselineKey, *, whole: bool = False) -> Resampled | None:
        name, feature, attribute, group, segment = key
        metric, rows = find(name), self.reference.segments.get(segment) if segment else self.reference
        if rows is None:
            return None
        if metric.subject == "column":
            held = rows.columns if feature else rows.targets
            found = held.get(feature or target_of(name))
            if found is None:
                return None
            if name == "missing_ratio":
                return resample.share(found.missing, found.rows)
            return resample.column(metric, found, self.spec.checks.bins, whole=whole)
        cells = rows.cells.get(attribute or EVERYONE)
        if cells is None:
            return None
        if metric.subject == "task":
            return resample.performance(metric, cells, self.spec.task, self.spec.positive_class)
        spec, rng = self.spec, np.random.default_rng(0)
        least = spec.checks.min_group_size
        data = GroupData(cells, spec.positive_class, rng, least, task=spec.task)
        return resample.of_group(metric, data, group) if group else resample.between_groups(metric, data)

    def _between(self, source: Resampled, asked: Asked, n: int, is_distance: bool) -> float | None:
        """Interpolate the limit at size ``n`` between simulated sizes, powers of two."""
        m = int(source.counts.sum())
        low = n.bit_length() - 1
        first, second = (self._at(source, asked, 1 << k) for k in (low, low + 1))
        if first is None or second is None:
            return None
        at = [sqrt(1 / size + 1 / m) for size in (1 << low, 1 << (low + 1), n)]
        logarithmic = is_distance and min(first, second) > 0
        if logarithmic:
            first, second, at = log(first), log(second), [log(x) for x in at]
        value = first + (second - first) * (at[2] - at[0]) / (at[1] - at[0])
        return exp(value) if logarithmic else value

    def _at(self, source: Resampled, asked: Asked, n: int) -> float | None:
        key = (source.digest, asked, n)
        if key not in self.known:
            self.known[key] = simulated_limit(source, asked, n)
        return self.known[key]


def simulated_limit(source: Resampled, asked: Asked, n: int) -> float | None:
    """Return the limit for windows of ``n`` rows; None when most of them have no value."""
    rng = seeded(source.digest, str(n))
    if asked.needed == 1:
        chance = bad_chance(asked.rate, asked.needed, asked.of)
        count = int(min(max(BEYOND / chance, LEAST_DRAWS), MOST_DRAWS))
        draws = asked.side * source.windows(n, count, 1, rng)[:, 0]
        held = draws[np.isfinite(draws)]
        return asked.side * tail_quantile(held, chance) if 2 * len(held) > count else None
    draws = asked.side * source.windows(n, TRUTHS, EACH, rng)
    held = np.isfinite(draws)
    if 2 * held.sum() < held.size:
        return None
    return asked.side * streak_quantile(np.where(held, draws, -np.inf), asked.rate, asked.needed, asked.of)


def chunk_limit(known: Baseline, chance: float, side: int, n: int) -> float | None:
    """Return a Student t quantile: mean ± t sd, scaled from the chunks' size to ``n`` rows.

    A window of n rows varies as the chunks do, times sqrt(c / n) for c rows a chunk, and the mean of k chunks
    has an error of its own: together sqrt(c / n + 1 / k) standard deviations.
    """
    if known.mean is None or not known.sd or known.chunks < 2 or not n:
        return None
    from scipy.stats import t

    spread = known.sd * sqrt(known.chunk_rows / n + 1 / known.chunks)
    return known.mean + side * float(t.isf(chance, known.chunks - 1)) * spread


def seeded(*asked: str) -> np.random.Generator:
    """Return a generator seeded by what is asked."""
    digest = hashlib.sha256("\x1f".join(asked).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))
