"""What must hold for an alert: a metric that is computed, selectors that exist, bounds that agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from monitor.config.alerts import Alert
from monitor.config.base import Section
from monitor.config.bounds import Critical, FalseAlarms
from monitor.config.document import Part
from monitor.config.models import Model
from monitor.config.problems import listed, unknown
from monitor.decode.derived import monitored_names

GAPS = (
    "demographic_parity_difference", "equalized_odds_difference", "equal_opportunity_difference",
    "false_positive_rate_difference", "predictive_parity_difference", "accuracy_parity_difference",
)  # fmt: skip
Loc = tuple[Part, ...]
Found = Iterator[tuple[Loc, str]]
Declared = Callable[[Loc], list[str]]


def alert_problems(alert: Alert, model: Model, attributes: list[str], declared: Declared) -> Found:
    """Yield the location inside the alert and the sentence of everything wrong with it.

    Parameters
    ----------
    attributes
        The model's single sensitive attributes.
    declared
        What the file has at a location inside the model.
    """
    checks = declared(("checks",))
    yield from _metric(alert, model, checks, bool(declared(("feedback",))))
    features = declared(("features",))
    if isinstance(model.features, dict):
        names = [*features, *(n for n in monitored_names(model.features) if n not in features)]
        yield from _selected("feature", "feature", alert.feature, names)
    fairness = model.checks.fairness
    combined = ["|".join(names) for names in fairness.intersections] if fairness else []
    if fairness or "fairness" not in checks:
        yield from _selected("attribute", "sensitive attribute", alert.attribute, [*attributes, *combined])
    segments = declared(("segments",)) or list(model.segments)
    for one in alert.segment or ():
        name, equals, _ = one.partition("=")
        if not equals and "*" not in one:
            yield ("segment",), f"must be name=value, as in plan=gold, or a pattern as in plan=*, not {one!r}"
        else:
            yield from _selected("segment", "segment", (name,), segments)
    if alert.anytime:
        yield from _anytime(alert, model)
    yield from _bounds(alert)
    yield from _derived(alert, bool(declared(("reference",))))


def _selected(key: str, what: str, patterns: tuple[str, ...] | None, names: list[str]) -> Found:
    from monitor.rules.rule import chosen

    for one in patterns or ():
        if not any(chosen(one, name) for name in names):
            yield (key,), unknown(what, one, names)


def _metric(alert: Alert, model: Model, checks: list[str], feedback: bool) -> Found:
    from monitor.metrics import check_of, cutoff_of, find, is_metric, metric_names, needs_labels

    performance = model.checks.performance
    if not is_metric(alert.metric):
        yield ("metric",), unknown("metric", alert.metric, sorted(metric_names()))
    elif (check := check_of(alert.metric)) not in checks:
        yield (
            ("metric",),
            (
                f"{alert.metric!r} belongs to check {check!r}, which is off; turn it on under checks "
                f"(on: {listed(checks)})"
            ),
        )
    elif find(alert.metric).subject == "sample" and not (
        model.checks.drift and model.checks.drift.multivariate
    ):
        yield (
            ("metric",),
            f"{alert.metric!r} compares whole rows, which is off; set checks.drift.multivariate to true",
        )
    elif performance and (cutoff_of(alert.metric) or performance.k[0]) not in performance.k:
        yield ("metric",), f"{alert.metric!r} is not computed; add its position to checks.performance.k"
    elif needs_labels(alert.metric) and not feedback:
        yield ("metric",), f"{alert.metric!r} needs labels, and the model has no feedback; give feedback"


def _anytime(alert: Alert, model: Model) -> Found:
    from monitor.metrics import find, metric_names, metrics

    if alert.metric in metric_names() and not find(alert.metric).is_share and alert.metric not in GAPS:
        shares = ", ".join(one.name for one in metrics() if one.is_share)
        yield ("anytime",), f"goes with shares and their gaps only: {shares}, {', '.join(GAPS)}"
    if model.window.every != model.window.size:
        yield ("anytime",), "goes with windows that do not overlap; set window.every to window.size"


def _bounds(alert: Alert) -> Found:
    given = [key for key in ("above", "below", "outside") if getattr(alert, key) is not None]
    if len(given) != 1:
        yield (), f"must have exactly one of above, below, outside; it has {listed(given)}"
        return
    bound, clear = getattr(alert, given[0]), alert.clear
    if clear is None:
        return
    is_pair, wants_pair = isinstance(clear, tuple), given[0] == "outside"
    if is_pair != wants_pair and (is_pair or isinstance(clear, float)):
        yield ("clear",), "must be a pair [low, high] with outside, and one number with above or below"
    elif wants_pair and isinstance(bound, tuple) and isinstance(clear, tuple):
        if not bound[0] <= clear[0] <= clear[1] <= bound[1]:
            yield ("clear",), f"must lie within outside, {list(bound)}"
    elif isinstance(bound, float) and isinstance(clear, float):
        if given[0] == "above" and clear > bound:
            yield ("clear",), f"must be at most above, {bound:g}"
        if given[0] == "below" and clear < bound:
            yield ("clear",), f"must be at least below, {bound:g}"


def _derived(alert: Alert, has_reference: bool) -> Found:
    """Yield what is wrong with bounds that are no numbers: no reference, or no such limit of the metric."""
    from monitor.metrics import find, is_metric

    if not is_metric(alert.metric):
        return
    metric = find(alert.metric)
    for key in ("above", "below", "outside", "clear"):
        given = getattr(alert, key)
        for bound in given if isinstance(given, tuple) else (given,):
            if not isinstance(bound, Section):
                continue
            if not has_reference:
                yield (key,), "rests on the reference, and the model has none; give reference or a number"
            elif isinstance(bound, Critical) and metric.critical is None:
                yield (
                    (key,),
                    f"{alert.metric!r} has no critical value; that have {_having('critical')}",
                )
            elif isinstance(bound, FalseAlarms) and not metric.calibrated:
                yield (
                    (key,),
                    f"{alert.metric!r} cannot be calibrated; that can {_having('calibrated')}",
                )
            elif isinstance(bound, Critical | FalseAlarms) and (metric.critical or metric.check == "drift"):
                side = "below" if metric.is_pvalue else "above"
                if key not in (side, "clear"):
                    yield (key,), f"such a bound of {alert.metric!r} goes with {side}"


def _having(what: str) -> str:
    from monitor.metrics import metrics

    return ", ".join(one.name for one in metrics() if getattr(one, what))
