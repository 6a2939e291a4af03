"""Which windows are to be asked now, and how much of each."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from monitor.store.results import dirty_windows, window_rows
from monitor.store.store import Cursor
from monitor.types import ModelSpec


@dataclass(frozen=True, slots=True)
class Due:
    """A window to ask: everything about it, only what labels change, or, ``silent``, that it is empty.

    ``past_only``: only what depends on the rows before it.
    """

    index: int
    labelled_only: bool
    label_wait_over: bool
    silent: bool = False
    past_only: bool = False


def due_windows(
    cursor: Cursor, spec: ModelSpec, model: int, watermark_us: int, *, has_feedback: bool, expired_us: int
) -> list[Due]:
    """Return the windows to ask now that event time has come to ``watermark_us``, oldest first.

    None that ends by ``expired_us``. Some windows without events are among them, see :func:`silent_windows`.
    """
    windows = spec.window
    rows = window_rows(cursor, model)
    due: dict[int, Due] = {}
    for index, (features, labels, past) in dirty_windows(cursor, model).items():
        end = windows.at(index).end_us
        if end > expired_us and end + windows.lateness_us <= watermark_us:
            asked, over = index in rows and not features, end + windows.label_wait_us <= watermark_us
            labelled_only, past_only = asked and not past, asked and not labels
            due[index] = Due(index, labelled_only, over, past_only=past_only)
    if has_feedback:
        for index, row in rows.items():
            over = windows.at(index).end_us + windows.label_wait_us <= watermark_us
            if over and not row.labels_complete and (index not in due or due[index].past_only):
                due[index] = Due(index, index not in due, True)
    if most := spec.checks.silent_windows:
        closed = (watermark_us - windows.lateness_us - windows.size_us) // windows.every_us
        held = {index for index, row in rows.items() if row.held}
        held |= {one.index for one in due.values() if not one.past_only}
        for index in silent_windows(held, closed, most):
            if index not in rows and windows.at(index).end_us > expired_us:
                due.setdefault(index, Due(index, False, True, silent=True))
    return [due[index] for index in sorted(due)]


def silent_windows(held: Collection[int], last: int, most: int) -> list[int]:
    """Return the windows without events to ask up to ``last``: the ``most`` that follow one with some.

    So that they say that nothing came, and do not go on saying so for ever. They depend on the set of windows
    that hold events, not on when those came.

    >>> silent_windows({3, 6}, 8, 24), len(silent_windows({3}, 10_000, 24))
    ([4, 5, 7, 8], 24)
    """
    ordered = sorted(held)
    ends = [*(after - 1 for after in ordered[1:]), last]
    spans = (
        range(index + 1, min(index + most, end, last) + 1) for index, end in zip(ordered, ends, strict=False)
    )
    return [index for span in spans for index in span]
