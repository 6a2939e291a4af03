"""Seeded streams of events with everything a real log has: duplicates, conflicts, late and corrected labels.

A :class:`Scenario` is what brokers or files hold: raw values by partition in log order. It is made of
numbers alone; nothing here knows how the monitor works.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from monitor.types import RAW_SCHEMA, Partition, Position, RawBatch

START_US = 1_748_736_000_000_000  # 2025-06-01T00:00:00Z
HOUR_US = 3_600_000_000
CONTINUOUS, DISCRETE = 3, 9  # numeric features with many and with few distinct values
PLANS = ("basic", "gold", "silver")
CATEGORICAL: dict[str, tuple[str, ...]] = {
    "plan": PLANS,
    "region": ("north", "south", "west"),
    "channel": ("app", "branch", "phone", "web"),
    "device": ("desktop", "phone"),
}
NUMERIC = [f"x{i}" for i in range(CONTINUOUS)] + [f"d{i}" for i in range(DISCRETE)]
FEATURES = {**dict.fromkeys(NUMERIC, "numeric"), **dict.fromkeys(CATEGORICAL, "categorical")}

CONFIG = """
store: {{path: {store}, retention: 36500d, memory_limit: 1GB}}
server: {{listen: "127.0.0.1:0"}}
scheduler: {{tick: {tick}}}
sources:
  events: {source}
models:
  - name: credit
    task: binary
    predictions: {{source: events, {predictions}}}
    feedback: {{source: events, {feedback}}}
    features: {features}
    positive_class: "1"
    reference: {{path: {reference}}}
    window: {{size: 1h, every: {every}, lateness: 1m, label_wait: 2h, min_label_coverage: 0.2}}
    segments: {segments}
    checks:
      drift: {{}}
      quality: {{}}
      performance: {{}}
      fairness: {{{fairness}, min_group_size: 20}}
    alerts:
      - {{name: drifted, metric: psi, feature: d0, above: 0.1}}
      - {{name: inaccurate, metric: accuracy, below: 0.9}}
"""


@dataclass(frozen=True)
class Scenario:
    """Raw values by partition, in log order."""

    predictions: list[list[bytes]]
    feedback: list[list[bytes]]

    @property
    def records(self) -> int:
        return sum(map(len, self.predictions)) + sum(map(len, self.feedback))


def columns(rng: np.random.Generator, n: int, *, shift: float | np.ndarray = 0.0) -> dict[str, list[object]]:
    """Return the features, score, sex and truth of ``n`` rows; ``shift`` moves some of the features."""
    found: dict[str, list[object]] = {}
    for i in range(CONTINUOUS):
        values = rng.normal(10 * i, 1 + i, n) + (shift if i == 0 else 0)
        found[f"x{i}"] = np.round(values, 6).tolist()
    for i in range(DISCRETE):
        values = rng.normal(0, 10 + 5 * i, n) + (10 * shift if i == 0 else 0)
        found[f"d{i}"] = np.clip(np.rint(values), -200, 200).tolist()
    for name, choices in CATEGORICAL.items():
        weights = np.arange(1, len(choices) + 1, dtype=float)
        found[name] = rng.choice(np.array(choices, dtype=object), n, p=weights / weights.sum()).tolist()
    sex = rng.random(n) < 0.4
    score = np.round(rng.beta(2, 3 - sex, n), 5)
    found["score"], found["sex"] = score.tolist(), np.where(sex, "F", "M").tolist()
    found["label"] = (rng.random(n) < score**0.8).astype(int).astype(str).tolist()
    return found


def reference(rows: int, seed: int = 1) -> pd.DataFrame:
    """Return a labelled reference of the same making."""
    frame = pd.DataFrame(columns(np.random.default_rng(seed), rows))
    frame["prediction"] = (frame["score"] >= 0.5).astype(int).astype(str)
    return frame


def generate(
    seed: int,
    events: int,
    *,
    windows: int = 4,
    partitions: int = 2,
    labelled: float = 0.5,
    duplicates: float = 0.1,
    late: float = 0.1,
    corrected: float = 0.05,
    contested: bool = True,
) -> Scenario:
    """Make ``events`` distinct predictions over ``windows`` hours, and their feedback.

    Of the labels some are withdrawn, some are about unknown ids, and corrections arrive in any order. With
    ``contested`` one in ten duplicates has another payload and some corrections have the same timestamp:
    there the log order decides, so such a stream must not be shuffled.
    """
    rng = np.random.default_rng(seed)
    time_us = np.sort(rng.integers(START_US, START_US + windows * HOUR_US, events))
    drifted = (time_us - START_US) >= windows * HOUR_US // 2
    data = columns(rng, events, shift=np.where(drifted, 0.5, 0.0))
    bodies = _predictions(rng, data, time_us)
    at = np.arange(events, dtype=float)
    at[rng.random(events) < late] += rng.uniform(0, 0.6 * events)
    arrivals = list(zip(at.tolist(), range(events), bodies, strict=True))
    again = rng.choice(events, int(duplicates * events), replace=False)
    for k, i in enumerate(again.tolist()):
        body = bodies[i]
        if contested and k % 10 == 0:  # the same id with another payload: a conflict
            event = json.loads(body)
            event["score"], event["features"]["d1"] = 0.123, 7
            body = json.dumps(event).encode()
        arrivals.append((at[i] + rng.uniform(0, 0.3 * events), events + k, body))
    labels = _labels(rng, data["label"], time_us, at, labelled, corrected, contested)
    return Scenario(_spread(rng, arrivals, partitions), _spread(rng, labels, partitions))


def _predictions(rng: np.random.Generator, data: Mapping[str, list], time_us: np.ndarray) -> list[bytes]:
    n = len(time_us)
    missing, wrong = rng.random(n) < 0.02, rng.random(n) < 0.005
    version = np.where(rng.random(n) < 0.8, "3", "4").tolist()
    scored_only = rng.random(n) < 0.3
    names, texts = list(NUMERIC), list(CATEGORICAL)
    rows = zip(*(data[name] for name in (*names, *texts)), strict=True)
    moments, bodies = rfc3339(time_us), []
    for i, row in enumerate(rows):
        values = dict(zip((*names, *texts), row, strict=True))
        if missing[i]:
            values["d2"] = values["plan"] = None
        if wrong[i]:
            values["d3"], values["device"] = "many", "fridge"  # a wrong type, and a category never seen
        score = data["score"][i]
        event = {
            "event_id": f"e-{i}", "model": "credit", "version": version[i], "timestamp": moments[i],
            "features": values, "score": score, "segments": {"sex": data["sex"][i]},
        }  # fmt: skip
        if not scored_only[i]:
            event["prediction"] = "1" if score >= 0.5 else "0"
        bodies.append(json.dumps(event).encode())
    return bodies


def _labels(
    rng: np.random.Generator,
    truth: Sequence[object],
    time_us: np.ndarray,
    at: np.ndarray,
    labelled: float,
    corrected: float,
    contested: bool,
) -> list[tuple[float, int, bytes]]:
    found: list[tuple[float, int, bytes]] = []

    def add(where: float, event_id: str, moment_us: int, label: object) -> None:
        body = {"event_id": event_id, "timestamp": rfc3339(np.array([moment_us]))[0], "label": label}
        found.append((where, len(found), json.dumps(body).encode()))

    chosen = np.sort(rng.choice(len(time_us), int(labelled * len(time_us)), replace=False))
    kind, delay_us = rng.random(len(chosen)), rng.integers(1, 2 * HOUR_US, len(chosen))
    place = at[chosen] + rng.uniform(-0.05, 0.3, len(chosen)) * len(at)
    for i, k, delay, where in zip(chosen.tolist(), kind, delay_us.tolist(), place.tolist(), strict=True):
        moment = int(time_us[i]) + delay
        first = truth[i] if k >= corrected else ("1" if truth[i] == "0" else "0")
        add(where, f"e-{i}", moment, first)
        if k < corrected:  # the correction may come earlier or later in the log, or have the same timestamp
            later = 0 if contested and k < corrected / 5 else 1 + i % 1000
            add(where + rng.uniform(-0.1, 0.1) * len(at), f"e-{i}", moment + later, truth[i])
        elif k < corrected + 0.01:
            add(where + 1, f"e-{i}", moment + 1, None)  # withdrawn
        elif k < corrected + 0.02:
            add(where, f"orphan-{i}", moment, "1")
    return found


def _spread(
    rng: np.random.Generator, arrivals: list[tuple[float, int, bytes]], partitions: int
) -> list[list[bytes]]:
    ordered = sorted(arrivals)
    logs: list[list[bytes]] = [[] for _ in range(partitions)]
    for part, (_, _, body) in zip(rng.integers(0, partitions, len(ordered)).tolist(), ordered, strict=True):
        logs[part].append(body)
    return logs


def rfc3339(time_us: np.ndarray) -> list[str]:
    """Format moments with microseconds."""
    epoch = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - formatting only
    return [(epoch + dt.timedelta(microseconds=t)).isoformat() + "Z" for t in time_us.tolist()]


def write_files(folder: Path, scenario: Scenario) -> None:
    """Write the logs as JSON lines: ``p-0.jsonl``, ``f-0.jsonl`` and so on."""
    for kind, logs in (("p", scenario.predictions), ("f", scenario.feedback)):
        for i, log in enumerate(logs):
            (folder / f"{kind}-{i}.jsonl").write_bytes(b"".join(value + b"\n" for value in log))


def raw_batch(
    values: Mapping[Partition, Sequence[bytes | None]], starts: Mapping[Partition, int] | None = None
) -> RawBatch:
    """Return a batch of these values; offsets go on from ``starts``."""
    starts = starts or {}
    parts, offs, rows = [], [], []
    for number, (partition, some) in enumerate(values.items()):
        first = starts.get(partition, 0)
        parts += [number] * len(some)
        offs += range(first, first + len(some))
        rows += some
    arrays = [pa.array(parts, pa.int32()), pa.array(offs, pa.int64()), pa.nulls(len(rows), pa.int64())]
    table = pa.Table.from_arrays([*arrays, pa.array(rows, pa.binary())], schema=RAW_SCHEMA)
    ends = {p: Position(starts.get(p, 0) + len(some)) for p, some in values.items()}
    return RawBatch(tuple(values), table, ends)


def write_config(
    folder: Path, *, source: str, predictions: str, feedback: str, rows: int = 20_000, every: str = "1h",
    tick: str = "1s", store: str = "monitor.duckdb", name: str = "config.yaml", light: bool = False,
) -> Path:  # fmt: skip
    """Write the reference and the configuration of the stream's model; return the configuration's path.

    A ``light`` one has no segments and one sensitive attribute only, so that windows are asked quickly.
    """
    path = folder / "reference.parquet"
    if not path.exists():
        reference(rows).to_parquet(path)
    features = "{" + ", ".join(f"{n}: {k}" for n, k in FEATURES.items()) + "}"
    text = CONFIG.format(
        store=store, tick=tick, source=source, predictions=predictions, feedback=feedback, features=features,
        reference=path.name, every=every, segments="[]" if light else "[plan]",
        fairness="sensitive: [sex]" if light else "sensitive: [sex, region], intersections: [[sex, region]]",
    )  # fmt: skip
    (folder / name).write_text(text)
    return folder / name
