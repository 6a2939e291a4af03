"""False alarms of calibrated limits over months without drift: ``python benchmarks/calibration.py``.

Every case draws a reference anew for each block of months, calibrates a rule on its counts alone, then draws
windows from the same distribution (not from the reference) and counts how often the rule begins to fire. The
rate stated is one alarm a month; the rate found should be within a fifth of it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from monitor.metrics import ColumnPair, find
from monitor.metrics.examples import classified, grouped, numbers
from monitor.reference.profile import Reference
from monitor.rules.bounds import HIGH, LOW, FalseAlarms
from monitor.rules.calibrate import Calibration
from monitor.rules.rates import MONTH_US
from monitor.rules.rule import AlertRule
from monitor.summaries.confusion import Confusion
from monitor.time import HOUR_US
from monitor.types import ChecksSpec, ModelSpec, Result, Window, WindowSpec

MONTHLY = FalseAlarms(1, MONTH_US)
HOURS = 720
SPEC = ModelSpec(
    "m", "binary", {"x": "numeric"}, WindowSpec(HOUR_US, HOUR_US, 0, 0),
    ChecksSpec(drift=True, performance=True, fairness=True, sensitive=(("sex",),), min_group_size=20),
)  # fmt: skip
Windows = Callable[[np.random.Generator, np.ndarray], np.ndarray]
Draw = Callable[[np.random.Generator, int], tuple[Reference, Windows]]


@dataclass(frozen=True)
class Case:
    """A rule, and how a reference and the metric of drift-free windows are drawn."""

    name: str
    rule: AlertRule
    series: Result
    draw: Draw
    rows: tuple[int, int]  # of a window: drawn between
    reference: int


def firings(bad: np.ndarray, needed: int, of: int) -> int:
    """Count how often an instance begins to fire, by the definition in the docs."""
    total = np.convolve(bad, np.ones(of, dtype=int))[: len(bad)]
    fires = total >= needed
    return int(fires[0]) + int((fires[1:] & ~fires[:-1]).sum())


def run(case: Case, *, months: int, block: int, seed: int = 0) -> dict[str, object]:
    """Return the alarms of ``months`` months, a new reference for every ``block`` of them."""
    rng = np.random.default_rng([seed, *case.name.encode()])
    side = HIGH if case.rule.above is not None else LOW
    alarms, known, started = [], {}, time.perf_counter()
    for start in range(0, months, block):
        reference, windows = case.draw(rng, case.reference)
        calibration = Calibration(reference, SPEC, known)
        hours = HOURS * min(block, months - start)
        sizes = rng.integers(case.rows[0], case.rows[1] + 1, hours)
        by_size: dict[int, float] = {}
        for n in np.unique(sizes).tolist():
            about = Result(**{**{f: getattr(case.series, f) for f in case.series.__slots__}, "n": n})
            limit = calibration.limit(case.rule, MONTHLY, about, side, 1)
            assert limit is not None
            by_size[n] = limit
        limits = np.array([by_size[n] for n in sizes.tolist()])
        values = windows(rng, sizes)
        bad = (values > limits) if side == HIGH else (values < limits)
        alarms.append(firings(bad.astype(int), case.rule.needed, case.rule.of))
    total = sum(alarms)
    return {
        "case": case.name, "months": months, "alarms": total, "per_month": round(total / months, 3),
        "references": len(alarms), "most_of_one_reference": max(alarms) / block,
        "seconds": round(time.perf_counter() - started, 1),
    }  # fmt: skip


def column(name: str) -> Draw:
    """Draw a column's reference; its windows are multinomial over the true shares of its frozen cells."""
    from scipy.stats import lognorm

    statistic = find(name).statistic

    def draw(rng: np.random.Generator, m: int) -> tuple[Reference, Windows]:
        frozen = numbers(rng.lognormal(size=m), [1.0]).reference
        below = np.concatenate([[0.0], lognorm.cdf(frozen.cuts, 1.0), [1.0]])
        if name == "ks_statistic":
            counts = frozen.cells
            shares = np.zeros(len(counts))
            shares[::2] = np.diff(below)
        else:
            pair = ColumnPair(frozen, frozen)
            counts = pair.binned[0]
            shares = np.append(np.diff(np.append(below[pair.boundaries // 2], 1.0)), 0.0)

        def windows(own: np.random.Generator, sizes: np.ndarray) -> np.ndarray:
            blocks = np.array_split(sizes, max(len(sizes) * len(shares) // 2_000_000, 1))
            return np.concatenate([statistic(counts, own.multinomial(some, shares)) for some in blocks])

        return Reference("r", m, {"x": frozen}), windows

    return draw


def names(flags: np.ndarray) -> list[str]:
    return flags.astype(int).astype(str).tolist()


def accuracy(rng: np.random.Generator, m: int) -> tuple[Reference, Windows]:
    truth, right = rng.random(m) < 0.4, rng.random(m) < 0.8
    cells = classified(names(truth), names(truth == right)).confusion

    def windows(own: np.random.Generator, sizes: np.ndarray) -> np.ndarray:
        return own.binomial(sizes, 0.8) / sizes

    return Reference("r", m, {}, cells={"": cells}), windows


def parity(rng: np.random.Generator, m: int) -> tuple[Reference, Windows]:
    woman = rng.random(m) < 0.35
    guess = names(rng.random(m) < np.where(woman, 0.3, 0.36))
    cells: Confusion = grouped(np.where(woman, "F", "M").tolist(), guess, guess).cells

    def windows(own: np.random.Generator, sizes: np.ndarray) -> np.ndarray:
        women = own.binomial(sizes, 0.35)
        rates = own.binomial(women, 0.3) / women, own.binomial(sizes - women, 0.36) / (sizes - women)
        return np.abs(rates[0] - rates[1])

    return Reference("r", m, {}, cells={"sex": cells}), windows


def cases() -> list[Case]:
    window = Window(0, HOUR_US)

    def about(metric: str, **more: str) -> Result:
        return Result("m", "*", window, metric, "ok", 0.0, n_reference=10_000, detail={"bins": 10}, **more)

    def rule(metric: str, **more: object) -> AlertRule:
        return AlertRule(name="a", metric=metric, min_samples=1, **more)

    def case(name: str, rows: tuple[int, int], m: int, draw: Draw, about: Result, **more: object) -> Case:
        return Case(name, rule(about.metric, **more), about, draw, rows, m)

    psi, ks = about("psi", feature="x"), about("ks_statistic", feature="x")
    gap = about("demographic_parity_difference", attribute="sex")
    two = {"needed": 2, "of": 3}
    return [
        case("psi", (400, 600), 10_000, column("psi"), psi, above=MONTHLY),
        case("psi, 2 of 3", (400, 600), 10_000, column("psi"), psi, above=MONTHLY, **two),
        case("psi, 2 of 3, small reference", (400, 600), 2_000, column("psi"), psi, above=MONTHLY, **two),
        case("ks_statistic", (400, 600), 10_000, column("ks_statistic"), ks, above=MONTHLY),
        case("accuracy", (600, 3_000), 50_000, accuracy, about("accuracy"), below=MONTHLY),
        case("demographic parity", (600, 3_000), 50_000, parity, gap, above=MONTHLY),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--months", type=int, default=1_000)
    parser.add_argument("--block", type=int, default=5, help="months with the same reference")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    given = parser.parse_args()
    for case in cases():
        if given.only in case.name:
            row = run(case, months=given.months, block=given.block)
            print(json.dumps(row) if given.json else row, flush=True)


if __name__ == "__main__":
    main()
