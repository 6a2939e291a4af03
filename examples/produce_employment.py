"""Stream the employment story into Kafka for ``configs/kafka.yaml``, and receive the retrain request.

    python examples/produce_employment.py --bootstrap localhost:9092
    model-monitor run -c configs/kafka.yaml                              # in another terminal

Trains the model, writes ``reference.parquet`` and the webhook's secret into the folder, then produces
predictions and delayed labels: three weeks in about a minute, and on in real time until interrupted.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from threading import Thread

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from monitor.actions.receiver import make_server
from monitor.actions.signing import new_secret
from monitor.examples import employment

TOPICS = ("employment.predictions", "employment.feedback")


def main() -> None:
    """Prepare, receive, stream."""
    options = _options()
    options.folder.mkdir(parents=True, exist_ok=True)
    model = employment.train()
    employment.prepare(options.folder, model)
    start_us = employment.start_of(_now_us())
    story = employment.story(model, start_us)
    host, _, port = options.receive.rpartition(":")
    with make_server(int(port), _secret(options.folder), host=host) as receiver:
        Thread(target=receiver.serve_forever, daemon=True).start()
        _create_topics(options.bootstrap)
        (options.folder / "ready").touch()
        _say(f"streaming to {options.bootstrap}, receiving webhooks on {options.receive}")
        try:
            _stream(Producer({"bootstrap.servers": options.bootstrap}), story, options.seconds)
        except KeyboardInterrupt:
            _say("stopped")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bootstrap", default="localhost:9092", help="brokers")
    parser.add_argument(
        "--folder", type=Path, default=Path("state/employment"), help="EMPLOYMENT of the config"
    )
    parser.add_argument("--receive", default="127.0.0.1:9109", help="address of the webhook receiver")
    parser.add_argument("--seconds", type=float, default=66.0, help="in which the past goes by")
    return parser.parse_args()


def _secret(folder: Path) -> str:
    """Return the secret in the folder, making it the first time."""
    path = folder / "webhook.secret"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(new_secret(), encoding="utf-8")
    return path.read_text(encoding="utf-8")


def _create_topics(bootstrap: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    missing = [name for name in TOPICS if name not in admin.list_topics(timeout=30).topics]
    for done in admin.create_topics([NewTopic(name, 2, 1) for name in missing]).values() if missing else ():
        done.result()


def _stream(producer: Producer, story: employment.Story, seconds: float) -> None:
    started_s, sent_us = time.monotonic(), story.start_us
    while True:
        share = min((time.monotonic() - started_s) / max(seconds, 1e-3), 1.0)
        upto_us = story.start_us + round((_now_us() - story.start_us) * share)
        for topic, lines in zip(TOPICS, story.between(sent_us, upto_us), strict=True):
            for line in lines:
                producer.produce(topic, line.encode())
                producer.poll(0)
        producer.flush()
        sent_us = upto_us
        time.sleep(0.25)


def _now_us() -> int:
    return time.time_ns() // 1_000


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
