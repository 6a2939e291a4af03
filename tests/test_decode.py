"""What becomes of each field of a canonical event: typed, counted as a fault, or a reason to refuse."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from in_process import FEEDBACK, NOW_US, PREDICTIONS, SMALL, InProcess, feedback, prediction
from streams import START_US

from monitor.store.landing import Route
from monitor.time import to_rfc3339
from monitor.types import ModelSpec

WIDE = replace(
    SMALL,
    features={
        "age": "numeric", "plan": "categorical", "flag": "boolean", "note": "text", "vec": "embedding",
        'odd "name\'s/~': "numeric",
    },
)  # fmt: skip
CLEAN = {"age": 41, "plan": "gold", "flag": True, "note": "hi", "vec": [0.1, 0.2], "odd \"name's/~": 1}


def landed(spec: ModelSpec, body: bytes, columns: str) -> tuple[tuple[object, ...], list[str]]:
    """Land one event; return the wanted columns of its row and its faults."""
    core = InProcess(spec)
    report = core.land({PREDICTIONS: [body]})
    assert not report.quarantined, report.quarantined
    row = core.rows(f"SELECT faults, {columns} FROM predictions_1")[0]
    return row[1:], sorted(row[0] or [])


def refused(spec: ModelSpec, body: bytes) -> str:
    """Land one record that must be refused; return the reason."""
    core = InProcess(spec)
    report = core.land({PREDICTIONS: [body]})
    assert core.rows("SELECT count(*) FROM predictions_1") == [(0,)]
    (((_, reason), count),) = report.quarantined.items()
    assert count == 1
    return reason


@pytest.mark.parametrize(
    ("value", "stored", "faults"),
    [
        (41, 41.0, []),
        (True, 1.0, []),
        ("41.5", 41.5, []),
        (None, None, []),
        ("old", None, ["type_mismatch:age"]),
        ({"years": 3}, None, ["type_mismatch:age"]),
        ([1], None, ["type_mismatch:age"]),
        (float("nan"), None, ["non_finite:age"]),
        (float("-inf"), None, ["non_finite:age"]),
        (1e308, 1e308, []),
        (-0.0, 0.0, []),
        (2**53 + 1, float(2**53), []),
    ],
)
def test_a_numeric_feature_is_a_finite_number_or_missing_with_its_fault(
    value: object, stored: float | None, faults: list[str]
) -> None:
    body = prediction("e", features={**CLEAN, "age": value})
    assert landed(WIDE, body, '"n:age"') == ((stored,), faults)


@pytest.mark.parametrize("literal", ["1e400", "-1e400", "9" * 5000])
def test_a_number_too_large_for_a_double_is_missing_and_counted(literal: str) -> None:
    body = prediction("e", features={**CLEAN, "age": 12345}).replace(b"12345", literal.encode())
    assert landed(WIDE, body, '"n:age"') == ((None,), ["non_finite:age"])


@pytest.mark.parametrize(
    ("value", "stored", "faults"),
    [
        ("gold", "gold", []),
        ("", "", []),
        (3, "3", []),
        (3.0, "3", []),
        ("3.0", "3", []),
        ("v1.0", "v1.0", []),
        (3.5, "3.5", []),
        (True, "true", []),
        (None, None, []),
        ({"name": "gold"}, None, ["type_mismatch:plan"]),
        (["gold"], None, ["type_mismatch:plan"]),
        ("[gold]", "[gold]", []),
        ('{"', '{"', []),
        ('quote" \\ \n é 😀', 'quote" \\ \n é 😀', []),
        ("a\u0000b", "a\u0000b", []),
    ],
)
def test_a_category_is_the_scalar_as_text_without_the_fraction_of_a_whole_number(
    value: object, stored: str | None, faults: list[str]
) -> None:
    body = prediction("e", features={**CLEAN, "plan": value})
    assert landed(WIDE, body, '"c:plan"') == ((stored,), faults)


def test_names_with_quotes_and_slashes_are_read_and_counted_like_any_other() -> None:
    name = "odd \"name's/~"
    assert landed(WIDE, prediction("e", features=CLEAN), '"n:odd ""name\'s/~"') == ((1.0,), [])
    body = prediction("e", features={**CLEAN, name: "x"})
    assert landed(WIDE, body, '"n:age"') == ((41.0,), [f"type_mismatch:{name}"])


def test_absent_features_and_unknown_fields_are_counted_by_name() -> None:
    body = prediction("e", features={"age": 41, "agee": 1}, shoe_size=44, label_hint=None)
    _, faults = landed(SMALL, body, "version")
    assert faults == ["absent:plan", "unknown:agee", "unknown:label_hint", "unknown:shoe_size"]


def test_the_first_of_duplicate_keys_counts() -> None:
    moment = b'"timestamp":"2025-06-01T00:00:00Z"'
    body = b'{"event_id":"a","event_id":"b",%s,"prediction":"1","prediction":"0",' % moment
    body += b'"features":{"age":1,"age":2,"plan":"x"}}'
    core = InProcess()
    core.land({PREDICTIONS: [body, prediction("a", 1)]})
    assert core.rows('SELECT prediction, "n:age" FROM predictions_1 WHERE off = 0') == [("1", 1.0)]
    assert core.turn().duplicates == 1, "the id is 'a', the first one"


@pytest.mark.parametrize(
    ("fields", "stored"),
    [
        ({"prediction": "1", "score": 0.2}, ("1", 0.2)),
        ({"prediction": 1, "score": 0.2}, ("1", 0.2)),
        ({"prediction": 1.0, "score": 0.2}, ("1", 0.2)),
        ({"prediction": None, "score": 0.5}, ("1", 0.5)),
        ({"prediction": None, "score": 0.49}, ("0", 0.49)),
        ({"prediction": None, "scores": {"0": 0.4, "1": 0.6}}, ("1", 0.6)),
        ({"prediction": "yes", "score": float("nan")}, ("yes", None)),
    ],
)
def test_a_binary_prediction_is_the_class_named_or_the_score_against_the_threshold(
    fields: dict[str, object], stored: tuple[object, ...]
) -> None:
    assert landed(SMALL, prediction("e", **fields), "prediction, score")[0] == stored


def test_a_multiclass_prediction_is_the_likeliest_class_and_a_tie_goes_to_the_first_name() -> None:
    spec = replace(SMALL, task="multiclass")
    scores = {"red": 0.4, "blue": 0.4, "green": 0.2}
    assert landed(spec, prediction("e", prediction=None, scores=scores), "prediction")[0] == ("blue",)


def test_a_regression_prediction_is_a_number_from_either_field() -> None:
    spec = replace(SMALL, task="regression")
    assert landed(spec, prediction("e", prediction="7.5"), "prediction")[0] == (7.5,)
    assert landed(spec, prediction("e", prediction=None, score=2), "prediction")[0] == (2.0,)
    assert refused(spec, prediction("e", prediction="seven")) == "missing_prediction"


@pytest.mark.parametrize(
    ("unit", "value", "us"),
    [
        ("rfc3339", "2025-06-01T00:00:00Z", START_US),
        ("rfc3339", "2025-06-01T00:00:00.000001Z", START_US + 1),
        ("rfc3339", "2025-06-01T00:00:00.123456789Z", START_US + 123_456),
        ("rfc3339", "2025-06-01T02:00:00+02:00", START_US),
        ("rfc3339", "2025-06-01t00:00:00z", START_US),
        ("rfc3339", "2025-06-01 00:00:00", START_US),
        ("s", START_US // 10**6, START_US),
        ("s", START_US / 10**6 + 0.25, START_US + 250_000),
        ("ms", START_US // 1000, START_US),
        ("us", START_US + 1, START_US + 1),
        ("ns", (START_US + 1) * 1000 + 999, START_US + 1),
        ("us", str(START_US), START_US),
    ],
)
def test_a_timestamp_is_read_to_the_microsecond(unit: str, value: object, us: int) -> None:
    spec = replace(SMALL, timestamp_unit=unit)  # type: ignore[arg-type]
    assert landed(spec, prediction("e", timestamp=value), "event_us")[0] == (us,)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"event_id": None}, "missing_event_id"),
        ({"event_id": ""}, "missing_event_id"),
        ({"model": "other"}, "unknown_model"),
        ({"prediction": None}, "missing_prediction"),
        ({"prediction": {"class": 1}}, "missing_prediction"),
        ({"prediction": ["1"]}, "missing_prediction"),
        ({"prediction": None, "score": "high"}, "missing_prediction"),
        ({"timestamp": None}, "missing_timestamp"),
        ({"timestamp": "yesterday"}, "bad_timestamp"),
        ({"timestamp": "infinity"}, "bad_timestamp"),
        ({"timestamp": {"at": 1}}, "bad_timestamp"),
        ({"timestamp": "2099-01-01T00:00:00Z"}, "future"),
        ({"timestamp": "1970-01-01T00:00:00Z"}, "past"),
    ],
)
def test_an_event_without_what_it_needs_is_refused_for_that_reason(
    fields: dict[str, object], reason: str
) -> None:
    assert refused(SMALL, prediction("e", **fields)) == reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_json"),
        (b"   ", "not_json"),
        (b'{"event_id":', "not_json"),
        (prediction("e") + b" and more", "not_json"),
        (prediction("e") + prediction("f"), "not_json"),
        (b"\xef\xbb\xbf" + prediction("e"), "not_json"),
        (prediction("e").replace(b'"gold"', b'"\\ud800"'), "not_json"),
        (prediction("e").replace(b'"e"', b'"\\udfff"'), "not_json"),
        (b'{"event_id":"\xff"}', "not_utf8"),
        (b'{"event_id":"\xed\xa0\x80"}', "not_utf8"),
        (b"null", "not_an_object"),
        (b"7", "not_an_object"),
        (b'["event_id"]', "not_an_object"),
        (b"{}", "not_an_object"),
        (b"[" * 100_000 + b"]" * 100_000, "not_an_object"),
        (b'{"a":' * 100_000, "not_json"),
    ],
)
def test_what_is_no_json_object_is_refused_for_that_reason(body: bytes, reason: str) -> None:
    assert refused(SMALL, body) == reason


def test_a_value_nested_a_hundred_thousand_deep_is_a_type_mismatch_and_the_event_lands() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    body = prediction("e", features={"age": "DEEP", "plan": "gold"}).replace(b'"DEEP"', deep)
    assert landed(SMALL, body, '"n:age"') == ((None,), ["type_mismatch:age"])


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns", "rfc3339"])
@pytest.mark.parametrize("number", ["9" * 22, "9" * 29, "9" * 40, "-" + "9" * 29, "1e29", "0.1e-30"])
def test_an_epoch_beyond_all_reason_is_refused_and_the_rest_of_the_batch_lands(
    unit: str, number: str
) -> None:
    core = InProcess(replace(SMALL, timestamp_unit=unit))  # type: ignore[arg-type]
    good = {"rfc3339": "2025-06-01T00:00:00Z"}.get(unit) or str(
        START_US * 1000 // {"s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}[unit]
    )
    bad = prediction("bad", timestamp=0).replace(b'"timestamp": 0', f'"timestamp": {number}'.encode())
    report = core.land({PREDICTIONS: [bad, prediction("good", timestamp=good)]})
    assert sum(report.quarantined.values()) == 1
    assert core.rows("SELECT off, event_us FROM predictions_1") == [(1, START_US)]


def test_an_event_five_minutes_ahead_of_the_clock_lands_and_a_microsecond_more_does_not() -> None:
    core = InProcess()
    core.land({PREDICTIONS: [prediction("a", 5), prediction("b", 5 + 1e-6 / 60)]}, now_us=START_US)
    assert core.rows("SELECT off FROM predictions_1") == [(0,)]
    assert core.rows("SELECT off, reason FROM quarantine") == [(1, "future")]


@pytest.mark.parametrize(
    ("label", "stored"), [("1", "1"), (1, "1"), (1.0, "1"), (True, "true"), (None, None)]
)
def test_a_class_label_is_text_and_null_withdraws(label: object, stored: str | None) -> None:
    core = InProcess()
    core.land({FEEDBACK: [feedback("e", label)]})
    assert core.rows("SELECT label FROM labels_1") == [(stored,)]


@pytest.mark.parametrize(
    ("spec", "body", "reason"),
    [
        (SMALL, b'{"event_id":"e"}', "missing_label"),
        (SMALL, b'{"event_id":"e","label":{"is":1}}', "bad_label"),
        (SMALL, b'{"label":"1"}', "missing_event_id"),
        (SMALL, b'{"event_id":"e","label":"1","timestamp":"soon"}', "bad_timestamp"),
        (replace(SMALL, task="regression"), b'{"event_id":"e","label":"high"}', "bad_label"),
        (replace(SMALL, task="regression"), b'{"event_id":"e","label":1e400}', "bad_label"),
    ],
)
def test_feedback_without_a_usable_label_is_refused(spec: ModelSpec, body: bytes, reason: str) -> None:
    core = InProcess(spec)
    assert core.land({FEEDBACK: [body]}).quarantined == {("credit", reason): 1}


def test_one_record_on_a_shared_stream_can_be_a_prediction_and_its_feedback() -> None:
    kinds = frozenset({"prediction", "feedback"})
    core = InProcess(routes={"p": [Route(SMALL, kinds)]})
    report = core.land({PREDICTIONS: [prediction("e", label="0"), feedback("f", "1"), prediction("g")]})
    assert report.landed == {("credit", "prediction"): 2, ("credit", "feedback"): 2}
    assert core.violations() == []


def test_the_time_of_the_log_stands_in_for_a_label_without_one_and_order_does_where_neither_has() -> None:
    core = InProcess()
    core.land(
        {PREDICTIONS: [prediction("e")], FEEDBACK: [feedback("e", "0", None), feedback("e", "1", None)]}
    )
    core.turn(NOW_US)
    assert core.value("accuracy") == 1.0


def test_scores_of_the_wrong_shape_do_not_hinder_the_event() -> None:
    body = json.dumps(json.loads(prediction("e")) | {"scores": [0.1], "segments": "none"}).encode()
    assert landed(SMALL, body, "prediction, scores")[0] == ("1", None)


@pytest.mark.parametrize("place", ["features", "segments"])
def test_a_sensitive_attribute_that_is_no_feature_is_read_wherever_the_event_has_it(place: str) -> None:
    event = {"event_id": "a", "timestamp": to_rfc3339(START_US), "prediction": "1"}
    event |= {"features": {"age": 1, "plan": "x"}}
    event[place] = {**event.get(place, {}), "sex": "F"}
    row, faults = landed(SMALL, json.dumps(event).encode(), '"s:sex"')
    assert (row, faults) == (("F",), [])
