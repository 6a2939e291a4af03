"""An event may say that its version is ``*``, which is also the name of all versions together."""

from __future__ import annotations

from in_process import PREDICTIONS, InProcess, prediction


def test_a_version_called_like_all_versions_does_not_double_every_result() -> None:
    one = InProcess()
    one.land({PREDICTIONS: [prediction("a", version="*"), prediction("b", version="3")]})
    one.turn()
    rows = one.results()
    names = ("version", "metric", "feature", "attribute", "group", "segment")
    assert len({tuple(row[name] for name in names) for row in rows}) == len(rows)
    assert {row["n"] for row in rows if row["metric"] == "missing_ratio"} == {2, 1}
