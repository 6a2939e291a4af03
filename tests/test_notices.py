"""Who is told of alerts: messages in the transaction of the change, ids of their own, what stands."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from in_process import NOW_US, PREDICTIONS, InProcess, prediction

from monitor.actions.payload import Message
from monitor.config import load
from monitor.cycle import Cycle, stored_states
from monitor.deliveries import Standing, endpoints
from monitor.errors import ActionError
from monitor.notices import Delivery, Notices, standing
from monitor.rules.alerts import AlertRule
from monitor.rules.silences import Silence
from monitor.store.store import Store
from monitor.time import to_rfc3339

RULE = AlertRule(name="missing", metric="missing_ratio", feature="age", above=0.5, min_samples=1)
HOOK = Delivery(("hook",))
TOLD = Notices({"hook": HOOK, "pair": Delivery(("pair/1", "pair/2"))}, {"missing": ("hook",)}, "hash")


def monitor(notices: Notices = TOLD, *rules: AlertRule) -> InProcess:
    one = InProcess()
    one.cycle = Cycle(
        one.store, one.cursor, replace(one.cycle.monitored, alerts=rules or (RULE,), notices=notices)
    )
    return one


def hour(one: InProcess, number: int, *ages: int | None) -> None:
    """Land predictions of an hour with these ages."""
    rows = [
        prediction(f"{number}-{i}-{age}", 60 * number + i, features={"age": age, "plan": "gold"})
        for i, age in enumerate(ages)
    ]
    one.land({PREDICTIONS: rows})


def told(one: InProcess) -> list[dict[str, Any]]:
    return [json.loads(body) for (body,) in one.rows("SELECT body FROM outbox ORDER BY seq")]


def test_a_message_goes_out_when_an_alert_fires_and_when_it_is_resolved_in_this_order() -> None:
    one = monitor()
    hour(one, 0, None, None)
    hour(one, 1, 40, 41)
    one.turn()  # both windows at one moment
    fired, resolved = told(one)
    assert fired["type"] == resolved["type"] == "model_monitor.alert"
    assert (fired["data"]["status"], resolved["data"]["status"]) == ("firing", "resolved")
    assert fired["data"] | {"status": 0, "window": 0, "lower": 0} == {
        "model": "credit", "alert": "missing", "status": 0, "severity": "warning",
        "since": fired["timestamp"], "version": "*", "metric": "missing_ratio", "feature": "age",
        "attribute": None, "group": None, "segment": None, "window": 0, "value": 1.0, "bound": 0.5,
        "lower": 0, "upper": 1.0, "n": 2, "summary": "missing_ratio of age is 1, the bound is 0.5",
        "description": None, "runbook": None, "labels": {}, "config_hash": "hash",
    }  # fmt: skip
    assert fired["data"]["window"] == {"start": "2025-06-01T00:00:00Z", "end": "2025-06-01T01:00:00Z"}
    assert (resolved["data"]["since"], resolved["data"]["value"]) == (fired["timestamp"], 0.0)


def test_an_alert_that_only_waits_tells_nobody() -> None:
    one = monitor(TOLD, replace(RULE, needed=2, of=2))
    hour(one, 0, None)
    one.turn()
    assert [t.after for a in one.answers for t in a.transitions] == ["pending"]
    assert told(one) == []


def test_nobody_is_told_of_an_alert_that_notifies_nobody() -> None:
    one = monitor(replace(TOLD, notify={"missing": ()}))
    hour(one, 0, None)
    one.turn()
    assert told(one) == []


def test_every_endpoint_of_every_action_gets_a_message_with_an_id_of_its_own() -> None:
    one = monitor(replace(TOLD, notify={"missing": ("hook", "pair")}))
    hour(one, 0, None)
    one.turn()
    rows = one.rows("SELECT action, id, body FROM outbox ORDER BY seq")
    assert [action for action, _, _ in rows] == ["hook", "pair/1", "pair/2"]
    assert len({id for _, id, _ in rows}) == 3
    assert len({body for _, _, body in rows}) == 1


def ids(one: InProcess) -> list[str]:
    return [id for (id,) in one.rows("SELECT id FROM outbox ORDER BY seq")]


def test_ids_depend_on_the_events_and_not_on_the_moment() -> None:
    first, second = monitor(), monitor()
    for one in (first, second):
        hour(one, 0, None)
        hour(one, 1, 40)
    first.turn()
    second.turn(watermark_us=2**52)
    assert ids(first) == ids(second)
    assert len(set(ids(first))) == 2


def test_a_window_whose_restatements_flap_tells_each_change_under_an_id_of_its_own() -> None:
    """One missing of one: fires. One of two is not over the bound: resolved. Two of three fires again."""
    one = monitor()
    hour(one, 0, None)
    one.turn()
    one.land({PREDICTIONS: [prediction("b", 5)]})
    one.turn()
    one.land({PREDICTIONS: [prediction("c", 6, features={"age": None, "plan": "gold"})]})
    one.turn()
    assert [row["data"]["status"] for row in told(one)] == ["firing", "resolved", "firing"]
    first, _, third = ids(one)
    assert third == f"{first}-2"


def test_a_template_that_fails_leaves_a_dead_letter_and_the_decision_stands() -> None:
    def fails(message_id: str, message: Message) -> bytes:
        raise ActionError("the template fails: no such thing")

    one = monitor(replace(TOLD, deliveries={"hook": Delivery(("hook",), fails)}))
    hour(one, 0, None)
    one.turn()
    assert one.rows("SELECT state, last_error FROM outbox") == [("dead", "the template fails: no such thing")]
    assert [state.phase for state in one.cycle.states.values()] == ["firing"]
    assert told(one)[0]["data"]["alert"] == "missing"


def test_messages_are_stored_with_the_states_that_caused_them_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = monitor()
    hour(one, 0, None)

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("monitor.cycle.write_transitions", full)
        with pytest.raises(OSError, match="no space"):
            one.turn()
    assert ids(one) == []
    assert stored_states(one.cursor, one.cycle.monitored) == {}
    one.turn()
    assert len(ids(one)) == 1
    assert [s.phase for s in stored_states(one.cursor, one.cycle.monitored).values()] == ["firing"]


def test_what_stands_is_what_fires_and_was_told_to_that_action() -> None:
    other = replace(RULE, name="unheard", feature="plan", below=1.0, above=None)
    one = monitor(replace(TOLD, notify={"missing": ("hook",), "unheard": ("pair",)}), RULE, other)
    hour(one, 0, None)
    one.turn()
    monitored = one.cycle.monitored

    def stands(action: str) -> list[str]:
        states = stored_states(one.cursor, monitored)
        found = standing(monitored.notices, monitored.alerts, states, action=action, now_us=7)
        return [message["data"]["alert"] for message in found]

    assert (stands("hook"), stands("pair"), stands("nobody")) == (["missing"], ["unheard"], [])
    hour(one, 1, 40)
    one.turn()
    assert (stands("hook"), stands("pair")) == ([], ["unheard"])


def test_nobody_is_told_in_a_silence_but_afterwards_of_what_still_fires() -> None:
    one = monitor()
    quiet = Silence(alerts=("missing",), to_us=NOW_US + 10)
    one.cycle.monitored = replace(one.cycle.monitored, silences=(quiet,))
    hour(one, 0, None)
    one.turn(NOW_US)
    monitored = one.cycle.monitored
    assert [state.phase for state in one.cycle.states.values()] == ["firing"]
    assert told(one) == []
    states = stored_states(one.cursor, monitored)
    assert standing(monitored.notices, monitored.alerts, states, action="hook", now_us=NOW_US) == []
    one.turn(NOW_US + 10)
    [message] = told(one)
    assert (message["data"]["status"], message["data"]["since"]) == ("firing", to_rfc3339(NOW_US))


def test_nothing_stands_for_an_endpoint_that_a_reload_has_taken_away(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        'sources: {events: {kind: kafka, bootstrap_servers: "localhost:9092"}}\n'
        "models: [{name: m, task: binary, predictions: {source: events, topic: p}, window: {size: 1h}}]\n"
        'actions: {am: {kind: alertmanager, url: ["http://localhost:1", "http://localhost:2"]}}\n'
    )
    settings = load(tmp_path / "a.yaml")
    says = Standing(Store().cursor, settings)
    assert [says(name, 0) for name in (*endpoints(settings), "am/3")] == [[], [], []]
    assert list(endpoints(settings)) == ["am/1", "am/2"]
