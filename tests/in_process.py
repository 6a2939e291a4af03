"""The monitor's core in one process, driven by hand: land these values, make a turn at this moment."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from streams import HOUR_US, START_US, raw_batch

from monitor import config
from monitor.build import monitored, plan
from monitor.cycle import Answer, Cycle, Monitored, turn
from monitor.reference.profile import Reference
from monitor.store.landing import LandReport, Route, land
from monitor.store.results import read_results
from monitor.store.settle import Settled
from monitor.store.store import Store
from monitor.store.upkeep import violations
from monitor.time import to_rfc3339
from monitor.types import ChecksSpec, ModelSpec, Partition, WindowSpec

NOW_US = START_US + 1000 * HOUR_US
SMALL = ModelSpec(
    name="credit",
    task="binary",
    features={"age": "numeric", "plan": "categorical"},
    window=WindowSpec(HOUR_US, HOUR_US, 0, 2 * HOUR_US, 0.5),
    checks=ChecksSpec(performance=True, quality=True, fairness=True, sensitive=(("sex",),), min_group_size=1),
)
PREDICTIONS, FEEDBACK = Partition("events", "p", "0"), Partition("events", "f", "0")


class InProcess:
    """A store, one model, and what happens to them when told."""

    def __init__(
        self,
        spec: ModelSpec = SMALL,
        *,
        path: Path | None = None,
        reference: Reference | None = None,
        has_feedback: bool = True,
        routes: Mapping[str, Sequence[Route]] | None = None,
    ) -> None:
        self.store = Store(path)
        self.cursor = self.store.cursor()
        one = Monitored(spec, self.store.register(spec), reference, has_feedback=has_feedback)
        self.cycle = Cycle(self.store, self.cursor, one)
        default = {"p": [Route(spec, frozenset({"prediction"}))], "f": [Route(spec, frozenset({"feedback"}))]}
        self.routes = routes or default
        self._ends: dict[Partition, int] = {}

    @classmethod
    def configured(cls, config_path: Path, store_path: Path | None = None) -> InProcess:
        """Take the first model of a configuration file whose source is called ``events``."""
        the_plan = plan(config.load(config_path))
        self = cls(the_plan.specs[0], path=store_path, routes=the_plan.routes["events"])
        self.cycle = Cycle(self.store, self.cursor, monitored(the_plan, self.store)[0])
        return self

    def land(self, values: Mapping[Partition, Sequence[bytes | None]], *, now_us: int = NOW_US) -> LandReport:
        """Land values behind those that were landed before on each partition."""
        batch = raw_batch(values, self._ends)
        report = land(self.store, self.cursor, batch, self.routes, now_us=now_us)
        for partition, some in values.items():
            self._ends[partition] = self._ends.get(partition, 0) + len(some)
        return report

    def turn(self, watermark_us: int = NOW_US) -> Settled:
        """Settle, and ask every window that is due at this moment."""
        self.answers: list[Answer] = []
        return turn(self.cycle, watermark_us, now_us=watermark_us, on_answer=self.answers.append)

    def results(self, *, revision: bool = False) -> list[dict[str, Any]]:
        """Return the stored results in a fixed order, without their revision."""
        rows = read_results(self.store.cursor())
        found = [(r if revision else replace(r, revision=1)).to_json() for r in rows]
        return sorted(found, key=lambda row: str({k: v for k, v in row.items() if k not in NUMBERS}))

    def value(self, metric: str, window_start_us: int = START_US, **labels: str) -> float | None:
        """Return one stored number; fails when there is no such row."""
        found = [
            r for r in read_results(self.store.cursor())
            if r.metric == metric and r.window.start_us == window_start_us and r.version == "*"
            and r.segment is None and all(getattr(r, k) == v for k, v in labels.items())
        ]  # fmt: skip
        assert len(found) == 1, found
        return found[0].value

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.cursor.execute(query).fetchall()

    def violations(self) -> list[str]:
        return violations(self.cursor)


NUMBERS = ("state", "value", "lower", "upper", "n", "n_reference", "detail")


def prediction(event_id: str, minute: float = 0, /, **fields: Any) -> bytes:
    """Return a canonical prediction ``minute`` minutes after the start."""
    event = {
        "event_id": event_id, "timestamp": to_rfc3339(START_US + round(minute * 60e6)), "prediction": "1",
        "features": {"age": 41, "plan": "gold"}, "segments": {"sex": "F"},
    }  # fmt: skip
    return json.dumps(event | fields).encode()


def feedback(event_id: str, label: object, minute: float | None = 60) -> bytes:
    """Return feedback about a prediction, ``minute`` minutes after the start or without a time."""
    event: dict[str, object] = {"event_id": event_id, "label": label}
    if minute is not None:
        event["timestamp"] = to_rfc3339(START_US + round(minute * 60e6))
    return json.dumps(event).encode()
