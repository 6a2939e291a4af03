"""What must hold between sections: names that exist, settings that agree, rules that can ever fire.

Each check yields the location and one sentence. Where a name counts as declared, the *file* decides and not
the models, so that one wrong source does not make every stream that names it wrong too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from monitor.config.action_checks import action_problems, routing_problems, url_problems
from monitor.config.alert_checks import alert_problems
from monitor.config.base import Section
from monitor.config.document import Part
from monitor.config.explain_checks import explain_problems
from monitor.config.models import Columns, Model, ReferenceData, Stream
from monitor.config.problems import listed, unknown
from monitor.config.reference_checks import reference_problems
from monitor.config.root import Config
from monitor.config.silences import Silence
from monitor.config.sources import FilesSource, KafkaSource, Security

Loc = tuple[Part, ...]
Found = Iterator[tuple[Loc, str]]
Declared = Callable[[Loc], list[str]]
"""The keys of the mapping, or the names in the list, that the file has at a location."""


def cross_check(config: Config, declared: Declared) -> Found:
    """Yield the location and sentence of everything that does not fit together."""
    for name, source in config.sources.items():
        if isinstance(source, KafkaSource):
            for loc, text in _security(source.security, source.bootstrap_servers):
                yield ("sources", name, "security", *loc), text
    yield from action_problems(config)
    if config.server.web_config_file:
        for key in ("tls", "basic_auth", "basic_auth_users"):
            if getattr(config.server, key):
                yield ("server", key), "is given beside web_config_file; give it in that file"
    if config.server.basic_auth and config.server.basic_auth_users:
        yield ("server", "basic_auth"), "is given beside basic_auth_users; give one of the two"
    yield from _unique(("models",), [model.name for model in config.models])
    for i, silence in enumerate(config.silences):
        for loc, text in _silence(silence, declared(("models",))):
            yield ("silences", i, *loc), text
    yield from _streams(config, declared)
    for i, model in enumerate(config.models):
        for loc, text in _model(config, model, lambda rest, i=i: declared(("models", i, *rest))):  # type: ignore[misc]
            yield ("models", i, *loc), text
    yield from routing_problems(config, declared(("actions",)))


def _silence(silence: Silence, models: list[str]) -> Found:
    from monitor.rules.rule import chosen

    for one in silence.model or ():
        if not any(chosen(one, name) for name in models):
            yield ("model",), unknown("model", one, models)
    if silence.from_ is not None and silence.to is not None and silence.to <= silence.from_:
        yield ("to",), "must be after from"


def _unique(loc: Loc, names: Iterable[str]) -> Found:
    seen: set[str] = set()
    for i, name in enumerate(names):
        if name in seen:
            yield (*loc, i, "name"), f"{name!r} is taken by an earlier one; names must be unique"
        seen.add(name)


def _either(section: Section, first: str, second: str) -> Found:
    if getattr(section, first) and getattr(section, second):
        yield (second,), f"is given beside {first}; give one of the two"


def _security(security: Security, servers: str) -> Found:
    from monitor.actions.addresses import is_loopback_name

    yield from _either(security, "password", "password_file")
    yield from _either(security, "key_password", "key_password_file")
    if security.key_file and not security.cert_file:
        yield ("key_file",), "is given without cert_file; mutual TLS needs both"
    if security.cert_file and not security.key_file:
        yield ("cert_file",), "is given without key_file; mutual TLS needs both"
    if not security.protocol.startswith("SASL"):
        for key in ("mechanism", "username", "password", "password_file", "oauth"):
            if getattr(security, key):
                yield (
                    (key,),
                    f"has no effect with protocol {security.protocol}; it needs SASL_SSL or SASL_PLAINTEXT",
                )
        return
    if not security.mechanism:
        yield (), "mechanism is missing; SASL needs PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"
    elif security.mechanism == "OAUTHBEARER":
        yield from _oauth(security)
    elif not (security.username and security.sasl_password):
        yield (), f"mechanism {security.mechanism} needs username, and password or password_file"
    hosts = [server.rpartition(":")[0].strip("[]") for server in servers.split(",")]
    far = [host for host in hosts if not is_loopback_name(host)]
    if security.protocol == "SASL_PLAINTEXT" and far and not security.allow_plaintext_password:
        yield (
            ("protocol",),
            (
                f"SASL_PLAINTEXT would send the password unprotected to {listed(far, 3)}; use SASL_SSL, or "
                "set allow_plaintext_password: true"
            ),
        )


def _oauth(security: Security) -> Found:
    if not security.oauth:
        yield (), "mechanism OAUTHBEARER needs oauth with token_url, client_id and client_secret"
        return
    for _, text in _either(security.oauth, "client_secret", "client_secret_file"):
        yield ("oauth", "client_secret_file"), text
    if not security.oauth.secret:
        yield ("oauth",), "client_secret is missing; give client_secret or client_secret_file"
    yield from ((("oauth", "token_url"), text) for text in url_problems(security.oauth.token_url, ()))


def _streams(config: Config, declared: Declared) -> Found:
    readers: dict[tuple[str, str], tuple[str, str]] = {}
    for i, model in enumerate(config.models):
        fairness = "fairness" in declared(("models", i, "checks"))
        for kind, stream in (("predictions", model.predictions), ("feedback", model.feedback)):
            if stream is None:
                continue
            loc: Loc = ("models", i, kind)
            for rest, text in _stream(config, stream, declared(("sources",))):
                yield (*loc, *rest), text
            place = str(stream.topic or stream.path or "")
            other, name = readers.setdefault((stream.source, place), (kind, model.name))
            if place and (other != kind):
                yield (
                    (*loc, "topic" if stream.topic else "path"),
                    f"{place!r} is read as {other} of model {name!r} already; give {kind} its own",
                )
            yield from (((*loc, *rest), text) for rest, text in _columns(stream.columns, model, fairness))
        if model.reference:
            every: list[tuple[Loc, ReferenceData]] = [((), model.reference)]
            every += [(("versions", version), one) for version, one in model.reference.versions.items()]
            for own, one in every:
                found = _columns(one.columns, model, fairness)
                yield from ((("models", i, "reference", *own, *rest), text) for rest, text in found)


def _stream(config: Config, stream: Stream, sources: list[str]) -> Found:
    from monitor.decode import format_names

    if stream.format not in (formats := sorted(format_names())):
        yield ("format",), unknown("format", stream.format, formats)
    source = config.sources.get(stream.source)
    if stream.source not in sources:
        yield ("source",), unknown("source", stream.source, sources)
    for kind, needed, other in ((KafkaSource, "topic", "path"), (FilesSource, "path", "topic")):
        if isinstance(source, kind):
            if not getattr(stream, needed):
                yield (), f"{needed} is missing; a {source.kind} source needs it"
            if getattr(stream, other):
                yield (other,), f"does not go with a {source.kind} source, which needs {needed}"


def _columns(columns: Columns, model: Model, fairness: bool) -> Found:
    known = [*model.segments, *sensitive_attributes(model)]
    for name in columns.segments:
        if name not in known and (model.checks.fairness or not fairness):
            yield ("columns", name), unknown("column", name, [*Columns.model_fields, *dict.fromkeys(known)])


def sensitive_attributes(model: Model) -> list[str]:
    """Return every single attribute that the fairness check compares or combines, once."""
    fairness = model.checks.fairness
    if not fairness:
        return []
    return list(dict.fromkeys([*fairness.sensitive, *(a for one in fairness.intersections for a in one)]))


def _model(config: Config, model: Model, declared: Declared) -> Found:
    window = model.window
    if window.size % window.every:
        yield ("window", "every"), "must divide size; allowed are size, size/2, size/3 and so on"
    if model.feedback and window.size + window.label_wait >= config.store.retention:
        yield (
            ("window", "label_wait"),
            (
                "with size reaches past store.retention, so windows would leave before their labels count; "
                "shorten it or raise store.retention"
            ),
        )
    if "infer" in declared(("features",)) and not declared(("reference",)):
        yield (
            ("features",),
            "'infer' needs a reference to take names and kinds from; give reference or a mapping",
        )
    yield from reference_problems(model, config.store.retention, declared)
    yield from _classes(model)
    yield from _checks(model, declared)
    yield from _unique_alerts(model)
    for j, alert in model.own_alerts.items():
        for loc, text in alert_problems(alert, model, sensitive_attributes(model), declared):
            yield ("alerts", j, *loc), text
    alerts = [*declared(("alerts",)), *_default_alerts(model)]
    for loc, name in model.retrain.when.names() if model.retrain else ():
        if name not in alerts:
            yield ("retrain", "when", *loc), unknown("alert", name, alerts)


def _unique_alerts(model: Model) -> Found:
    seen: set[str] = set()
    for j, alert in enumerate(model.alerts):
        name, loc = ("default", ()) if alert == "default" else (alert.name, ("name",))
        if name in seen:
            yield ("alerts", j, *loc), f"{name!r} is taken by an earlier one; names must be unique"
        seen.add(name)


def _default_alerts(model: Model) -> tuple[str, ...]:
    from monitor.rules.defaults import NAMES

    return NAMES if "default" in model.alerts else ()


def _classes(model: Model) -> Found:
    if model.classes is None:
        return
    if len(set(model.classes)) < len(model.classes):
        yield ("classes",), "names a class twice; each must be there once"
    if model.task not in ("binary", "multiclass"):
        yield ("classes",), f"has no meaning for task {model.task}; it goes with binary and multiclass"
    elif model.task == "binary" and len(model.classes) != 2:
        yield ("classes",), f"must be the two classes of a binary task, not {len(model.classes)}"
    elif model.task == "binary" and model.positive_class not in model.classes:
        yield ("positive_class",), unknown("class", model.positive_class, model.classes)


def _checks(model: Model, declared: Declared) -> Found:
    checks = model.checks
    features = declared(("features",))
    for i, name in enumerate((checks.drift.columns or ()) if checks.drift else ()):
        if isinstance(model.features, dict) and name not in features:
            yield ("checks", "drift", "columns", i), unknown("feature", name, features)
    attributes = sensitive_attributes(model)
    for name in checks.fairness.privileged if checks.fairness else ():
        if name not in attributes:
            yield ("checks", "fairness", "privileged", name), unknown("sensitive attribute", name, attributes)
    for key in (
        (checks.performance.model_fields_set if checks.performance else ()) if model.task != "ranking" else ()
    ):
        yield ("checks", "performance", key), f"has no meaning for task {model.task}; it goes with ranking"
    if checks.performance and len(set(checks.performance.k)) < len(checks.performance.k):
        yield ("checks", "performance", "k"), "names a position twice; each must be there once"
    if checks.estimate and model.task not in ("binary", "regression"):
        yield ("checks", "estimate"), f"does not go with task {model.task}, only with binary and regression"
    elif checks.estimate and not declared(("reference",)):
        yield ("checks", "estimate"), "needs a labelled reference to learn from; give reference"
    for loc, text in explain_problems(model, declared, url_problems):
        yield ("checks", "explain", *loc), text
