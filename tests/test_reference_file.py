"""A reference file becomes a profile, with what each series is on the file itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from in_process import SMALL
from sklearn.metrics import accuracy_score, roc_auc_score

from monitor import config
from monitor.baselines import baselines
from monitor.build import monitored, plan
from monitor.reference.build import build
from monitor.reference.data import LazyBaselines, Reference
from monitor.reference.profile import ReferenceFile
from monitor.store.store import Store
from monitor.types import Baseline, BaselineKey, ChecksSpec, ModelSpec

CHECKS = ChecksSpec(drift=True, performance=True, quality=True, fairness=True, sensitive=(("sex",),))
SPEC = replace(SMALL, checks=CHECKS)
CHUNK = 150


def frame(rows: int = 20 * CHUNK, seed: int = 1) -> pd.DataFrame:
    """Return rows whose age grows with their place, so that chunks differ by more than chance."""
    rng = np.random.default_rng(seed)
    score = np.round(rng.random(rows), 3)
    return pd.DataFrame(
        {
            "age": np.round(rng.normal(40, 5, rows) + np.arange(rows) / rows * 10, 2),
            "plan": rng.choice(["gold", "tin"], rows, p=[0.3, 0.7]),
            "sex": rng.choice(["F", "M"], rows),
            "score": score,
            "prediction": (score >= 0.5).astype(int).astype(str),
            "label": (rng.random(rows) < score).astype(int).astype(str),
        }
    )


def found(rows: pd.DataFrame, folder: Path, spec: ModelSpec = SPEC) -> dict[BaselineKey, Baseline]:
    rows.to_parquet(folder / "reference.parquet")
    with ReferenceFile(folder / "reference.parquet").rows(spec) as query:
        return baselines(query, build(query))


def by_chunk(rows: pd.DataFrame, metric) -> tuple[float, float, float]:
    """Return the metric of all rows, and mean and sd over 20 chunks, by pandas."""
    values = pd.Series([metric(rows.iloc[i : i + CHUNK]) for i in range(0, len(rows), CHUNK)])
    return metric(rows), values.mean(), values.std()


def gap(rows: pd.DataFrame) -> float:
    rates = (rows["prediction"] == "1").groupby(rows["sex"]).mean()
    return float(rates.max() - rates.min())


@pytest.mark.slow
def test_baselines_are_the_metrics_of_twenty_chunks_in_the_order_of_the_file(tmp_path: Path) -> None:
    rows = frame()
    rows.loc[::7, "age"] = np.nan
    known = found(rows, tmp_path)
    expected = {
        ("accuracy", "", "", "", ""): lambda r: accuracy_score(r["label"], r["prediction"]),
        ("roc_auc", "", "", "", ""): lambda r: roc_auc_score(r["label"] == "1", r["score"]),
        ("missing_ratio", "age", "", "", ""): lambda r: r["age"].isna().mean(),
        ("demographic_parity_difference", "", "sex", "", ""): gap,
        ("group_selection_rate", "", "sex", "F", ""): lambda r: (
            r[r["sex"] == "F"]["prediction"] == "1"
        ).mean(),
    }
    for key, metric in expected.items():
        value, mean, sd = by_chunk(rows, metric)
        one = known[key]
        assert (one.value, one.mean, one.sd) == pytest.approx((value, mean, sd), abs=1e-6), key
        assert (one.chunks, one.chunk_rows) == (20, CHUNK)


@pytest.mark.slow
def test_drift_has_a_spread_between_chunks_and_no_value_of_the_whole(tmp_path: Path) -> None:
    from scipy.stats import ks_2samp

    rows = frame()
    known = found(rows, tmp_path)
    ks = pd.Series(
        [ks_2samp(rows["age"], rows["age"].iloc[i : i + CHUNK]).statistic for i in range(0, len(rows), CHUNK)]
    )
    one = known["ks_statistic", "age", "", "", ""]
    assert one.value is None
    assert (one.mean, one.sd) == pytest.approx((ks.mean(), ks.std()), abs=2e-3)
    shuffled = found(rows.sample(frac=1, random_state=3), tmp_path)["ks_statistic", "age", "", "", ""]
    assert one.mean is not None and shuffled.mean is not None and one.mean > 2 * shuffled.mean


@pytest.mark.slow
def test_rows_with_times_are_cut_in_the_order_of_time_wherever_they_stand(tmp_path: Path) -> None:
    rows = frame()
    rows["timestamp"] = pd.date_range("2026-01-01", periods=len(rows), freq="min", tz="UTC")
    straight = found(rows, tmp_path)
    shuffled = found(rows.sample(frac=1, random_state=4), tmp_path)
    assert straight.keys() == shuffled.keys()
    for key, one in straight.items():
        assert one.mean == pytest.approx(shuffled[key].mean, abs=1e-9), key


@pytest.mark.slow
def test_what_the_stream_did_to_the_rows_has_no_baseline(tmp_path: Path) -> None:
    names = {key[0] for key in found(frame(), tmp_path)}
    assert "drifted_share" in names and "group_accuracy" in names
    assert not names & {
        "row_count",
        "duplicate_ratio",
        "label_coverage",
        "group_count",
        "group_label_coverage",
    }


def test_a_small_reference_is_cut_into_fewer_chunks_and_a_tiny_one_into_none(tmp_path: Path) -> None:
    key = ("accuracy", "", "", "", "")
    few = found(frame(350), tmp_path)[key]
    assert (few.chunks, few.chunk_rows) == (3, 116)
    none = found(frame(150), tmp_path)[key]
    assert (none.chunks, none.mean, none.sd) == (0, None, None) and none.value is not None


def test_a_label_that_is_not_there_is_no_missing_value_of_the_reference(tmp_path: Path) -> None:
    rows = frame()
    rows.loc[::2, "label"] = None
    rows.to_parquet(tmp_path / "r.parquet")
    label = ReferenceFile(tmp_path / "r.parquet").profile(SPEC.features, task="binary").targets["label"]
    assert (label.n, label.missing) == (len(rows) // 2, 0)


def test_a_file_with_scores_alone_has_the_predictions_that_a_stream_would(tmp_path: Path) -> None:
    rows = frame().drop(columns=["prediction"])
    rows.to_parquet(tmp_path / "r.parquet")
    with ReferenceFile(tmp_path / "r.parquet").rows(replace(SPEC, threshold=0.8)) as query:
        prediction = build(query).targets["prediction"]
    assert prediction.counts.tolist() == [(rows["score"] < 0.8).sum(), (rows["score"] >= 0.8).sum()]  # type: ignore[union-attr]


CONFIG = """
sources: {{events: {{kind: memory}}}}
models:
  - name: credit
    task: binary
    predictions: {{source: events, topic: p}}
    feedback: {{source: events, topic: f}}
    features: {{age: numeric, plan: categorical}}
    reference: {{path: r.parquet}}
    window: {{size: 1h}}
    checks: {{drift: {{}}, performance: {{}}}}
    alerts: [{{name: a, metric: accuracy, below: {bound}}}]
"""


def test_a_profile_is_stored_under_its_id_and_read_back_bit_for_bit(tmp_path: Path) -> None:
    frame().to_parquet(tmp_path / "r.parquet")
    (tmp_path / "c.yaml").write_text(CONFIG.format(bound="0.5"))
    the_plan = plan(config.load(tmp_path / "c.yaml"))
    store = Store()
    (one,) = monitored(the_plan, store)
    assert one.reference is not None
    assert isinstance(one.reference.baselines, LazyBaselines) and not one.reference.baselines.known
    (row,) = store.cursor().execute("SELECT id, model, version FROM reference_profiles").fetchall()
    assert row == (one.reference.id, "credit", "*")
    looked_at = dict(one.reference.baselines)  # computed when they are first looked at
    again = Reference.from_json(replace(one.reference, baselines=looked_at).to_json())
    assert again.baselines == looked_at and len(looked_at) > 20
    assert again.to_json() == one.reference.to_json()
    assert json.loads(again.to_json())["id"] == one.reference.id


def test_stored_baselines_are_not_computed_again_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from monitor import references

    frame().to_parquet(tmp_path / "r.parquet")
    (tmp_path / "c.yaml").write_text(CONFIG.format(bound="0.5"))
    store = Store(tmp_path / "s.duckdb")
    monkeypatch.setattr("monitor.build.needs_baselines", lambda rule: True)
    (first,) = monitored(plan(config.load(tmp_path / "c.yaml")), store)
    monkeypatch.setattr(references, "baselines", lambda *_: pytest.fail("computed again"))
    (second,) = monitored(plan(config.load(tmp_path / "c.yaml")), store)
    assert first.reference is not None and second.reference is not None
    assert second.reference.baselines == first.reference.baselines
