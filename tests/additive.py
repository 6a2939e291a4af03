"""A model simple enough to explain by hand, and the monitor's core with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from in_process import PREDICTIONS, SMALL, InProcess, prediction
from streams import START_US

from monitor.cycle import Cycle
from monitor.errors import ExplainError
from monitor.explain import Explained
from monitor.reference.profile import Reference
from monitor.store.results import read_results
from monitor.types import ChecksSpec, Result

CHECKS = ChecksSpec(quality=True, performance=True, explain=True, explain_sample=200)
SPEC = replace(SMALL, checks=CHECKS, segments=("plan",))
END_US = START_US + 3_600_000_000
WEIGHTS = {"gold": 1.0, "tin": -2.0}


class Additive:
    """Explains ``2 * age + weight(plan)``, whose Shapley values against zero are its terms."""

    model_hash = key = "additive"

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.fails, self.most = "", 10**9

    def explain(self, rows: pa.Table, *, deadline_s: float) -> Explained:
        self.asked.append(rows.num_rows)
        if self.fails:
            raise ExplainError(self.fails)
        age = pc.fill_null(rows["age"], 0.0).to_numpy()
        plan = np.array([WEIGHTS.get(p, 0.0) for p in rows["plan"].to_pylist()])
        values = np.stack([2 * age, plan], axis=1)[: self.most, None, :]
        base = np.zeros((len(values), 1))
        return Explained(values, base, values.sum(axis=2), ("age", "plan"), ("1",))

    def close(self) -> None:
        pass


def reference() -> Reference:
    rows = pa.table({"age": [1.0, 3.0, None] * 20, "plan": ["gold", "tin", "tin"] * 20})
    return Reference("ref", 60, {}, sample=rows)


class Core(InProcess):
    """A model with an explainer, and events whose age counts them."""

    def __init__(self, explainer: Additive, spec: Any = SPEC, known: Reference | None = None) -> None:
        super().__init__(spec)
        one = replace(self.cycle.monitored, explainer=explainer, reference=known)
        self.cycle = Cycle(self.store, self.cursor, one)

    def events(self, n: int, start: int = 0, version: str = "1") -> None:
        some = [
            prediction(f"e{i}", i % 60, version=version,
                       features={"age": i / n, "plan": "gold" if i % 10 else "tin"})
            for i in range(start, start + n)
        ]  # fmt: skip
        self.land({PREDICTIONS: some})

    def of(self, metric: str, **labels: Any) -> list[Result]:
        wanted = {"version": "*", "segment": None} | labels
        return [
            r
            for r in read_results(self.cursor)
            if r.metric == metric and all(getattr(r, k) == v for k, v in wanted.items())
        ]
