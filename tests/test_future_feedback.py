"""Feedback without a timestamp is dated by its Kafka record, whose clock may be wrong as well."""

from __future__ import annotations

import pyarrow as pa
from in_process import FEEDBACK, NOW_US, PREDICTIONS, InProcess, feedback, prediction

from monitor.store.landing import land
from monitor.types import RAW_SCHEMA, Position, RawBatch


def test_a_label_whose_record_is_dated_in_the_future_does_not_outlast_every_correction() -> None:
    one = InProcess()
    one.land({PREDICTIONS: [prediction("a")]})
    ahead_us, value = NOW_US + 10**15, feedback("a", "0", None)  # 31 years ahead
    table = pa.table({"part": [0], "off": [0], "record_us": [ahead_us], "value": [value]}, schema=RAW_SCHEMA)
    batch = RawBatch((FEEDBACK,), table, {FEEDBACK: Position(1)})
    report = land(one.store, one.cursor, batch, one.routes, now_us=NOW_US)
    assert dict(report.quarantined) == {("credit", "future"): 1}
    one._ends[FEEDBACK] = 1
    one.land({FEEDBACK: [feedback("a", "1", 90)]})
    one.turn()
    assert one.value("accuracy") == 1.0
