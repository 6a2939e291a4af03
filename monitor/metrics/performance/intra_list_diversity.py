"""How unlike each other the items of one list are."""

from __future__ import annotations

from monitor.metrics.intervals import normal
from monitor.metrics.rankings import RankingData
from monitor.metrics.registry import Outcome, metric


@metric(
    "intra_list_diversity",
    worse_at="neither",
    check="performance",
    subject="task",
    applies={"ranking"},
    unit="cosine distance",
    high=2.0,
)
def intra_list_diversity(data: RankingData) -> Outcome:
    """Mean cosine distance between the items of a list.

    Mean over lists of the mean over pairs of items of 1 - cosine of their ``embeddings``. In [0, 2]; 0 means
    that lists hold items of one direction. Items without an embedding, or whose vector is all zeros, are left
    out, and so are lists with fewer than two others (counted in ``detail``). On at most 20,000 lists, those
    with the smallest hashes of their ids. Needs no labels. Interval: central limit theorem over lists.

    Examples
    --------
    >>> from monitor.metrics.examples import ranked
    >>> intra_list_diversity(ranked(["ab"], embeddings={"a": [1, 0], "b": [0, 2]})).value
    1.0

    References
    ----------
    Smyth, McClave (2001), Similarity vs. Diversity, ICCBR.
    """
    if data.spreading is None:
        return Outcome.none("not_applicable", "checks.performance.embeddings is not given", n=data.rows)
    spread = data.spreading()
    distances, detail = spread.distances, {"without_distance": spread.lists - spread.distances.n}
    if not distances.n:
        return Outcome.none("not_applicable", "no list has two items with an embedding", n=data.rows)
    bounds = normal(distances.mean, distances.standard_error, 0.0, 2.0)
    return Outcome(distances.mean, "ok", *bounds, distances.n, detail=detail)
