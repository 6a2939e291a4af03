"""Labels leave the store with their predictions, not by a date of their own."""

from __future__ import annotations

from in_process import FEEDBACK, PREDICTIONS, InProcess, feedback, prediction
from streams import HOUR_US, START_US

from monitor.store.upkeep import expire


def test_a_label_dated_long_before_its_prediction_stays_as_long_as_the_window() -> None:
    """One of two is right; the labels carry the date of the application, three hours earlier."""
    one = InProcess()
    labels = [feedback("a", "1", -180), feedback("b", "0", -180)]
    one.land({PREDICTIONS: [prediction("a"), prediction("b")], FEEDBACK: labels})
    one.turn()
    expire(one.store, one.cursor, before_us=START_US - HOUR_US // 2)  # no window of the two has ended
    one.land({PREDICTIONS: [prediction("c", 30)]})  # restates the window
    one.turn()
    assert (one.value("label_coverage"), one.value("accuracy")) == (2 / 3, 0.5)
    assert one.violations() == []


def test_labels_without_a_date_leave_with_the_retention() -> None:
    one = InProcess()
    undated = [feedback("a", "1", None), feedback("nobody", "1", None)]
    one.land({FEEDBACK: undated, PREDICTIONS: [prediction("a"), prediction("old")]})
    one.land({PREDICTIONS: [prediction("new", 600)]})
    one.turn()
    expire(one.store, one.cursor, before_us=START_US + 5 * HOUR_US)
    assert one.rows("SELECT count(*) FROM predictions_1") == [(1,)]
    assert one.rows("SELECT count(*) FROM labels_1") == [(0,)]
    assert one.violations() == []


def test_an_undated_label_waits_for_a_prediction_that_is_not_there_yet() -> None:
    one = InProcess()
    one.land({PREDICTIONS: [prediction("z", 500)]})
    one.land({FEEDBACK: [feedback("a", "0", None)]})
    expire(one.store, one.cursor, before_us=START_US)
    one.land({PREDICTIONS: [prediction("a", 1)]})
    one.turn()
    assert one.value("accuracy") == 0.0
