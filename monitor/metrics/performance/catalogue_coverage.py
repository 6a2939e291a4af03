"""How much of the catalogue is recommended at all."""

from __future__ import annotations

from monitor.metrics.intervals import bounded_mean
from monitor.metrics.rankings import RankingData
from monitor.metrics.registry import Outcome, metric


@metric(
    "catalogue_coverage",
    check="performance",
    subject="task",
    applies={"ranking"},
    unit="ratio",
    worse_at="neither",
)
def catalogue_coverage(data: RankingData) -> Outcome:
    """Share of the catalogue's items that are in at least one of the window's lists.

    The catalogue is every item of the reference, recommended or relevant; with ``catalogue_size`` any item
    counts, out of that number. In [0, 1]; 1 means that every item was shown to someone. It grows with the
    number of lists: compare windows of like size. Needs no labels. Interval: Wilson's
    with the jackknife's variance over lists, for windows of this size.

    Examples
    --------
    >>> from monitor.metrics.examples import ranked
    >>> catalogue_coverage(ranked(["ab", "bc"], popular="abcd")).value
    0.75

    References
    ----------
    Ge, Delgado-Battenfeld, Jannach (2010), Beyond accuracy: evaluating recommender systems by coverage and
    serendipity, RecSys.
    """
    exposed, n = data.exposed, data.rows
    total = exposed.catalogue_size or exposed.known
    if not total:
        return Outcome.none("no_reference", "neither a reference nor catalogue_size names the catalogue", n=n)
    count, error = exposed.summary.distinct(None if exposed.catalogue_size else exposed.known)
    if count > total:
        return Outcome.none(
            "not_applicable", f"{count} items were recommended, of catalogue_size {total}", n=n
        )
    outside = int((exposed.summary.counts[exposed.known :] > 0).sum()) if exposed.known else 0
    detail = {"items": count, "catalogue": total, **({"not_in_reference": outside} if outside else {})}
    bounds = bounded_mean(count / total, total * (error / total) ** 2, total) if n > 1 else (None, None)
    return Outcome(count / total, "ok", *bounds, n, exposed.known, detail=detail)
