"""The routes: probes, JSON API and status page, asked over a real socket."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from web_backend import RESULTS, SNAPSHOT, WINDOW, MemoryBackend, result, serving

from monitor.time import HOUR_US
from monitor.types import Window
from monitor.web.backend import Health
from monitor.web.snapshot import AlertView, Snapshot
from monitor.web.telemetry import OUTCOMES

EARLIER = Window(WINDOW.start_us - HOUR_US, WINDOW.end_us - HOUR_US)


@pytest.fixture
def backend() -> MemoryBackend:
    old = [
        result("accuracy", 0.875, window=EARLIER),
        result("accuracy", None, window=EARLIER, segment="plan=gold"),
    ]
    return MemoryBackend(history=[*old, *RESULTS])


@pytest.fixture
def client(backend: MemoryBackend) -> Iterator[httpx.Client]:
    with serving(backend) as server, httpx.Client(base_url=server.url, timeout=5) as client:
        yield client


def get(client: httpx.Client, path: str, status: int = 200) -> Any:
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_probes_say_why_not(client: httpx.Client, backend: MemoryBackend) -> None:
    assert get(client, "/-/healthy") == {"healthy": True, "reasons": []}
    assert get(client, "/-/ready") == {"ready": True, "reasons": []}
    backend.now = Health(waiting=("source events: no broker yet",))
    assert get(client, "/-/healthy")["healthy"] is True
    assert get(client, "/-/ready", 503) == {"ready": False, "reasons": ["source events: no broker yet"]}
    backend.now = Health(stalled=("scheduler: no progress for 120 s",))
    assert get(client, "/-/healthy", 503)["reasons"] == ["scheduler: no progress for 120 s"]
    assert get(client, "/-/ready", 503)["ready"] is False


def test_reload_answers_with_every_problem(client: httpx.Client, backend: MemoryBackend) -> None:
    assert client.post("/-/reload").json() == {"reloaded": True, "problems": []}
    backend.problems = ["a.yaml:3 store.pth: unknown key; did you mean path?"]
    answer = client.post("/-/reload")
    assert (answer.status_code, answer.json()["problems"]) == (400, backend.problems)


def test_the_outbox_is_listed_and_its_dead_letters_are_made_due_again(client: httpx.Client) -> None:
    assert [row["state"] for row in get(client, "/api/v1/outbox")["outbox"]] == ["delivered", "dead"]
    assert [row["id"] for row in get(client, "/api/v1/outbox?state=dead&limit=5")["outbox"]] == ["msg_dead"]
    assert "allowed: pending, delivered" in get(client, "/api/v1/outbox?state=lost", 400)["error"]
    assert client.post("/-/webhook/retry").json() == {"due_again": 1}
    assert client.post("/-/webhook/retry?id=other").json() == {"due_again": 0}
    answer = client.post("/-/webhook/retry", headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403


def test_another_site_s_page_cannot_reload(client: httpx.Client) -> None:
    assert client.post("/-/reload", headers={"Origin": "https://evil.example"}).status_code == 403
    assert client.post("/-/reload", headers={"Origin": str(client.base_url).rstrip("/")}).status_code == 200


def test_only_get_and_head_are_answered_and_other_pages_name_those_there_are(client: httpx.Client) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
        answer = client.request(method, "/metrics")
        assert answer.status_code == 405
        assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert client.get("/-/reload").headers["allow"] == "POST"
    assert "/api/v1/results" in get(client, "/metrics/", 404)["error"]
    head = client.head("/metrics")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 1_000


def test_metrics_are_gzipped_when_asked(client: httpx.Client) -> None:
    with client.stream("GET", "/metrics", headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert "model_monitor_accuracy{" in gzip.decompress(raw).decode()
    plain = client.get("/metrics", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_models_show_watermark_window_reference_and_counts_by_state(
    client: httpx.Client, backend: MemoryBackend
) -> None:
    backend.telemetry.events.labels("credit", "prediction", "landed").inc(3)
    (model,) = get(client, "/api/v1/models")["models"]
    assert model == {
        "name": "credit", "task": "binary", "state": "ok", "watermark": "2026-11-22T10:01:00Z",
        "window_start": "2026-11-22T09:00:00Z", "window_end": "2026-11-22T10:00:00Z",
        "reference_id": "ref-1f2e", "results": {"ok": 9, "single_class": 1},
        "events": {kind: dict.fromkeys(OUTCOMES, 0) | counted for kind, counted in (
            ("prediction", {"landed": 3}), ("feedback", {}),
        )},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("metric=accuracy", [0.8125]),
        ("metric=psi&feature=age", [0.004, 0.003]),
        ("metric=psi&feature=age&segment=", [0.003]),
        ("metric=psi&feature=age&segment=plan%3Dgold", [0.004]),
        ("metric=accuracy&window=all", [0.8125, 0.875, None]),
        ("metric=accuracy&window=2026-11-22T08:00:00Z&segment=", [0.875]),
        ("metric=accuracy&window=all&limit=1", [0.8125]),
        ("model=other", []),
    ],
)
def test_results_are_filtered(client: httpx.Client, query: str, values: list[float | None]) -> None:
    assert [row["value"] for row in get(client, "/api/v1/results?" + query)["results"]] == values


def test_a_series_is_its_history_oldest_first(client: httpx.Client) -> None:
    answer = get(client, "/api/v1/series?model=credit&metric=accuracy")
    assert [(p["window_start"], p["value"]) for p in answer["points"]] == [
        ("2026-11-22T08:00:00Z", 0.875),
        ("2026-11-22T09:00:00Z", 0.8125),
    ]
    assert answer["series"]["version"] == "*" and answer["series"]["feature"] is None


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/api/v1/results?metrik=psi", "unknown parameter 'metrik'; allowed: model"),
        ("/api/v1/results?limit=0", "a whole number from 1 to 10000"),
        ("/api/v1/results?limit=²", "a whole number from 1 to 10000"),
        ("/api/v1/results?window=yesterday", "latest, all, or a window's start"),
        ("/api/v1/results?model=a&model=b", "more than once"),
        ("/api/v1/series?model=credit", "'metric' is missing"),
        ("/api/v1/alerts?phase=burning", "allowed: ok, pending, firing"),
        ("/api/v1/quarantine?limit=x", "a whole number from 1 to 1000"),
    ],
)
def test_wrong_parameters_are_refused_with_what_is_allowed(
    client: httpx.Client, path: str, said: str
) -> None:
    assert said in get(client, path, 400)["error"]


def test_alerts_and_quarantine_are_listed_without_payloads(client: httpx.Client) -> None:
    (firing,) = get(client, "/api/v1/alerts?phase=firing")["alerts"]
    assert (firing["alert"], firing["feature"], firing["value"], firing["bound"]) == (
        "income-drift",
        "income",
        0.31,
        0.2,
    )
    assert firing["since"] == "2026-11-22T10:00:00Z"
    (row,) = get(client, "/api/v1/quarantine")["quarantine"]
    assert (row["reason"], row["offset"], row["at"]) == ("not_json", 41, "2026-11-22T10:00:00Z")
    assert "payload" not in row


def test_status_sums_up(client: httpx.Client) -> None:
    status = get(client, "/api/v1/status")
    assert status["alerts"] == {"firing": 1, "ok": 2}
    assert status["partitions"][1]["halted"] == "offset 7 no longer exists"
    assert status["store_bytes"] == 73_400_320


def test_json_never_holds_nan_nor_lone_surrogates(client: httpx.Client, backend: MemoryBackend) -> None:
    odd = result("accuracy", float("nan"), detail={"a": [float("inf")], "b": "\ud800", "c": {1: (1, None)}})
    backend.current.publish(replace(SNAPSHOT, results=(odd,)))
    text = client.get("/api/v1/results").text
    (row,) = json.loads(text, parse_constant=lambda name: pytest.fail(name))["results"]
    assert (row["value"], row["detail"]) == (None, {"a": [None], "b": "?", "c": {"1": [1, None]}})


def test_a_failure_inside_is_a_500_that_gives_nothing_away(
    client: httpx.Client, backend: MemoryBackend
) -> None:
    def fails(query: object) -> Any:
        raise RuntimeError("password=hunter2")

    backend.results = fails  # type: ignore[method-assign]
    answer = client.get("/api/v1/results?window=all")
    assert answer.status_code == 500
    assert "hunter2" not in answer.text and "log" in answer.json()["error"]


# --- the page --------------------------------------------------------------------------------------------


def test_the_page_shows_numbers_intervals_states_alerts_and_streams(client: httpx.Client) -> None:
    page = client.get("/").text
    for text in ("1 alert firing", "0.8125", "0.8 – 0.825", "single class", "income-drift", "sex = F",
                 "offset 7 no longer exists", "ref-1f2e", "70 MiB", "2026-11-22 10:05 UTC"):  # fmt: skip
        assert text in page, text


def test_the_page_loads_nothing_from_elsewhere_and_its_policy_forbids_it(client: httpx.Client) -> None:
    answer = client.get("/")
    addresses = set(re.findall(r'(?:src|href|url\()=?"?([^"\s)>]+)', answer.text))
    assert all(not re.match(r"(?:[a-z]+:)?//", address) for address in addresses)
    policy = answer.headers["content-security-policy"]
    nonce = re.search(r"script-src 'nonce-([^']+)'", policy)
    assert policy.startswith("default-src 'none'") and nonce is not None
    assert answer.text.count(f'nonce="{nonce[1]}"') == 2
    assert nonce[1] not in client.get("/").text


def test_names_from_outside_are_escaped(client: httpx.Client, backend: MemoryBackend) -> None:
    evil = '"><script>alert(1)</script>'
    rows = (result("psi", 0.1, feature=evil), result("group_tpr", 0.1, attribute=evil, group=evil))
    alert = AlertView("credit", evil, evil, "firing", "psi", feature=evil)
    backend.current.publish(replace(SNAPSHOT, results=rows, alerts=(alert,)))
    page = client.get("/").text
    assert "alert(1)" in page and "<script>alert" not in page


def test_an_empty_monitor_has_a_page_that_says_what_is_missing(
    client: httpx.Client, backend: MemoryBackend
) -> None:
    backend.current.publish(Snapshot())
    backend.now = Health(waiting=("model credit: reading its reference",))
    page = client.get("/").text
    assert "not ready yet" in page and "reading its reference" in page and "No models" in page
