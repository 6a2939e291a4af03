"""Explanations over HTTP: pictures of stored windows and single predictions, from a real store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import httpx
import pytest
from additive import END_US, Additive, Core, reference
from in_process import PREDICTIONS, SMALL, InProcess, prediction
from streams import START_US
from web_backend import MemoryBackend, serving

from monitor.cycle import Monitored
from monitor.stored import StoreBackend
from monitor.time import to_rfc3339
from monitor.types import ChecksSpec

MODEL = "/api/v1/models/credit"


class Backend(StoreBackend, MemoryBackend):  # type: ignore[misc]
    """What is stored, served; the rest from memory."""

    def __init__(self, core: InProcess) -> None:
        super().__init__()
        self.core, self.store = core, core.store

    @property
    def models(self) -> Sequence[Monitored]:
        return [self.core.cycle.monitored]


@pytest.fixture(scope="module")
def explainer() -> Additive:
    return Additive()


@pytest.fixture(scope="module")
def client(explainer: Additive) -> Iterator[httpx.Client]:
    core = Core(explainer, known=reference())
    core.events(300)
    core.land({PREDICTIONS: [prediction("a/b ?é", 1, version="7", features={"age": 0.5, "plan": "tin"})]})
    core.turn(END_US)
    with (
        serving(Backend(core)) as server,
        httpx.Client(base_url=server.url, trust_env=False, timeout=30) as one,
    ):
        yield one


@pytest.mark.parametrize("picture", ["bar", "beeswarm", "dependence"])
def test_each_picture_comes_as_svg_and_png_that_may_do_nothing(client: httpx.Client, picture: str) -> None:
    query = "?feature=age" if picture == "dependence" else ""
    drawn = client.get(f"{MODEL}/explanations/{picture}.svg{query}")
    assert drawn.status_code == 200, drawn.text
    assert drawn.headers["content-type"] == "image/svg+xml"
    assert drawn.headers["content-security-policy"].startswith("default-src 'none'")
    words = "".join(ElementTree.fromstring(drawn.content).itertext())
    assert "age" in words and f"credit, {to_rfc3339(START_US)}" in words
    png = client.get(f"{MODEL}/explanations/{picture}.png{query}")
    assert png.content.startswith(b"\x89PNG") and png.headers["content-type"] == "image/png"


def test_a_window_and_a_slice_can_be_named(client: httpx.Client) -> None:
    start = client.get("/api/v1/results?metric=attribution_share&window=all&limit=1").json()
    at = start["results"][0]["window_start"]
    named = client.get(f"{MODEL}/explanations/bar.svg", params={"window": at, "segment": "plan=tin"})
    assert "plan=tin" in "".join(ElementTree.fromstring(named.content).itertext())
    assert client.get(f"{MODEL}/explanations/beeswarm.svg", params={"window": at}).status_code == 200


@pytest.mark.parametrize(
    "path, status, said",
    [
        ("/explanations/pie.svg", 404, "no picture 'pie.svg'; there are bar.svg and bar.png, beeswarm"),
        ("/explanations/bar.gif", 404, "no picture 'bar.gif'"),
        ("/explanations/dependence.svg", 400, "'feature' is missing"),
        ("/explanations/dependence.svg?feature=shoe", 404, "feature 'shoe'; there are age, plan"),
        ("/explanations/beeswarm.svg?group=gold", 404, "class 'gold'; there are no classes"),
        ("/explanations/beeswarm.svg?window=2020-01-01T00:00:00Z", 404, "kept of this window"),
        ("/explanations/bar.svg?segment=plan%3Diron", 404, "no attribution_share"),
        ("/explanations/bar.svg?window=soon", 400, "window is 'soon'; allowed: latest, or a window's start"),
        ("/explanations/beeswarm.svg?version=1", 400, "unknown parameter 'version'"),
        ("/events/never/explanation", 404, "no event 'never' of model 'credit' is stored"),
    ],
)
def test_what_is_not_there_is_said(client: httpx.Client, path: str, status: int, said: str) -> None:
    answer = client.get(MODEL + path)
    assert answer.status_code == status and said in answer.json()["error"], answer.text


def test_another_model_is_not_there(client: httpx.Client) -> None:
    for path in ("explanations/beeswarm.svg", "events/e1/explanation"):
        answer = client.get(f"/api/v1/models/debit/{path}")
        assert answer.status_code == 404 and "no model 'debit'; there are credit" in answer.json()["error"]
    assert "no page at /api/v1/nothing" in client.get("/api/v1/nothing").json()["error"]


def test_one_prediction_is_explained_by_the_model_on_demand(client: httpx.Client) -> None:
    answer = client.get(f"{MODEL}/events/{quote('a/b ?é', safe='')}/explanation").json()
    assert (answer["event_id"], answer["version"], answer["source"]) == ("a/b ?é", "7", "model")
    (output,) = answer["outputs"]
    assert output["attributions"] == [
        {"feature": "plan", "value": "tin", "attribution": -2.0},
        {"feature": "age", "value": 0.5, "attribution": 1.0},
    ]
    assert output["base"] + sum(a["attribution"] for a in output["attributions"]) == output["score"]


def test_a_model_that_does_not_answer_is_a_503_with_its_reason(
    client: httpx.Client, explainer: Additive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explainer, "fails", "the worker ran out of memory")
    answer = client.get(f"{MODEL}/events/e1/explanation")
    assert answer.status_code == 503 and answer.json()["error"] == "the worker ran out of memory"
    assert client.get(f"{MODEL}/explanations/bar.svg").status_code == 200


def logged(task: str, *attributions: Any) -> InProcess:
    checks = ChecksSpec(explain=True, logged_attributions=True)
    core = InProcess(replace(SMALL, checks=checks, task=task), has_feedback=False)
    given = [{"attributions": a} if a else {} for a in attributions]
    core.land({PREDICTIONS: [prediction(f"e{i}", 1, **one) for i, one in enumerate(given)]})
    core.turn(END_US)
    return core


def test_an_event_s_own_attributions_need_no_model() -> None:
    backend = Backend(logged("binary", {"age": 0.25, "plan": -1}, None))
    found = backend.explain_event("credit", "e0")
    assert found["source"] == "log" and found["outputs"][0]["attributions"] == [
        {"feature": "plan", "value": "gold", "attribution": -1.0},
        {"feature": "age", "value": 41.0, "attribution": 0.25},
    ]
    with serving(backend) as server:
        answer = httpx.get(f"{server.url}{MODEL}/events/e1/explanation", trust_env=False, timeout=30)
    assert answer.status_code == 404 and "carries no attributions" in answer.json()["error"]


def test_of_several_classes_each_is_listed_and_drawn() -> None:
    backend = Backend(logged("multiclass", {"age": {"b": 1, "a": 2}, "plan": {"a": -3}}))
    outputs = backend.explain_event("credit", "e0")["outputs"]
    assert [(o["class"], o["attributions"][0]["attribution"]) for o in outputs] == [("a", -3.0), ("b", 1.0)]
    with serving(backend) as server:
        for group, status in (("a", 200), ("b", 200), ("c", 404)):
            url = f"{server.url}{MODEL}/explanations/beeswarm.svg?group={group}"
            assert httpx.get(url, trust_env=False, timeout=30).status_code == status


def test_a_model_whose_explanations_are_off_has_none() -> None:
    core = InProcess(SMALL, has_feedback=False)
    core.land({PREDICTIONS: [prediction("e0", 1)]})
    with serving(Backend(core)) as server:
        answer = httpx.get(f"{server.url}{MODEL}/events/e0/explanation", trust_env=False, timeout=30)
    assert answer.status_code == 404 and "checks.explain is off" in answer.json()["error"]
