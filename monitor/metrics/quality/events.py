"""Quality of the stream itself: how many rows, how many twice, late or odd; one table of small metrics."""

from __future__ import annotations

import math

from monitor.metrics.intervals import wilson
from monitor.metrics.registry import Outcome, metric
from monitor.metrics.window import WindowFacts

TASKS = frozenset({"binary", "multiclass", "regression", "ranking"})
UNKNOWN = "the store does not count this"


def _share(part: int | None, facts: WindowFacts, extra: int = 0) -> Outcome:
    of = facts.rows + extra
    if part is None:
        return Outcome.none("not_applicable", UNKNOWN, n=facts.rows)
    if not of:
        return Outcome.none("insufficient_samples", "the window has no rows")
    return Outcome(part / of, "ok", *wilson(part, of), of)


def _count(number: int | None, facts: WindowFacts) -> Outcome:
    if number is None:
        return Outcome.none("not_applicable", UNKNOWN, n=facts.rows)
    return Outcome(float(number), n=facts.rows)


@metric(
    "row_count",
    check="quality",
    subject="window",
    applies=TASKS,
    unit="rows",
    high=math.inf,
    suffix="window_rows",
    min_samples=0,
)
def row_count(facts: WindowFacts) -> Outcome:
    """Distinct predictions in the window.

    0 and more; 0 is a value, not a gap: it says that the model was not used or not logged. Windows without
    events are asked too, ``silent_windows`` of them after one with some.

    Examples
    --------
    >>> row_count(WindowFacts(3)).value
    3.0

    References
    ----------
    Breck et al. (2017), The ML test score, IEEE Big Data.
    """
    return Outcome(float(facts.rows), n=facts.rows)


@metric(
    "row_count_ratio",
    check="quality",
    subject="window",
    applies=TASKS,
    unit="ratio",
    high=math.inf,
    follows_past=True,
    min_samples=0,
)
def row_count_ratio(facts: WindowFacts) -> Outcome:
    """Distinct predictions over the median of the windows before.

    Of up to 20 windows of the same length that lie one after the other before this one; an empty one counts
    as 0. Of the 21 before, the farthest with rows is left out with all before it: the stream may have begun
    within it. 1 means as many as usual, 0 none. When events land late in one of them, it is asked again.
    ``not_applicable`` before there is a median above 0.

    Examples
    --------
    >>> row_count_ratio(WindowFacts(3, median_rows=6.0)).value
    0.5

    References
    ----------
    Breck et al. (2017), The ML test score, IEEE Big Data.
    """
    if not facts.median_rows:
        return Outcome.none("not_applicable", "no trailing windows with rows yet", n=facts.rows)
    return Outcome(facts.rows / facts.median_rows, n=facts.rows)


@metric("duplicate_ratio", check="quality", subject="window", applies=TASKS, unit="ratio")
def duplicate_ratio(facts: WindowFacts) -> Outcome:
    """Share of the window's events that were redeliveries of one already counted.

    Dropped events over dropped and distinct ones. In [0, 1]; 0 means each came once. Wilson interval.

    Examples
    --------
    >>> duplicate_ratio(WindowFacts(3, duplicates=1)).value
    0.25

    References
    ----------
    Kleppmann (2017), Designing Data-Intensive Applications, chapter 11.
    """
    return _share(facts.duplicates, facts, facts.duplicates or 0)


@metric("conflict_ratio", check="quality", subject="window", applies=TASKS, unit="ratio")
def conflict_ratio(facts: WindowFacts) -> Outcome:
    """Share of the window's events that reused an id with another payload.

    Over dropped and distinct events; the first payload in log order is kept. In [0, 1]; anything above 0
    says that a producer's ids are not unique. Wilson interval.

    Examples
    --------
    >>> conflict_ratio(WindowFacts(3, duplicates=1, conflicts=1)).value
    0.25

    References
    ----------
    Kleppmann (2017), Designing Data-Intensive Applications, chapter 11.
    """
    return _share(facts.conflicts, facts, facts.duplicates or 0)


@metric("late_ratio", check="quality", subject="window", applies=TASKS, unit="ratio")
def late_ratio(facts: WindowFacts) -> Outcome:
    """Share of the window's rows that came after it was due to be evaluated.

    Rows whose record was put into the log after the window's end and ``lateness``, over those whose log says
    when it was. They are counted all the same, in a restatement. In [0, 1]; 0 means all were in time. It
    depends on the log alone, not on when the monitor read it, so a backfilled log is late as a whole. Wilson
    interval. ``not_applicable`` of files, which do not say when a row was added.

    Examples
    --------
    >>> late_ratio(WindowFacts(4, late=1, dated=4)).value
    0.25

    References
    ----------
    Akidau et al. (2015), The dataflow model, VLDB.
    """
    if facts.dated is None:
        return Outcome.none("not_applicable", UNKNOWN, n=facts.rows)
    if not facts.rows:
        return Outcome.none("insufficient_samples", "the window has no rows")
    if not facts.dated:
        return Outcome.none("not_applicable", "the source does not say when records came", n=facts.rows)
    late = facts.late or 0
    return Outcome(late / facts.dated, "ok", *wilson(late, facts.dated), facts.dated)


@metric("unexpected_fields", check="quality", subject="window", applies=TASKS, unit="fields", high=math.inf)
def unexpected_fields(facts: WindowFacts) -> Outcome:
    """Distinct field names in the events that the configuration does not declare.

    0 and more; 0 means that the schema holds.

    Examples
    --------
    >>> unexpected_fields(WindowFacts(4, unexpected_fields=2)).value
    2.0

    References
    ----------
    Breck et al. (2019), Data validation for machine learning, MLSys.
    """
    return _count(facts.unexpected_fields, facts)


@metric("missing_fields", check="quality", subject="window", applies=TASKS, unit="fields", high=math.inf)
def missing_fields(facts: WindowFacts) -> Outcome:
    """Declared features that no row of the window has.

    0 and more; 0 means that the schema holds.

    Examples
    --------
    >>> missing_fields(WindowFacts(4)).state
    'not_applicable'

    References
    ----------
    Breck et al. (2019), Data validation for machine learning, MLSys.
    """
    return _count(facts.missing_fields, facts)


@metric(
    "staleness_seconds",
    check="quality",
    subject="window",
    applies=TASKS,
    unit="seconds",
    high=math.inf,
    follows_past=True,
    min_samples=0,
)
def staleness_seconds(facts: WindowFacts) -> Outcome:
    """Time from the model's latest event to the end of the window.

    End minus the largest event time before it, so more than 0. Windows without events are asked too
    (``silent_windows`` of them after one with some), so it goes on growing when a stream stops; asked again
    when events land late. It depends on the events alone; for how old the newest event is at this moment
    there is the gauge ``model_monitor_last_event_timestamp_seconds``.

    Examples
    --------
    >>> staleness_seconds(WindowFacts(1, last_event_us=0, end_us=2_500_000)).value
    2.5

    References
    ----------
    Breck et al. (2017), The ML test score, IEEE Big Data.
    """
    if facts.last_event_us is None or facts.end_us is None:
        return Outcome.none("not_applicable", "no event yet", n=facts.rows)
    return Outcome((facts.end_us - facts.last_event_us) / 1e6, n=facts.rows)
