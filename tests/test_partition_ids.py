"""Other threads go over the partitions while landing finds new ones."""

from __future__ import annotations

from in_process import PREDICTIONS, InProcess, prediction

from monitor.types import Partition


def test_a_new_partition_does_not_disturb_who_is_going_over_those_known() -> None:
    """The evaluation tick and the snapshot do that, in a thread of their own."""
    one = InProcess()
    one.land({PREDICTIONS: [prediction("a")]})
    going = iter(one.store.partition_ids)
    one.land({Partition("events", "p", "1"): [prediction("b")]})
    assert list(going) == [PREDICTIONS]
    assert len(one.store.partition_ids) == 2
