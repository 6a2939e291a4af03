"""Disparate impact: the four-fifths rule's ratio."""

from __future__ import annotations

import math

from monitor.metrics.contrasts import largest_difference
from monitor.metrics.fairness.gaps import GAPS, TASKS, measure
from monitor.metrics.groups import RATES, GroupData
from monitor.metrics.registry import Outcome, metric


@metric("disparate_impact", check="fairness", subject="gap", applies=TASKS, unit="ratio", high=math.inf)
def disparate_impact(data: GroupData) -> Outcome:
    """Smallest selection rate over that of the privileged group (the four-fifths rule asks for 0.8).

    min over the other groups of selection rate / selection rate of ``privileged``; 1 means parity, 0 that
    some group is never selected, above 1 that every other group is better off. Without a configured
    privileged group it compares with the best-off one, which is ``demographic_parity_ratio``. Needs no
    labels. Rates are fairlearn's; the interval inverts a test of the ratio, on the log scale.

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
    lower, upper = largest_difference([data.side(rate, logs=True)], base=names.index(data.privileged))
    value = others[worst]
    detail = {"lowest": worst, "privileged": data.privileged}
    return Outcome(value, "ok", min(math.exp(-upper), value), max(math.exp(-lower), value), n, detail=detail)
