"""Files as a source: growth, rotation, truncation, compression, tables, and what cannot be read."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_harness import Log, read, read_to_end

import monitor.sources.file_entry as file_entry
import monitor.sources.file_text as file_text
from monitor.sources.files import FilesSource
from monitor.types import Partition, Position


def follow(
    pattern: Path, positions: Mapping[Partition, Position] | None = None, **settings: Any
) -> FilesSource:
    source = FilesSource("f", [str(pattern)], poll_s=0.02, **settings)
    source.start(positions or {})
    return source


def replay(
    pattern: Path, columns: Mapping[str, str] | None = None, **settings: Any
) -> tuple[Log, FilesSource]:
    """Read what is there to its end, polling no more once nothing comes, as a replay does."""
    source = FilesSource("f", [str(pattern)], {str(pattern): columns or {}}, follow=False, **settings)
    source.start({})
    log = Log()
    while (batch := source.poll(1.0)) is not None:
        log.store(batch)
    source.close()
    return log, source


def events(log: Log, path: Path) -> list[Any]:
    return [json.loads(value) for value in log.values(str(path)) if value is not None]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every file for complete as soon as it is seen."""
    monkeypatch.setattr(file_entry, "SETTLE_S", 0.0)


def test_a_replay_ends_when_everything_is_read_and_every_partition_is_caught_up(tmp_path: Path) -> None:
    for number in (2, 10, 1):
        (tmp_path / f"log-{number}.jsonl").write_text(f"{number}\n")
    log, source = replay(tmp_path / "*.jsonl")
    assert list(log.records) == [str(tmp_path / f"log-{n}.jsonl") for n in (1, 2, 10)]
    assert source.status().caught_up == set(log.positions)
    assert len(log.positions) == 3


def test_offsets_are_the_bytes_where_lines_begin(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{}\r\n\n  \n{"n":1}\nlast without newline')
    log, _ = replay(path)
    assert log.records[str(path)] == [(0, b"{}"), (11, b'{"n":1}'), (19, b"last without newline")]
    assert log.positions[Partition("f", str(path), str(path))].offset == path.stat().st_size


def test_a_line_still_being_written_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"one\ntw")
    source, log = follow(path), Log()
    read_to_end(source, log)
    assert log.values(str(path)) == [b"one"]
    with path.open("ab") as file:
        file.write(b"o\nthree\n")
    read(source, log, lambda: log.count == 3)
    source.close()
    assert log.records[str(path)] == [(0, b"one"), (4, b"two"), (8, b"three")]


def test_a_rename_rotation_finishes_the_old_file_and_goes_on_with_the_new_one(
    tmp_path: Path, at_once: None
) -> None:
    for pattern in ("*.jsonl", "*.jsonl*"):  # the renamed file no longer matches, or still does
        folder = tmp_path / str(len(pattern))
        folder.mkdir()
        path = folder / "app.jsonl"
        path.write_bytes(b"1\n2\n")
        source, log = follow(folder / pattern), Log()
        read_to_end(source, log)
        with path.open("ab") as file:
            file.write(b"3\n4")
        path.rename(folder / "app.jsonl.1")
        path.write_bytes(b"5\n")
        read(source, log, lambda log=log: log.count == 5)
        read_to_end(source, log)
        source.close()
        assert log.values(str(path)) == [b"1", b"2", b"3", b"4"]
        assert log.records[f"{path}#000001"] == [(0, b"5")]
        assert log.count == 5


def test_a_rotation_while_nobody_was_reading_loses_and_doubles_nothing(tmp_path: Path, at_once: None) -> None:
    path = tmp_path / "app.jsonl"
    path.write_bytes(b"1\n2\n")
    source, log = follow(path), Log()
    read_to_end(source, log)
    source.close()
    with path.open("ab") as file:
        file.write(b"3\n")
    path.rename(tmp_path / "app.jsonl.1")
    path.write_bytes(b"4\n")
    source = follow(path, log.positions)
    read(source, log, lambda: log.count == 4)
    source.close()
    source = follow(path, log.positions)
    assert [source.poll(0.05) for _ in range(3)] == [None] * 3 or log.count == 4
    source.close()
    assert log.values(str(path)) == [b"1", b"2", b"3"]
    assert log.values(f"{path}#000001") == [b"4"]


def test_a_renamed_file_that_is_still_written_is_not_cut_in_the_middle_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "app.jsonl"
    path.write_bytes(b"1\nhal")
    source, log = follow(path), Log()
    read_to_end(source, log)
    path.rename(tmp_path / "app.jsonl.1")
    path.write_bytes(b"2\n")
    read(source, log, lambda: log.count == 2)
    with (tmp_path / "app.jsonl.1").open("ab") as file:
        file.write(b"f\n")
    read(source, log, lambda: log.count == 3)
    source.close()
    assert log.values(str(path)) == [b"1", b"half"]


@pytest.mark.parametrize("new", [b"9\n", b"a longer text than there was before\n"], ids=["shorter", "longer"])
def test_a_truncated_file_is_a_new_generation(tmp_path: Path, new: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"first\nsecond\n")
    source, log = follow(path), Log()
    read_to_end(source, log)
    with path.open("r+b") as file:  # the same inode, as copytruncate leaves it
        file.truncate(0)
        file.write(new)
    read(source, log, lambda: log.count == 3)
    source.close()
    assert log.values(str(path)) == [b"first", b"second"]
    assert log.records[f"{path}#000001"] == [(0, new.strip())]


def test_a_file_replaced_atomically_is_a_new_generation(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"old\n")
    source, log = follow(path), Log()
    read_to_end(source, log)
    (tmp_path / "new").write_bytes(b"old\nnew\n")
    (tmp_path / "new").replace(path)
    read(source, log, lambda: log.count == 3)
    source.close()
    assert log.values(f"{path}#000001") == [b"old", b"new"]


def test_gzip_of_several_members_is_read_by_decompressed_offset_and_resumed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    lines = [b'{"n":%06d}' % i for i in range(30_000)]
    half = b"".join(line + b"\n" for line in lines[:15_000])
    rest = b"".join(line + b"\n" for line in lines[15_000:])
    path.write_bytes(gzip.compress(half) + gzip.compress(rest))
    source = FilesSource("f", [str(path)], follow=False, max_batch_records=10_000)
    source.start({})
    first = Log()
    batch = source.poll(1.0)
    assert batch is not None
    first.store(batch)
    source.close()
    assert first.offsets(str(path)) == [13 * i for i in range(10_000)]
    source = FilesSource("f", [str(path)], follow=False)
    source.start(first.positions)
    while (batch := source.poll(1.0)) is not None:
        first.store(batch)
    source.close()
    assert first.values(str(path)) == lines


def test_an_endless_line_is_refused_without_being_held_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_text, "BLOCK_BYTES", 1000)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"before\n" + b"x" * 50_000 + b"\nafter\n")
    log, _ = replay(path, max_record_bytes=100)
    assert log.values(str(path)) == [b"before", b"after"]
    (rejected,) = log.rejected
    assert (rejected.reason, rejected.offset) == ("oversize", 7)
    assert rejected.size > 100
    assert len(rejected.payload) <= 4096


def test_the_rest_of_an_endless_line_is_skipped_even_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_text, "BLOCK_BYTES", 1000)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"before\n" + b"x" * 5_000)
    source, log = follow(path, max_record_bytes=100), Log()
    read(source, log, lambda: len(log.rejected) == 1)
    read_to_end(source, log)
    source.close()
    with path.open("ab") as file:
        file.write(b"yyy\nafter\n")
    source = follow(path, log.positions, max_record_bytes=100)
    read(source, log, lambda: log.count == 2)
    source.close()
    assert log.values(str(path)) == [b"before", b"after"]
    assert len(log.rejected) == 1


@pytest.mark.slow
def test_a_gzip_bomb_stays_within_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(300):
            file.write(b"0" * (1 << 20))
        file.write(b"\n{}\n")
    program = f"""
import resource
from monitor.sources.files import FilesSource
source = FilesSource("f", [{str(path)!r}], follow=False)
source.start({{}})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
values, refused = [], []
while (batch := source.poll(1.0)) is not None:
    values += batch.records["value"].to_pylist()
    refused += batch.rejected
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(values == [b"{{}}"], len(refused), grown // 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parents[1]
    )
    right, refused, grown_mib = done.stdout.split()
    assert (right, refused) == ("True", "1"), done.stderr
    assert int(grown_mib) < 64


def test_csv_rows_become_events_with_quoted_newlines_and_empty_cells_as_null(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    header = b"id,timestamp,y_pred,age,note\r\n"
    first = b'1,2026-01-01T00:00:00Z,yes,41,"two\r\nlines, ""quoted"""\r\n'
    path.write_bytes(header + first + b"2,,no,,\r\n\r\n3,,no,7,last")
    log, _ = replay(path, {"event_id": "id", "prediction": "y_pred"})
    assert events(log, path) == [
        {
            "event_id": "1",
            "timestamp": "2026-01-01T00:00:00Z",
            "prediction": "yes",
            "features": {"age": "41", "note": 'two\r\nlines, "quoted"'},
        },
        {"event_id": "2", "timestamp": None, "prediction": "no", "features": {"age": None, "note": None}},
        {"event_id": "3", "timestamp": None, "prediction": "no", "features": {"age": "7", "note": "last"}},
    ]
    content = path.read_bytes()
    assert log.offsets(str(path)) == [
        content.index(b"1,2026"),
        content.index(b"2,,no"),
        content.index(b"3,,no"),
    ]


def test_csv_that_grows_is_read_on_and_resumes_at_a_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("event_id,label\n1,0\n2,1\n3,")
    source, log = follow(path), Log()
    read_to_end(source, log)
    source.close()
    assert [e["event_id"] for e in events(log, path)] == ["1", "2"]
    with path.open("a") as file:
        file.write("0\n4,1\n")
    source = follow(path, log.positions)
    read(source, log, lambda: log.count == 4)
    source.close()
    assert events(log, path) == [{"event_id": str(i + 1), "label": str(i % 2)} for i in range(4)]


def test_bad_csv_rows_are_rejected_with_their_offsets_and_the_rest_land(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"event_id,label\n1,0\n2\n3,1,9\n4,\xff\n5,1\n")
    log, _ = replay(path)
    assert [e["event_id"] for e in events(log, path)] == ["1", "5"]
    assert sorted((r.offset, r.reason, r.payload) for r in log.rejected) == [
        (19, "csv", b"2\n"),
        (21, "csv", b"3,1,9\n"),
        (27, "csv", b"4,\xff\n"),
    ]
    assert "the row has 1 columns; the header has 2" in {r.detail for r in log.rejected}


def test_a_csv_quote_that_never_closes_costs_its_line_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_text, "BLOCK_BYTES", 500)
    monkeypatch.setattr("monitor.sources.file_rows.BLOCK_BYTES", 500)
    path = tmp_path / "a.csv"
    rows = [f"{i},1\n" for i in range(1000)]
    path.write_text("event_id,label\n" + "".join(rows[:3]) + '3,"1\n' + "".join(rows[4:]))
    log, _ = replay(path, max_record_bytes=200)
    assert [e["event_id"] for e in events(log, path)] == [str(i) for i in range(1000) if i != 3]
    assert [r.reason for r in log.rejected] == ["oversize"]


def test_parquet_columns_map_to_events_with_moments_as_text_and_nan_as_null(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    paris = dt.timezone(dt.timedelta(hours=2))
    table = pa.table(
        {
            "id": ["a", "b"],
            "timestamp": pa.array(
                [dt.datetime(2026, 1, 1, 2, 0, 0, 5, paris)] * 2, pa.timestamp("us", "+02:00")
            ),
            "y": ["1", "0"],
            "p1": [0.83, 0.1],
            "repaid": ["1", None],
            "age": [41.0, float("nan")],
            "joined": pa.array([dt.date(2026, 1, 2), None]),
            "segments": [{"plan": "gold"}, {"plan": "free"}],
            "chan": ["web", "app"],
            "scores": [{"0": 0.17, "1": 0.83}, {"0": 0.9, "1": 0.1}],
            "tall": pa.array(["x", None]).dictionary_encode(),
        }
    )
    pq.write_table(table, path)
    columns = {
        "event_id": "id",
        "prediction": "y",
        "score": "p1",
        "label": "repaid",
        "segments.channel": "chan",
    }
    log, source = replay(path, columns)
    assert not source.status().halted
    moment = "2026-01-01T00:00:00.000005Z"
    assert events(log, path) == [
        {
            **{"event_id": "a", "timestamp": moment, "prediction": "1", "score": 0.83, "label": "1"},
            "features": {"age": 41.0, "joined": "2026-01-02", "tall": "x"},
            "scores": {"0": 0.17, "1": 0.83},
            "segments": {"plan": "gold", "channel": "web"},
        },
        {
            **{"event_id": "b", "timestamp": moment, "prediction": "0", "score": 0.1},
            "features": {"age": None, "joined": None, "tall": None},
            "scores": {"0": 0.9, "1": 0.1},
            "segments": {"plan": "free", "channel": "app"},
        },
    ]


def test_a_null_label_withdraws_only_in_a_table_of_labels(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("event_id,label\n1,\n2,1\n")
    log, _ = replay(path)
    assert events(log, path) == [{"event_id": "1", "label": None}, {"event_id": "2", "label": "1"}]


def test_parquet_resumes_at_a_row_in_any_row_group(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"event_id": [str(i) for i in range(1000)]}), path, row_group_size=130)
    for cut in (1, 129, 130, 131, 555):
        source = FilesSource("f", [str(path)], follow=False, max_batch_records=cut)
        source.start({})
        log = Log()
        batch = source.poll(1.0)
        assert batch is not None
        log.store(batch)
        source.close()
        source = FilesSource("f", [str(path)], follow=False, max_batch_records=99)
        source.start(log.positions)
        while (batch := source.poll(1.0)) is not None:
            log.store(batch)
        source.close()
        assert [e["event_id"] for e in events(log, path)] == [str(i) for i in range(1000)]
        assert log.offsets(str(path)) == list(range(1000))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("bad.parquet", b"PAR1 but not really", "not a sound Parquet file"),
        ("bad.jsonl.gz", b"this is not gzip", "not sound gzip data"),
        ("cut.jsonl.gz", gzip.compress(b"line\n" * 1000, mtime=0)[:-20], "was cut off"),
        ("twice.csv", b"a,b,a\n1,2,3\n", "the column 'a' twice"),
        ("data.xml", b"<a/>\n", "allowed are .jsonl, .ndjson, .json and .csv"),
    ],
)
def test_a_file_that_cannot_be_read_halts_itself_alone(
    tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / "good.jsonl").write_bytes(b"fine\n")
    log, source = replay(tmp_path / "*")
    halted = source.status().halted
    assert [Path(p.key).name for p in halted] == [name]
    assert says in next(iter(halted.values()))
    assert name in next(iter(halted.values()))
    assert log.values(str(tmp_path / "good.jsonl")) == [b"fine"]


def test_a_mapping_to_a_column_that_is_not_there_halts_and_names_those_that_are(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,y\n1,2\n")
    _, source = replay(path, {"prediction": "y_pred"})
    (reason,) = source.status().halted.values()
    for part in ("a.csv", "columns.prediction", "'y_pred'", "'id', 'y'"):
        assert part in reason


def test_a_file_that_was_mended_is_read_again(tmp_path: Path, at_once: None) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"half")
    source, log = follow(path), Log()
    read(source, log, lambda: bool(source.status().halted))
    pq.write_table(pa.table({"event_id": ["1"]}), path)
    read(source, log, lambda: log.count == 1)
    source.close()
    assert not source.status().halted


def test_a_parquet_file_still_being_written_is_waited_for(tmp_path: Path) -> None:
    path, done = tmp_path / "a.parquet", tmp_path / "done"
    pq.write_table(pa.table({"event_id": [str(i) for i in range(100)]}), done)
    content = done.read_bytes()
    path.write_bytes(content[:500])
    source, log = follow(path), Log()
    for _ in range(5):
        batch = source.poll(0.05)
        if batch is not None:
            log.store(batch)
    assert not source.status().halted
    with path.open("ab") as file:
        file.write(content[500:])
    read(source, log, lambda: log.count == 100)
    source.close()


def test_a_missing_folder_is_a_status_and_is_read_when_it_comes(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    source, log = follow(folder / "*.jsonl"), Log()
    assert source.poll(0.05) is None
    assert not source.status().connected
    assert str(folder) in source.status().error
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(b"1\n")
    read(source, log, lambda: log.count == 1)
    assert source.status().connected
    source.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_halts_and_is_read_once_allowed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"1\n")
    path.chmod(0)
    source, log = follow(path), Log()
    read(source, log, lambda: bool(source.status().halted), timeout_s=10)
    path.chmod(0o600)
    read(source, log, lambda: log.count == 1)
    source.close()
