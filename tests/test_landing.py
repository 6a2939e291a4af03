"""A batch lands whole or not at all: events, quarantine, positions and books in one transaction."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from in_process import FEEDBACK, NOW_US, PREDICTIONS, SMALL, InProcess, feedback, prediction
from streams import START_US, raw_batch

from monitor.store.landing import Route, land
from monitor.store.quarantine import listed, payload
from monitor.types import Partition, Position, Rejected

DEEP = b"[" * 100_000 + b"]" * 100_000
HOSTILE: list[tuple[bytes, str]] = [
    (b'{"event_id":"\xff"}', "not_utf8"),
    (b"no json at all", "not_json"),
    (b'{"event_id":' * 100_000, "not_json"),
    (DEEP, "not_an_object"),
    (prediction("s").replace(b'"gold"', b'"\\udc00"'), "not_json"),
    (b'{"event_id":"\xed\xa0\x80"}', "not_utf8"),
    (prediction("2099", timestamp="2099-01-01T00:00:00Z"), "future"),
    (prediction("1970", timestamp="1970-01-01T00:00:00Z"), "past"),
    (prediction("dateless", timestamp=None), "missing_timestamp"),
    (prediction(""), "missing_event_id"),
    (prediction("who", model="stranger"), "unknown_model"),
]
ODD: list[tuple[bytes, list[str]]] = [  # they land, and what is wrong is counted
    (prediction("deep").replace(b"41", DEEP), ["type_mismatch:age"]),
    (prediction("digits").replace(b"41", b"7" * 5000), ["non_finite:age"]),
    (prediction("1e400").replace(b"41", b"1e400"), ["non_finite:age"]),
    (prediction("nan").replace(b"41", b"NaN"), ["non_finite:age"]),
    (prediction("infinite").replace(b"41", b"-Infinity"), ["non_finite:age"]),
    (prediction("twice").replace(b'"age": 41', b'"age": 1, "age": 2'), []),
]


def hostile_batch() -> list[bytes]:
    good = [prediction(f"good-{i}", i / 10) for i in range(100)]
    return good[:50] + [b for b, _ in HOSTILE] + [b for b, _ in ODD] + good[50:]


def test_of_a_batch_with_every_kind_of_hostile_record_the_good_ones_land_and_the_rest_say_why() -> None:
    core = InProcess()
    report = core.land({PREDICTIONS: hostile_batch()})
    assert report.landed == {("credit", "prediction"): 100 + len(ODD)}
    reasons = Counter(reason for (_, reason), n in report.quarantined.items() for _ in range(n))
    assert reasons == Counter(reason for _, reason in HOSTILE)
    stored = core.rows("SELECT off, reason FROM quarantine ORDER BY off")
    assert stored == [(50 + i, reason) for i, (_, reason) in enumerate(HOSTILE)]
    first = 50 + len(HOSTILE)
    found = core.rows(f"SELECT coalesce(faults, []) FROM predictions_1 WHERE off BETWEEN {first} AND"
                      f" {first + len(ODD) - 1} ORDER BY off")  # fmt: skip
    assert [row[0] for row in found] == [faults for _, faults in ODD]
    wanted = Counter(f.partition(":")[0] for _, faults in ODD for f in faults)
    assert {kind: n for (_, _, kind), n in report.faults.items()} == wanted
    assert core.violations() == []
    assert core.rows('SELECT "read", landed, quarantined, "rows" FROM partitions') == [
        (100 + len(HOSTILE) + len(ODD), 100 + len(ODD), len(HOSTILE), 100 + len(ODD))
    ]


def test_no_hostile_record_moves_event_time() -> None:
    core = InProcess()
    core.land({PREDICTIONS: [prediction("a", 3), *(b for b, _ in HOSTILE)]})
    assert core.rows("SELECT event_us FROM partitions") == [(START_US + 3 * 60_000_000,)]


def test_the_payload_of_a_refused_record_is_kept_up_to_a_cap_with_its_true_size() -> None:
    core = InProcess()
    core.land({PREDICTIONS: [DEEP, b"short"]})
    rows = listed(core.cursor)
    assert [(row["offset"], row["size"], row["reason"]) for row in rows] == [
        (1, 5, "not_json"),
        (0, 200_000, "not_an_object"),
    ]
    assert payload(core.cursor, rows[0]["seq"]) == b"short"
    assert payload(core.cursor, rows[1]["seq"]) == DEEP[: 16 * 1024]


def test_what_the_source_itself_refused_is_quarantined_with_its_reason() -> None:
    core = InProcess()
    batch = raw_batch({PREDICTIONS: [prediction("a")]})
    rejected = Rejected(PREDICTIONS, 1, "oversize", "2097152 bytes, 1048576 are allowed", b"{", 2_097_152)
    batch = replace(batch, rejected=(rejected,), positions={PREDICTIONS: Position(2)})
    land(core.store, core.cursor, batch, core.routes, now_us=NOW_US)
    assert core.rows("SELECT off, reason, size FROM quarantine") == [(1, "oversize", 2_097_152)]
    assert core.store.positions("events") == {PREDICTIONS: Position(2)}
    assert core.violations() == []


def test_a_tombstone_is_read_and_ignored() -> None:
    core = InProcess()
    report = core.land({PREDICTIONS: [None, prediction("a"), None]})
    assert (report.read, report.ignored, report.quarantined) == (3, 2, {})
    assert core.violations() == []


def test_an_empty_poll_moves_the_position_over_a_hole() -> None:
    core = InProcess()
    core.land({PREDICTIONS: [prediction("a")]})
    hole = replace(raw_batch({PREDICTIONS: []}), positions={PREDICTIONS: Position(17, "epoch 4")})
    land(core.store, core.cursor, hole, core.routes, now_us=NOW_US)
    assert core.store.positions("events") == {PREDICTIONS: Position(17, "epoch 4")}


def test_models_that_share_a_topic_get_their_own_events_and_strangers_are_refused_or_ignored() -> None:
    other = replace(SMALL, name="fraud")
    kinds = frozenset({"prediction"})
    for ignore in (False, True):
        core = InProcess()
        core.store.register(other)
        core.routes = {
            "p": [Route(SMALL, kinds, "canonical", ignore), Route(other, kinds, "canonical", ignore)]
        }
        events = [prediction(f"{m}-{i}", model=m) for i in range(3) for m in ("credit", "fraud", "stranger")]
        report = core.land({PREDICTIONS: [*events, prediction("nobody's")]})
        assert report.landed == {("credit", "prediction"): 3, ("fraud", "prediction"): 3}
        refused = {reason: n for (_, reason), n in report.quarantined.items()}
        assert refused == ({} if ignore else {"unknown_model": 3, "missing_model": 1})
        assert report.ignored == (4 if ignore else 0)
        assert core.violations() == []


def test_topics_of_one_batch_go_their_own_ways() -> None:
    core = InProcess()
    other = Partition("events", "p", "1")
    values = {
        PREDICTIONS: [prediction("a"), b"x"],
        FEEDBACK: [feedback("a", "1"), b"y"],
        other: [prediction("b")],
    }
    core.land(values)
    assert core.rows("SELECT off FROM predictions_1 ORDER BY part, off") == [(0,), (0,)]
    assert core.rows("SELECT off FROM labels_1") == [(0,)]
    ledger = core.rows('SELECT topic, key, "read", landed, quarantined FROM partitions ORDER BY topic, key')
    assert ledger == [("f", "0", 2, 1, 1), ("p", "0", 2, 1, 1), ("p", "1", 1, 1, 0)]


def test_a_record_that_makes_the_query_itself_fail_is_found_and_refused_alone() -> None:
    core = InProcess()
    core.rows("ALTER TABLE predictions_1 ALTER version TYPE INTEGER USING 0")  # now a word cannot be stored
    events = [prediction(f"e-{i}", version="3") for i in range(40)]
    events[7], events[23] = prediction("bad", version="v7"), prediction("worse", version="v23")
    report = core.land({PREDICTIONS: events})
    assert report.quarantined == {("", "undecodable"): 2}
    assert core.rows("SELECT off, reason FROM quarantine ORDER BY off") == [
        (7, "undecodable"),
        (23, "undecodable"),
    ]
    assert core.rows("SELECT count(*), count(DISTINCT off) FROM predictions_1") == [(38, 38)]
    assert core.violations() == []
    assert core.store.positions("events") == {PREDICTIONS: Position(40)}


def test_when_the_commit_fails_nothing_is_stored_and_the_same_batch_can_be_landed_again() -> None:
    core = InProcess()
    core.land({PREDICTIONS: [prediction("a")]})
    batch = raw_batch({PREDICTIONS: [prediction("b"), b"bad"]}, {PREDICTIONS: 1})
    other = core.store.cursor()
    other.begin()  # another writer changed the same ledger row: ours must fail when it comes to its own
    other.execute("UPDATE partitions SET ignored = ignored + 1")
    with pytest.raises(duckdb.TransactionException):
        land(core.store, core.cursor, batch, core.routes, now_us=NOW_US)
    other.rollback()
    assert core.rows("SELECT count(*) FROM predictions_1") == [(1,)]
    assert core.rows("SELECT count(*) FROM quarantine") == [(0,)]
    assert core.store.positions("events") == {PREDICTIONS: Position(1)}
    land(core.store, core.cursor, batch, core.routes, now_us=NOW_US)
    assert core.rows("SELECT count(*), count(DISTINCT seq) FROM predictions_1") == [(2, 2)]
    assert core.store.positions("events") == {PREDICTIONS: Position(3)}
    assert core.violations() == []


def test_a_new_partition_of_a_failed_batch_is_forgotten_with_it() -> None:
    core = InProcess()
    core.land({PREDICTIONS: [prediction("a")]})
    new = Partition("events", "p", "1")
    batch = raw_batch({PREDICTIONS: [prediction("b")], new: [prediction("c")]}, {PREDICTIONS: 1})
    other = core.store.cursor()
    other.begin()
    other.execute("UPDATE partitions SET ignored = ignored + 1")
    with pytest.raises(duckdb.TransactionException):
        land(core.store, core.cursor, batch, core.routes, now_us=NOW_US)
    other.rollback()
    assert new not in core.store.partition_ids
    land(core.store, core.cursor, batch, core.routes, now_us=NOW_US)
    assert core.violations() == []
    assert core.store.positions("events")[new] == Position(1)


@pytest.mark.slow
def test_sources_that_land_at_the_same_time_never_share_a_row_number() -> None:
    core = InProcess()
    failures: list[BaseException] = []

    def source(name: str) -> None:
        cursor, partition, at = core.store.cursor(), Partition(name, "p", "0"), 0
        try:
            for i in range(30):
                values = [prediction(f"{name}-{i}-{j}") for j in range(3)]
                land(
                    core.store,
                    cursor,
                    raw_batch({partition: values}, {partition: at}),
                    core.routes,
                    now_us=NOW_US,
                )
                at += 3
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=source, args=(f"s{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert core.rows("SELECT count(*), count(DISTINCT seq), max(seq) FROM predictions_1") == [(360, 360, 360)]
    assert core.rows("SELECT next_seq FROM meta") == [(361,)]
    assert core.violations() == []


def test_positions_and_rows_survive_closing_and_opening_the_store(tmp_path: Path) -> None:
    path = tmp_path / "m.duckdb"
    core = InProcess(path=path)
    core.land({PREDICTIONS: [prediction("a"), b"bad"]})
    core.store.close()
    again = InProcess(path=path)
    assert again.store.positions("events") == {PREDICTIONS: Position(2)}
    batch = raw_batch({PREDICTIONS: [prediction("b")]}, {PREDICTIONS: 2})
    land(again.store, again.cursor, batch, again.routes, now_us=NOW_US)
    assert again.rows("SELECT seq, off FROM predictions_1 ORDER BY seq") == [(1, 0), (3, 2)]
    again.store.close()


RECORDS = st.sampled_from(
    [prediction("a"), prediction("b", 2), *(b for b, _ in HOSTILE if len(b) < 1000), None]
)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.lists(RECORDS, max_size=25), st.data())
def test_however_a_log_is_cut_into_batches_the_same_is_stored_and_the_books_add_up(
    records: list[bytes | None], data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(records)), max_size=4)))
    whole, cut = InProcess(), InProcess()
    whole.land({PREDICTIONS: records})
    for a, b in zip([0, *cuts], [*cuts, len(records)], strict=True):
        cut.land({PREDICTIONS: records[a:b]})
    for query in (
        "SELECT off, id, event_us, prediction, faults FROM predictions_1 ORDER BY off",
        "SELECT off, reason, detail, payload, size FROM quarantine ORDER BY off",
        'SELECT position, event_us, "read", landed, quarantined, ignored, "rows" FROM partitions',
    ):
        assert cut.rows(query) == whole.rows(query)
    assert cut.violations() == []
    for core in (whole, cut):
        core.store.close()
