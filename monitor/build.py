"""From configuration to objects: the only place that names concrete classes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from monitor import config as cfg
from monitor.actions.webhook import Endpoint
from monitor.cycle import Monitored
from monitor.decode import format_names
from monitor.engine.reference import ROLES, Reference, ReferenceFile
from monitor.errors import ConfigError, MonitorError
from monitor.rules.alerts import AlertRule
from monitor.rules.retrain import RetrainRule, parse_condition
from monitor.sources import Source
from monitor.sources.kafka import KafkaSettings, Security, open_kafka
from monitor.store.landing import Route
from monitor.store.store import Store
from monitor.types import ChecksSpec, Kind, ModelSpec, StreamKind, WindowSpec

Routes = Mapping[str, Sequence[Route]]  # topic (or glob) -> models


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything the configuration asks for, before anything is opened.

    ``routes`` maps a source's name to its topics; ``globs`` a files source's globs to their column maps.
    """

    config: cfg.Config
    specs: tuple[ModelSpec, ...]
    references: Mapping[str, Reference | None]
    routes: Mapping[str, Routes]
    globs: Mapping[str, Mapping[str, Mapping[str, str]]]


def plan(config: cfg.Config) -> Plan:
    """Read references and resolve what depends on them.

    Raises
    ------
    ConfigError
        With every model's problem.
    """
    problems: list[str] = []
    specs: list[ModelSpec] = []
    references: dict[str, Reference | None] = {}
    for i, model in enumerate(config.models):
        place = f"models[{i}] ({model.name})"
        try:
            problems += [f"{place}{p}" for p in _not_available(model)]
            spec, reference = _spec(model)
            specs.append(spec)
            references[model.name] = reference
        except MonitorError as error:
            problems.append(f"{place}: {error}")
    if problems:
        raise ConfigError(problems)
    routes, globs = _routes(config, {s.name: s for s in specs})
    return Plan(config, tuple(specs), references, routes, globs)


def monitored(the_plan: Plan, store: Store) -> list[Monitored]:
    """Register the models with the store and return what their turns need."""
    models = zip(the_plan.config.models, the_plan.specs, strict=True)
    return [
        Monitored(
            spec=spec,
            model=store.register(spec),
            reference=the_plan.references[spec.name],
            alerts=tuple(_rule(alert) for alert in model.alerts),
            retrain=_retrain(model),
            has_feedback=model.feedback is not None,
            config_hash=the_plan.config.hash,
        )
        for model, spec in models
    ]


def open_source(the_plan: Plan, name: str, *, follow: bool = True) -> Source:
    """Return a source that reads everything routed from it; ``follow=False`` reads files to their end.

    Raises
    ------
    SourceError
        When the settings cannot work.
    """
    settings = the_plan.config.sources[name]
    topics = sorted(the_plan.routes.get(name, {}))
    if isinstance(settings, cfg.KafkaSource):
        return open_kafka(name, kafka_settings(settings), topics)
    if isinstance(settings, cfg.FilesSource):
        from monitor.sources.files import FilesSource

        return FilesSource(
            name,
            topics,
            columns=the_plan.globs.get(name, {}),
            max_record_bytes=settings.max_record_bytes,
            max_batch_records=settings.max_batch_records,
            follow=follow and settings.follow,
            poll_s=settings.poll / 1e6,
        )
    from monitor.sources.memory import MemorySource

    return MemorySource(name)


def kafka_settings(settings: cfg.KafkaSource) -> KafkaSettings:
    """Translate a ``kind: kafka`` source."""
    s = settings.security
    password, key_password = s.sasl_password, s.private_key_password
    security = Security(
        protocol=s.protocol,
        mechanism=s.mechanism or "",
        username=s.username or "",
        password=password.reveal if password else None,
        ca_file=str(s.ca_file or ""),
        cert_file=str(s.cert_file or ""),
        key_file=str(s.key_file or ""),
        key_password=key_password.reveal if key_password else None,
        token=_token(s.oauth) if s.oauth else None,
    )
    return KafkaSettings(
        bootstrap_servers=settings.bootstrap_servers,
        client=settings.client,
        auto_offset_reset=settings.auto_offset_reset,
        on_offset_loss=settings.on_offset_loss,
        isolation=settings.isolation,
        max_record_bytes=settings.max_record_bytes,
        max_batch_records=settings.max_batch_records,
        max_batch_bytes=settings.max_batch_bytes,
        group_id=settings.group_id or "",
        security=security,
        extra=settings.extra,
    )


def endpoints(config: cfg.Config) -> dict[str, Endpoint]:
    """Return the webhook endpoints by action name."""
    return {name: _endpoint(name, action) for name, action in config.actions.items()}


def _endpoint(name: str, action: cfg.WebhookAction) -> Endpoint:
    timeout_s = action.timeout / 1e6
    return Endpoint(
        name,
        action.url,
        lambda: [secret.reveal() for secret in action.secrets],
        allow=action.allow_hosts,
        ca_file=str(action.ca_file) if action.ca_file else None,
        headers=lambda: {name: secret.reveal() for name, secret in action.headers.items()},
        connect_timeout_s=min(5.0, timeout_s),
        read_timeout_s=min(10.0, timeout_s),
        total_timeout_s=timeout_s,
    )


def _token(oauth: cfg.OAuth) -> Callable[[], tuple[str, float]]:
    """Return a fetcher of client-credentials tokens with the moment each expires."""

    def fetch() -> tuple[str, float]:
        import httpx

        secret = oauth.secret
        form = {"grant_type": "client_credentials", "scope": oauth.scope}
        login = (oauth.client_id, secret.reveal() if secret else "")
        answer = httpx.post(oauth.token_url, data=form, auth=login, timeout=10.0, trust_env=False)
        answer.raise_for_status()
        body = answer.json()
        return str(body["access_token"]), time.time() + float(body.get("expires_in", 300))

    return fetch


def _spec(model: cfg.Model) -> tuple[ModelSpec, Reference | None]:
    file = None
    if model.reference is not None:
        columns = model.reference.columns
        file = ReferenceFile(
            model.reference.path, format=model.reference.format, columns=_column_map(columns)
        )
    checks = _checks(model)
    features: dict[str, Kind]
    if not isinstance(model.features, str):
        features = dict(model.features)
    elif file is None:
        features = {}  # nothing to infer them from
    else:
        named = {*model.segments, *(a for one in checks.sensitive for a in one)}
        others = named & (set(file.mapped) - set(ROLES))
        features = file.infer(exclude=frozenset(file.mapped[name] for name in others))
    _refuse_twins(features)
    reference = file.profile(features, task=model.task) if file else None
    negative = model.negative_class
    if model.classes is None and reference is not None and model.task == "binary":
        others_seen = [c for c in reference.classes if c != model.positive_class]
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
    return spec, reference


def _column_map(columns: cfg.Columns) -> dict[str, str]:
    """Return canonical name -> column of a ``columns:`` section, extras and features included."""
    named = {role: getattr(columns, role) for role in ROLES if getattr(columns, role)}
    return named | dict(columns.features) | dict(columns.__pydantic_extra__ or {})


def _checks(model: cfg.Model) -> ChecksSpec:
    checks = model.checks
    spec = ChecksSpec(
        drift=checks.drift is not None,
        performance=checks.performance is not None,
        quality=checks.quality is not None,
        fairness=checks.fairness is not None,
    )
    if checks.drift:
        spec = replace(spec, bins=checks.drift.bins, alpha=checks.drift.alpha)
    if checks.performance:
        spec = replace(spec, min_samples=checks.performance.min_samples)
    if fair := checks.fairness:
        sensitive = (*((name,) for name in fair.sensitive), *fair.intersections)
        spec = replace(
            spec, sensitive=sensitive, min_group_size=fair.min_group_size, privileged=fair.privileged
        )
    return spec


def _refuse_twins(features: Mapping[str, Kind]) -> None:
    seen: dict[str, str] = {}
    for name in features:
        if (twin := seen.setdefault(name.lower(), name)) != name:
            raise ConfigError([f"features {twin!r} and {name!r} differ only in case; rename one"])


def _not_available(model: cfg.Model) -> list[str]:
    """Return what the configuration allows but this version does not compute yet; silence would be a lie."""
    problems = []
    if model.task == "ranking":
        problems.append(".task: ranking models are not available in this version; use another task")
    problems += [
        f".checks.{check}: not available in this version; remove it"
        for check in ("explain", "estimate")
        if getattr(model.checks, check) is not None
    ]
    problems += [
        f".alerts[{i}].{bound}: only numbers are available as bounds in this version"
        for i, alert in enumerate(model.alerts)
        for bound in ("above", "below", "outside")
        if not isinstance(getattr(alert, bound), int | float | tuple | None)
    ]
    for role in ("predictions", "feedback"):
        stream = getattr(model, role)
        if stream and stream.format not in format_names():
            names = ", ".join(sorted(format_names()))
            problems.append(f".{role}.format: unknown format {stream.format!r}; allowed: {names}")
    return problems


def _rule(alert: cfg.Alert) -> AlertRule:
    """Translate an alert; bounds that are no numbers were refused by :func:`_not_available`."""
    return AlertRule(
        name=alert.name,
        metric=alert.metric,
        above=alert.above if isinstance(alert.above, int | float) else None,
        below=alert.below if isinstance(alert.below, int | float) else None,
        outside=alert.outside if isinstance(alert.outside, tuple) else None,
        feature=alert.feature,
        attribute=alert.attribute,
        group=alert.group,
        segment=alert.segment,
        version=alert.version,
        needed=alert.for_.needed,
        of=alert.for_.of,
        clear=alert.clear,
        min_samples=alert.min_samples,
        severity=alert.severity,
        confident=alert.confident,
    )


def _retrain(model: cfg.Model) -> RetrainRule | None:
    if model.retrain is None:
        return None
    return RetrainRule(
        model=model.name,
        when=parse_condition(model.retrain.when.raw),
        actions=model.retrain.actions,
        cooldown_us=model.retrain.cooldown,
        max_per_week=model.retrain.max_per_week,
    )


def _routes(
    config: cfg.Config, specs: Mapping[str, ModelSpec]
) -> tuple[dict[str, dict[str, list[Route]]], dict[str, dict[str, Mapping[str, str]]]]:
    kinds: dict[tuple[str, str, str], set[StreamKind]] = defaultdict(set)
    streams: dict[tuple[str, str, str], cfg.Stream] = {}
    globs: dict[str, dict[str, Mapping[str, str]]] = defaultdict(dict)
    for model in config.models:
        both: tuple[tuple[StreamKind, cfg.Stream | None], ...] = (
            ("prediction", model.predictions),
            ("feedback", model.feedback),
        )
        for kind, stream in both:
            if stream is None:
                continue
            topic = stream.topic or str(stream.path)
            kinds[stream.source, topic, model.name].add(kind)
            streams[stream.source, topic, model.name] = stream
            if stream.path is not None:
                globs[stream.source][topic] = _column_map(stream.columns)
    routes: dict[str, dict[str, list[Route]]] = defaultdict(lambda: defaultdict(list))
    for (source, topic, name), found in kinds.items():
        stream = streams[source, topic, name]
        ignore = stream.other_models == "ignore"
        routes[source][topic].append(Route(specs[name], frozenset(found), stream.format, ignore))
    return routes, globs


def matching_files(pattern: str) -> list[Path]:
    """Return the files that a stream's glob names now, for ``check``."""
    folder = Path(pattern).parent
    if not folder.is_dir():
        return []
    return sorted(f for f in folder.iterdir() if fnmatch(str(f), pattern))
