"""What each kind of action sends: templates in their sandbox, Alertmanager's alerts, Slack's blocks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from monitor.actions import alertmanager, slack
from monitor.actions.payload import ALERT, LIMIT_BYTES, RETRAIN, Message
from monitor.actions.samples import samples
from monitor.actions.template import Template
from monitor.errors import ActionError

FIRING, RESOLVED = samples(ALERT)
REQUEST, BARE_REQUEST = samples(RETRAIN)


def changed(message: Message, **data: Any) -> Message:
    return {**message, "data": {**message["data"], **data}}


def rendered(source: str, message: Message = FIRING, content_type: str = "text/plain") -> str:
    return Template(source, content_type=content_type).render("msg_1", message).decode()


def test_a_template_sees_the_id_and_the_whole_message() -> None:
    source = "{{ id }} {{ type }} {{ timestamp }} {{ data.model }} {{ data.value }} {{ data.window.end }}"
    assert rendered(source) == (
        "msg_1 model_monitor.alert 2026-11-22T10:00:00Z model-monitor-test 0.31 2026-11-22T10:00:00Z"
    )


def test_tojson_makes_json_of_anything_a_name_may_hold() -> None:
    odd = changed(FIRING, model='a"b\\c\u2028</script>\n')
    text = rendered('{"m": {{ data.model | tojson }}}', odd, "application/json")
    assert json.loads(text) == {"m": 'a"b\\c\u2028</script>\n'}


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("{{ data.nothing }}", "'dict object' has no attribute 'nothing'"),
        ("{{ nothing }}", "'nothing' is undefined"),
        ("{% if %}", "in line 1"),
        ("{{ ''.__class__.__mro__ }}", "access to attribute '__class__'"),
        ("{{ data.update({}) }}", "access to attribute 'update'"),
        ("{{ lipsum() }}", "'lipsum' is undefined"),
        ("{{ [1, 2] | random }}", "No filter named 'random'"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{% for i in range(10 ** 9) %}{{ i }}{% endfor %}", "Range too big"),
        ("{% for i in range(90000) %}xxxxxxxx{% endfor %}", "more than 20000 bytes"),
        ("{{ '\\ud800' }}", "surrogates not allowed"),
    ],
)
def test_a_template_that_fails_says_how(source: str, sentence: str) -> None:
    with pytest.raises(ActionError, match="the template") as caught:
        rendered(source)
    assert sentence in str(caught.value)


def test_a_template_of_json_must_make_json() -> None:
    with pytest.raises(ActionError, match=r"no JSON \(Expecting value"):
        rendered('{"a": {{ data.feature }}}', content_type="application/vnd.api+json")
    assert rendered('{"a": {{ data.feature }}}') == '{"a": income}'


def alerts(*messages: Message, **more: Any) -> list[dict[str, Any]]:
    bodies = alertmanager.bodies(messages, **{"labels": {}, **more})
    return [alert for body in bodies for alert in json.loads(body)]


def test_a_firing_alert_has_labels_that_name_it_and_no_end() -> None:
    message = changed(
        FIRING, labels={"team": "risk", "model": "forged"}, runbook="https://wiki/x", version="3"
    )
    [alert] = alerts(message, labels={"env": "prod", "cost-center": "7"}, generator_url="https://monitor/")
    assert alert == {
        "labels": {
            "alertname": "income-drift", "model": "model-monitor-test", "severity": "warning", "version": "3",
            "metric": "psi", "feature": "income", "team": "risk", "env": "prod", "cost_center": "7",
        },
        "annotations": {
            "summary": "psi of income is 0.31, the bound is 0.2", "runbook_url": "https://wiki/x",
            "window": "2026-11-22T09:00:00Z to 2026-11-22T10:00:00Z",
        },
        "startsAt": "2026-11-22T10:00:00Z",
        "generatorURL": "https://monitor/",
    }  # fmt: skip


def test_a_resolved_alert_has_the_same_labels_and_an_end() -> None:
    [firing] = alerts(changed(RESOLVED, status="firing"))
    [resolved] = alerts(RESOLVED)
    assert resolved == {**firing, "endsAt": RESOLVED["timestamp"]}


def test_alerts_are_posted_in_lots_of_64_and_requests_to_retrain_not_at_all() -> None:
    lots = [json.loads(body) for body in alertmanager.bodies([FIRING] * 130, labels={})]
    assert [len(lot) for lot in lots] == [64, 64, 2]
    with pytest.raises(ActionError, match="takes alerts only"):
        alerts(REQUEST)


def test_slack_is_told_in_a_line_and_in_blocks() -> None:
    body = json.loads(slack.body(changed(FIRING, runbook="https://wiki/x"), link="https://monitor/"))
    head = ":large_orange_circle: model-monitor-test: income-drift fires"
    assert body["text"] == f"{head}: psi of income is 0.31, the bound is 0.2"
    section, context = body["blocks"]
    assert section["text"] == {"type": "mrkdwn", "text": f"*{head}*\npsi of income is 0.31, the bound is 0.2"}
    assert [part["type"] for part in context["elements"]] == ["mrkdwn"]
    assert "<https://wiki/x|runbook> · <https://monitor/|monitor>" in context["elements"][0]["text"]
    assert "is resolved" in json.loads(slack.body(RESOLVED))["text"]


def test_slack_is_told_why_to_retrain() -> None:
    body = json.loads(slack.body(REQUEST))
    assert "retraining is asked for" in body["text"]
    assert "• income-drift: psi income is 0.31, the bound is 0.2" in body["blocks"][0]["text"]["text"]
    assert "retraining is asked for" in json.loads(slack.body(BARE_REQUEST))["text"]


def test_nothing_in_a_name_is_markup_for_slack_and_a_message_keeps_slacks_limits() -> None:
    long = changed(FIRING, alert="<!channel>", description="&" * 2_000, model="m" * 128)
    body = slack.body(long)
    shown = json.loads(body)
    assert "<!channel>" not in body.decode() and "&lt;!channel&gt;" in body.decode()
    assert len(shown["blocks"][0]["text"]["text"]) <= 3_000
    assert len(shown["text"]) <= 3_000
    reason = REQUEST["data"]["reason"][0]
    many = changed(REQUEST, reason=[reason] * 70, alerts=["a" * 128] * 100)
    assert len(slack.body(many)) < LIMIT_BYTES
    assert all(
        len(b.get("text", {}).get("text", "")) <= 3_000 for b in json.loads(slack.body(many))["blocks"]
    )
