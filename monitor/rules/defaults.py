"""The alerts that ``alerts: default`` stands for: few, and quiet as long as nothing happens.

Each asks for two things at once, so that neither noise nor a change too small to matter is an alarm: a value
must be beyond what chance explains (a critical value, a whole confidence interval) *and* beyond a change that
matters (a floor), and that in two of the last three windows.
"""

from __future__ import annotations

from collections.abc import Iterator

from monitor.metrics import is_metric
from monitor.rules.bounds import Bound, Critical, RelativeToReference
from monitor.rules.rule import AlertRule
from monitor.types import ModelSpec

PREFIX = "default."
FLOOR, ALPHA = 0.1, 0.001  # of PSI: the rule of thumb's "moderate", and chance for each column and window
MISSING, NEW, MISTYPED = 0.05, 0.02, 0.01  # shares of a column's rows
GAP = 0.1  # between groups
WORSE = 0.05  # of the reference's own performance

# alert -> (check, metric)
DRIFT = {"drift": "psi", "prediction-drift": "prediction_psi", "score-drift": "score_psi"}
PERFORMANCE = {  # task -> (metric, sign of a change for the worse, metric without labels)
    "binary": ("accuracy", -1, "estimated_accuracy"),
    "multiclass": ("accuracy", -1, None),
    "regression": ("mae", 1, "estimated_mae"),
    "ranking": ("ndcg@{k}", -1, None),
}
GAPS = {"parity": "demographic_parity_difference", "odds": "equalized_odds_difference"}
NAMES = tuple(
    PREFIX + name
    for name in (*DRIFT, "missing", "new-categories", "wrong-types", "constant", "performance", *GAPS)
)


def default_rules(spec: ModelSpec, *, has_reference: bool, has_feedback: bool) -> tuple[AlertRule, ...]:
    """Return the default rules of the checks that are on and of what the model has."""
    return tuple(
        rule
        for rule in (
            *(_drift() if spec.checks.drift and has_reference else ()),
            *(_quality(has_reference) if spec.checks.quality else ()),
            *(_performance(spec, has_feedback) if has_reference else ()),
            *(_fairness(has_feedback) if spec.checks.fairness and has_reference else ()),
        )
        if is_metric(rule.metric)
    )


def _rule(
    name: str,
    metric: str,
    description: str,
    *,
    above: tuple[Bound, ...] | None = None,
    below: tuple[Bound, ...] | None = None,
    severity: str = "warning",
    confident: bool = False,
) -> AlertRule:
    return AlertRule(
        name=PREFIX + name, metric=metric, above=above, below=below, needed=2, of=3, min_samples=200,
        severity=severity, confident=confident, description=description,
    )  # fmt: skip


def _drift() -> Iterator[AlertRule]:
    for name, metric in DRIFT.items():
        what = {"drift": "A feature's", "prediction-drift": "The predictions'", "score-drift": "The scores'"}
        text = f"{what[name]} distribution differs from the reference's."
        yield _rule(name, metric, text, above=(FLOOR, Critical(ALPHA)))


def _quality(has_reference: bool) -> Iterator[AlertRule]:
    half_more: tuple[Bound, ...] = (RelativeToReference(0.5),) if has_reference else ()
    text = "Values are missing, by half more than in the reference."
    yield _rule("missing", "missing_ratio", text, above=(MISSING, *half_more), confident=True)
    text = "Values of the wrong type."
    yield _rule("wrong-types", "type_mismatch_ratio", text, above=(MISTYPED,), confident=True)
    if has_reference:
        text = "Categories that the reference never had."
        yield _rule("new-categories", "new_category_ratio", text, above=(NEW,), confident=True)
        yield _rule("constant", "constant", "A column no longer varies.", above=(0.5,), severity="critical")


def _performance(spec: ModelSpec, has_feedback: bool) -> Iterator[AlertRule]:
    realised, sign, estimated = PERFORMANCE[spec.task]
    realised = realised.format(k=spec.checks.ks[-1])
    metric = realised if spec.checks.performance and has_feedback else estimated
    if metric is None or (metric == estimated and not spec.checks.estimate):
        return
    bound = (RelativeToReference(sign * WORSE),)
    text = f"{metric} is more than {WORSE:.0%} worse than on the reference."
    above, below = (bound, None) if sign > 0 else (None, bound)
    yield _rule(
        "performance", metric, text, above=above, below=below, severity="critical", confident=True
    )  # fmt: skip


def _fairness(has_feedback: bool) -> Iterator[AlertRule]:
    for name, metric in GAPS.items():
        if has_feedback or name == "parity":
            text = f"{metric} between groups is half larger than on the reference."
            bound = (GAP, RelativeToReference(0.5))
            yield _rule(name, metric, text, above=bound, confident=True)
