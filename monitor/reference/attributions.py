"""What the rows of a window or reference say that each feature added to their predictions, summed up."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.engine.attributions import logged_attributions, logged_outputs
from monitor.engine.duckdb import Slice, WindowQuery
from monitor.summaries.attributions import AttributionSummary
from monitor.types import Window


def logged_summary(query: WindowQuery, part: Slice, panes: Sequence[Window]) -> AttributionSummary:
    """Return the logged attributions of all rows of a slice."""
    outputs = logged_outputs(query, part)
    whole: AttributionSummary | None = None
    pieces: dict[tuple[str, ...], AttributionSummary] = {}
    if outputs:
        for features, keys, values in logged_attributions(query, part, panes, outputs):
            new = AttributionSummary.lift(keys, values, features=features, outputs=outputs)
            pieces[features] = pieces[features].merge(new) if features in pieces else new
    for piece in pieces.values():
        whole = piece if whole is None else whole.beside(piece)
    return whole or AttributionSummary.zero(tuple(query.spec.features), outputs or ("",))
