"""A refused record that is tried again keeps the time that its log gave it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from in_process import NOW_US, feedback
from streams import START_US
from test_replay import SMALL as CONFIG

from monitor import config
from monitor.access import retry_refused
from monitor.build import monitored, plan
from monitor.store.landing import land
from monitor.store.store import Store
from monitor.types import RAW_SCHEMA, Partition, Position, RawBatch


def test_feedback_that_is_tried_again_is_dated_by_its_record(tmp_path: Path) -> None:
    """Without a date it would count as older than any other label of its event."""
    (tmp_path / "secret").write_text("whsec_" + "A" * 32)
    text = CONFIG
    (tmp_path / "config.yaml").write_text(text)
    the_plan = plan(config.load(tmp_path / "config.yaml"))
    routes = the_plan.routes["files"]
    (topic,) = (t for t, some in routes.items() if "feedback" in some[0].kinds)
    partition = Partition("files", topic, "0")
    columns = {"part": [0], "off": [7], "record_us": [START_US], "value": [feedback("a", "1", None)]}
    batch = RawBatch((partition,), pa.table(columns, schema=RAW_SCHEMA), {partition: Position(8)})
    store = Store(the_plan.config.store.path)
    monitored(the_plan, store)
    land(store, store.cursor(), batch, {topic: ()}, now_us=NOW_US)  # nobody takes it yet
    store.close()
    assert retry_refused(the_plan, reason=None) == (1, 0, 0)
    store = Store(the_plan.config.store.path)
    assert store.cursor().execute("SELECT off, label_us FROM labels_1").fetchall() == [(7, START_US)]
    store.close()
