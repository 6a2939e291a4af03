"""Windows: when they are asked, when again, and that nothing but the set of events decides their numbers."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import oracle
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from in_process import FEEDBACK, NOW_US, PREDICTIONS, SMALL, InProcess, feedback, prediction
from streams import CATEGORICAL, HOUR_US, NUMERIC, START_US, Scenario, generate, write_config

from monitor.engine import duckdb as engine
from monitor.reference.profile import ReferenceFile
from monitor.types import ChecksSpec, Partition, WindowSpec

MINUTE_US = 60_000_000
SENSITIVE = [("sex",), ("region",), ("sex", "region")]
MODEL = oracle.Model(NUMERIC, list(CATEGORICAL), SENSITIVE, "plan")


def configured(folder: Path, every: str = "1h") -> Path:
    return write_config(
        folder, source="{kind: memory}", predictions="topic: p", feedback="topic: f", rows=3000, every=every
    )


def logs_of(scenario: Scenario) -> dict[Partition, list[bytes]]:
    logs = {Partition("events", "p", str(i)): log for i, log in enumerate(scenario.predictions)}
    return logs | {Partition("events", "f", str(i)): log for i, log in enumerate(scenario.feedback)}


def feed(core: InProcess, logs: dict[Partition, list[bytes]], seed: int, *, turns: bool) -> None:
    """Land the logs in random pieces of random partitions, with turns at random moments in between."""
    rng, at = random.Random(seed), dict.fromkeys(logs, 0)
    largest = max(map(len, logs.values())) // 2 + 1
    while left := [p for p in logs if at[p] < len(logs[p])]:
        chosen = rng.sample(left, rng.randint(1, len(left)))
        values = {p: logs[p][at[p] : at[p] + rng.randint(1, largest)] for p in chosen}
        core.land(values)
        for partition, some in values.items():
            at[partition] += len(some)
        if turns and rng.random() < 0.5:
            core.turn(START_US + rng.randint(0, 6 * HOUR_US))
    core.turn()


@pytest.mark.parametrize("every", ["1h", pytest.param("30m", marks=pytest.mark.slow)])
def test_every_number_equals_the_batch_oracle(tmp_path: Path, every: str) -> None:
    scenario = generate(11, 3000, windows=2)
    core = InProcess.configured(configured(tmp_path, every))
    feed(core, logs_of(scenario), 1, turns=True)
    reference = pd.read_parquet(tmp_path / "reference.parquet")
    model = replace(MODEL, every_us={"1h": HOUR_US, "30m": HOUR_US // 2}[every])
    expected = oracle.oracle(scenario.predictions, scenario.feedback, reference, model)
    assert len(expected) > 2500
    wrong = oracle.differences(core.results(), expected)
    assert not wrong, "\n".join(wrong[:20])
    assert core.violations() == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_any_interleaving_and_batch_split_gives_bit_identical_results(tmp_path: Path, seed: int) -> None:
    scenario, config = generate(12, 1500, windows=2), configured(tmp_path)
    whole, pieces = InProcess.configured(config), InProcess.configured(config)
    whole.land(logs_of(scenario))
    whole.turn()
    feed(pieces, logs_of(scenario), seed, turns=True)
    assert json.dumps(pieces.results()) == json.dumps(whole.results())


@pytest.mark.slow
def test_large_windows_are_summed_in_pieces_that_do_not_depend_on_the_order_of_arrival(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "PANE_ROWS", 100)
    scenario, config = generate(13, 1000, windows=1), configured(tmp_path)
    cores = [InProcess.configured(config) for _ in range(2)]
    cores[0].land(logs_of(scenario))
    cores[0].turn()
    feed(cores[1], logs_of(scenario), 5, turns=False)
    assert json.dumps(cores[0].results()) == json.dumps(cores[1].results())
    reference = pd.read_parquet(tmp_path / "reference.parquet")
    expected = oracle.oracle(scenario.predictions, scenario.feedback, reference, MODEL)
    assert oracle.differences(cores[0].results(), expected) == []


PLAIN = replace(SMALL, checks=ChecksSpec(drift=True, performance=True, quality=True, silent_windows=2))
NAMES = st.sampled_from("abcdef")
SOME_PREDICTIONS = st.tuples(
    NAMES,
    st.one_of(st.integers(0, 150), st.integers(0, 600)),
    st.floats(0, 1),
    st.one_of(st.none(), st.floats(-1e300, 1e300)),
    st.integers(0, 1),
)
SOME_LABELS = st.tuples(NAMES, st.sampled_from(["0", "1", None]), st.integers(0, 200), st.integers(0, 1))


@pytest.fixture(scope="module")
def reference_file(tmp_path_factory: pytest.TempPathFactory) -> ReferenceFile:
    path = tmp_path_factory.mktemp("reference") / "reference.jsonl"
    rows = [{"age": i % 7 + i / 10, "plan": "gold" if i % 3 else "tin", "score": i / 50} for i in range(50)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return ReferenceFile(path)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(
    st.lists(SOME_PREDICTIONS, min_size=1, max_size=12),
    st.lists(SOME_LABELS, max_size=10),
    st.integers(0, 999),
)
def test_order_batches_and_turns_never_show_in_the_final_results(
    reference_file: ReferenceFile,
    predictions: Sequence[tuple[str, int, float, float | None, int]],
    labels: Sequence[tuple[str, str | None, int, int]],
    seed: int,
) -> None:
    logs: dict[Partition, list[bytes]] = {Partition("events", t, str(i)): [] for t in "pf" for i in (0, 1)}
    for name, minute, score, age, part in predictions:
        features = {"age": age, "plan": "gold"}
        body = prediction(name, minute, prediction=None, score=score, features=features)
        logs[Partition("events", "p", str(part))].append(body)
    for name, label, minute, part in labels:
        logs[Partition("events", "f", str(part))].append(feedback(name, label, minute))
    logs = {partition: log for partition, log in logs.items() if log}
    reference = reference_file.profile(PLAIN.features, task="binary")
    whole, pieces = (InProcess(PLAIN, reference=reference) for _ in range(2))
    whole.land(logs)
    whole.turn()
    feed(pieces, logs, seed, turns=True)
    assert json.dumps(pieces.results()) == json.dumps(whole.results())
    assert whole.violations() == pieces.violations() == []
    for core in (whole, pieces):
        core.store.close()


# ---- when windows are asked ----------------------------------------------------------------------


def test_a_window_is_asked_when_event_time_passes_its_end_and_the_lateness_and_not_before() -> None:
    core = InProcess(replace(SMALL, window=WindowSpec(HOUR_US, HOUR_US, 5 * MINUTE_US, 0)))
    core.land({PREDICTIONS: [prediction("a", 10)]})
    core.turn(START_US + HOUR_US + 5 * MINUTE_US - 1)
    assert core.answers == []
    core.turn(START_US + HOUR_US + 5 * MINUTE_US)
    assert [a.window.start_us for a in core.answers] == [START_US]


def test_an_event_on_the_boundary_belongs_to_the_later_window() -> None:
    core = InProcess()
    core.land({PREDICTIONS: [prediction("a", 60 - 1e-6 / 60), prediction("b", 60)]})
    core.turn()
    assert core.value("row_count") == core.value("row_count", START_US + HOUR_US) == 1


def test_a_window_is_asked_again_with_a_new_revision_only_when_something_changed_in_it() -> None:
    core = InProcess()
    core.land({PREDICTIONS: [prediction("a", 10), prediction("b", 70)]})
    core.turn()
    core.turn()
    assert core.answers == []
    core.land({PREDICTIONS: [prediction("late", 20)]})
    core.turn()
    assert [a.window.start_us for a in core.answers] == [START_US]
    revisions = {r["window_start"]: r["revision"] for r in core.results(revision=True)}
    assert revisions == {"2025-06-01T00:00:00Z": 2, "2025-06-01T01:00:00Z": 1}


def test_labels_are_awaited_until_enough_have_come_and_drift_is_not() -> None:
    core = InProcess()
    core.land({PREDICTIONS: [prediction(i, 10) for i in "abcd"]})
    core.turn(START_US + HOUR_US)
    states = {r["metric"]: r["state"] for r in core.results()}
    assert states["accuracy"] == "awaiting_labels" and states["missing_ratio"] == "ok"
    assert states["demographic_parity_difference"] != "awaiting_labels"
    core.land({FEEDBACK: [feedback("a", "1")]})
    core.turn(START_US + HOUR_US)
    assert core.value("accuracy") is None and core.value("label_coverage") == 0.25
    core.land({FEEDBACK: [feedback("b", "0")]})
    core.turn(START_US + HOUR_US)
    assert core.value("accuracy") == 0.5 and core.value("label_coverage") == 0.5


def test_when_the_wait_for_labels_is_over_those_that_came_are_used() -> None:
    core = InProcess()
    core.land({PREDICTIONS: [prediction(i, 10) for i in "abcd"], FEEDBACK: [feedback("a", "1")]})
    core.turn(START_US + HOUR_US)
    assert core.value("accuracy") is None
    core.turn(START_US + 3 * HOUR_US)
    assert core.value("accuracy") == 1.0
    assert [a.labelled_only for a in core.answers] == [True]


def test_without_a_feedback_stream_there_are_no_labels_and_it_says_so() -> None:
    core = InProcess(has_feedback=False)
    core.land({PREDICTIONS: [prediction("a", 10)]})
    core.turn()
    assert {r["state"] for r in core.results() if r["metric"] in ("accuracy", "f1")} == {"no_labels"}


def test_asking_for_labels_alone_leaves_what_needs_none_as_it_was() -> None:
    events = [prediction(i, 10, segments={"sex": "FM"[k % 2]}) for k, i in enumerate("abcdef")]
    labels = [feedback(i, "1") for i in "abc"]
    core, fresh = InProcess(), InProcess()
    core.land({PREDICTIONS: events})
    core.turn()
    core.land({FEEDBACK: labels})
    core.turn()
    assert [a.labelled_only for a in core.answers] == [True]
    fresh.land({PREDICTIONS: events, FEEDBACK: labels})
    fresh.turn()
    assert json.dumps(core.results()) == json.dumps(fresh.results())


def test_a_row_for_each_version_is_added_when_a_window_holds_more_than_one() -> None:
    core = InProcess()
    core.land({PREDICTIONS: [prediction("a", 10, version="3"), prediction("b", 20, version="4")]})
    core.land({PREDICTIONS: [prediction("c", 70, version="4"), prediction("d", 80, version="4")]})
    core.turn()
    versions = {(r["window_start"][11:13], r["version"]) for r in core.results()}
    assert versions == {("00", "*"), ("00", "3"), ("00", "4"), ("01", "*")}


def test_a_sliding_window_counts_every_event_as_often_as_windows_contain_it() -> None:
    core = InProcess(replace(SMALL, window=WindowSpec(HOUR_US, HOUR_US // 4, 0, 0)))
    core.land({PREDICTIONS: [prediction("a", 50), prediction("b", 65)]})
    core.turn()
    counts = {r["window_start"][11:16]: r["value"] for r in core.results() if r["metric"] == "row_count"}
    assert counts == {"00:00": 1, "00:15": 2, "00:30": 2, "00:45": 2, "01:00": 1}


def test_a_failing_column_fails_alone() -> None:
    core = InProcess(replace(SMALL, checks=ChecksSpec(quality=True, performance=True)))
    core.land({PREDICTIONS: [prediction("a", 10, score=1e300), prediction("b", 11, score=-1e300)]})
    core.land({FEEDBACK: [feedback("a", "1"), feedback("b", "0")]})
    core.turn(NOW_US)
    assert core.value("accuracy") == 0.5
    assert {r["metric"] for r in core.results() if r["state"] == "failed"} == set()


def test_drift_is_asked_of_the_columns_named_and_quality_of_all(reference_file: ReferenceFile) -> None:
    spec = replace(PLAIN, checks=replace(PLAIN.checks, drift_columns=("plan",)))
    core = InProcess(spec, reference=reference_file.profile(spec.features, task="binary"))
    core.land({PREDICTIONS: [prediction("a")]})
    core.turn()
    asked = {(row["metric"], row["feature"]) for row in core.results()}
    assert ("psi", "plan") in asked and ("psi", "age") not in asked
    assert {("missing_ratio", "age"), ("missing_ratio", "plan")} <= asked
