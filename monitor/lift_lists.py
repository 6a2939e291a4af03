"""From a ranking model's stored lists to what its metrics take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from monitor.engine.duckdb import Slice, WindowQuery
from monitor.engine.lists import coded, exposures, further_items, relevances, unlabelled
from monitor.metrics.rankings import Exposed, RankingData, Spread
from monitor.reference.profile import Reference
from monitor.summaries.distances import mean_distances
from monitor.summaries.exposure import ExposureSummary
from monitor.summaries.ranking import Gains, RankingSummary
from monitor.types import ItemVectors, Window

SPREAD_LISTS = 20_000


def ranking_data(
    query: WindowQuery, reference: Reference | None, part: Slice, panes: Sequence[Window]
) -> RankingData:
    """Return the labelled lists as moments; what was shown, and how diverse it was, when it is asked for."""
    checks = query.spec.checks
    catalogue = reference.catalogue if reference else None
    popular = catalogue.popular(checks.ks[-1]) if catalogue and len(catalogue.items) else None
    summary = RankingSummary.zero(checks.ks)
    for pane in panes:
        pieces = [
            Gains(*one).values(checks.ks) for one, _ in relevances(query, part, pane, checks.ks[-1], popular)
        ]
        values = {
            name: np.concatenate([one[name] for one in pieces]) for name in (pieces[0] if pieces else ())
        }
        rest = unlabelled(query, part, pane).get("", 0)
        summary = summary.merge(RankingSummary.lift(values, ks=checks.ks, unlabelled=rest))
    vectors = checks.embeddings
    return RankingData(
        summary,
        lambda: _exposed(query, reference, part, panes),
        None if vectors is None else lambda: _spread(query, part, vectors),
    )


def _exposed(
    query: WindowQuery, reference: Reference | None, part: Slice, panes: Sequence[Window]
) -> Exposed:
    checks = query.spec.checks
    catalogue = reference.catalogue if reference else None
    known = catalogue.items if catalogue else pa.array([], pa.string())
    items = pa.concat_arrays([known, further_items(query, part, known)])
    head = catalogue.head(checks.popular) if catalogue else 0
    summary = ExposureSummary.zero(len(items), head)
    for codes, lengths, owners in exposures(query, part, panes, items):
        summary = summary.merge(ExposureSummary.lift(codes, lengths, owners, size=len(items), head=head))
    return Exposed(summary, len(known), checks.catalogue_size)


def _spread(query: WindowQuery, part: Slice, vectors: ItemVectors) -> Spread:
    lists = query.sample(part, {"items": "items"}, SPREAD_LISTS)["items"].combine_chunks()
    return Spread.lift(mean_distances(*coded(lists, vectors.items), vectors.vectors))
