"""What lands between settling and asking waits for the next turn."""

from __future__ import annotations

from in_process import FEEDBACK, NOW_US, PREDICTIONS, InProcess, feedback, prediction


def test_a_redelivery_that_lands_while_windows_are_asked_does_not_count_twice() -> None:
    """Two predictions, one right: accuracy 1/2, however often the wrong one is delivered meanwhile."""
    one = InProcess()
    wrong = prediction("b", prediction="0")
    one.land({PREDICTIONS: [prediction("a"), wrong], FEEDBACK: [feedback("a", "1"), feedback("b", "1")]})
    one.cycle.settle()
    (due,) = one.cycle.due(NOW_US)
    one.land({PREDICTIONS: [wrong, wrong]})
    answer = one.cycle.ask(due, now_us=NOW_US)
    assert (one.value("accuracy"), answer.evaluation.rows) == (0.5, 2)
    one.turn()
    assert (one.value("accuracy"), one.value("duplicate_ratio")) == (0.5, 0.5)


def test_a_label_that_lands_while_windows_are_asked_counts_from_the_next_turn_on() -> None:
    one = InProcess()
    one.land({PREDICTIONS: [prediction("a")], FEEDBACK: [feedback("a", "1")]})
    one.cycle.settle()
    (due,) = one.cycle.due(NOW_US)
    one.land({FEEDBACK: [feedback("a", "0", 90)]})
    one.cycle.ask(due, now_us=NOW_US)
    assert one.value("accuracy") == 1.0
    one.turn()
    assert one.value("accuracy") == 0.0
