"""Kafka through kafka-python: the pure Python client, for where librdkafka cannot be installed."""

from __future__ import annotations

import base64
import contextlib
import re
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, OffsetAndMetadata
from kafka import TopicPartition as Assigned
from kafka.client_async import KafkaClient
from kafka.errors import (
    CorruptRecordError,
    IllegalStateError,
    KafkaConfigurationError,
    KafkaError,
    LogTruncationError,
    OffsetOutOfRangeError,
)
from kafka.net.sasl.oauth import AbstractTokenProvider

from monitor.errors import SourceError
from monitor.sources.kafka import (
    MIB,
    Chunk,
    KafkaSettings,
    Security,
    Topic,
    TopicPartition,
    Unreachable,
    merged_options,
)
from monitor.sources.kafka_driver import KafkaSource
