"""The body of a retrain request and its signature."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from monitor.actions.payload import canonical, message_id, retrain_message
from monitor.actions.signing import new_secret, parse_secret, sign, verify
from monitor.errors import ActionError
from monitor.rules.retrain import Decision
from monitor.rules.state import AlertState
from monitor.types import Result, Window

WINDOW = Window(0, 3_600_000_000)
DECISION = Decision("msg_1", "credit", "retrain", WINDOW, ("income-drift",), 7_200_000_000)
FIRING = AlertState(
    "income-drift",
    ("credit", "*", "psi", "income", "", "", ""),
    "firing",
    since_us=3_600_000_000,
    window=WINDOW,
    value=0.31,
    bound=0.2,
    lower=0.25,
    n=4_000,
)
PSI = Result("credit", "*", WINDOW, "psi", "ok", 0.31, "income", n=4_000, detail={"bins": [1, 2]})


def body(firing: list[AlertState], evidence: list[Result], decision: Decision = DECISION) -> bytes:
    return canonical(
        retrain_message(decision, firing, evidence=evidence, reference_id="ref-1", config_hash="abc")
    )


def test_the_body_says_why_with_numbers_and_evidence() -> None:
    assert json.loads(body([FIRING], [PSI])) == {
        "type": "model_monitor.retrain",
        "timestamp": "1970-01-01T02:00:00Z",
        "data": {
            "decision_id": "msg_1",
            "model": "credit",
            "rule": "retrain",
            "window": {"start": "1970-01-01T00:00:00Z", "end": "1970-01-01T01:00:00Z"},
            "reference_id": "ref-1",
            "config_hash": "abc",
            "alerts": ["income-drift"],
            "reason": [
                {
                    "alert": "income-drift",
                    "version": "*",
                    "metric": "psi",
                    "feature": "income",
                    "window": {"start": "1970-01-01T00:00:00Z", "end": "1970-01-01T01:00:00Z"},
                    "since": "1970-01-01T01:00:00Z",
                    "value": 0.31,
                    "bound": 0.2,
                    "lower": 0.25,
                    "n": 4000,
                }
            ],
            "evidence": [
                {
                    "version": "*",
                    "window_start": "1970-01-01T00:00:00Z",
                    "window_end": "1970-01-01T01:00:00Z",
                    "revision": 1,
                    "metric": "psi",
                    "feature": "income",
                    "state": "ok",
                    "value": 0.31,
                    "n": 4000,
                    "n_reference": 0,
                }
            ],
            "alerts_left_out": 0,
            "reason_left_out": 0,
            "evidence_left_out": 0,
        },
    }


def test_only_the_decisions_own_firing_alerts_are_reasons() -> None:
    others = [replace(FIRING, alert="unrelated"), replace(FIRING, phase="ok")]
    assert body([FIRING, *others], []) == body([FIRING], [])


@pytest.mark.parametrize(("instances", "results"), [(0, 10_000), (5, 500), (3_000, 3_000)])
def test_a_body_stays_under_20_kb_and_counts_what_was_left_out(instances: int, results: int) -> None:
    firing = [replace(FIRING, series=("credit", "*", "psi", f"f{i}", "", "", "")) for i in range(instances)]
    made = body(firing, [replace(PSI, feature=f"ключ{i}") for i in range(results)])
    data = json.loads(made)["data"]
    assert 19_000 < len(made) < 20_000
    assert len(data["evidence"]) + data["evidence_left_out"] == results
    assert len(data["reason"]) + data["reason_left_out"] == instances
    assert [r["feature"] for r in data["reason"]] == [f"f{i}" for i in range(len(data["reason"]))]
    assert data["evidence"] or data["reason_left_out"]


def test_many_alert_names_are_cut_too() -> None:
    names = tuple(f"alert-{i:05}" for i in range(5_000))
    made = body([], [], replace(DECISION, alerts=names))
    assert len(made) < 20_000
    assert json.loads(made)["data"]["alerts_left_out"] > 3_000


def test_the_body_is_the_same_bytes_every_time_and_plain_ascii() -> None:
    odd = replace(PSI, feature="\ud800 \u2028 é", value=float("inf"))
    made = body([FIRING], [odd])
    assert made == body([FIRING], [odd])
    assert made.isascii()
    assert "value" not in json.loads(made)["data"]["evidence"][0]


def test_each_action_gets_a_message_id_of_its_own() -> None:
    assert message_id("msg_1", "a") == message_id("msg_1", "a")
    assert len({message_id(d, a) for d in ("msg_1", "msg_2") for a in ("a", "b")}) == 4


@given(st.binary(min_size=24, max_size=64), st.binary(min_size=24, max_size=64), st.text(max_size=50))
def test_the_reference_library_accepts_our_signature_by_old_and_new_secret(
    old: bytes, new: bytes, text: str
) -> None:
    import time

    secrets = ["whsec_" + base64.b64encode(key).decode() for key in (old, new)]
    payload, now_s = json.dumps({"x": text}, ensure_ascii=False).encode(), int(time.time())
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(now_s),
        "webhook-signature": sign("msg_1", now_s, payload, secrets),
    }
    for secret in secrets:
        assert Webhook(secret).verify(payload, headers) == {"x": text}
        assert verify(headers, payload, [secret], now_s=now_s) == "msg_1"


def test_a_changed_body_id_time_or_secret_is_refused() -> None:
    secret = new_secret()
    good = {
        "Webhook-Id": "m",
        "Webhook-Timestamp": "1000",
        "Webhook-Signature": sign("m", 1000, b"b", [secret]),
    }
    assert verify(good, b"b", [new_secret(), secret], now_s=1299) == "m"
    wrong: list[tuple[dict[str, str], bytes, str, float, str]] = [
        (good, b"c", secret, 1000, "no signature fits"),
        (good, b"b", new_secret(), 1000, "no signature fits"),
        (good | {"Webhook-Id": "n"}, b"b", secret, 1000, "no signature fits"),
        (good | {"Webhook-Timestamp": "1001"}, b"b", secret, 1000, "no signature fits"),
        (good | {"Webhook-Signature": "v2,abc é"}, b"b", secret, 1000, "no signature fits"),
        (good | {"Webhook-Timestamp": "NaN"}, b"b", secret, 1000, "within 300 s"),
        (good, b"b", secret, 1301, "within 300 s"),
        (good, b"b", secret, 699, "within 300 s"),
        ({"webhook-id": "m"}, b"b", secret, 1000, "webhook-timestamp is missing"),
    ]
    for headers, payload, key, now_s, sentence in wrong:
        with pytest.raises(ActionError, match=sentence):
            verify(headers, payload, [key], now_s=now_s)


def secret_of(size: int) -> str:
    return "whsec_" + base64.b64encode(b"k" * size).decode()


def test_secrets_have_24_to_64_bytes() -> None:
    assert parse_secret(secret_of(24)) == b"k" * 24
    assert parse_secret(secret_of(64) + "\n") == b"k" * 64
    assert len(parse_secret(new_secret())) == 32
    for wrong in ("", "hunter2", secret_of(23), secret_of(65), secret_of(32)[6:], "whsec_****", "whsec_é"):
        with pytest.raises(ActionError, match="'whsec_' and then the base64 of 24 to 64") as caught:
            parse_secret(wrong)
        assert not wrong or wrong not in str(caught.value)
    with pytest.raises(ActionError, match="at least one"):
        sign("m", 0, b"", [])
