"""Choosing the Kafka client: the one place that knows both."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from monitor.errors import SourceError
from monitor.sources.kafka import KafkaSettings
from monitor.sources.kafka_driver import KafkaSource


def open_kafka(name: str, settings: KafkaSettings, topics: Sequence[str]) -> KafkaSource:
    """Return the source for ``topics``, with the client that the settings name (``auto``: the faster one).

    Raises
    ------
    SourceError
        When the chosen client is not installed or an option is not allowed.
    """
    client = settings.client
    if client == "auto":
        client = "confluent" if find_spec("confluent_kafka") else "kafka-python"
    package = {"confluent": "confluent_kafka", "kafka-python": "kafka"}[client]
    if find_spec(package) is None:
        raise SourceError(
            f"source {name!r}: the client {client!r} is not installed; pip install "
            f"{'confluent-kafka' if client == 'confluent' else 'kafka-python[crc32c]'}, or set client: auto"
        )
    if client == "confluent":
        from monitor.sources.confluent import ConfluentSource

        return ConfluentSource(name, settings, topics)
    from monitor.sources.kafka_python import KafkaPythonSource

    return KafkaPythonSource(name, settings, topics)
