"""Gaps between groups: a table of base rates, each as a difference and as a ratio.

Every gap is (base rate or rates) x (difference or ratio), so they are one table and one function; the
docstring of each is put together from the row's words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from monitor.metrics.contrasts import largest_difference
from monitor.metrics.groups import RATES, GroupData, Rate
from monitor.metrics.intervals import Interval
from monitor.metrics.registry import Metric, Outcome, add
from monitor.summaries import FloatArray, IntArray

TASKS = frozenset({"binary", "multiclass"})
SHOWN = 50  # groups listed in a result's detail


@dataclass(frozen=True, slots=True)
class Gap:
    """One row of the table: a notion of fairness and the rates that must agree for it to hold."""

    name: str
    rates: tuple[str, ...]
    asks: str
    reference: str


HARDT = "Hardt, Price, Srebro (2016), Equality of Opportunity in Supervised Learning, NeurIPS"
CHOULDECHOVA = "Chouldechova (2017), Fair prediction with disparate impact, Big Data 5"
GAPS = (
    Gap(
        "demographic_parity",
        ("selection_rate",),
        "are all groups selected equally often?",
        "Agarwal et al. (2018), A Reductions Approach to Fair Classification, ICML",
    ),
    Gap("equalized_odds", ("tpr", "fpr"), "are true and false positive rates both equal?", HARDT),
    Gap("equal_opportunity", ("tpr",), "is the positive class found equally often?", HARDT),
    Gap("false_positive_rate", ("fpr",), "are false alarms equally frequent?", CHOULDECHOVA),
    Gap("predictive_parity", ("precision",), "is a positive prediction equally often right?", CHOULDECHOVA),
    Gap(
        "accuracy_parity",
        ("accuracy",),
        "is the model equally often right?",
        "Berk et al. (2021), Fairness in Criminal Justice Risk Assessments, Sociol. Methods & Research 50",
    ),
)


def measure(data: GroupData, gap: Gap, *, as_ratio: bool) -> Outcome:
    """Compute one gap over the eligible groups: its value, its bounds, the groups in detail."""
    bases = [RATES[name] for name in gap.rates]
    rows = bases[0].rows
    sizes = data.size(rows)
    eligible = data.eligible(rows)
    rates = {base.name: data.rates(base) for base in bases}
    detail = _detail(data, rates, sizes, eligible)
    n = sum(sizes[name] for name in eligible)
    if any(len(values) < 2 for values in rates.values()):
        reason = f"fewer than two groups of {data.min_group_size} or more rows have this rate"
        return Outcome.none("insufficient_samples", reason, n=n, detail=detail)
    extremes = [(min(values.values()), max(values.values())) for values in rates.values()]
    if as_ratio and any(high == 0 for _, high in extremes):
        return Outcome.none(
            "single_class", "every group's rate is 0, so there is no ratio", n=n, detail=detail
        )
    value = min(a / b for a, b in extremes) if as_ratio else max(b - a for a, b in extremes)
    lower, upper = interval(data, bases, value, as_ratio=as_ratio)
    detail["counts"] = {base.name: _counts(data, base) for base in bases}
    return Outcome(value, "ok", lower, upper, n, detail=detail)


def _counts(data: GroupData, rate: Rate) -> dict[str, tuple[int, int]]:
    """Return what each eligible group's rate is made of: rows, of how many; groups without any left out."""
    names, table = data.held(rate.rows)
    found = zip(names, table[:, rate.part].sum(1).tolist(), table[:, rate.of].sum(1).tolist(), strict=True)
    return {name: (part, of) for name, part, of in found if of}


def interval(data: GroupData, bases: list[Rate], value: float, *, as_ratio: bool) -> Interval:
    """Return the interval of a gap; of a ratio by the difference of logarithms. It always holds ``value``."""
    lower, upper = largest_difference([data.side(base, logs=as_ratio) for base in bases])
    if as_ratio:
        lower, upper = math.exp(-upper), math.exp(-lower)
    return min(lower, value), min(max(upper, value), 1.0)


def drawn(gap: Gap, tables: IntArray, *, as_ratio: bool, least: int) -> FloatArray:
    """Return one gap of many windows, int64[D, G, cells] -> float64[D]; NaN where it is not defined.

    Groups with fewer than ``least`` rows in a window are left out of it, as :func:`measure` does.
    """
    small = tables.sum(2) < max(least, 1)
    worst = []
    for name in gap.rates:
        rates = np.where(small, np.nan, RATES[name](tables))
        known = (~np.isnan(rates)).sum(1) >= 2
        highest = np.where(np.isnan(rates), -np.inf, rates).max(1)
        lowest = np.where(np.isnan(rates), np.inf, rates).min(1)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = lowest / highest if as_ratio else highest - lowest
        worst.append(np.where(known, found, np.nan))
    result: FloatArray = np.min(worst, axis=0) if as_ratio else np.max(worst, axis=0)
    return result


def _detail(
    data: GroupData, rates: dict[str, dict[str, float]], sizes: dict[str, int], eligible: tuple[str, ...]
) -> dict[str, object]:
    """Name the groups behind a gap, the extremes first of all, and those it leaves out."""
    small = {name: n for name, n in sizes.items() if name not in eligible}
    extremes = {
        name: {"lowest": min(values, key=values.__getitem__), "highest": max(values, key=values.__getitem__)}
        for name, values in rates.items()
        if values
    }
    detail: dict[str, object] = {"rates": {k: dict(list(v.items())[:SHOWN]) for k, v in rates.items()}}
    undefined = sorted({name for values in rates.values() for name in eligible if name not in values})
    hidden = len(set(data.cells.groups) - {""}) - len(data.names)
    return {
        **detail,
        **extremes_of(extremes),
        **({"left_out": dict(list(small.items())[:SHOWN])} if small else {}),
        **({"undefined": undefined[:SHOWN]} if undefined else {}),
        **({"groups_beyond_limit": hidden} if hidden else {}),
    }


def extremes_of(by_rate: dict[str, dict[str, str]]) -> dict[str, object]:
    """Flatten the extremes when there is only one rate."""
    return (
        dict(next(iter(by_rate.values()))) if len(by_rate) == 1 else {"extremes": by_rate} if by_rate else {}
    )


def _register(gap: Gap, *, as_ratio: bool) -> None:
    kind = "ratio" if as_ratio else "difference"

    def function(data: GroupData) -> Outcome:
        return measure(data, gap, as_ratio=as_ratio)

    formula = "min over groups / max over groups" if as_ratio else "max over groups - min over groups"
    meaning = (
        "1 means parity, 0 that some group's rate is 0"
        if as_ratio
        else "0 means parity, 1 the largest gap there is"
    )
    worst = "" if len(gap.rates) == 1 else f"; the {'smaller' if as_ratio else 'larger'} of the two"
    rest = ", accuracy excepted" if "accuracy" in gap.rates else ""
    function.__doc__ = f"""{gap.name.replace("_", " ").capitalize()} {kind} between groups: {gap.asks}

    {formula} of {" and of ".join(gap.rates)}{worst}. {meaning}. The value is equal to that of fairlearn's
    ``MetricFrame`` on the rows. The 95 % interval is of the population's own gap, which the value is biased
    away from parity of: it inverts a test, by drawing from the counted cells. When groups are truly equal it
    holds parity in more than 95 % of windows, as no interval of a gap can do otherwise. Groups below
    ``min_group_size`` and groups without the rate are left out and listed in ``detail``; fewer than two left
    is ``insufficient_samples``. Multiclass: of ``positive_class`` against the rest{rest}.

    References
    ----------
    {gap.reference}.
    """
    needs_labels = RATES[gap.rates[0]].rows == "labelled"
    add(Metric(f"{gap.name}_{kind}", "fairness", "gap", TASKS, kind, 0.0, 1.0, needs_labels, False, function))


for _gap in GAPS:
    _register(_gap, as_ratio=False)
    _register(_gap, as_ratio=True)
