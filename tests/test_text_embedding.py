"""Texts and embeddings from the record to the result, and the samples of rows that are drawn of them."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from in_process import PREDICTIONS, SMALL, InProcess, prediction
from scipy import stats
from scipy.spatial.distance import cosine

from monitor import config
from monitor.build import plan
from monitor.engine.duckdb import Slice, WindowQuery
from monitor.errors import ConfigError
from monitor.lift import feature_pairs
from monitor.reference.profile import Reference, ReferenceFile
from monitor.types import ChecksSpec, Kind, ModelSpec

FEATURES: dict[str, Kind] = {"age": "numeric", "plan": "categorical", "bio": "text", "emb": "embedding"}
SPEC = replace(
    SMALL, features=FEATURES, checks=ChecksSpec(drift=True, quality=True, multivariate=True, alpha=0.01)
)
WORDS = ["loan", "für", "house", "日本", "car", "  ", "a\tb\n"]


def population(
    rng: np.random.Generator, n: int, *, shift: float = 0.0, length: int = 4
) -> list[dict[str, Any]]:
    """Return the features of ``n`` events; vectors of 24 numbers around (1 + shift, 1, 1, ...)."""
    vectors = rng.normal(1, 1, size=(n, 24)).astype(np.float32)
    vectors[:, 0] += np.float32(shift)
    return [
        {
            "age": float(rng.normal(40, 9)),
            "plan": str(rng.choice(["gold", "tin"])),
            "bio": " ".join(rng.choice(WORDS, size=rng.integers(0, 2 * length))),
            "emb": [float(x) for x in vectors[i]],
        }
        for i in range(n)
    ]


def reference_of(events: list[dict[str, Any]], folder: Path, **more: Any) -> Reference:
    path = folder / "reference.parquet"
    pd.DataFrame(events).to_parquet(path)
    return ReferenceFile(path).profile(FEATURES, task="binary", **more)


def monitored_window(
    events: list[dict[str, Any]], reference: Reference | None, spec: ModelSpec = SPEC
) -> InProcess:
    core = InProcess(spec, reference=reference, has_feedback=False)
    rows = [prediction(f"e{i}", i % 60, features=e) for i, e in enumerate(events)]
    report = core.land({PREDICTIONS: rows})
    assert not report.quarantined and report.landed["credit", "prediction"] == len(events)
    core.turn()
    return core


def test_numbers_made_of_texts_and_vectors_drift_as_those_computed_from_the_raw_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    before, after = population(rng, 700), population(rng, 300, shift=4, length=7)
    core = monitored_window(after, reference_of(before, tmp_path))
    centroid = np.mean([e["emb"] for e in before], axis=0)
    expected = {
        "bio.length": lambda e: len(e["bio"]),
        "bio.words": lambda e: len(e["bio"].split()),
        "bio.empty": lambda e: float(not e["bio"].strip()),
        "emb.norm": lambda e: np.linalg.norm(e["emb"]),
        "emb.cosine_distance": lambda e: cosine(e["emb"], centroid),
    }
    for name, made in expected.items():
        sides = [[made(e) for e in events] for events in (before, after)]
        statistic = stats.ks_2samp(*sides, method="asymp").statistic
        assert core.value("ks_statistic", feature=name) == pytest.approx(statistic, abs=1e-12), name
    shares = [
        [sum(ord(c) > 127 for c in e["bio"]) / len(e["bio"]) for e in events if e["bio"]]
        for events in (before, after)
    ]
    statistic = stats.ks_2samp(*shares, method="asymp").statistic
    assert core.value("ks_statistic", feature="bio.non_ascii_share") == pytest.approx(statistic, abs=1e-12)
    empty = sum(not e["bio"] for e in after) / len(after)
    assert core.value("missing_ratio", feature="bio.non_ascii_share") == pytest.approx(empty)
    assert core.value("ks_pvalue", feature="emb.cosine_distance") < 1e-6  # type: ignore[operator]
    assert core.value("ks_pvalue", feature="age") > 1e-3  # type: ignore[operator]


def test_no_word_of_a_text_is_in_the_store(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    core = InProcess(SPEC, path=path)
    core.land({PREDICTIONS: [prediction("e", features={"bio": "Grandmother's unmistakable secret"})]})
    core.turn()
    assert core.rows('SELECT "t:bio.words" FROM predictions_1') == [(3.0,)]
    core.cursor.execute("CHECKPOINT")
    files = [f.read_bytes() for f in tmp_path.iterdir()]
    assert files and not any(b"unmistakable" in held for held in files)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("", (0.0, 0.0, None, 1.0)),
        (" \t\n", (3.0, 0.0, 0.0, 1.0)),
        ("two words", (9.0, 2.0, 0.0, 0.0)),
        ("naïve", (5.0, 1.0, 0.2, 0.0)),
        ("😀😀", (2.0, 1.0, 1.0, 0.0)),
        (17, (2.0, 1.0, 0.0, 0.0)),
        (None, (None, None, None, None)),
        (["a"], (None, None, None, None)),
    ],
)
def test_a_text_becomes_four_numbers(text: object, numbers: tuple[float | None, ...]) -> None:
    core = InProcess(SPEC)
    core.land({PREDICTIONS: [prediction("e", features={"bio": text})]})
    listed = ", ".join(f'"t:bio.{n}"' for n in ("length", "words", "non_ascii_share", "empty"))
    assert core.rows(f"SELECT {listed} FROM predictions_1") == [numbers]


@pytest.mark.parametrize(
    ("vector", "norm", "distance"),
    [
        ([3, 4], 5.0, 1 - 7 / (5 * 2**0.5)),
        ([-1, -1], 2**0.5, 2.0),
        ([0, 0], 0.0, None),
        ([3, 4, 12], 13.0, None),
        ([3, None], None, None),
        ([], None, None),
        ("text", None, None),
        (None, None, None),
    ],
)
def test_a_vector_has_a_norm_and_a_distance_or_they_are_missing(
    vector: object, norm: float | None, distance: float | None, tmp_path: Path
) -> None:
    path = tmp_path / "reference.jsonl"
    path.write_text("\n".join(json.dumps({"emb": [i, i]}) for i in (1, 2, 3)))
    features: dict[str, Kind] = {"emb": "embedding"}
    spec = replace(SPEC, features=features)
    reference = ReferenceFile(path).profile(features, task="binary")
    assert reference.centroids["emb"].tolist() == [2.0, 2.0]
    core = InProcess(spec, reference=reference, has_feedback=False)
    core.land({PREDICTIONS: [prediction("e", features={"emb": vector})]})
    core.turn()
    for name, number in {"emb.norm": norm, "emb.cosine_distance": distance}.items():
        assert core.value("missing_ratio", feature=name) == float(number is None)
        if number is not None:
            query = WindowQuery(core.cursor, spec, 1, core.answers[0].window)
            pairs = dict(feature_pairs(query, reference, Slice(), query.panes()))
            assert pairs[name].current.moments.mean == pytest.approx(number, abs=1e-12)  # type: ignore[union-attr]


def test_without_a_reference_a_vector_has_a_norm_and_no_distance() -> None:
    core = monitored_window(population(np.random.default_rng(2), 40), None)
    features = {row["feature"] for row in core.results() if row["metric"] == "missing_ratio"}
    assert features == {
        "age", "plan", "bio.length", "bio.words", "bio.non_ascii_share", "bio.empty", "emb.norm"
    }  # fmt: skip
    states = {r["state"] for r in core.results() if r["metric"] in ("mmd", "domain_classifier_auc")}
    assert states == {"no_reference"}


def test_whole_rows_and_each_embedding_are_compared_with_the_references_sample(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    core = monitored_window(population(rng, 400, shift=3), reference_of(population(rng, 900), tmp_path))
    found = {(r["metric"], r["feature"]): r for r in core.results()}
    for feature in (None, "emb"):
        auc, mmd = found["domain_classifier_auc", feature], found["mmd", feature]
        assert auc["lower"] > 0.8 and (auc["n"], auc["n_reference"]) == (400, 900)
        assert mmd["detail"]["pvalue"] < 0.01 and mmd["value"] > mmd["detail"]["critical"]
    assert next(iter(found["domain_classifier_auc", None]["detail"]["top_features"])) == "emb"
    assert found["reconstruction_error", None]["state"] == "ok"
    assert ("reconstruction_error", "emb") not in found


def test_multivariate_metrics_are_asked_of_the_whole_window_and_only_when_switched_on(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    reference, events = reference_of(population(rng, 300), tmp_path), population(rng, 60)
    off = monitored_window(
        events, reference, replace(SPEC, checks=replace(SPEC.checks, multivariate=False), segments=("plan",))
    )
    assert not [r for r in off.results() if r["metric"] == "mmd"]
    on = monitored_window(events, reference, replace(SPEC, segments=("plan",)))
    asked = [(r["feature"], r["segment"], r["version"]) for r in on.results() if r["metric"] == "mmd"]
    assert sorted(asked, key=str) == [("emb", None, "*"), (None, None, "*")]


def test_results_are_the_same_whatever_order_the_events_came_in(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    reference, events = reference_of(population(rng, 300), tmp_path), population(rng, 120)
    numbered = [prediction(f"e{i}", i % 60, features=e) for i, e in enumerate(events)]
    answers = []
    for order in range(2):
        core = InProcess(SPEC, reference=reference, has_feedback=False)
        shuffled = list(numbered)
        random.Random(order).shuffle(shuffled)
        core.land({PREDICTIONS: [*shuffled, *shuffled[:30]]})
        core.turn()
        answers.append([r for r in core.results() if not r["metric"].startswith(("duplicate", "conflict"))])
    assert answers[0] == answers[1]
    assert any(r["metric"] == "domain_classifier_auc" and r["state"] == "ok" for r in answers[0])


def test_a_references_sample_is_bounded_uniform_and_survives_storage(tmp_path: Path) -> None:
    events = [{"age": float(i), "plan": "gold", "bio": "a b", "emb": [0.5, i]} for i in range(4000)]
    reference = reference_of(events, tmp_path, sample=700)
    assert reference.sample is not None and reference.sample.num_rows == 700
    ages = reference.sample["age"].to_pylist()
    assert len(set(ages)) == 700
    assert stats.kstest(ages, stats.uniform(0, 4000).cdf).pvalue > 0.001
    assert (
        reference.sample["bio.words"].to_pylist() == [2.0] * 700
        and "bio" not in reference.sample.column_names
    )
    again = Reference.from_json(reference.to_json())
    assert again.sample is not None and again.sample.equals(reference.sample)
    assert again.centroids["emb"].tolist() == [0.5, 1999.5]
    assert reference_of(events, tmp_path, sample=700).sample.equals(reference.sample)
    assert reference_of(events, tmp_path, sample=0).sample is None


def test_a_reference_in_csv_means_the_same_by_texts_and_vectors(tmp_path: Path) -> None:
    events = population(np.random.default_rng(6), 50)
    known = reference_of(events, tmp_path)
    frame = pd.DataFrame(events)
    frame["emb"] = frame["emb"].map(json.dumps)
    frame.to_csv(tmp_path / "reference.csv", index=False)
    other = ReferenceFile(tmp_path / "reference.csv").profile(FEATURES, task="binary")
    assert other.centroids["emb"] == pytest.approx(known.centroids["emb"], abs=1e-12)
    for name in ("bio.length", "bio.words", "emb.norm", "emb.cosine_distance"):
        counts = [side.columns[name] for side in (known, other)]
        assert counts[0].n >= 40 and counts[1].moments.mean == pytest.approx(counts[0].moments.mean, rel=0.1)  # type: ignore[union-attr]


def configured(folder: Path, features: str, more: str = "") -> Path:
    (folder / "reference.jsonl").write_text(
        '{"bio": "a b", "bio.words": 1, "emb": [1, 2], "prediction": "1"}\n'
    )
    path = folder / "c.yaml"
    path.write_text(
        "store: {path: s.duckdb}\nsources: {f: {kind: files}}\nmodels:\n"
        "  - name: m\n    task: binary\n    predictions: {source: f, path: p.jsonl}\n"
        f"    features: {features}\n    reference: {{path: reference.jsonl, sample: 1}}\n"
        f"    window: {{size: 1h}}\n    checks: {{drift: {{multivariate: true}}}}\n{more}"
    )
    return path


def test_alerts_may_name_what_is_made_of_a_feature(tmp_path: Path) -> None:
    more = "    alerts: [{name: a, metric: psi, feature: emb.norm, above: 1}]\n"
    the_plan = plan(config.load(configured(tmp_path, "{bio: text, emb: embedding}", more)))
    assert the_plan.specs[0].checks.multivariate
    reference = the_plan.references["m"]
    assert reference is not None and reference.sample is not None and reference.sample.num_rows == 1
    wrong = more.replace("emb.norm", "emb.nrm")
    with pytest.raises(ConfigError, match=r"unknown feature 'emb.nrm'; did you mean 'emb.norm'"):
        config.load(configured(tmp_path, "{bio: text, emb: embedding}", wrong))


def test_an_alert_on_whole_rows_needs_them_to_be_compared(tmp_path: Path) -> None:
    path = configured(tmp_path, "{emb: embedding}", "    alerts: [{name: a, metric: mmd, above: 0.1}]\n")
    assert plan(config.load(path))
    path.write_text(path.read_text().replace("{multivariate: true}", "{}"))
    with pytest.raises(
        ConfigError, match="metric: 'mmd' compares whole rows, which is off; set checks.drift"
    ):
        config.load(path)


@pytest.mark.parametrize(
    ("features", "more", "message"),
    [
        ("{bio: text, bio.words: numeric}", "", "feature 'bio.words' has the name of what is made of 'bio'"),
        ("{bio: text}", "    segments: [bio]\n", "'bio' cannot split windows: a feature of kind text"),
        (
            "{emb: embedding}",
            "    segments: [emb]\n",
            "'emb' cannot split windows: a feature of kind embedding",
        ),
    ],
)
def test_what_texts_and_embeddings_cannot_be_is_refused(
    features: str, more: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(config.load(configured(tmp_path, features, more)))
