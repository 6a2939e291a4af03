"""From a ranking model's stored lists to what its metrics take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from monitor.engine.duckdb import Slice, WindowQuery
from monitor.engine.lists import coded, exposures, further_items, relevances, unlabelled
from monitor.metrics.rankings import Exposed, RankingData, Spread
from monitor.reference.profile import Reference
from monitor.summaries import FloatArray
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
        for new in _lifted(query, part, pane, popular).values():
            summary = summary.merge(new)
    vectors = checks.embeddings
    return RankingData(
        summary,
        lambda: _exposed(query, reference, part, panes),
        None if vectors is None else lambda: _spread(query, part, vectors),
    )


def group_lists(
    query: WindowQuery, part: Slice, panes: Sequence[Window], attribute: Sequence[str]
) -> dict[str, RankingSummary]:
    """Return the lists of each group of a sensitive attribute; those without a value are left out."""
    groups: dict[str, RankingSummary] = {}
    for pane in panes:
        for name, new in _lifted(query, part, pane, None, attribute).items():
            groups[name] = groups[name].merge(new) if name in groups else new
    return groups


def _lifted(
    query: WindowQuery,
    part: Slice,
    pane: Window,
    popular: Sequence[str] | None,
    attribute: Sequence[str] = (),
) -> dict[str, RankingSummary]:
    """Return the lists of one pane by group, in the order of the groups' names; without one under ``""``."""
    ks = query.spec.checks.ks
    values: dict[str, list[FloatArray]] = defaultdict(list)
    names: list[FloatArray] = []
    for one, groups in relevances(query, part, pane, ks[-1], popular, attribute):
        for name, column in Gains(*one).values(ks).items():
            values[name].append(column)
        names.append(np.full(len(one[2]), "") if groups is None else groups.to_numpy(zero_copy_only=False))
    whole = {name: np.concatenate(columns) for name, columns in values.items()}
    by_group = np.concatenate(names) if names else np.empty(0, dtype=object)
    rest = unlabelled(query, part, pane, attribute)
    lifted = {}
    for group in sorted({*by_group.tolist(), *rest}):
        held = {name: column[by_group == group] for name, column in whole.items()}
        lifted[group] = RankingSummary.lift(held, ks=ks, unlabelled=rest.get(group, 0))
    return lifted


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
