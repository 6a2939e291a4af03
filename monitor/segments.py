"""Drift and quality by segment: each segment's columns beside the reference's rows of the same segment.

A segment is compared with itself as it was, never with the whole reference: against that even an unchanged
segment differs, by what makes it a segment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from monitor.engine.duckdb import Slice, WindowQuery
from monitor.engine.segments import LABELLED, Segments
from monitor.lift import categorical, category_columns, cuts_of, number_columns, pair, pairs_of
from monitor.metrics import ColumnPair, Outcome, Target
from monitor.reference.data import Column, Reference
from monitor.summaries import FloatArray
from monitor.summaries.numeric import NumericSummary, lift_pieces
from monitor.types import Window


@dataclass(frozen=True)
class SegmentColumns:
    """The columns of one segment's rows beside its own reference, as those of a whole window are asked."""

    features: Sequence[tuple[str, ColumnPair | Outcome]]
    targets: Mapping[Target, ColumnPair]


def segment_columns(
    segments: Segments,
    reference: Reference | None,
    panes: Sequence[Window],
    *,
    rows: bool,
    labels: bool,
) -> dict[str, SegmentColumns]:
    """Return, by value of the segment, its features and targets, from one pass over the rows.

    Parameters
    ----------
    segments
        The window, told apart by the values of one segment.
    reference
        The whole one; what it has of each segment is compared with.
    rows, labels
        Whether features, prediction and score are wanted, and whether the label is.
    """
    known = {
        v: reference.segments.get(f"{segments.name}={v}") if reference else None for v in segments.values
    }
    targets: dict[str, dict[Target, ColumnPair]] = {value: {} for value in segments.values}
    wanted: list[Target] = [*(("prediction", "score") if rows else ()), *(("label",) if labels else ())]
    for target in wanted:
        for value, found in _targets(segments, known, panes, target).items():
            targets[value][target] = found
    features = _features(segments, reference, known, panes) if rows else {}
    return {value: SegmentColumns(features.get(value, ()), targets[value]) for value in segments.values}


class SegmentPasses:
    """The columns of a window's segments; those of all values of a segment come off the store together.

    Parameters
    ----------
    query, reference, panes
        The window, and what it is compared with.
    parts
        All that the window is asked by.
    rows, labels
        As :func:`segment_columns` takes them.
    """

    def __init__(
        self,
        query: WindowQuery,
        reference: Reference | None,
        panes: Sequence[Window],
        parts: Sequence[Slice],
        *,
        rows: bool,
        labels: bool,
    ) -> None:
        self._query, self._reference, self._panes, self._parts = query, reference, panes, parts
        self._rows, self._labels = rows, labels
        self._held: dict[tuple[str, str], SegmentColumns] = {}  # of the segment that was asked last

    def of(self, part: Slice) -> SegmentColumns | None:
        """Return a segment's columns; None for a slice that is none."""
        if part.segment is None:
            return None
        if part.segment not in self._held:
            name = part.segment[0]
            values = [one.segment[1] for one in self._parts if one.segment and one.segment[0] == name]
            found = segment_columns(
                Segments(self._query, name, values), self._reference, self._panes,
                rows=self._rows, labels=self._labels,
            )  # fmt: skip
            self._held = {(name, value): columns for value, columns in found.items()}
        return self._held[part.segment]


Known = Mapping[str, Reference | None]


def _features(
    segments: Segments, reference: Reference | None, known: Known, panes: Sequence[Window]
) -> dict[str, list[tuple[str, ColumnPair | Outcome]]]:
    query = segments.query
    columns, computed = number_columns(query.spec, reference)
    lifted: dict[str, dict[str, NumericSummary]] = {value: {} for value in segments.values}
    found = segments.numbers(list(columns), panes, computed)
    pieces = (((value, columns[c]), numbers, missing) for value, c, numbers, missing in found)
    for (value, shown), summary in lift_pieces(pieces, lambda key: cuts_of(known[key[0]], key[1])).items():
        lifted[value][shown] = summary
    counted = {column: segments.counts(column) for column in category_columns(query.spec.features)}
    faults = segments.faults() if query.spec.checks.quality else {}
    return {
        value: list(
            pairs_of(
                query, known[value], lifted[value], {c: by[value] for c, by in counted.items()},
                faults.get(value, {}),
            )
        )
        for value in segments.values
    }  # fmt: skip


def _targets(
    segments: Segments, known: Known, panes: Sequence[Window], target: Target
) -> dict[str, ColumnPair]:
    """Return the pair of prediction, score or label, of the segments whose reference has it."""
    query, relation = segments.query, LABELLED if target == "label" else ""
    frozen = {value: one.targets[target] for value, one in known.items() if one and target in one.targets}
    if not frozen:
        return {}
    if target == "label":
        query.join()
    current: dict[str, Column] = {}
    if isinstance(next(iter(frozen.values())), NumericSummary):
        for value, _, numbers, missing in segments.numbers([target], panes, relation=relation):
            if value in frozen:
                new = _lifted(frozen[value], numbers, 0 if target == "label" else missing)
                current[value] = current[value].merge(new) if value in current else new  # type: ignore[arg-type]
    else:
        for value, (names, counts, missing) in segments.counts(target, relation).items():
            if value in frozen:  # a label not there yet is not missing
                left = 0 if target == "label" else missing
                current[value] = categorical((names, counts, left), frozen[value])
    return {value: pair(query, frozen[value], one) for value, one in current.items()}


def _lifted(frozen: Column, numbers: FloatArray, missing: int) -> NumericSummary:
    assert isinstance(frozen, NumericSummary)
    return NumericSummary.lift(numbers, cuts=frozen.cuts, missing=missing)
