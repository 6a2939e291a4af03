"""Fixtures that start real servers: one Kafka for the session, and private ones to stop and start.

And one that keeps what a command run in this process does to logging from the next test.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator

import pytest
from kafka_broker import Broker, Cluster, KafkaUnavailableError, outside_broker

# A shell that starts the tests in the background has them ignore interrupts, and so would all they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _logging_as_found() -> Iterator[None]:
    found = {name: logging.getLogger(name).level for name in (None, "monitor", "apscheduler")}
    yield
    for name, level in found.items():
        logging.getLogger(name).setLevel(level)


def _started() -> Broker:
    try:
        broker = Broker()
    except KafkaUnavailableError as reason:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must test against a real Kafka: {reason}")
        pytest.skip(str(reason))
    broker.start()
    return broker


@pytest.fixture(scope="session")
def broker() -> Iterator[Cluster]:
    """A Kafka that all tests share; use topics of your own."""
    if address := outside_broker():
        yield Cluster(address)
        return
    started = _started()
    yield started
    started.close()


@pytest.fixture
def own_broker() -> Iterator[Callable[[], Broker]]:
    """Start a Kafka of one's own, to be stopped, broken and started again."""
    if outside_broker():
        pytest.skip("this test stops and starts its broker, which MODEL_MONITOR_TEST_KAFKA does not allow")
    brokers: list[Broker] = []

    def start() -> Broker:
        brokers.append(_started())
        return brokers[-1]

    yield start
    for broker in brokers:
        broker.close()
