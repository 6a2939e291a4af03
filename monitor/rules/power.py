"""What a rule will do, before it is switched on: its false alarms in a month, and the smallest drift it sees.

Both from the same simulation as calibrated limits. The smallest drift is the one at which a single window is
bad with probability 0.8; what moves depends on the metric: a numeric column is shifted, rows of a categorical
one change their category, predictions turn wrong, the worst-off group loses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from monitor.metrics import ColumnPair, Metric, find, target_of
from monitor.reference.data import Reference
from monitor.rules.bounds import HIGH, LOW, Frame, bounds
from monitor.rules.calibrate import Calibration, seeded
from monitor.rules.drifts import Drift, drift_of
from monitor.rules.rates import MONTH_US, alarm_rate, mixed_rate, tail_chance
from monitor.rules.resample import Resampled
from monitor.rules.rule import AlertRule, chosen
from monitor.summaries.categorical import CategoricalSummary
from monitor.summaries.confusion import EVERYONE
from monitor.summaries.numeric import NumericSummary
from monitor.types import ALL_VERSIONS, BaselineKey, ModelSpec, Result, Window

POWER = 0.8
TRUTHS, EACH, TRIES, MOST_CELLS = 4_000, 5, 2_000, 1_000_000
INTERVAL = 1.96  # standard deviations between a value and its interval's end


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is to be expected of one rule.

    Parameters
    ----------
    series
        How many series of the reference it watches.
    simulated
        Of how many the figures could be computed.
    false_alarms
        In 30 days, of those together; None where there are none.
    drift
        The smallest drift that a window shows with probability 0.8, in words: of the series that sees least.
    """

    alert: str
    series: int
    simulated: int
    false_alarms: float | None
    drift: str


def outlook(rule: AlertRule, spec: ModelSpec, reference: Reference, frame: Frame, rows: int) -> Outlook:
    """Return what to expect of a rule when windows have ``rows`` rows."""
    calibration = Calibration(reference, spec)
    keys = list(watched(rule, spec, reference))
    rates: list[float] = []
    sights: list[tuple[Drift, float | None]] = []
    for key in keys:
        result = _result(key, spec, reference, calibration, rows)
        low, high = bounds(rule, result, frame, series=len(keys))
        sides = [(side, limit) for side, limit in ((LOW, low), (HIGH, high)) if limit is not None]
        source = calibration.series(key)
        found = [_rate(rule, result, source, side, limit) for side, limit in sides]
        if found and all(rate is not None for rate in found):
            rates.append(sum(rate for rate in found if rate is not None))
        drift = drift_of(key, spec, reference)
        simulated = source or calibration.series(key, whole=True)
        if simulated is not None and drift is not None and sides:
            sights.append((drift, _smallest(rule, simulated, drift, result, sides)))
    alarms = sum(rates) * MONTH_US / spec.window.every_us if rates else None
    return Outlook(rule.name, len(keys), len(rates), alarms, _words(sights))


def _words(sights: list[tuple[Drift, float | None]]) -> str:
    """Say of each kind of drift what the series that sees least of it sees."""
    least: dict[str, tuple[float, str]] = {}
    blind = sum(size is None for _, size in sights)
    for drift, size in sights:
        if size is not None:
            least[drift.kind] = max(least.get(drift.kind, (0.0, "")), (size, drift.words(size)))
    found = " or ".join(words for _, words in least.values())
    return f"{found} (nothing in {blind} of {len(sights)} series)" if found and blind else found


def watched(rule: AlertRule, spec: ModelSpec, reference: Reference) -> Iterator[BaselineKey]:
    """Yield the series that the reference has and the rule watches, whichever version."""
    metric, name = find(rule.metric), rule.metric
    parts: Mapping[str, Reference] = (
        {"": reference}
        if rule.segment is None
        else {s: part for s, part in reference.segments.items() if chosen(rule.segment, s)}
    )
    for segment, part in parts.items():
        for feature, attribute, group in _subjects(metric, name, spec, part):
            selected = (rule.feature, feature), (rule.attribute, attribute), (rule.group, group)
            if all(chosen(want, has) for want, has in selected):
                yield name, feature, attribute, group, segment


def _subjects(metric: Metric, name: str, spec: ModelSpec, rows: Reference) -> Iterator[tuple[str, str, str]]:
    if metric.subject == "column" and target_of(name) == "feature":
        for feature, column in rows.columns.items():
            kind = "numeric" if isinstance(column, NumericSummary) else "categorical"
            wanted = spec.checks.drift_columns if metric.check == "drift" else None
            if kind in metric.applies and (wanted is None or feature.partition(".")[0] in wanted):
                yield feature, "", ""
    elif metric.subject == "column":
        if target_of(name) in rows.targets:
            yield "", "", ""
    elif metric.subject in ("gap", "group"):
        for attribute, cells in rows.cells.items():
            if attribute != EVERYONE and metric.subject == "gap":
                yield "", attribute, ""
            elif attribute != EVERYONE:
                yield from (("", attribute, group) for group in cells.groups if group)
    else:
        yield "", "", ""


def _result(
    key: BaselineKey, spec: ModelSpec, reference: Reference, calibration: Calibration, rows: int
) -> Result:
    """Return a result of ``rows`` rows as bounds want it; of a group its share of them."""
    metric, feature, attribute, group, segment = (part or None for part in key)
    source = calibration.series(key)
    m = int(source.counts.sum()) if source else reference.rows
    n = max(round(rows * m / reference.rows), 1) if source and (group or attribute) else rows
    detail = _detail(key, spec, reference, n)
    about = (feature, attribute, group, segment)
    window = Window(0, spec.window.size_us)
    return Result(
        spec.name, ALL_VERSIONS, window, str(metric), "ok", 0.0, *about, n=n, n_reference=m, detail=detail
    )


def _detail(key: BaselineKey, spec: ModelSpec, reference: Reference, n: int) -> Mapping[str, Any]:
    """Return what a drift metric's critical value rests on, from a window without drift of ``n`` rows."""
    name, feature, _, _, segment = key
    rows = reference.segments[segment] if segment else reference
    column = (rows.columns if feature else rows.targets).get(feature or target_of(name))
    if find(name).subject != "column" or find(name).critical is None or column is None or not column.rows:
        return {}
    cells = column.cells if isinstance(column, NumericSummary) else column.counts
    drawn = seeded("detail", *key, str(n)).multinomial(n, np.append(cells, column.missing) / column.rows)
    window: NumericSummary | CategoricalSummary
    if isinstance(column, NumericSummary):
        window = replace(column, cells=drawn[:-1], missing=int(drawn[-1]))
    else:
        window = replace(column, counts=drawn[:-1], unseen=0, missing=int(drawn[-1]))
    return find(name)(ColumnPair(column, window, bins=spec.checks.bins)).detail


def _rate(rule: AlertRule, result: Result, source: Resampled | None, side: int, limit: float) -> float | None:
    """Return the false alarms a window of one series."""
    if source is None:
        chance = _inverted(find(result.metric), result, side, limit)
        return None if chance is None else alarm_rate(chance, rule.needed, rule.of)
    draws = side * source.windows(result.n, TRUTHS, EACH, seeded(source.digest, "outlook", str(result.n)))
    draws = np.where(np.isfinite(draws), draws, -np.inf)
    held = draws[np.isfinite(draws)]
    if not len(held):
        return None
    beyond = side * limit + (INTERVAL * float(held.std()) if rule.confident else 0.0)
    if rule.needed == 1 or rule.of >= EACH:
        return alarm_rate(tail_chance(held, beyond), rule.needed, rule.of)
    return mixed_rate((draws > beyond).sum(1), EACH, rule.needed, rule.of)


def _inverted(metric: Metric, result: Result, side: int, limit: float) -> float | None:
    """Return the level at which the metric's critical value is the limit, by halving."""
    if metric.critical is None or (side == LOW) != metric.is_pvalue:
        return None
    low, high = 1e-12, 1.0 - 1e-12
    for _ in range(60):
        middle = (low * high) ** 0.5
        found = metric.critical(result, middle)
        if found is None:
            return None
        low, high = (middle, high) if side * found > side * limit else (low, middle)
    return high


def _smallest(
    rule: AlertRule, source: Resampled, drift: Drift, result: Result, sides: list[tuple[int, float]]
) -> float | None:
    """Return the size of the smallest drift that the rule sees; None when it sees none."""
    rng_key = (source.digest, "drift", str(result.n))

    def seen(size: float) -> bool:
        shares = drift.moved(size)
        tries = min(TRIES, MOST_CELLS // len(shares))
        draws = source.drifted(np.tile(shares, (tries, 1)), result.n, seeded(*rng_key))
        draws = draws[np.isfinite(draws)]
        reach = INTERVAL * float(draws.std()) if rule.confident and len(draws) else 0.0
        bad = [side * draws > side * limit + reach for side, limit in sides]
        return bool(len(draws)) and float(np.any(bad, axis=0).mean()) >= POWER

    if not seen(drift.most):
        return None
    low, high = 0.0, drift.most
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (low, middle) if seen(middle) else (middle, high)
    return high
