"""How much of what is recommended is popular anyway."""

from __future__ import annotations

from monitor.metrics.intervals import normal
from monitor.metrics.rankings import NO_POPULAR, RankingData
from monitor.metrics.registry import Outcome, metric


@metric(
    "popularity_share",
    worse_at="neither",
    check="performance",
    subject="task",
    applies={"ranking"},
    unit="ratio",
    needs_reference=True,
)
def popularity_share(data: RankingData) -> Outcome:
    """Share of recommendations that are of the reference's most popular items.

    Popular are the first ``popular`` (20 %) of the reference's items, ordered by how often they are relevant
    there, then recommended, then by name. Of all places in all lists, those that hold such an
    item. In [0, 1]; ``popular`` itself if items were drawn blindly, 1 when nothing else is shown. Needs no
    labels. Interval: ratio estimate with lists as clusters.

    Examples
    --------
    >>> from monitor.metrics.examples import ranked
    >>> popularity_share(ranked(["ab", "acd"], popular="abcde")).value
    0.4

    References
    ----------
    Abdollahpouri, Burke, Mobasher (2019), Managing Popularity Bias in Recommender Systems with Personalized
    Re-ranking, FLAIRS.
    """
    exposed = data.exposed
    if not exposed.known:
        return Outcome.none("no_reference", NO_POPULAR, n=data.rows)
    n = exposed.summary.recommended
    if not n:
        return Outcome.none("not_applicable", "every list of the window is empty", n=data.rows)
    share, error = exposed.summary.popular_share()
    detail = {"popular_items": exposed.summary.head}
    return Outcome(share, "ok", *normal(share, error, 0.0, 1.0), n, exposed.known, detail=detail)
