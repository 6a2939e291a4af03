"""The outbox's contract, the same in memory and in the store: what is due, in which order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from monitor.actions import Outbox, OutboxRow
from monitor.actions.memory import MemoryOutbox
from monitor.store.outbox import StoredOutbox, enqueue, fresh_id, listed, retry
from monitor.store.schema import MIGRATIONS
from monitor.store.store import Store

ALL = ("a", "b")
Make = Callable[[list[OutboxRow]], Outbox]


def row(id: str, *, action: str = "a", rule: str = "r", created_us: int = 0) -> OutboxRow:
    return OutboxRow(id, "credit", rule, action, f"body of {id}".encode(), created_us, 0, created_us)


def in_store(rows: list[OutboxRow]) -> StoredOutbox[OutboxRow]:
    store = Store()
    cursor = store.cursor()
    with store.write(cursor):
        for one in rows:
            enqueue(
                cursor, id=one.id, model=one.model, rule=one.rule, action=one.action, body=one.body,
                now_us=one.created_us,
            )  # fmt: skip
    return StoredOutbox(store, OutboxRow)


@pytest.fixture(params=[MemoryOutbox, in_store], ids=["memory", "store"])
def make(request: pytest.FixtureRequest) -> Make:
    return request.param


def ids(outbox: Outbox, now_us: int = 100, limit: int = 10, actions: tuple[str, ...] = ALL) -> list[str]:
    return [one.id for one in outbox.due(now_us, limit, actions)]


def mark(outbox: Outbox, id: str, outcome: str, next_us: int = 0) -> None:
    outbox.mark(id, outcome=outcome, next_attempt_us=next_us, attempts=1, error="", at_us=0)  # type: ignore[arg-type]


def test_rows_of_one_moment_keep_the_order_they_were_made_in(make: Make) -> None:
    outbox = make([row(id) for id in ("z", "m", "a", "q")])
    assert ids(outbox) == ["z", "m", "a", "q"]
    assert [one.body for one in outbox.due(0, 1, ALL)] == [b"body of z"]


def test_nothing_is_due_behind_a_row_of_its_rule_that_has_to_wait(make: Make) -> None:
    outbox = make([row("1"), row("2"), row("3", rule="other")])
    mark(outbox, "1", "retry", next_us=50)
    assert ids(outbox, now_us=49) == ["3"]
    assert ids(outbox, now_us=50) == ["3", "1", "2"]


def test_a_row_that_waits_in_the_middle_lets_those_before_it_go(make: Make) -> None:
    outbox = make([row("1"), row("2"), row("3")])
    mark(outbox, "2", "retry", next_us=50)
    assert ids(outbox, now_us=10) == ["1"]


def test_dead_and_delivered_rows_hold_up_nothing_and_disabled_ones_their_action(make: Make) -> None:
    outbox = make([row("1"), row("2"), row("3"), row("4", action="b"), row("5", action="b", rule="x")])
    mark(outbox, "1", "dead")
    mark(outbox, "2", "delivered")
    assert ids(outbox) == ["3", "4", "5"]
    mark(outbox, "4", "disabled")
    assert ids(outbox) == ["3"]
    assert outbox.pending() == 3


def test_the_limit_is_for_each_action_so_none_is_crowded_out(make: Make) -> None:
    outbox = make([row(f"a{n}") for n in range(5)] + [row("b0", action="b")])
    assert sorted(ids(outbox, limit=2)) == ["a0", "a1", "b0"]
    assert ids(outbox, limit=2, actions=("b",)) == ["b0"]


def test_the_longest_due_come_first(make: Make) -> None:
    outbox = make([row("late", rule="x", created_us=20), row("early", rule="y", created_us=10)])
    assert ids(outbox) == ["early", "late"]


def stored(*rows: str) -> tuple[Store, duckdb.DuckDBPyConnection]:
    outbox = in_store([row(id) for id in rows])
    return outbox._store, outbox._cursor


def test_an_id_is_added_once_and_a_fresh_one_is_found_for_what_happens_again() -> None:
    store, cursor = stored("msg_1", "msg_1", "msg_10")
    assert [one["id"] for one in listed(cursor)] == ["msg_1", "msg_10"]
    assert fresh_id(cursor, "msg_1") == "msg_1-2"
    with store.write(cursor):
        enqueue(cursor, id="msg_1-2", model="m", rule="r", action="a", body=b"", now_us=0)
    assert fresh_id(cursor, "msg_1") == "msg_1-3"
    assert fresh_id(cursor, "msg_2") == "msg_2"


def test_what_cannot_be_sent_is_a_dead_letter_that_says_why() -> None:
    store, cursor = stored()
    with store.write(cursor):
        enqueue(
            cursor, id="x", model="m", rule="r", action="a", body=b"", now_us=0, error="the template fails"
        )
    [one] = listed(cursor, state="dead")
    assert (one["state"], one["last_error"]) == ("dead", "the template fails")


def test_dead_letters_are_due_again_all_or_by_id_or_by_action() -> None:
    outbox = in_store([row("1"), row("2"), row("3", action="b")])
    store, cursor = outbox._store, outbox._cursor
    for id, outcome in (("1", "dead"), ("2", "disabled"), ("3", "dead")):
        mark(outbox, id, outcome)
    assert retry(store, cursor, 7, id="1") == 1
    assert retry(store, cursor, 7, action="b") == 1
    assert retry(store, cursor, 7, id="1") == 0
    assert retry(store, cursor, 7) == 1
    assert ids(outbox) == ["1", "2", "3"]
    assert {(one["attempts"], one["next_attempt_us"]) for one in listed(cursor)} == {(0, 7)}


def test_the_list_shows_the_newest_and_one_state_where_asked() -> None:
    outbox = in_store([row(str(n)) for n in range(5)])
    mark(outbox, "4", "delivered")
    assert [one["id"] for one in listed(outbox._cursor, limit=2)] == ["3", "4"]
    assert [one["id"] for one in listed(outbox._cursor, limit=2, state="pending")] == ["2", "3"]


def test_messages_of_an_older_store_keep_their_order(tmp_path: Path) -> None:
    path = tmp_path / "old.duckdb"
    with duckdb.connect(str(path)) as old:
        before = next(i for i, script in enumerate(MIGRATIONS) if "ADD COLUMN seq" in script)
        for script in MIGRATIONS[:before]:
            old.execute(script)
        old.execute("UPDATE meta SET schema_version = ?", [before])
        for id, created_us in (("b", 2), ("c", 2), ("a", 3), ("d", 1)):
            old.execute(
                "INSERT INTO outbox VALUES (?, 'm', 'r', 'a', '', ?, 0, 0, '', 'pending')", [id, created_us]
            )
    store = Store(path)
    with store.write(cursor := store.cursor()):
        enqueue(cursor, id="new", model="m", rule="r", action="a", body=b"", now_us=0)
    assert [one.id for one in StoredOutbox(store, OutboxRow).due(9, 9, ["a"])] == ["d", "b", "c", "a", "new"]
    store.close()
