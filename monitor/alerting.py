"""From configured alerts and silences to rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monitor import config as cfg
from monitor.metrics import find
from monitor.rules.bounds import (
    Bound,
    Critical,
    Derived,
    FalseAlarms,
    ReferenceSd,
    RelativeToReference,
)
from monitor.rules.defaults import default_rules
from monitor.rules.rule import AlertRule
from monitor.rules.silences import Silence
from monitor.types import ModelSpec


def alert_rules(model: cfg.Model, spec: ModelSpec) -> tuple[AlertRule, ...]:
    """Return the model's rules in the file's order; an own rule takes the place of a default namesake."""
    rules: list[AlertRule] = []
    own = {alert.name for alert in model.own_alerts.values()}
    for alert in model.alerts:
        if isinstance(alert, cfg.Alert):
            rules.append(alert_rule(alert))
        else:
            with_reference, with_feedback = model.reference is not None, model.feedback is not None
            known = default_rules(spec, has_reference=with_reference, has_feedback=with_feedback)
            rules += [rule for rule in known if rule.name not in own]
    return tuple(rules)


def alert_rule(alert: cfg.Alert) -> AlertRule:
    """Translate an alert."""
    return AlertRule(
        name=alert.name,
        metric=alert.metric,
        above=_several(alert.above),
        below=_several(alert.below),
        outside=alert.outside if isinstance(alert.outside, tuple) else _derived(alert.outside),
        feature=alert.feature,
        attribute=alert.attribute,
        group=alert.group,
        segment=alert.segment,
        version=alert.version,
        needed=alert.for_.needed,
        of=alert.for_.of,
        clear=alert.clear if isinstance(alert.clear, float | tuple) else _derived(alert.clear),
        min_samples=find(alert.metric).min_samples if alert.min_samples is None else alert.min_samples,
        severity=alert.severity,
        confident=alert.confident,
        anytime=alert.anytime,
        labels=tuple(sorted(alert.labels.items())),
        runbook=alert.runbook or "",
        description=alert.description,
    )


def silence_rules(silences: Sequence[cfg.Silence]) -> tuple[Silence, ...]:
    """Translate the silences."""
    return tuple(
        Silence(
            models=one.model,
            alerts=one.alert,
            features=one.feature,
            attributes=one.attribute,
            groups=one.group,
            segments=one.segment,
            versions=one.version,
            from_us=one.from_,
            to_us=one.to,
            daily=one.daily,
            days=frozenset(cfg.DAYS.index(day) for day in one.days),
            comment=one.comment,
        )
        for one in silences
    )


def _several(given: Any) -> Bound | tuple[Bound, ...] | None:
    if isinstance(given, tuple):
        return tuple(_bound(one) for one in given)
    return None if given is None else _bound(given)


def _bound(given: Any) -> Bound:
    derived = _derived(given)
    return float(given) if derived is None else derived


def _derived(given: Any) -> Derived | None:
    match given:
        case cfg.ReferenceSd(reference_sd=k):
            return ReferenceSd(k)
        case cfg.RelativeToReference(relative_to_reference=share):
            return RelativeToReference(share)
        case cfg.Critical(critical=alpha):
            return Critical(alpha)
        case cfg.FalseAlarms(false_alarms=rate):
            return FalseAlarms(rate.count, rate.per_us)
    return None
