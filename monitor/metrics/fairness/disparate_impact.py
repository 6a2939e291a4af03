"""Disparate impact: the four-fifths rule's ratio."""

from __future__ import annotations

import math

import numpy as np

from monitor.metrics.fairness.gaps import GAPS, TASKS, measure
from monitor.metrics.groups import RATES, GroupData
from monitor.metrics.intervals import Interval, percentile, pivot
from monitor.metrics.registry import Outcome, metric
from monitor.summaries import FloatArray


@metric("disparate_impact", check="fairness", subject="gap", applies=TASKS, unit="ratio", high=math.inf)
def disparate_impact(data: GroupData) -> Outcome:
    """Smallest selection rate over that of the privileged group (the four-fifths rule asks for 0.8).

    min over the other groups of selection rate / selection rate of ``privileged``; 1 means parity, 0 that
    some group is never selected, above 1 that every other group is better off. Without a configured
    privileged group it compares with the best-off one, which is ``demographic_parity_ratio``. Needs no
    labels. Rates are fairlearn's; the interval a pivotal bootstrap of the cells on the log scale.

    Examples
    --------
    >>> from monitor.metrics.examples import grouped
    >>> disparate_impact(grouped("aaaabbbb", "11001100", "11001000", privileged="a")).value
    0.5

    References
    ----------
    US EEOC (1978), Uniform Guidelines on Employee Selection Procedures, 29 CFR 1607.4 D.
    """
    if data.privileged is None:
        return measure(data, GAPS[0], as_ratio=True)
    rate = RATES["selection_rate"]
    names, rates = data.eligible("all"), data.rates(rate)
    n = sum(data.size("all")[name] for name in names)
    if data.privileged not in rates or len(rates) < 2:
        reason = (
            f"the privileged group {data.privileged!r} and another need {data.min_group_size} rows or more"
        )
        return Outcome.none("insufficient_samples", reason, n=n)
    base = rates[data.privileged]
    if base == 0:
        return Outcome.none(
            "single_class", f"no row of the privileged group {data.privileged!r} is selected", n=n
        )
    others = {name: value / base for name, value in rates.items() if name != data.privileged}
    worst = min(others, key=others.__getitem__)
    at = names.index(data.privileged)
    drawn = rate(data.draws["all"])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.delete(drawn, at, axis=1).min(1) / drawn[:, at]
        lower, upper = _log_pivot(others[worst], ratios)
    detail = {"lowest": worst, "privileged": data.privileged}
    return Outcome(others[worst], "ok", lower, upper, n, detail=detail)


def _log_pivot(value: float, ratios: FloatArray) -> Interval:
    """Return the pivotal interval on the log scale; at 0 that of the draws."""
    if value == 0:
        return percentile(ratios)
    lower, upper = pivot(math.log(value), np.log(ratios), -np.inf, np.inf)
    return (None, None) if lower is None or upper is None else (math.exp(lower), math.exp(upper))
