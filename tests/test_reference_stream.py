"""References that are periods of the stream itself, and those of single versions."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from in_process import FEEDBACK, PREDICTIONS, SMALL, InProcess, feedback, prediction
from scipy.stats import ks_2samp
from streams import HOUR_US, START_US
from test_replay import run

from monitor import config
from monitor.build import plan
from monitor.cycle import Cycle, Monitored
from monitor.errors import ConfigError
from monitor.reference.data import Reference
from monitor.reference.period import Fixed, Rolling
from monitor.reference.profile import ReferenceFile
from monitor.references import Origin
from monitor.rules.bounds import Frame, ReferenceSd, bounds
from monitor.rules.rule import AlertRule
from monitor.store.results import read_results
from monitor.store.store import Store
from monitor.store.upkeep import expire
from monitor.types import Baseline, ChecksSpec, ModelSpec, Partition, Result, Window

DAY_US = 24 * HOUR_US
SPEC = replace(
    SMALL,
    window=replace(SMALL.window, size_us=6 * HOUR_US, every_us=6 * HOUR_US, label_wait_us=12 * HOUR_US),
    checks=ChecksSpec(drift=True),
)
FIRST_DAY = Fixed(START_US, START_US + DAY_US, 12 * HOUR_US)
ID = "reference_profiles WHERE id IS NOT NULL"


def core_of(origins: dict[str, Origin], *, spec: ModelSpec = SPEC, path: Path | None = None) -> InProcess:
    core = InProcess(spec, path=path)
    one = Monitored(spec, core.store.register(spec), None, origins=origins, has_feedback=True)
    core.cycle = Cycle(core.store, core.cursor, one)
    return core


def events(days: float, seed: int = 1, *, every_minutes: int = 10) -> pd.DataFrame:
    """Return one event for every so many minutes; the age grows by one a day."""
    rng = np.random.default_rng(seed)
    minutes = np.arange(0, days * 1440, every_minutes)
    return pd.DataFrame(
        {
            "id": [f"e{i}" for i in range(len(minutes))],
            "minute": minutes,
            "age": np.round(rng.normal(40, 3, len(minutes)) + minutes / 1440, 3),
            "prediction": rng.choice(["0", "1"], len(minutes)),
            "label": rng.choice(["0", "1"], len(minutes)),
            "delay": rng.integers(30, 600, len(minutes)),
            "version": rng.choice(["3", "4"], len(minutes)),
        }
    )


def bodies(rows: pd.DataFrame) -> list[bytes]:
    return [
        prediction(r.id, r.minute, prediction=r.prediction, version=r.version,
                   features={"age": r.age, "plan": "gold"})
        for r in rows.itertuples()
    ]  # fmt: skip


def labels(rows: pd.DataFrame) -> list[bytes]:
    return [feedback(r.id, r.label, r.minute + r.delay) for r in rows.itertuples()]


def land(core: InProcess, rows: pd.DataFrame) -> None:
    core.land({PREDICTIONS: bodies(rows), FEEDBACK: labels(rows)})


def found(core: InProcess, metric: str, start_hour: float, version: str = "*", **labels: str) -> Result:
    (one,) = [
        r for r in read_results(core.store.cursor())
        if r.metric == metric and r.window.start_us == START_US + start_hour * HOUR_US
        and r.version == version and all(getattr(r, k) == v for k, v in labels.items())
    ]  # fmt: skip
    return one


def within(rows: pd.DataFrame, start_hour: float, end_hour: float) -> pd.DataFrame:
    return rows[(rows["minute"] >= start_hour * 60) & (rows["minute"] < end_hour * 60)]


def test_windows_after_a_fixed_period_are_compared_with_its_events() -> None:
    rows, core = events(3), core_of({"*": FIRST_DAY})
    land(core, rows)
    core.turn()
    for hour in (24, 36, 66):
        one = found(core, "ks_statistic", hour, feature="age")
        expected = ks_2samp(within(rows, 0, 24)["age"], within(rows, hour, hour + 6)["age"]).statistic
        assert one.value == pytest.approx(expected, abs=1e-12)
        assert one.n_reference == 144
    before = found(core, "ks_statistic", 12, feature="age")
    assert (before.state, before.value) == ("no_reference", None)
    assert before.detail["reason"] == "the reference ends only at 2025-06-02T00:00:00Z, after this window"


def test_labels_count_as_they_were_known_when_the_window_ended() -> None:
    rows, core = events(3), core_of({"*": FIRST_DAY})
    land(core, rows)
    core.turn()
    day = within(rows, 0, 24)
    for hour, known_hour in ((24, 24), (30, 36), (60, 36)):
        labelled = int((day["minute"] + day["delay"] <= known_hour * 60).sum())
        assert found(core, "label_psi", hour).n_reference == labelled
    ids = [found(core, "label_psi", hour).detail["reference"] for hour in (24, 30, 60)]
    assert ids[0] != ids[1] == ids[2]
    assert {row[0] for row in core.rows(f"SELECT id FROM {ID}")} == set(ids)


def test_a_rolling_reference_is_the_time_before_the_day_of_the_window() -> None:
    rows, core = events(4), core_of({"*": Rolling(2 * DAY_US)})
    land(core, rows)
    core.turn()
    for hour, start in ((48, 0), (66, 0), (72, 24), (90, 24)):
        one = found(core, "ks_statistic", hour, feature="age")
        expected = ks_2samp(
            within(rows, start, start + 48)["age"], within(rows, hour, hour + 6)["age"]
        ).statistic
        assert one.value == pytest.approx(expected, abs=1e-12)
    early = found(core, "ks_statistic", 42, feature="age")
    assert early.state == "no_reference" and "do not reach back to the start" in early.detail["reason"]
    assert len(core.rows(f"SELECT id FROM {ID}")) == 2


@pytest.mark.slow
def test_rows_that_come_late_build_the_reference_anew_and_ask_its_windows_again() -> None:
    rows = events(3)
    late = rows.iloc[5:60:7]
    whole, pieces = (core_of({"*": Rolling(DAY_US)}) for _ in range(2))
    land(whole, rows)
    whole.turn()
    land(pieces, rows.drop(late.index))
    pieces.turn()
    first = pieces.rows(f"SELECT id FROM {ID} ORDER BY start_us")
    land(pieces, late)
    pieces.turn()
    again = pieces.rows(f"SELECT id FROM {ID} ORDER BY start_us")
    assert first[0] != again[0] and first[1:] == again[1:]
    assert json.dumps(pieces.results()) == json.dumps(whole.results())


@pytest.mark.slow
def test_a_label_dated_after_what_counts_leaves_the_reference_alone() -> None:
    rows, core = events(3), core_of({"*": FIRST_DAY})
    land(core, rows)
    core.turn()
    before = core.rows(f"SELECT id, created_us FROM {ID} ORDER BY labels_us")
    core.land({FEEDBACK: [feedback("e3", "1", 40 * 60)]})  # after the wait for labels
    core.turn()
    assert core.rows(f"SELECT id, created_us FROM {ID} ORDER BY labels_us") == before
    core.land({FEEDBACK: [feedback("e3", "1", 35 * 60), feedback("e4", None, 35 * 60)]})
    core.turn()
    after = core.rows(f"SELECT id, created_us FROM {ID} ORDER BY labels_us")
    assert after[0] == before[0] and after[1] != before[1]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_any_order_of_arrival_ends_in_the_same_results(seed: int) -> None:
    rows, rng = events(3, every_minutes=60), random.Random(seed)
    origins: dict[str, Origin] = {"*": Rolling(DAY_US), "4": Fixed(START_US, START_US + DAY_US, HOUR_US)}
    whole, pieces = core_of(origins), core_of(origins)
    land(whole, rows)
    whole.turn()
    logs = {PREDICTIONS: bodies(rows), FEEDBACK: labels(rows)}
    batch: list[tuple[Partition, bytes]] = [(p, value) for p, log in logs.items() for value in log]
    rng.shuffle(batch)
    for i in range(0, len(batch), 40):
        for partition in logs:
            some = [value for p, value in batch[i : i + 40] if p == partition]
            if some:
                pieces.land({partition: some})
        pieces.turn()
    assert json.dumps(pieces.results()) == json.dumps(whole.results())
    assert pieces.rows(f"SELECT version, id FROM {ID} ORDER BY ALL") == whole.rows(
        f"SELECT version, id FROM {ID} ORDER BY ALL"
    )


def test_a_reference_survives_the_retention_of_its_events_and_restarts(tmp_path: Path) -> None:
    rows, path = events(3), tmp_path / "s.duckdb"
    core = core_of({"*": FIRST_DAY}, path=path)
    land(core, within(rows, 0, 48))
    core.turn()
    kept = found(core, "psi", 42, feature="age").detail["reference"]
    expire(core.store, core.cursor, before_us=START_US + 36 * HOUR_US)
    assert core.rows("SELECT min(event_us) FROM predictions_1")[0][0] >= START_US + 24 * HOUR_US
    core.store.close()
    again = core_of({"*": FIRST_DAY}, path=path)
    again._ends = {PREDICTIONS: 1000, FEEDBACK: 1000}
    land(again, within(rows, 48, 72))
    late = within(events(1, 9), 0, 10).assign(id=lambda r: "late" + r["id"])
    land(again, late)  # belongs to the period, of which most has left: it changes nothing
    again.turn()
    one = found(again, "ks_statistic", 66, feature="age")
    expected = ks_2samp(within(rows, 0, 24)["age"], within(rows, 66, 72)["age"]).statistic
    assert (one.value, one.detail["reference"]) == (pytest.approx(expected, abs=1e-12), kept)


def test_a_period_that_left_retention_before_it_was_built_is_no_reference() -> None:
    rows, core = events(3), core_of({"*": FIRST_DAY})
    land(core, rows)
    core.cycle.settle()
    expire(core.store, core.cursor, before_us=START_US + 12 * HOUR_US)
    core.cycle.expired_us = START_US + 12 * HOUR_US
    core.turn()
    one = found(core, "psi", 60, feature="age")
    assert one.state == "no_reference" and one.detail["reason"].endswith("have left retention")


@pytest.mark.slow
def test_rolling_profiles_leave_with_the_windows_they_serve() -> None:
    rows, core = events(4, every_minutes=60), core_of({"*": Rolling(DAY_US)})
    land(core, rows)
    core.turn()
    assert len(core.rows(f"SELECT id FROM {ID}")) == 3
    expire(core.store, core.cursor, before_us=START_US + 2 * DAY_US + 6 * HOUR_US)
    kept = core.rows(f"SELECT start_us FROM {ID} ORDER BY ALL")
    assert kept == [(START_US + DAY_US,), (START_US + 2 * DAY_US,)]


def test_the_profile_of_a_period_is_that_of_a_file_with_the_same_rows(tmp_path: Path) -> None:
    rows, core = events(2), core_of({"*": FIRST_DAY}, spec=replace(SPEC, checks=ChecksSpec(performance=True)))
    land(core, rows)
    core.turn()
    window = SPEC.window.at((START_US + DAY_US + 12 * HOUR_US) // (6 * HOUR_US))
    of_stream = core.cycle.references.of(window, now_us=0)
    day = within(rows, 0, 24)
    frame = day[["age", "prediction", "label"]].assign(plan="gold")
    frame.loc[day["minute"] + day["delay"] > 36 * 60, "label"] = None
    frame.to_parquet(tmp_path / "r.parquet")
    of_file = ReferenceFile(tmp_path / "r.parquet").profile(SPEC.features, task="binary")
    assert isinstance(of_stream.default, Reference)
    for side in ("columns", "targets"):
        one, other = getattr(of_stream.default, side), getattr(of_file, side)
        assert {k: v.to_bytes() for k, v in one.items()} == {k: v.to_bytes() for k, v in other.items()}
    assert of_stream.default.baselines["accuracy", "", "", "", ""].value == pytest.approx(
        (day["prediction"] == frame["label"]).sum() / frame["label"].notna().sum()
    )


def test_a_version_is_compared_with_its_own_reference_and_all_together_with_the_default(
    tmp_path: Path,
) -> None:
    rows = events(3)
    young = pd.DataFrame({"age": np.arange(30, 40, 0.05), "plan": "gold", "prediction": "1"})
    young.to_parquet(tmp_path / "young.parquet")
    own = ReferenceFile(tmp_path / "young.parquet").profile(SPEC.features, task="binary")
    core = core_of({"*": FIRST_DAY, "3": own, "4": Fixed(START_US + DAY_US, START_US + 2 * DAY_US)})
    land(core, rows)
    core.turn()
    window = within(rows, 60, 66)
    day, second = within(rows, 0, 24), within(rows, 24, 48)
    references = {"*": day, "3": young, "4": second[second["version"] == "4"]}
    ids = set()
    for version, reference in references.items():
        part = window if version == "*" else window[window["version"] == version]
        one = found(core, "ks_statistic", 60, version, feature="age")
        assert one.value == pytest.approx(ks_2samp(reference["age"], part["age"]).statistic, abs=1e-12)
        assert one.n_reference == len(reference)
        ids.add(one.detail["reference"])
    assert len(ids) == 3 and own.id in ids


def test_the_only_version_of_a_window_has_rows_of_its_own_if_it_has_a_reference(tmp_path: Path) -> None:
    rows = events(2).assign(version="4")
    core = core_of({"*": FIRST_DAY, "4": FIRST_DAY})
    land(core, rows)
    core.turn()
    pair = [found(core, "psi", 36, version, feature="age") for version in ("*", "4")]
    assert pair[0].value == pair[1].value is not None


def test_bounds_of_a_version_rest_on_what_its_own_reference_is() -> None:
    def limit(mean: float) -> Frame:
        return Frame({("psi", "", "", "", ""): Baseline(None, mean, 0.01, 20, 100)})

    rule = AlertRule(name="a", metric="psi", above=ReferenceSd(3), version="*")
    frame = replace(limit(0.1), versions={"3": limit(0.5), "4": Frame()})
    window = Window(0, 1)
    found = [bounds(rule, Result("m", v, window, "psi", "ok", 0.2), frame) for v in ("*", "2", "3", "4")]
    assert found == [(None, pytest.approx(0.13))] * 2 + [(None, pytest.approx(0.53)), (None, None)]


YAML = """
store: {path: state/s.duckdb, retention: RETENTION}
sources: {files: {kind: files, idle_timeout: 1s}}
models:
  - name: credit
    task: binary
    predictions: {source: files, path: "p*.jsonl"}
    feedback: {source: files, path: "f*.jsonl"}
    features: {age: numeric, plan: categorical}
    reference: REFERENCE
    window: {size: 6h, lateness: 5m, label_wait: 12h, min_label_coverage: 0.5}
    checks: {drift: {}, performance: {}}
    alerts:
      - {name: inaccurate, metric: accuracy, below: {relative_to_reference: -5%}, min_samples: 1}
      - {name: drifted, metric: ks_statistic, feature: age, above: {reference_sd: 3}, min_samples: 1}
"""


def written(folder: Path, reference: str, retention: str = "36500d") -> Path:
    path = folder / "config.yaml"
    path.write_text(YAML.replace("REFERENCE", reference).replace("RETENTION", retention))
    return path


def replayed(folder: Path, rows: pd.DataFrame, order: Sequence[int]) -> tuple[str, Any]:
    shuffled = rows.iloc[list(order)]
    outcome = run(folder, bodies(shuffled), labels(shuffled.iloc[::-1]))
    return json.dumps([r.to_json() for r in outcome.results]), outcome.transitions


@pytest.mark.slow
def test_a_replay_with_a_rolling_reference_does_not_depend_on_the_order_of_the_files(tmp_path: Path) -> None:
    written(tmp_path, "{rolling: 1d}")
    rows = events(3, every_minutes=5)
    straight = replayed(tmp_path, rows, range(len(rows)))
    shuffled = replayed(tmp_path, rows, np.random.default_rng(1).permutation(len(rows)).tolist())
    assert straight == shuffled
    kinds = {(t["alert"], t["after"]) for t in straight[1]}
    assert ("drifted", "firing") in kinds  # a year of age a day is more than chunks of a day differ by


@pytest.mark.slow
def test_a_replay_ends_with_what_turns_through_time_end_with(tmp_path: Path) -> None:
    path = written(tmp_path, '{window: "2025-06-01/2025-06-02", versions: {4: {rolling: 1d}}}')
    rows = events(3)
    results, _ = replayed(tmp_path, rows, range(len(rows)))
    the_plan = plan(config.load(path))
    core = core_of(dict(the_plan.origins["credit"]), spec=the_plan.specs[0])
    for day in range(3):
        core.land({PREDICTIONS: bodies(within(rows, 24 * day, 24 * day + 24))})
        core.land({FEEDBACK: labels(within(rows, 24 * day, 24 * day + 24))})
        core.turn(START_US + (day + 1) * DAY_US + 300_000_000)
    core.turn()
    mine = core.results()
    known = sorted(
        (dict(r, revision=1) for r in json.loads(results)), key=lambda r: str({k: r[k] for k in KEYS})
    )
    assert sorted(mine, key=lambda r: str({k: r[k] for k in KEYS})) == known


KEYS = ("window_start", "version", "metric", "feature", "attribute", "group", "segment")


@pytest.mark.parametrize(
    ("reference", "retention", "said"),
    [
        ("{rolling: 30d}", "30d", "reference.rolling: reaches past store.retention"),
        ("{rolling: 30d, window: 2026-01-01/2026-02-01}", "90d", "is given beside window"),
        ("{window: 2026-02-01/2026-01-01}", "90d", "must be two moments, the earlier first"),
        ("{window: 2026-02-01}", "90d", "must be two moments"),
        ("{}", "90d", "needs one of path, window, rolling"),
        ("{rolling: 1d, columns: {label: y}}", "90d", "names the columns of a file; it goes with path"),
        ("{rolling: 1d, versions: {4: {}}}", "90d", "versions.4: needs one of path, window, rolling"),
    ],
)
def test_a_reference_that_cannot_be_is_refused_with_its_place(
    tmp_path: Path, reference: str, retention: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(written(tmp_path, reference, retention))
    assert any(said in one and "reference" in one for one in caught.value.problems), caught.value.problems


def test_the_command_describes_what_the_store_has_of_periods(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from monitor.access import stored_references
    from monitor.console import reference_tables

    path = written(tmp_path, '{window: "2025-06-01/2025-06-02"}')
    the_plan = plan(config.load(path))
    reference_tables(the_plan, None, stored_references(the_plan))
    said = capsys.readouterr().out
    assert "credit: the stream from 2025-06-01T00:00:00Z to 2025-06-02T00:00:00Z" in said
    (tmp_path / "state").mkdir()
    spec = the_plan.specs[0]
    core = core_of(dict(the_plan.origins["credit"]), spec=spec, path=tmp_path / "state" / "s.duckdb")
    land(core, events(3))
    core.turn()
    core.store.close()
    reference_tables(the_plan, None, stored_references(the_plan))
    said = capsys.readouterr().out
    assert "144 rows" in said and "age" in said
    Store(tmp_path / "state" / "s.duckdb").close()
