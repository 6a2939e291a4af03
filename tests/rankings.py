"""Ranked lists and their relevance, in plain Python: an oracle that shares no formula with the monitor."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

import numpy as np

from monitor.time import to_rfc3339

List = Sequence[str]
Label = Mapping[str, float]


def ndcg(items: List, label: Label, k: int) -> float | None:
    def gain(values: Sequence[float]) -> float:
        return math.fsum(value / math.log2(rank + 1) for rank, value in enumerate(values[:k], start=1))

    best = gain(sorted(label.values(), reverse=True))
    return gain([label.get(item, 0) for item in items]) / best if best else None


def average_precision(items: List, label: Label, k: int) -> float | None:
    wanted = {item for item, value in label.items() if value > 0}
    found = [rank for rank, item in enumerate(items[:k], start=1) if item in wanted]
    precisions = [number / rank for number, rank in enumerate(found, start=1)]
    return sum(precisions) / min(k, len(wanted)) if wanted else None


def recall(items: List, label: Label, k: int) -> float | None:
    wanted = {item for item, value in label.items() if value > 0}
    return len(wanted & set(items[:k])) / len(wanted) if wanted else None


def hit(items: List, label: Label, k: int) -> float:
    return float(any(label.get(item, 0) > 0 for item in items[:k]))


def reciprocal_rank(items: List, label: Label) -> float:
    return next((1 / rank for rank, item in enumerate(items, start=1) if label.get(item, 0) > 0), 0.0)


def means(rows: Sequence[tuple[List, Label]], ks: Sequence[int]) -> dict[str, float]:
    """Return the mean of each metric over the lists that have it; none where no list has."""
    each = {"ndcg": ndcg, "map": average_precision, "recall": recall, "hit_rate": hit}
    values = {f"{name}@{k}": [one(*row, k) for row in rows] for name, one in each.items() for k in ks}
    values["mrr"] = [reciprocal_rank(*row) for row in rows]
    held = {name: [x for x in column if x is not None] for name, column in values.items()}
    return {name: math.fsum(column) / len(column) for name, column in held.items() if column}


def draw(
    rng: np.random.Generator, n: int, items: int = 40
) -> list[tuple[list[str], dict[str, float] | None]]:
    """Draw lists, some empty or short, and graded labels with ties: empty, of items not shown, or none."""
    names = np.array([f"i{j}" for j in range(items)])
    weights = 1 / np.arange(1, items + 1)
    rows: list[tuple[list[str], dict[str, float] | None]] = []
    for _ in range(n):
        shown = rng.choice(names, rng.integers(0, 13), replace=False, p=weights / weights.sum()).tolist()
        some = rng.choice(names, rng.integers(0, 6), replace=False).tolist()
        if shown and rng.random() < 0.7:
            some = list({*some, shown[min(int(rng.geometric(0.4)) - 1, len(shown) - 1)]})
        label = {item: float(rng.choice([0, 1, 1, 2, 0.5])) for item in sorted(some)}
        rows.append((shown, None if rng.random() < 0.2 else label))
    return rows


def shown(event_id: str, items: object, at_us: int, /, **fields: object) -> bytes:
    """Return the record of a list that was shown."""
    event = {"event_id": event_id, "timestamp": to_rfc3339(at_us), "prediction": items}
    return json.dumps(event | fields).encode()


def said(event_id: str, label: object, at_us: int | None, item: object = None) -> bytes:
    """Return the record of feedback about a list, or about one item."""
    event: dict[str, object] = {"event_id": event_id, "label": label}
    event |= {} if item is None else {"item": item}
    event |= {} if at_us is None else {"timestamp": to_rfc3339(at_us)}
    return json.dumps(event).encode()
