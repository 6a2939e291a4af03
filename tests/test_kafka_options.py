"""How settings become each client's options, and what is refused before a broker is asked."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import Any

import pytest

from monitor.errors import SourceError
from monitor.sources import confluent, kafka_python_options
from monitor.sources.kafka import KafkaSettings, Security
from monitor.sources.kafka_open import open_kafka

SCRAM = Security("SASL_SSL", "SCRAM-SHA-512", "ann", password=lambda: "s3cret", ca_file="/ca.pem")
MTLS = Security("SSL", ca_file="/ca.pem", cert_file="/me.pem", key_file="/me.key", key_password=lambda: "k3y")
OAUTH = Security("SASL_SSL", "OAUTHBEARER", token=lambda: ("t0ken", 1e10))


@pytest.mark.parametrize(
    ("security", "expected"),
    [
        (Security(), {"security.protocol": "PLAINTEXT"}),
        (
            SCRAM,
            {
                "security.protocol": "SASL_SSL",
                "sasl.mechanisms": "SCRAM-SHA-512",
                "sasl.username": "ann",
                "sasl.password": "s3cret",
                "ssl.ca.location": "/ca.pem",
            },
        ),
        (
            MTLS,
            {
                "security.protocol": "SSL",
                "ssl.ca.location": "/ca.pem",
                "ssl.certificate.location": "/me.pem",
                "ssl.key.location": "/me.key",
                "ssl.key.password": "k3y",
            },
        ),
    ],
)
def test_librdkafka_gets_its_own_names(security: Security, expected: dict[str, Any]) -> None:
    assert confluent.security_options(security) == expected


@pytest.mark.parametrize(
    ("security", "expected"),
    [
        (Security(), {"security_protocol": "PLAINTEXT"}),
        (
            SCRAM,
            {
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": "SCRAM-SHA-512",
                "sasl_plain_username": "ann",
                "sasl_plain_password": "s3cret",
                "ssl_cafile": "/ca.pem",
            },
        ),
        (
            MTLS,
            {
                "security_protocol": "SSL",
                "ssl_cafile": "/ca.pem",
                "ssl_certfile": "/me.pem",
                "ssl_keyfile": "/me.key",
                "ssl_password": "k3y",
            },
        ),
    ],
)
def test_kafka_python_gets_its_own_names(security: Security, expected: dict[str, Any]) -> None:
    assert kafka_python_options.security_options(security) == expected


def test_oauth_tokens_are_asked_for_when_needed_by_both_clients() -> None:
    options = confluent.security_options(OAUTH)
    assert options["sasl.mechanisms"] == "OAUTHBEARER"
    callback: Any = options["oauth_cb"]
    assert callback("") == ("t0ken", 1e10)
    provider: Any = kafka_python_options.security_options(OAUTH)["sasl_oauth_token_provider"]
    assert provider.token() == "t0ken"


def test_secrets_are_not_in_the_text_of_settings() -> None:
    text = repr(KafkaSettings("b:9092", security=SCRAM))
    assert "ann" in text
    assert "password" not in text


@pytest.mark.parametrize(
    ("client", "option"),
    [("confluent", "enable.auto.commit"), ("kafka-python", "value_deserializer")],
)
def test_options_that_exact_reading_rests_on_cannot_be_overridden(client: Any, option: str) -> None:
    source = open_kafka("s", KafkaSettings("127.0.0.1:1", client=client, extra={option: True}), ["t"])
    with pytest.raises(SourceError, match=rf"source 's': the client option '{option}' .* not allowed are"):
        source.start({})


@pytest.mark.parametrize("client", ["confluent", "kafka-python"])
def test_an_unknown_option_is_refused_at_the_start(client: Any) -> None:
    source = open_kafka("s", KafkaSettings("127.0.0.1:1", client=client, extra={"no.such": 1}), ["t"])
    with pytest.raises(SourceError, match="no.such"):
        source.start({})


@pytest.mark.parametrize("client", ["confluent", "kafka-python"])
@pytest.mark.parametrize("key", ["ca_file", "cert_file"])
def test_a_certificate_that_is_not_there_is_refused_at_the_start(
    client: Any, key: str, tmp_path: Path
) -> None:
    security = Security("SSL", **{key: str(tmp_path / "none.pem")})  # type: ignore[arg-type]
    source = open_kafka("s", KafkaSettings("127.0.0.1:1", client=client, security=security), ["t"])
    with pytest.raises(SourceError, match=r"none\.pem"):
        source.start({})


def test_auto_prefers_confluent() -> None:
    assert isinstance(open_kafka("s", KafkaSettings("127.0.0.1:1"), ["t"]), confluent.ConfluentSource)


@pytest.mark.parametrize("polls", [0, 1])
@pytest.mark.parametrize("client", ["confluent", "kafka-python"])
@pytest.mark.filterwarnings("ignore:Exception ignored.*socket:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_closing_is_quick_while_no_broker_answers(client: Any, polls: int) -> None:
    source = open_kafka("s", KafkaSettings("127.0.0.1:1", client=client), ["t"])
    source.start({})
    for _ in range(polls):
        assert source.poll(0.3) is None
        assert source.status().error
    started = time.monotonic()
    source.close()
    assert time.monotonic() - started < 2.0
    assert not source.status().connected
    gc.collect()  # kafka-python leaves the socket of a refused connection to the garbage collector
