"""Replay asks a window when its labels are enough, also when some of them had been withdrawn."""

from __future__ import annotations

from pathlib import Path

from in_process import feedback, prediction
from test_replay import SMALL

from monitor import config
from monitor.build import plan
from monitor.replay import replay


def test_a_withdrawn_label_does_not_cost_the_window_its_alert(tmp_path: Path) -> None:
    """Half of four must be labelled: ``a`` is withdrawn, so ``c`` at 02:10 makes it two (``b`` and ``c``)."""
    labels = [feedback("a", None, 70), feedback("b", "0", 70), feedback("c", "0", 130)]
    labels.append(feedback("z", "1", 370))
    predictions = [*(prediction(name) for name in "abcd"), prediction("z", 300)]
    (tmp_path / "secret").write_text("whsec_" + "A" * 32)
    (tmp_path / "p.jsonl").write_bytes(b"\n".join(predictions) + b"\n")
    (tmp_path / "f.jsonl").write_bytes(b"\n".join(labels) + b"\n")
    (tmp_path / "config.yaml").write_text(SMALL)
    replayed = replay(plan(config.load(tmp_path / "config.yaml")))
    fired = [row["at"] for row in replayed.transitions if row.get("after") == "firing"]
    assert fired == ["2025-06-01T03:05:00Z"]  # the first tick, every hour and 5 minutes, from 02:10 on
