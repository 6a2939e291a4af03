"""What each group gets: size, label coverage, mean score and the base rates, as one table."""

from __future__ import annotations

import math

from monitor.metrics.group_errors import GroupErrorData
from monitor.metrics.groups import RATES, GroupData, Rate, Rows
from monitor.metrics.intervals import wilson
from monitor.metrics.registry import Metric, Outcome, add, metric
from monitor.summaries.confusion import SCORE_UNIT

TASKS = frozenset({"binary", "multiclass"})

WORDS = {
    "selection_rate": "Share of the group's rows predicted positive. Needs no labels",
    "accuracy": "Share of the group's labelled rows predicted right",
    "tpr": "True positive rate: share of the group's truly positive rows predicted positive",
    "fnr": "False negative rate: share of the group's truly positive rows predicted negative",
    "fpr": "False positive rate: share of the group's truly negative rows predicted positive",
    "precision": "Share of the group's positive predictions that are right",
}


def _withheld(data: GroupData, rows: Rows) -> dict[str, Outcome]:
    """Return why each group that is too small has no value."""
    outcomes: dict[str, Outcome] = {}
    eligible = data.eligible(rows)
    for name, n in data.size(rows).items():
        if name in eligible:
            continue
        if rows == "labelled" and n == 0:
            outcomes[name] = Outcome.none("no_labels", "no row of this group has a label")
        else:
            reason = f"{n} rows, fewer than min_group_size {data.min_group_size}"
            outcomes[name] = Outcome.none("insufficient_samples", reason, n=n)
    return outcomes


def _register(rate: Rate) -> None:
    def function(data: GroupData) -> dict[str, Outcome]:
        outcomes, values = _withheld(data, rate.rows), data.rates(rate)
        for name, cells in zip(data.names, data.tables[rate.rows].tolist(), strict=True):
            part, of = sum(cells[i] for i in rate.part), sum(cells[i] for i in rate.of)
            if name in values:
                outcomes[name] = Outcome(values[name], "ok", *wilson(part, of), of)
            elif name not in outcomes:
                reason = "no row of this group to divide by"
                outcomes[name] = Outcome.none("single_class", reason, n=sum(cells))
        return {name: outcomes[name] for name in data.names}

    function.__doc__ = f"""{WORDS[rate.name]}.

    In [0, 1]; equal to fairlearn's value on the rows, with a Wilson 95 % interval. ``n`` is the number of
    rows divided by. Groups below ``min_group_size`` are ``insufficient_samples``, a group with nothing to
    divide by is ``single_class``. Multiclass: of ``positive_class`` against the rest, accuracy excepted.

    References
    ----------
    Barocas, Hardt, Narayanan (2023), Fairness and Machine Learning, chapter 3.
    """
    labels = rate.rows == "labelled"
    name = f"group_{rate.name}"
    add(Metric(name, "fairness", "group", TASKS, "ratio", 0.0, 1.0, labels, False, function, is_share=True))


for _rate in RATES.values():
    _register(_rate)


@metric(
    "group_count",
    check="fairness",
    subject="group",
    applies=TASKS | {"regression", "ranking"},
    unit="rows",
    high=math.inf,
    suffix="group_rows",
)
def group_count(data: GroupData | GroupErrorData) -> dict[str, Outcome]:
    """Rows of the group, with and without a label.

    0 and more; the sum over groups is the window's rows that belong to any group. Never withheld.

    Examples
    --------
    >>> from monitor.metrics.examples import grouped
    >>> group_count(grouped("aab", "111", "111"))["a"].value
    2.0

    References
    ----------
    Barocas, Hardt, Narayanan (2023), Fairness and Machine Learning, chapter 3.
    """
    return {name: Outcome(float(n), n=n) for name, n in data.size("all").items()}


@metric(
    "group_label_coverage",
    check="fairness",
    subject="group",
    applies=TASKS | {"regression", "ranking"},
    unit="ratio",
    counts_labels=True,
)
def group_label_coverage(data: GroupData | GroupErrorData) -> dict[str, Outcome]:
    """Share of the group's rows that have a label.

    In [0, 1], with a Wilson 95 % interval. When it differs between groups, the labelled rows do not speak
    for all: unequal labelling hides unfairness.

    Examples
    --------
    >>> from monitor.metrics.examples import grouped
    >>> group_label_coverage(grouped("ab", ["1", None], "11"))["b"].value
    0.0

    References
    ----------
    Lakkaraju et al. (2017), The Selective Labels Problem, KDD.
    """
    labelled = data.size("labelled")
    return {
        name: Outcome(labelled[name] / n, "ok", *wilson(labelled[name], n), n)
        if n
        else Outcome.none("insufficient_samples", "the group has no rows")
        for name, n in data.size("all").items()
    }


@metric(
    "group_mean_score",
    check="fairness",
    subject="group",
    applies={"binary"},
    unit="score",
    low=-math.inf,
    high=math.inf,
)
def group_mean_score(data: GroupData) -> dict[str, Outcome]:
    """Mean score of the group's rows that have one.

    In the score's own range; equal means are what balance of scores asks for. Exact sums in fixed point
    (2**-32), so no order of rows changes it. No interval: only the sum is kept. Needs no labels.

    Examples
    --------
    >>> from monitor.metrics.examples import grouped
    >>> group_mean_score(grouped("aab", "110", "110", [0.5, 1.0, 0.25]))["a"].value
    0.75

    References
    ----------
    Kleinberg, Mullainathan, Raghavan (2017), Inherent Trade-Offs in the Fair Determination of Risk Scores.
    """

    def one(name: str) -> Outcome:
        at = data.cells.groups.index(name)
        n = data.cells.scored[at]
        if not n:
            return Outcome.none("not_applicable", "no row of this group has a score")
        if n < data.min_group_size:
            return Outcome.none("insufficient_samples", f"{n} rows, fewer than {data.min_group_size}", n=n)
        return Outcome(data.cells.score_sums[at] / SCORE_UNIT / n, n=n)

    return {name: one(name) for name in data.names}
