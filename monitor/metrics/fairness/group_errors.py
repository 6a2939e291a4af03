"""Regression fairness: the mean and mean absolute error of each group, and how far groups are apart."""

from __future__ import annotations

import math

from monitor.metrics.contrasts import largest_difference
from monitor.metrics.group_errors import GroupErrorData
from monitor.metrics.intervals import skewed
from monitor.metrics.registry import Metric, Outcome, add

TASKS = frozenset({"regression"})
SHOWN = 50  # groups listed in a result's detail
BASES = {"mean_error": "error", "mae": "absolute"}
WORDS = {
    "mean_error": ("Mean of prediction minus truth in the group (bias)", "0 means no bias, above 0 too high"),
    "mae": ("Mean absolute error in the group", "0 means that all are right"),
}
ASKS = {
    "mean_error": "is the model equally biased?",
    "mae": "is the model equally wrong?",
}
REFERENCE = """References
    ----------
    Agarwal, Dudík, Wu (2019), Fair Regression: Quantitative Definitions and Reduction-Based Algorithms,
    ICML."""


def by_group(
    data: GroupErrorData, base: str, low: float = -math.inf, high: float = math.inf
) -> dict[str, Outcome]:
    """Return each group's mean of a base in the range, or why it is withheld."""
    held = data.moments(base)
    outcomes: dict[str, Outcome] = {}
    for name, n in data.sizes().items():
        if name in held:
            one = held[name]
            lower, upper = skewed(one.mean, one.standard_error, 0.0, one.n)
            lower = None if lower is None else max(lower, low)
            upper = None if upper is None else min(upper, high)
            outcomes[name] = Outcome(one.mean, "ok", lower, upper, n)
        elif not n:
            outcomes[name] = Outcome.none("no_labels", "no row of this group has a usable label")
        else:
            reason = f"{n} rows, fewer than min_group_size {data.min_group_size}"
            outcomes[name] = Outcome.none("insufficient_samples", reason, n=n)
    return outcomes


def gap_between(data: GroupErrorData, name: str, base: str) -> Outcome:
    """Return the largest minus the smallest mean of the groups that are large enough."""
    sizes, held = data.sizes(), data.moments(base)
    n = sum(sizes[group] for group in held)
    means = {group: one.mean for group, one in held.items()}
    small = {group: size for group, size in sizes.items() if group not in held}
    detail: dict[str, object] = {"rates": {name: dict(list(means.items())[:SHOWN])}}
    detail |= {"left_out": dict(list(small.items())[:SHOWN])} if small else {}
    if len(means) < 2:
        reason = f"fewer than two groups of {data.min_group_size} or more labelled rows"
        return Outcome.none("insufficient_samples", reason, n=n, detail=detail)
    detail |= {"lowest": min(means, key=means.__getitem__), "highest": max(means, key=means.__getitem__)}
    value = max(means.values()) - min(means.values())
    if any(not math.isfinite(one.standard_error) for one in held.values()):
        return Outcome(value, n=n, detail=detail)
    lower, upper = largest_difference([data.side(base)])
    return Outcome(value, "ok", min(lower, value), max(upper, value), n, detail=detail)


def _register(name: str, base: str) -> None:
    def of_groups(data: GroupErrorData) -> dict[str, Outcome]:
        return by_group(data, base, 0.0 if base == "absolute" else -math.inf)

    def between_groups(data: GroupErrorData) -> Outcome:
        return gap_between(data, name, base)

    says, zero = WORDS[name]
    of_groups.__doc__ = f"""{says}, in the label's unit.

    {zero}. Groups below ``min_group_size`` labelled rows are ``insufficient_samples``. Interval: Student's
    t over the group's rows.

    {REFERENCE}
    """
    between_groups.__doc__ = f"""{name.replace("_", " ").capitalize()} difference between groups: {ASKS[name]}

    Largest minus smallest ``group_{name}``, in the label's unit; 0 means parity. The 95 % interval is of the
    population's own gap, which the value is biased away from 0 of: it inverts a test, by draws of Student's
    t. When groups are truly equal it holds 0 in more than 95 % of windows. Groups below ``min_group_size``
    labelled rows are left out and listed in ``detail``; fewer than two left is ``insufficient_samples``.

    {REFERENCE}
    """
    low = 0.0 if base == "absolute" else -math.inf
    add(Metric(f"group_{name}", "fairness", "group", TASKS, "label", low, math.inf, True, False, of_groups))
    gap = f"{name}_difference"
    add(Metric(gap, "fairness", "gap", TASKS, "label", 0.0, math.inf, True, False, between_groups))


for _name, _base in BASES.items():
    _register(_name, _base)
