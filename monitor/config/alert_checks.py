"""What must hold for an alert: a metric that is computed, selectors that exist, bounds that agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from monitor.config.alerts import Alert
from monitor.config.document import Part
from monitor.config.models import Model
from monitor.config.problems import listed, unknown
from monitor.decode.derived import monitored_names

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
        if alert.feature and alert.feature not in names:
            yield ("feature",), unknown("feature", alert.feature, names)
    fairness = model.checks.fairness
    combined = ["|".join(names) for names in fairness.intersections] if fairness else []
    judged = fairness or "fairness" not in checks
    if judged and alert.attribute and alert.attribute not in (known := [*attributes, *combined]):
        yield ("attribute",), unknown("sensitive attribute", alert.attribute, known)
    if alert.segment:
        name, equals, _ = alert.segment.partition("=")
        if not equals:
            yield ("segment",), f"must be name=value, as in plan=gold, not {alert.segment!r}"
        elif name not in (segments := declared(("segments",)) or list(model.segments)):
            yield ("segment",), unknown("segment", name, segments)
    yield from _bounds(alert)


def _metric(alert: Alert, model: Model, checks: list[str], feedback: bool) -> Found:
    from monitor.metrics import check_of, find, metric_names, needs_labels

    if alert.metric not in (names := metric_names()):
        yield ("metric",), unknown("metric", alert.metric, sorted(names))
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
    elif needs_labels(alert.metric) and not feedback:
        yield ("metric",), f"{alert.metric!r} needs labels, and the model has no feedback; give feedback"


def _bounds(alert: Alert) -> Found:
    given = [key for key in ("above", "below", "outside") if getattr(alert, key) is not None]
    if len(given) != 1:
        yield (), f"must have exactly one of above, below, outside; it has {listed(given)}"
        return
    bound, clear = getattr(alert, given[0]), alert.clear
    if clear is None:
        return
    if isinstance(clear, tuple) != (given[0] == "outside"):
        yield ("clear",), "must be a pair [low, high] with outside, and one number with above or below"
    elif isinstance(bound, tuple) and isinstance(clear, tuple):
        if not bound[0] <= clear[0] <= clear[1] <= bound[1]:
            yield ("clear",), f"must lie within outside, {list(bound)}"
    elif isinstance(bound, float) and isinstance(clear, float):
        if given[0] == "above" and clear > bound:
            yield ("clear",), f"must be at most above, {bound:g}"
        if given[0] == "below" and clear < bound:
            yield ("clear",), f"must be at least below, {bound:g}"
