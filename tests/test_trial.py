"""What ``check`` says of the first records of files, before a daemon reads them."""

from __future__ import annotations

import json
import time
from pathlib import Path

from monitor.build import plan
from monitor.config import load
from monitor.time import SECOND_US, to_rfc3339
from monitor.trial import Trial, try_files

CONFIG = """
sources: {logs: {kind: files}}
models:
  - name: credit
    task: binary
    predictions: {source: logs, path: events.jsonl}
    features: {age: numeric, plan: categorical}
    window: {size: 1h}
    checks: {quality: {}}
"""


def tried(folder: Path, lines: list[str]) -> Trial:
    (folder / "monitor.yaml").write_text(CONFIG)
    (folder / "events.jsonl").write_text("".join(line + "\n" for line in lines))
    return try_files(plan(load(folder / "monitor.yaml")))


def event(number: int, *, at_us: int | None = None, **more: object) -> str:
    moment = time.time_ns() // 1000 - 60 * SECOND_US if at_us is None else at_us
    whole = {"event_id": f"e{number}", "timestamp": to_rfc3339(moment), "prediction": "1"}
    return json.dumps(whole | {"features": {"age": 41, "plan": "gold"}} | more)


def test_nothing_is_said_of_records_that_fit(tmp_path: Path) -> None:
    assert tried(tmp_path, [event(n) for n in range(30)]) == Trial((), ())


def test_it_is_a_problem_when_all_of_many_records_are_refused(tmp_path: Path) -> None:
    found = tried(tmp_path, ['{"id": "a", "guess": 1}'] * 25)
    assert found.remarks == ()
    (said,) = found.problems
    assert said.endswith(
        "events.jsonl: of the first 25 records 25 are refused as missing_event_id; the first of them has id,"
        " guess: say which is meant under columns.event_id"
    )


def test_it_is_a_remark_when_some_or_few_are(tmp_path: Path) -> None:
    some = tried(tmp_path, [event(1), "no json"] * 20)
    few = tried(tmp_path, ["no json"])
    assert some.problems == few.problems == ()
    assert "of the first 40 records 20 are refused as not_json" in some.remarks[0]
    assert "of the first 1 records 1 are refused as not_json" in few.remarks[0]


def test_a_feature_that_no_prediction_has_is_named(tmp_path: Path) -> None:
    found = tried(tmp_path, [event(n, features={"Age": 41, "plan": "gold"}) for n in range(3)])
    assert found.problems == ()
    assert [said.partition(";")[0] for said in found.remarks] == [
        "credit: none of the first 3 predictions has a value for age"
    ]


def test_events_older_than_what_is_kept_are_remarked_on(tmp_path: Path) -> None:
    (said,) = tried(tmp_path, [event(1, at_us=1_700_000_000_000_000)]).remarks
    assert "the first predictions are of 2023-11-14T22:13:20Z, older than store.retention (35d) keeps" in said
