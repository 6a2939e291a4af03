"""How often drift-free windows are called drifted, and how often drifted ones are.

    python benchmarks/power.py [--windows 2000] [--sizes 100 200 500 5000] [--json]

Windows of several kinds of column are drawn and compared with a reference of 10,000 rows, a new one for every
twenty windows, through the metrics themselves at alpha 0.01. A cell is the share of windows past the limit:
of ``psi`` past ``psi_critical``, of ``js_distance``, ``hellinger`` and ``ks_statistic`` past their own
critical values, of ``ks_pvalue`` and ``chi2_pvalue`` below alpha; beside them ``psi`` past the rules of
thumb, 0.1 and 0.2. The first line of a column has no drift, where the share should be 1 %; the others say
what drifted. At the end: windows of 20 features, and how many have any feature in ``drifted_share``, where
without drift at most 5 % should.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.metrics import ColumnPair, WindowFacts, find
from monitor.summaries.categorical import CategoricalSummary
from monitor.summaries.numeric import NumericSummary, cuts_from, ordered

SIZES, REFERENCE, PER_REFERENCE, ALPHA = (100, 200, 500, 5_000), 10_000, 20, 0.01
NUMERIC = ("psi", "js_distance", "hellinger", "ks_statistic", "ks_pvalue")
CATEGORICAL = ("psi", "js_distance", "hellinger", "chi2_pvalue")
Draw = Callable[[np.random.Generator, int], Any]


@dataclass(frozen=True)
class Column:
    """A column's distribution without drift and with some; categories are drawn as counts."""

    name: str
    reference: Draw
    drifts: Mapping[str, Draw]
    categorical: bool = False


def _counts(shares: Any) -> Draw:
    given = np.asarray(shares, dtype=float) / np.sum(shares)
    return lambda rng, n: rng.multinomial(n, given)


def _moved(shares: Any, share: float) -> Draw:
    """The same shares with some moved from the first category to the last."""
    given = np.asarray(shares, dtype=float) / np.sum(shares)
    given[0], given[-1] = given[0] - share, given[-1] + share
    return _counts(given)


def _zeros(share: float) -> Draw:
    return lambda rng, n: np.where(rng.random(n) < share, 0.0, rng.lognormal(size=n))


ZIPF = 1 / np.arange(1, 31)
COLUMNS = (
    Column(
        "normal",
        lambda rng, n: rng.normal(size=n),
        {
            "mean + 0.1 sd": lambda rng, n: rng.normal(0.1, 1, n),
            "mean + 0.25 sd": lambda rng, n: rng.normal(0.25, 1, n),
            "mean + 0.5 sd": lambda rng, n: rng.normal(0.5, 1, n),
            "sd x 1.25": lambda rng, n: rng.normal(0, 1.25, n),
        },
    ),
    Column(
        "lognormal",
        lambda rng, n: rng.lognormal(size=n),
        {"values x 1.25": lambda rng, n: 1.25 * rng.lognormal(size=n)},
    ),
    Column(
        "Poisson(3)",
        lambda rng, n: rng.poisson(3, n).astype(float),
        {"Poisson(3.5)": lambda rng, n: rng.poisson(3.5, n).astype(float)},
    ),
    Column("90 % zeros", _zeros(0.9), {"85 % zeros": _zeros(0.85)}),
    Column("5 categories", _counts([0.2] * 5), {"5 points moved": _moved([0.2] * 5, 0.05)}, True),
    Column("yes in 2 %", _counts([0.98, 0.02]), {"yes in 5 %": _counts([0.95, 0.05])}, True),
    Column("30 categories, Zipf", _counts(ZIPF), {"5 points moved": _moved(ZIPF, 0.05)}, True),
)


def _reference(column: Column, rng: np.random.Generator) -> Any:
    rows = column.reference(rng, REFERENCE)
    if column.categorical:
        return _categories(rows)
    values = ordered(rows)
    return NumericSummary.lift(values, cuts=cuts_from(values))


def _categories(counts: Any) -> CategoricalSummary:
    return CategoricalSummary(tuple(f"c{i:02}" for i in range(len(counts))), counts.astype(np.int64), 0, 0)


def _pair(column: Column, reference: Any, rows: Any) -> ColumnPair:
    current = _categories(rows) if column.categorical else NumericSummary.lift(rows, cuts=reference.cuts)
    return ColumnPair(reference, current, alpha=ALPHA)


def simulate(
    column: Column, draw: Draw, n: int, windows: int, seed: int = 0, names: Sequence[str] = ()
) -> dict[str, float]:
    """Return the share of windows past each limit, of all metrics or of these."""
    rng = np.random.default_rng([seed, n, *column.name.encode()])
    names = names or (CATEGORICAL if column.categorical else NUMERIC)
    passed = dict.fromkeys(("psi > 0.1", "psi > 0.2", *names), 0)
    for i in range(windows):
        if i % PER_REFERENCE == 0:
            reference = _reference(column, rng)
        pair = _pair(column, reference, draw(rng, n))
        for name in names:
            outcome = find(name)(pair)
            assert outcome.value is not None
            if name.endswith("pvalue"):
                passed[name] += outcome.value < ALPHA
            else:
                passed[name] += outcome.value > outcome.detail["critical"]
            if name == "psi":
                passed["psi > 0.1"] += outcome.value > 0.1
                passed["psi > 0.2"] += outcome.value > 0.2
    return {name: k / windows for name, k in passed.items()}


def discoveries(n: int, windows: int, drifted: int, seed: int = 0) -> tuple[float, float]:
    """Return the share of windows of 20 features with any in ``drifted_share``, and of false ones found.

    ``drifted`` of the 20 are normal columns whose mean rose by 0.25; the others do not drift.
    """
    rng = np.random.default_rng([seed, n, drifted])
    kinds, some, false = (COLUMNS[0], COLUMNS[1], COLUMNS[4], COLUMNS[6]), 0, 0.0
    for i in range(windows):
        if i % PER_REFERENCE == 0:
            columns = [COLUMNS[0]] * drifted + [kinds[j % 4] for j in range(20 - drifted)]
            references = [_reference(one, rng) for one in columns]
        pvalues = {}
        for j, (column, reference) in enumerate(zip(columns, references, strict=True)):
            draw = column.drifts["mean + 0.25 sd"] if j < drifted else column.reference
            name = "chi2_pvalue" if column.categorical else "ks_pvalue"
            pvalues[f"{j:02}"] = find(name)(_pair(column, reference, draw(rng, n))).value
        found = find("drifted_share")(WindowFacts(n, pvalues=pvalues)).detail["drifted"]
        some += bool(found)
        false += sum(int(name) >= drifted for name in found) / max(len(found), 1)
    return some / windows, false / windows


def lines(columns: Iterable[Column], sizes: tuple[int, ...], windows: int) -> Iterable[dict[str, Any]]:
    """Yield a line for each column, kind of drift and size."""
    for column in columns:
        for drift, draw in ({"none": column.reference} | dict(column.drifts)).items():
            for n in sizes:
                yield {"column": column.name, "drift": drift, "n": n, **simulate(column, draw, n, windows)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=2_000)
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    given = parser.parse_args()
    started, found = time.perf_counter(), []
    shown = (
        "psi",
        "js_distance",
        "hellinger",
        "ks_statistic",
        "ks_pvalue",
        "chi2_pvalue",
        "psi > 0.1",
        "psi > 0.2",
    )
    for line in lines(COLUMNS, tuple(given.sizes), given.windows):
        found.append(line)
        if not given.json:
            if len(found) == 1:
                print(f"{'column':22}{'drift':18}{'n':>6}" + "".join(f"{name:>14}" for name in shown))
            cells = "".join(f"{100 * line[m]:13.1f} " if m in line else " " * 14 for m in shown)
            print(f"{line['column']:22}{line['drift']:18}{line['n']:6}{cells}", flush=True)
    fewer = max(given.windows // 4, 1)
    several = [
        {"drifted": k, "n": n, "windows": fewer, "any_and_false": discoveries(n, fewer, k)}
        for k in (0, 5)
        for n in given.sizes
    ]  # fmt: skip
    if given.json:
        print(json.dumps({
            "benchmark": "power", "windows": given.windows, "alpha": ALPHA, "reference": REFERENCE,
            "seconds": time.perf_counter() - started, "columns": found, "drifted_share": several,
        }))  # fmt: skip
        return
    print("\n20 features: share of windows with any drifted feature, and of false ones among those found")
    for line in several:
        some, false = (100 * share for share in line["any_and_false"])
        print(f"{line['drifted']:3} drifted  n = {line['n']:5}  {some:6.1f} %  {false:6.1f} %")


if __name__ == "__main__":
    main()
