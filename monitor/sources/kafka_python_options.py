"""kafka-python's own names for what a Kafka source is told."""

from __future__ import annotations

import warnings

from monitor.sources.kafka import MIB, KafkaSettings, Security, merged_options

with warnings.catch_warnings():  # kafka-python 3.0.12 loads its schemas in a way Python 3.11 deprecates
    warnings.simplefilter("ignore", DeprecationWarning)
    from kafka.net.sasl.oauth import AbstractTokenProvider

PROTECTED = frozenset(
    {
        *("auto_offset_reset", "bootstrap_servers", "check_crcs", "enable_auto_commit", "group_id"),
        *("isolation_level", "kafka_client", "key_deserializer", "value_deserializer"),
    }
)


class _Token(AbstractTokenProvider):  # type: ignore[misc]  # kafka-python has no types
    def __init__(self, security: Security) -> None:
        super().__init__()
        self._security = security

    def token(self) -> str:
        assert self._security.token is not None
        return self._security.token()[0]


def security_options(security: Security) -> dict[str, object]:
    """Translate the security settings to kafka-python's options."""
    given: dict[str, object] = {
        "security_protocol": security.protocol,
        "sasl_mechanism": security.mechanism,
        "sasl_plain_username": security.username,
        "sasl_plain_password": security.password() if security.password else "",
        "ssl_cafile": security.ca_file,
        "ssl_certfile": security.cert_file,
        "ssl_keyfile": security.key_file,
        "ssl_password": security.key_password() if security.key_password else "",
        "sasl_oauth_token_provider": _Token(security) if security.token else "",
    }
    return {key: value for key, value in given.items() if value}


def consumer_options(name: str, settings: KafkaSettings) -> dict[str, object]:
    """Return kafka-python's options for a source."""
    ours: dict[str, object] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "client_id": f"model-monitor-{name}",
        "group_id": settings.group_id or None,
        "enable_auto_commit": False,
        "auto_offset_reset": "none",  # never jump silently
        "isolation_level": settings.isolation,
        "check_crcs": True,
        "fetch_max_wait_ms": 100,
        "fetch_max_bytes": 16 * MIB,
        "max_partition_fetch_bytes": 2 * MIB,
        "reconnect_backoff_max_ms": 2_000,
        "request_timeout_ms": 15_000,
        "bootstrap_timeout_ms": 5_000,
        "metadata_max_age_ms": int(settings.refresh_s * 1000),
        "metrics_enabled": False,
        **security_options(settings.security),
    }
    return merged_options(ours, settings.extra, PROTECTED, f"source {name!r}")
