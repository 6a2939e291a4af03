"""A model's explanations in the cycle: which rows it is asked about, when, and what its failures become."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from additive import END_US, SPEC, WEIGHTS, Additive, Core, reference
from in_process import FEEDBACK, PREDICTIONS, InProcess, feedback, prediction
from streams import START_US

from monitor.cycle import Cycle
from monitor.engine.duckdb import WindowQuery
from monitor.evaluate import evaluate
from monitor.explaining import explain_window
from monitor.reference.data import Compared, Reference
from monitor.store.explained import ExplainedRows, explained_windows, read_explained
from monitor.store.results import read_results


def smallest(core: InProcess, k: int, where: str = "true") -> tuple[float, float]:
    """Return the mean absolute attributions of the k rows with the smallest ids, from the stored rows."""
    rows = core.rows(f'SELECT "n:age", "c:plan" FROM predictions_1 WHERE {where} ORDER BY id LIMIT {k}')
    return float(np.mean([abs(2 * a) for a, _ in rows])), float(np.mean([abs(WEIGHTS[p]) for _, p in rows]))


def test_the_rows_with_the_smallest_hashes_are_explained_and_counted() -> None:
    explainer = Additive()
    core = Core(explainer, known=reference())
    core.events(1000)
    core.turn(END_US)
    age, plan = core.of("attribution_mean_abs", feature="age")[0], core.of("attribution_mean_abs")[1]
    assert (age.value, plan.value) == pytest.approx(smallest(core, 200))
    assert (age.n, age.n_reference) == (200, 60)
    shares = [r.value for r in core.of("attribution_share")]
    assert sum(shares) == pytest.approx(1)  # type: ignore[arg-type]
    known = np.array([np.mean([2, 6, 0]), np.mean([1, 2, 2])])
    live = np.array(smallest(core, 200))
    distance = core.of("attribution_distance")[0]
    assert distance.value == pytest.approx(np.abs(known / known.sum() - live / live.sum()).sum() / 2)
    assert core.of("attribution_ndcg")[0].state == "ok"


def test_a_slice_is_explained_by_its_own_smallest_hashes_however_rare_it_is() -> None:
    explainer = Additive()
    core = Core(explainer)
    core.events(1000)
    core.turn(END_US)
    rare, common = "\"c:plan\" = 'tin'", "\"c:plan\" = 'gold'"
    among = core.rows(
        f"SELECT count(*) FROM (SELECT * FROM predictions_1 ORDER BY id LIMIT 200) WHERE {common}"
    )[0][0]
    for where, name, k in ((rare, "plan=tin", 100), (common, "plan=gold", among)):
        found = core.of("attribution_mean_abs", segment=name)
        assert [r.value for r in found] == pytest.approx(smallest(core, k, where))
        assert found[0].n == k
    assert explainer.asked == [200 + 100 - (200 - among)]


def test_labels_do_not_have_a_window_explained_again_but_new_rows_do() -> None:
    explainer = Additive()
    core = Core(explainer, known=reference())
    core.events(300)
    core.turn(END_US)
    first = [r for m in ("attribution_share", "attribution_ndcg") for r in core.of(m)]
    requests = len(explainer.asked)
    core.land({FEEDBACK: [feedback(f"e{i}", "1") for i in range(300)]})
    core.turn(END_US + 1)
    assert core.of("accuracy")[0].state == "ok" and len(explainer.asked) == requests
    assert [r for m in ("attribution_share", "attribution_ndcg") for r in core.of(m)] == first
    core.events(10, start=300)
    core.turn(END_US + 2)
    assert len(explainer.asked) == requests + 1


def test_a_failure_is_the_state_of_every_explanation_metric_and_of_no_other() -> None:
    explainer = Additive()
    explainer.fails = "the model raised ValueError: no"
    core = Core(explainer, known=reference())
    core.events(50)
    core.turn(END_US)
    found = [r for r in read_results(core.cursor) if "attribution" in r.metric]
    assert {r.metric for r in found} == {
        "attribution_mean_abs", "attribution_mean", "attribution_share", "attribution_ndcg",
        "attribution_distance", "drifted_attribution_share",
    }  # fmt: skip
    assert {(r.state, r.detail["error"]) for r in found} == {("failed", explainer.fails)}
    assert {r.feature for r in found if r.metric == "attribution_share"} == {"age", "plan"}
    assert core.of("row_count")[0].value == 50
    assert read_explained(core.cursor, 1) is None


def test_a_reference_is_explained_once_and_remembered_over_a_restart() -> None:
    explainer = Additive()
    core = Core(explainer, known=reference())
    core.events(300)
    core.turn(END_US)
    assert len(explainer.asked) == 2 and explainer.asked[1] == 60
    again = Additive()
    core.cycle = Cycle(core.store, core.cursor, replace(core.cycle.monitored, explainer=again))
    core.events(5, start=300)
    core.turn(END_US + 1)
    assert len(again.asked) == 1 and 60 not in again.asked
    other = Additive()
    other.key = "another model"  # type: ignore[misc]
    core.cycle = Cycle(core.store, core.cursor, replace(core.cycle.monitored, explainer=other))
    core.events(5, start=305)
    core.turn(END_US + 2)
    assert other.asked[-1] == 60


def test_when_time_is_up_the_rows_that_were_explained_count() -> None:
    explainer = Additive()
    explainer.most = 50
    core = Core(explainer)
    core.events(500)
    core.turn(END_US)
    found = core.of("attribution_mean_abs")
    assert [r.value for r in found] == pytest.approx(smallest(core, 50))
    assert found[0].n == 50


def test_rows_of_the_newest_windows_are_kept_for_pictures() -> None:
    core = Core(Additive())
    core.events(300)
    core.turn(END_US)
    window, rows = read_explained(core.cursor, 1) or pytest.fail("nothing is kept")
    assert window == core.answers[0].window and rows.n == 200
    np.testing.assert_allclose(rows.attributions[:, 0, 0], 2 * rows.values["age"].to_numpy())
    again = ExplainedRows.from_bytes(rows.to_bytes())
    assert again.values.equals(rows.values) and again.features == ("age", "plan") and again.units == "margin"
    np.testing.assert_array_equal(again.attributions, rows.attributions)
    assert explained_windows(core.cursor, 1) == [window]


def test_kept_rows_are_bounded_in_number_and_in_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    many = ExplainedRows(
        pa.table({"a": np.arange(900.0)}), np.ones((900, 3, 200)), ("a",) * 200, ("x", "y", "z")
    )
    assert many.bounded().n == 200_000 // 600 == many.bounded().values.num_rows
    monkeypatch.setattr("monitor.store.explained.KEPT_WINDOWS", 2)
    core = Core(Additive())
    for hour in range(4):
        core.land({PREDICTIONS: [prediction(f"h{hour}", 60 * hour + 1)]})
    core.turn(END_US + 3 * 3_600_000_000)
    kept = explained_windows(core.cursor, 1)
    assert [w.start_us for w in kept] == [START_US + h * 3_600_000_000 for h in (3, 2)]


def test_a_window_of_a_model_without_its_explainer_says_so() -> None:
    core = InProcess(SPEC)
    core.land({PREDICTIONS: [prediction("e1", 1)]})
    core.turn(END_US)
    states = {r.state for r in read_results(core.cursor) if r.metric == "attribution_share"}
    assert states == {"failed"}
    assert json.dumps([dict(r.detail) for r in read_results(core.cursor)]).count("no explainer was given")


def test_a_version_with_a_reference_of_its_own_is_compared_with_that() -> None:
    core = Core(Additive())
    core.events(200)
    core.events(200, start=200, version="2")
    core.turn(END_US)
    other = Reference("other", 60, {}, sample=pa.table({"age": [0.0] * 60, "plan": ["tin"] * 60}))
    compared = Compared(reference(), {"2": other})
    query = WindowQuery(core.cursor, SPEC, 1, core.answers[0].window)
    explainer = Additive()
    said = explain_window(query, compared, explainer, core.store, now_us=0).attributed
    assert len(explainer.asked) == 3  # the window, and two references
    found = {
        r.version: r.value
        for r in evaluate(query, compared, has_feedback=False, attributed=said).results
        if r.metric == "attribution_distance" and r.segment is None
    }
    known = {"1": np.array([8 / 3, 5 / 3]), "2": np.array([0.0, 2.0])}
    for version, size in known.items():
        where, sample = f"version = '{version}'", "(SELECT * FROM predictions_1 ORDER BY id LIMIT 200)"
        among = core.rows(f"SELECT count(*) FROM {sample} WHERE {where}")[0][0]
        live = np.array(smallest(core, max(100, among), where))
        expected = np.abs(size / size.sum() - live / live.sum()).sum() / 2
        assert found[version] == pytest.approx(expected), version
    assert found["*"] != found["1"]
