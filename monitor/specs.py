"""From a configured model to what the deterministic layers take: its spec, reference and rules."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from monitor import config as cfg
from monitor.decode import format_names
from monitor.decode.derived import derived_names
from monitor.errors import ConfigError
from monitor.metrics import find
from monitor.reference.period import Fixed, Rolling
from monitor.reference.profile import ROLES, Reference, ReferenceFile
from monitor.reference.vectors import item_vectors
from monitor.references import Origin, file_reference
from monitor.rules.condition import parse_condition
from monitor.rules.retrain import RetrainRule
from monitor.rules.silences import Silence
from monitor.store.store import Store
from monitor.types import ALL_VERSIONS, ChecksSpec, Kind, ModelSpec, WindowSpec


def model_spec(model: cfg.Model, store: Store | None = None) -> tuple[ModelSpec, Reference | None]:
    """Read the model's reference and resolve what depends on it: features to infer, the negative class.

    Profiles of files that are in ``store`` are not made again.

    Raises
    ------
    ReferenceDataError, ConfigError
        When the reference cannot be used, or two features differ only in case.
    """
    file = None
    if model.reference is not None and model.reference.path:
        file = _file(model.reference)
    checks = _checks(model)
    features: dict[str, Kind]
    if not isinstance(model.features, str):
        features = dict(model.features)
    elif file is None:
        features = {}  # nothing to infer them from
    else:
        named = {*model.segments, *(a for one in checks.sensitive for a in one)}
        others = named & (set(file.mapped) - set(ROLES))
        of_lists = {"scores"} & set(file.types) if model.task == "ranking" else set()
        features = file.infer(exclude=frozenset(file.mapped[name] for name in others) | of_lists)
    _refuse_twins([*features, *model.segments, *(a for one in checks.sensitive for a in one)])
    _refuse_mistaken(features, {*model.segments, *(a for one in checks.sensitive for a in one)})
    negative = model.negative_class
    if model.classes is None and file is not None and model.task == "binary":
        others_seen = [c for c in file.classes() if c != model.positive_class]
        negative = others_seen[0] if len(others_seen) == 1 else negative
    window = model.window
    spec = ModelSpec(
        name=model.name,
        task=model.task,
        features=features,
        window=WindowSpec(
            window.size, window.every or window.size, window.lateness, window.label_wait,
            window.min_label_coverage,
        ),
        checks=checks,
        segments=model.segments,
        positive_class=model.positive_class,
        negative_class=negative,
        threshold=model.threshold,
        timestamp_unit=model.timestamp_unit,
    )  # fmt: skip
    return spec, file_reference(
        file, spec, sample=model.reference.sample, store=store
    ) if file and model.reference else None


def reference_origins(model: cfg.Model, spec: ModelSpec, store: Store | None = None) -> dict[str, Origin]:
    """Return what windows are compared with by version: versions' own, and a default that is no file.

    Raises
    ------
    ReferenceDataError
        When a file cannot be used.
    """
    found: dict[str, Origin] = {}
    if model.reference is None:
        return found
    wait_us = spec.window.label_wait_us if model.feedback else 0
    for version, one in {ALL_VERSIONS: model.reference, **model.reference.versions}.items():
        if one.window:
            found[version] = Fixed(*one.window, wait_us)
        elif one.rolling:
            found[version] = Rolling(one.rolling)
        elif version != ALL_VERSIONS:
            found[version] = file_reference(_file(one), spec, sample=one.sample, store=store)
    return found


def _file(reference: cfg.ReferenceData) -> ReferenceFile:
    assert reference.path is not None  # the configuration has been checked
    columns = column_map(reference.columns)
    return ReferenceFile(reference.path, format=reference.format, columns=columns)


def column_map(columns: cfg.Columns) -> dict[str, str]:
    """Return canonical name -> column of a ``columns:`` section, extras and features included."""
    logged = {f"attributions.{name}": column for name, column in columns.attributions.items()}
    return _roles(columns) | dict(columns.features) | columns.segments | logged


def event_map(columns: cfg.Columns) -> dict[str, str]:
    """Return key of the event (``score``, ``features.age``, ``segments.sex``) -> column of a table."""
    features = {f"features.{name}": column for name, column in columns.features.items()}
    features |= {f"attributions.{name}": column for name, column in columns.attributions.items()}
    return _roles(columns) | features | {f"segments.{k}": column for k, column in columns.segments.items()}


def _roles(columns: cfg.Columns) -> dict[str, str]:
    named = (*ROLES, "scores", "item")
    return {role: getattr(columns, role) for role in named if getattr(columns, role)}


def _checks(model: cfg.Model) -> ChecksSpec:
    checks = model.checks
    spec = ChecksSpec(
        drift=checks.drift is not None,
        performance=checks.performance is not None,
        estimate=checks.estimate is not None,
        quality=checks.quality is not None,
        silent_windows=checks.quality.silent_windows if checks.quality else 0,
        fairness=checks.fairness is not None,
    )
    if checks.drift:
        drift = checks.drift
        spec = replace(spec, bins=drift.bins, alpha=drift.alpha, multivariate=drift.multivariate)
        spec = replace(spec, drift_columns=drift.columns, vocabulary=drift.vocabulary)
    if explain := checks.explain:
        logged = explain.model is None
        spec = replace(spec, explain=True, logged_attributions=logged, explain_sample=explain.sample)
    if (performance := checks.performance) and model.task == "ranking":
        given = performance.embeddings
        spec = replace(
            spec,
            ks=tuple(sorted(performance.k)),
            popular=performance.popular,
            catalogue_size=performance.catalogue_size,
            embeddings=item_vectors(given.path, item=given.item, vector=given.vector) if given else None,
        )
    if fair := checks.fairness:
        sensitive = (*((name,) for name in fair.sensitive), *fair.intersections)
        spec = replace(
            spec, sensitive=sensitive, min_group_size=fair.min_group_size, privileged=fair.privileged
        )
    return spec


def _refuse_twins(names: Iterable[str]) -> None:
    """Refuse names of features, segments and sensitive attributes that SQL could not tell apart."""
    seen: dict[str, str] = {}
    for name in names:
        if (twin := seen.setdefault(name.lower(), name)) != name:
            raise ConfigError([f"{twin!r} and {name!r} differ only in case; rename one"])


def _refuse_mistaken(features: Mapping[str, Kind], splits: Collection[str]) -> None:
    """Refuse what texts and embeddings cannot be: split by, and a namesake of what is made of them."""
    made = {n: name for name, kind in features.items() for n in derived_names(name, kind) if n != name}
    problems = [
        f"feature {n!r} has the name of what is made of {made[n]!r}; rename it" for n in made if n in features
    ]
    problems += [
        f"{name!r} cannot split windows: a feature of kind {features[name]} has no values to split by; "
        "use a categorical or boolean one"
        for name in sorted(splits)
        if features.get(name) in ("text", "embedding")
    ]
    if problems:
        raise ConfigError(problems)


def not_available(model: cfg.Model) -> list[str]:
    """Return what the configuration allows but this version does not compute yet; silence would be a lie."""
    problems = _never_computed(model)
    for role in ("predictions", "feedback"):
        stream = getattr(model, role)
        if stream and stream.format not in format_names():
            names = ", ".join(sorted(format_names()))
            problems.append(f".{role}.format: unknown format {stream.format!r}; allowed: {names}")
    return problems


def _never_computed(model: cfg.Model) -> list[str]:
    """Return the alerts on metrics that never have a value for the model: such an alert could not fire."""
    problems = []
    for i, alert in model.own_alerts.items():
        entry = find(alert.metric)
        if entry.subject != "column" and entry.subject != "sample" and model.task not in entry.applies:
            allowed = ", ".join(sorted(entry.applies))
            what = f"{alert.metric} is not defined for {model.task} models; it is for {allowed}"
            problems.append(f".alerts[{i}].metric: {what}")
    return problems


def retrain_rule(model: cfg.Model) -> RetrainRule | None:
    """Translate ``retrain:``; None where there is none."""
    if model.retrain is None:
        return None
    return RetrainRule(
        model=model.name,
        when=parse_condition(model.retrain.when.raw),
        actions=model.retrain.actions,
        cooldown_us=model.retrain.cooldown,
        max_per_week=model.retrain.max_per_week,
        quiet=tuple(Silence(daily=hours) for hours in model.retrain.quiet_hours),
        dry_run=model.retrain.dry_run,
        min_attribution=model.retrain.weight_by_attribution or 0.0,
    )
