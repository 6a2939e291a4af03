"""From configuration to objects: the only place that names concrete classes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from monitor import config as cfg
from monitor.alerting import alert_rules, silence_rules
from monitor.cycle import Monitored
from monitor.deliveries import notices
from monitor.errors import ConfigError, MonitorError
from monitor.explainer import deadline_s, open_explainer
from monitor.reference.data import Reference
from monitor.references import Origin, remembered
from monitor.rules.rule import needs_baselines
from monitor.sources import Source
from monitor.sources.kafka import KafkaSettings, Security
from monitor.sources.kafka_open import open_kafka
from monitor.specs import event_map, model_spec, not_available, reference_origins, retrain_rule
from monitor.store.landing import Route
from monitor.store.store import Store
from monitor.types import ALL_VERSIONS, ModelSpec, StreamKind

Routes = Mapping[str, Sequence[Route]]  # topic (or glob) -> models


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything the configuration asks for, before anything is opened.

    ``references`` are the default ones that are files, ``origins`` those of versions and of the stream, by
    model and version. ``routes`` maps a source's name to its topics; ``globs`` a files source's globs to
    their column maps.
    """

    config: cfg.Config
    specs: tuple[ModelSpec, ...]
    references: Mapping[str, Reference | None]
    origins: Mapping[str, Mapping[str, Origin]]
    routes: Mapping[str, Routes]
    globs: Mapping[str, Mapping[str, Mapping[str, str]]]


def plan(config: cfg.Config, store: Store | None = None) -> Plan:
    """Read references and resolve what depends on them; profiles that ``store`` has are not made again.

    Raises
    ------
    ConfigError
        With every model's problem.
    """
    problems: list[str] = []
    specs: list[ModelSpec] = []
    references: dict[str, Reference | None] = {}
    origins: dict[str, Mapping[str, Origin]] = {}
    for i, model in enumerate(config.models):
        place = f"models[{i}] ({model.name})"
        try:
            problems += [f"{place}{p}" for p in not_available(model)]
            spec, reference = model_spec(model, store)
            specs.append(spec)
            references[model.name] = reference
            origins[model.name] = reference_origins(model, spec, store)
        except MonitorError as error:
            problems.append(f"{place}: {error}")
    if problems:
        raise ConfigError(problems)
    routes, globs = _routes(config, {s.name: s for s in specs})
    return Plan(config, tuple(specs), references, origins, routes, globs)


def monitored(the_plan: Plan, store: Store) -> list[Monitored]:
    """Register the models with the store and return what their turns need."""
    found = []
    for model, spec in zip(the_plan.config.models, the_plan.specs, strict=True):
        rules, default = alert_rules(model, spec), the_plan.references[spec.name]
        number = store.register(spec)
        origins = dict(the_plan.origins[spec.name]) | ({ALL_VERSIONS: default} if default else {})
        needed, now_us = any(map(needs_baselines, rules)), time.time_ns() // 1000
        for version, origin in origins.items():
            if isinstance(origin, Reference):
                origins[version] = remembered(
                    store, spec, origin, version=version, needed=needed, now_us=now_us
                )
        reference = origins.get(ALL_VERSIONS)
        one = Monitored(
            spec=spec,
            model=number,
            reference=reference if isinstance(reference, Reference) else None,
            origins=origins,
            sample=model.reference.sample if model.reference else 0,
            alerts=rules,
            silences=silence_rules(the_plan.config.silences),
            retrain=retrain_rule(model),
            has_feedback=model.feedback is not None,
            notices=notices(the_plan.config, model, rules),
            explainer=open_explainer(model, spec, the_plan.references[spec.name]),
            explain_deadline_s=deadline_s(model),
        )
        found.append(one)
    return found


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
                globs[stream.source][topic] = event_map(stream.columns)
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
