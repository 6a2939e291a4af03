"""Ranking models from records to results: what was shown, what feedback says of it, in any order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rankings
from in_process import FEEDBACK, PREDICTIONS, SMALL, InProcess
from rankings import said, shown
from streams import HOUR_US, START_US

from monitor import config
from monitor.build import plan
from monitor.engine import duckdb as engine
from monitor.engine import lists as engine_lists
from monitor.errors import ConfigError, ReferenceDataError
from monitor.reference.profile import Reference, ReferenceFile
from monitor.reference.vectors import item_vectors
from monitor.replay import replay
from monitor.store.results import read_results
from monitor.types import ChecksSpec, ModelSpec, Result

KS = (3, 10)
CHECKS = ChecksSpec(performance=True, drift=True, quality=True, ks=KS)
SPEC = replace(SMALL, name="feed", task="ranking", features={}, checks=CHECKS)
MINUTE_US = 60_000_000
Rows = Sequence[tuple[list[str], dict[str, float] | None]]


def records(rows: Rows, seed: int = 0) -> tuple[list[bytes], list[bytes]]:
    """Return predictions, and feedback in every form there is: whole, item by item, corrected, withdrawn."""
    rng = np.random.default_rng(seed)
    events, labels = [], []
    for i, (items, label) in enumerate(rows):
        at = START_US + i % 60 * MINUTE_US
        scores = np.sort(rng.random(len(items)))[::-1].round(4).tolist()
        pairs = [{"item": item, "score": score} for item, score in zip(items, scores, strict=True)]
        body: dict[str, object] = [{"scores": scores}, {"prediction": pairs}, {}][i % 3]  # type: ignore[assignment]
        events.append(shown(f"e{i}", body.pop("prediction", items), at, **body))
        labels += _feedback(f"e{i}", label, at, i % 5)
    return events, labels


def _feedback(event_id: str, label: Mapping[str, float] | None, at: int, way: int) -> list[bytes]:
    """Return records that end in ``label``: by ``way`` at once, corrected, item by item, and so on."""
    late = at + HOUR_US
    if label is None:  # never said, or withdrawn
        return [] if way % 2 else [said(event_id, ["i1"], late), said(event_id, None, late + 1)]
    if way == 0:
        return [said(event_id, label, late)]
    if way == 1:
        return [said(event_id, {"i1": 3, "i2": 1}, late), said(event_id, label, late + 5)]
    each = [said(event_id, value, late + 9 + j, item) for j, (item, value) in enumerate(label.items())]
    if way == 2:  # the whole says nothing is relevant, items follow; one is said wrongly first
        wrong = [said(event_id, 7, late + 8, item) for item in list(label)[:1]]
        return [said(event_id, [], late), *wrong, *each]
    if way == 3:  # an item that is withdrawn again
        taken_back = [said(event_id, 2, late + 1, "i3"), said(event_id, None, late + 2, "i3")]
        return [said(event_id, [], late), *taken_back, *each]
    return [said(event_id, "x", late, "i1"), said(event_id, {}, late), *each]  # one of them is refused


def ran(
    events: Sequence[bytes],
    labels: Sequence[bytes],
    *,
    spec: ModelSpec = SPEC,
    reference: Reference | None = None,
) -> InProcess:
    monitor = InProcess(spec, reference=reference)
    monitor.land({PREDICTIONS: events, FEEDBACK: labels})
    monitor.turn()
    return monitor


def found(monitor: InProcess, metric: str, **place: str) -> Result:
    (one,) = [
        r for r in read_results(monitor.cursor)
        if r.metric == metric and r.version == place.get("version", "*")
        and (r.segment or "") == place.get("segment", "")
    ]  # fmt: skip
    return one


def reference_of(rows: Rows, path: Path) -> Reference:
    frame = pd.DataFrame(
        {"prediction": [a for a, _ in rows], "label": [json.dumps(b or {}) for _, b in rows]}
    )
    frame.to_parquet(path)
    return ReferenceFile(path).profile({}, task="ranking")


@pytest.mark.parametrize("seed", range(3))
def test_every_metric_is_that_of_the_raw_rows_however_feedback_came(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    rows, before = rankings.draw(rng, 400), rankings.draw(rng, 300)
    reference = reference_of(before, tmp_path / "r.parquet")
    monitor = ran(*records(rows, seed), reference=reference)
    labelled = [(a, b) for a, b in rows if b is not None]
    for name, value in rankings.means(labelled, KS).items():
        assert found(monitor, name).value == pytest.approx(value, rel=1e-12), name
    assert found(monitor, "label_coverage").value == len(labelled) / len(rows)
    relevant = pd.Series([i for _, b in before for i, v in (b or {}).items() if v > 0]).value_counts()
    often = pd.Series([i for a, _ in before for i in a]).value_counts()
    order = sorted({*relevant.index, *often.index}, key=lambda i: (-relevant.get(i, 0), -often.get(i, 0), i))
    base = rankings.means([(order[:10], b) for _, b in labelled], KS)
    assert found(monitor, "baseline_ndcg@3").value == pytest.approx(base["ndcg@3"], rel=1e-12)
    assert found(monitor, "map@10").detail["baseline"] == pytest.approx(base["map@10"], rel=1e-12)
    assert found(monitor, "hit_rate@3").detail["baseline"] == pytest.approx(base["hit_rate@3"], rel=1e-12)
    places = [i for a, _ in rows for i in a]
    assert found(monitor, "catalogue_coverage").value == len(set(places) & set(order)) / len(order)
    share = sum(i in order[: round(0.2 * len(order))] for i in places) / len(places)
    assert found(monitor, "popularity_share").value == pytest.approx(share, rel=1e-12)
    assert monitor.violations() == []


def test_the_order_of_arrival_redelivery_and_panes_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rankings.draw(np.random.default_rng(7), 300)
    events, labels = records(rows)
    once = ran(events, labels).results()
    monkeypatch.setattr(engine, "PANE_ROWS", 100)
    cut = ran(events, labels).results()
    monkeypatch.setattr(engine_lists, "BATCH_NUMBERS", 700)
    rng = np.random.default_rng(8)
    again = InProcess(SPEC)
    for part in np.array_split(rng.permutation(len(events)), 4):
        again.land({PREDICTIONS: [events[i] for i in part]})
        again.cycle.settle()
    for part in np.array_split(rng.permutation(np.repeat(np.arange(len(labels)), 2)), 4):
        again.land({FEEDBACK: [labels[i] for i in part]})
        again.turn()
    assert again.results() == cut
    pairs = [(a["value"], b["value"]) for a, b in zip(once, cut, strict=True)]
    assert [a for a, _ in pairs] == [None if b is None else pytest.approx(b, rel=1e-12) for _, b in pairs]


def labels_of(*feedback: bytes) -> dict[str, float] | None:
    """Return the label of one list after this feedback."""
    monitor = ran([shown("e", ["a", "b"], START_US)], feedback)
    assert found(monitor, "row_count").value == 1
    rows = monitor.rows("SELECT label FROM asked")
    return None if rows[0][0] is None else dict(rows[0][0])


AT = START_US + HOUR_US


def test_clicks_add_up_item_by_item_and_the_newest_word_on_each_counts() -> None:
    assert labels_of(said("e", 1, AT, "a"), said("e", True, AT, "b")) == {"a": 1, "b": 1}
    assert labels_of(said("e", 0, AT + 2, "a"), said("e", 3, AT + 1, "a")) == {"a": 0}
    assert labels_of(said("e", 1, AT, "a"), said("e", 2, AT, "a")) == {"a": 2}  # same time: log order


def test_what_names_no_item_speaks_of_all_and_replaces_what_was_said_before() -> None:
    assert labels_of(said("e", 1, AT, "a"), said("e", ["b"], AT + 1)) == {"b": 1}
    assert labels_of(said("e", ["b"], AT + 1), said("e", 1, AT + 2, "a")) == {"a": 1, "b": 1}
    assert labels_of(said("e", [], AT), said("e", 1, AT + 1, "a")) == {"a": 1}
    assert labels_of(said("e", [], AT + 1), said("e", 1, AT, "a")) == {}


def test_null_withdraws_one_item_or_everything() -> None:
    one = said("e", 1, AT, "a")
    assert labels_of(one, said("e", None, AT + 1, "a")) is None
    assert labels_of(one, said("e", 1, AT, "b"), said("e", None, AT + 1, "a")) == {"b": 1}
    assert labels_of(one, said("e", ["b"], AT), said("e", None, AT + 1)) is None
    assert labels_of(one, said("e", None, AT + 1), said("e", 1, AT + 2, "b")) == {"b": 1}
    assert labels_of(said("e", ["a"], AT), said("e", None, AT + 1, "a")) == {}  # the rest was said irrelevant


def test_item_ids_are_text_whatever_json_makes_of_them() -> None:
    monitor = ran(
        [shown("e", [7, "8", 9.0], START_US)], [said("e", {"7": 1, "9": 2}, AT), said("e", 1, AT, 8)]
    )
    assert found(monitor, "recall@3").value == 1.0


BAD = [
    ({"a": 1}, None),
    (["a", None], None),
    (["a", ["b"]], None),
    ([""], None),
    (None, {"a": "x"}),
    (None, None),
]


def test_lists_with_anything_but_items_are_refused_and_labels_too() -> None:
    events = [shown(f"e{i}", items, START_US, scores=scores) for i, (items, scores) in enumerate(BAD)]
    wrong: list[tuple[object, object]] = [
        (1, None), ("a", None), (["a", None], None), ({"a": -1}, None), ({"a": None}, None),
        ({"a": "x"}, None), ({"1": 1, "1.0": 2}, None), (["a"], "a"), (-1, "a"), ("x", "a"),
        (1, {"b": 1}), (1, ""), (1e12, "a"),
    ]  # fmt: skip
    labels = [said("e", label, AT, item) for label, item in wrong]
    monitor = ran([*events, shown("e", ["a"], START_US)], labels)
    reasons = dict(monitor.rows("SELECT reason, count(*)::INTEGER FROM quarantine GROUP BY reason"))
    assert reasons == {"missing_prediction": len(BAD), "bad_label": len(wrong)}
    assert monitor.violations() == []


def test_what_can_be_mended_is_mended_and_counted() -> None:
    many = [f"i{j}" for j in range(1500)]
    events = [
        shown("twice", ["a", "b", "a", "c"], START_US),
        shown("long", many, START_US),
        shown("scores", ["a", "b"], START_US, scores=[0.5]),
        shown("map", None, START_US, scores={"b": 0.5, "a": 0.5, "c": 0.9}),
        shown("none", [], START_US),
    ]
    monitor = InProcess(SPEC)
    report = monitor.land({PREDICTIONS: events})
    assert {(feature, fault): n for (_, feature, fault), n in report.faults.items()} == {
        ("prediction", "repeated"): 1, ("prediction", "truncated"): 1, ("scores", "type_mismatch"): 1,
    }  # fmt: skip
    rows = monitor.rows("SELECT items[:3], len(items)::INTEGER, score FROM predictions_1 ORDER BY off")
    assert rows == [(["a", "b", "c"], 3, None), (many[:3], 1000, None), (["a", "b"], 2, None),
                    (["c", "a", "b"], 3, 0.9), ([], 0, None)]  # fmt: skip


def test_segments_and_versions_have_their_own_numbers() -> None:
    rows = rankings.draw(np.random.default_rng(9), 200)
    events, labels = records(rows)
    marked = [
        json.dumps(
            json.loads(one) | {"version": str(i % 2), "segments": {"channel": "web" if i % 4 else "app"}}
        )
        for i, one in enumerate(events)
    ]
    spec = replace(SPEC, segments=("channel",), checks=replace(CHECKS, catalogue_size=50))
    monitor = ran([one.encode() for one in marked], labels, spec=spec)
    for place, chosen in (
        ({"version": "1"}, rows[1::2]),
        ({"segment": "channel=app"}, rows[::4]),
    ):
        expected = rankings.means([(a, b) for a, b in chosen if b is not None], KS)
        assert found(monitor, "ndcg@10", **place).value == pytest.approx(expected["ndcg@10"], rel=1e-12)
        seen = {item for items, _ in chosen for item in items}
        assert found(monitor, "catalogue_coverage", **place).value == len(seen) / 50


def test_drift_compares_the_first_item_its_score_and_what_was_relevant(tmp_path: Path) -> None:
    rows = rankings.draw(np.random.default_rng(10), 300)
    reference = reference_of(rows, tmp_path / "r.parquet")
    monitor = ran(*records(rows), reference=reference)
    for metric in ("prediction_psi", "label_psi"):
        assert found(monitor, metric).value == pytest.approx(0, abs=1e-3)
    other = ran(*records([(a[::-1], b) for a, b in rows]), reference=reference)
    assert found(other, "prediction_psi").value > 0.05  # type: ignore[operator]
    assert found(other, "label_psi").value == pytest.approx(0, abs=1e-3)


def test_a_reference_may_be_a_table_of_interactions_and_survives_the_store(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    pd.DataFrame({"user": [1, 1, 2, 3], "liked": [10, 20, 20, 30]}).to_csv(path, index=False)
    made = ReferenceFile(path, columns={"label": "liked"}).profile({}, task="ranking")
    for one in (made, Reference.from_json(made.to_json())):
        assert one.catalogue is not None
        assert one.catalogue.items.to_pylist() == ["20", "10", "30"]
        assert one.catalogue.counts.tolist() == [2, 1, 1]


CONFIG = """
store: {{path: {store}, retention: 36500d}}
sources: {{events: {{kind: files, follow: false}}}}
models:
  - name: feed
    task: ranking
    predictions: {{source: events, path: "{folder}/shown*.{suffix}"}}
    feedback: {{source: events, path: "{folder}/said*.{suffix}"}}
    features: {{}}
    reference: {{path: {reference}}}
    window: {{size: 1h, label_wait: 3h, min_label_coverage: 0.1}}
    checks:
      performance: {{k: [3, 10], embeddings: {{path: {vectors}}}}}
      drift: {{}}
    alerts:
      - {{name: worse, metric: "ndcg@3", below: 0.9}}
"""


def configured(folder: Path, suffix: str, *, text: str = CONFIG) -> Path:
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(11)
    reference, vectors = folder / "reference.parquet", folder / "vectors.parquet"
    reference_of(rankings.draw(rng, 200), reference)
    names = [f"i{j}" for j in range(40)]
    pd.DataFrame({"item": names, "embedding": rng.normal(size=(40, 4)).tolist()}).to_parquet(vectors)
    path = folder / "config.yaml"
    places = {"folder": folder, "suffix": suffix, "reference": reference, "vectors": vectors}
    path.write_text(text.format(store=folder / "s.duckdb", **places))
    return path


def replayed(config_path: Path) -> list[str]:
    outcome = replay(plan(config.load(config_path)))
    rows = [json.dumps(one.to_json(), sort_keys=True) for one in outcome.results]
    return [*rows, *(json.dumps(one, sort_keys=True) for one in outcome.transitions)]


@pytest.mark.slow
def test_a_replay_of_files_is_the_same_whatever_their_order_and_repetition(tmp_path: Path) -> None:
    rows = rankings.draw(np.random.default_rng(12), 300)
    events, labels = records(rows)
    plain = configured(tmp_path / "a", "jsonl")
    for name, values in (("shown", events), ("said", labels)):
        (tmp_path / "a" / f"{name}.jsonl").write_bytes(b"\n".join(values) + b"\n")
    expected = replayed(plain)
    assert any('"metric": "ndcg@3"' in row and '"state": "ok"' in row for row in expected)
    assert any('"alert": "worse"' in row and "firing" in row for row in expected)
    shuffled = configured(tmp_path / "b", "jsonl")
    rng = np.random.default_rng(13)
    for name, values in (("shown", events), ("said", labels)):
        order = rng.permutation(np.repeat(np.arange(len(values)), 2))
        for j, part in enumerate(np.array_split(order, 3)):
            text = b"\n".join(values[i] for i in part) + b"\n"
            (tmp_path / "b" / f"{name}-{j}.jsonl").write_bytes(text)
    for one in (plain, shuffled):  # duplicates are counted, which is the only difference there may be
        found_rows = [row for row in replayed(one) if "duplicate_ratio" not in row]
        assert found_rows == [row for row in expected if "duplicate_ratio" not in row]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_tables_of_lists_and_of_clicks_give_the_same_as_json(suffix: str, tmp_path: Path) -> None:
    rows = rankings.draw(np.random.default_rng(14), 200)
    at = [START_US + i % 60 * MINUTE_US for i in range(len(rows))]
    moments = pd.to_datetime(at, unit="us", utc=True).strftime("%Y-%m-%dT%H:%M:%SZ")
    lists: list[object] = [items for items, _ in rows]
    shown_table = pd.DataFrame({"event_id": [f"e{i}" for i in range(len(rows))], "timestamp": moments})
    clicks = [
        (f"e{i}", item, value) for i, (_, label) in enumerate(rows) for item, value in (label or {}).items()
    ]
    said_table = pd.DataFrame(clicks, columns=["event_id", "item", "label"])
    config_path = configured(tmp_path, suffix)
    if suffix == "csv":
        shown_table["prediction"] = [json.dumps(items) for items in lists]
        shown_table.to_csv(tmp_path / "shown.csv", index=False)
        said_table.to_csv(tmp_path / "said.csv", index=False)
    else:
        shown_table["prediction"], shown_table["scores"] = lists, [[0.5] * len(x) for x, _ in rows]
        shown_table.to_parquet(tmp_path / "shown.parquet")
        said_table.to_parquet(tmp_path / "said.parquet")
    results = replay(plan(config.load(config_path))).results
    expected = rankings.means([(a, b) for a, b in rows if b], KS)
    got = {one.metric: one.value for one in results if one.metric in expected}
    assert got == pytest.approx(expected, rel=1e-12)
    scored = {one.metric: one.state for one in results}
    assert scored["intra_list_diversity"] == "ok"


def test_groups_of_users_have_their_ndcg_and_the_gap_is_between_the_extremes() -> None:
    rows = rankings.draw(np.random.default_rng(15), 400)
    events, labels = records(rows)
    sexes = [None if i % 37 == 0 else "FM"[i % 2] for i in range(400)]
    sexes[1] = "X"
    marked = [
        json.dumps(json.loads(one) | ({"segments": {"sex": sex}} if sex else {})).encode()
        for one, sex in zip(events, sexes, strict=True)
    ]
    checks = replace(CHECKS, fairness=True, sensitive=(("sex",),), min_group_size=20)
    monitor = ran(marked, labels, spec=replace(SPEC, checks=checks))
    of = {
        (r.metric, r.group): r for r in read_results(monitor.cursor) if r.attribute == "sex" and not r.segment
    }
    expected = {}
    for sex in ("F", "M"):
        held = [(a, b) for (a, b), one in zip(rows, sexes, strict=True) if one == sex and b is not None]
        expected[sex] = rankings.means(held, KS)["ndcg@10"]
        assert of["group_ndcg@10", sex].value == pytest.approx(expected[sex], rel=1e-12)
        shown_to = [b for (_, b), one in zip(rows, sexes, strict=True) if one == sex]
        assert of["group_count", sex].value == len(shown_to)
        assert of["group_label_coverage", sex].value == len(held) / len(shown_to)
    gap = of["ndcg_difference@10", None]
    assert gap.value == pytest.approx(abs(expected["F"] - expected["M"]), rel=1e-12)
    assert gap.lower is not None and gap.upper is not None and gap.lower <= gap.value <= gap.upper  # type: ignore[operator]
    assert of["group_ndcg@10", "X"].state in ("insufficient_samples", "no_labels")
    assert set(gap.detail["left_out"]) == {"X"}


def test_the_reference_says_what_each_metric_is_on_itself(tmp_path: Path) -> None:
    config_path = configured(tmp_path, "jsonl")
    reference = plan(config.load(config_path)).references["feed"]
    assert reference is not None
    rows = pd.read_parquet(tmp_path / "reference.parquet")
    labelled = [(list(a), json.loads(b)) for a, b in zip(rows["prediction"], rows["label"], strict=True)]
    expected = rankings.means(labelled, KS)["ndcg@3"]
    assert reference.baselines["ndcg@3", "", "", "", ""].value == pytest.approx(expected, rel=1e-12)


PLACE = "checks.performance.k"
WRONG = {
    'metric: "ndcg@3"': ('metric: "ndcg@5"', f"'ndcg@5' is not computed; add its position to {PLACE}"),
    "k: [3, 10]": ("k: [3, 3]", f"{PLACE}: names a position twice"),
    "task: ranking": ("task: regression", f"{PLACE}: has no meaning for task regression"),
    "k: [3, 10],": ("k: [3, 0],", f"{PLACE}[1]: must be at least 1, not 0"),
}


@pytest.mark.parametrize("right", WRONG)
def test_what_does_not_fit_a_ranking_model_is_said(right: str, tmp_path: Path) -> None:
    wrong, sentence = WRONG[right]
    path = configured(tmp_path, "jsonl", text=CONFIG.replace(right, wrong))
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    assert any(sentence in problem for problem in caught.value.problems), caught.value.problems


def test_embeddings_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "v.parquet"
    pd.DataFrame({"item": ["a", "b"], "embedding": [[1.0, 0.0], [1.0]]}).to_parquet(path)
    with pytest.raises(ReferenceDataError, match="one length"):
        item_vectors(path, item="item", vector="embedding")
    vectors = [[3, 4], [9, 9], [0, 0], [1, 1]]
    pd.DataFrame({"item": ["a", "a", "b", None], "embedding": vectors}).to_parquet(path)
    found = item_vectors(path, item="item", vector="embedding")
    held = dict(zip(found.items.to_pylist(), found.vectors.tolist(), strict=True))
    assert held == {"a": [0.6, 0.8], "b": [0.0, 0.0]}
