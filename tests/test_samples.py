"""Samples of rows: which are drawn, and how they become points and columns for decision trees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from in_process import PREDICTIONS, SMALL, InProcess, prediction
from scipy import stats
from scipy.spatial.distance import pdist

from monitor.engine.duckdb import Slice, WindowQuery
from monitor.engine.sample import sample_columns
from monitor.metrics.encoding import points, tree_columns
from monitor.metrics.examples import rows
from monitor.types import Kind

FEATURES: dict[str, Kind] = {"age": "numeric", "plan": "categorical", "bio": "text", "emb": "embedding"}
SPEC = replace(SMALL, features=FEATURES)


def landed(n: int) -> tuple[InProcess, WindowQuery]:
    """Land ``n`` events whose age counts them; return the window that all are in."""
    core = InProcess(SPEC, has_feedback=False)
    events = [{"age": float(i), "plan": "gold", "bio": "x", "emb": [1.0]} for i in range(n)]
    core.land({PREDICTIONS: [prediction(f"e{i}", i % 60, features=e) for i, e in enumerate(events)]})
    core.turn()
    return core, WindowQuery(core.cursor, SPEC, 1, core.answers[0].window)


def test_embeddings_of_another_length_or_with_gaps_are_missing() -> None:
    reference = [[1.0, 2.0], [3.0, 4.0], [5.0, 9.0]]
    pair = rows({"e": [*reference, [1.0]]}, {"e": [[1.0, None], None, [3.0, 4.0]]})
    left, right = tree_columns(*(t["e"] for t in (pair.reference, pair.current)))
    assert np.isnan(left).any(axis=1).tolist() == [False, False, False, True]
    assert np.isnan(right).any(axis=1).tolist() == [True, True, False]


def test_each_feature_weighs_the_same_two_random_rows_are_two_apart() -> None:
    rng = np.random.default_rng(17)
    many = {
        "a": rng.normal(7, 5, size=2000),
        "gaps": np.where(rng.random(2000) < 0.1, np.nan, rng.exponential(size=2000)),
        "plan": rng.choice(["gold", "silver", "tin"], size=2000, p=[0.2, 0.3, 0.5]).tolist(),
        "e": list(rng.normal(0, 9, size=(2000, 20)).astype(np.float32)),
    }
    pair = rows(many, {name: values[:1] for name, values in many.items()})
    assert pair.reference is not None
    for name, expected in {"a": 2.0, "gaps": 2.0, "plan": 2 * (1 - 0.04 - 0.09 - 0.25), "e": 2.0}.items():
        left, _ = points(pair.reference[name], pair.current[name])
        assert pdist(left, "sqeuclidean").mean() == pytest.approx(expected, rel=0.05), name


def test_a_windows_sample_is_of_the_smallest_ids_and_uniform() -> None:
    core, query = landed(3000)
    columns = sample_columns(FEATURES)
    sample = query.sample(Slice(), columns, 500)
    by_id = [age for (age,) in core.rows('SELECT "n:age" FROM predictions_1 ORDER BY id LIMIT 500')]
    assert sample["age"].to_pylist() == by_id and sample["emb"][0].as_py() == [1.0]
    assert stats.kstest(by_id, stats.uniform(0, 3000).cdf).pvalue > 0.001
    assert query.sample(Slice(), columns, 10**6).num_rows == 3000
    assert query.sample(Slice(version="none such"), columns, 5).num_rows == 0
    assert query.sample(Slice(segment=("plan", "gold")), columns, 5).num_rows == 5


def test_samples_hold_numbers_text_and_vectors() -> None:
    _, query = landed(5)
    types = query.sample(Slice(), sample_columns(FEATURES), 5).schema.types
    assert types[:3] == [pa.float64(), pa.string(), pa.float64()] and pa.types.is_list(types[-1])
