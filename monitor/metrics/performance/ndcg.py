"""Normalised discounted cumulative gain."""

from __future__ import annotations

from monitor.metrics.rankings import RankingData
from monitor.metrics.registry import Outcome, metric


@metric("ndcg@k", check="performance", subject="task", applies={"ranking"}, unit="ratio", needs_labels=True)
def ndcg(data: RankingData, k: int) -> Outcome:
    """How much of the best possible gain the first k items bring (NDCG).

    Mean over lists of DCG / ideal DCG, with DCG = sum of relevance / log2(position + 1) over the first k
    positions; the ideal one has the k most relevant items of the label, shown or not. The gain is the
    relevance itself: log 2**relevance - 1 for the exponential one. In [0, 1]; 1 means that nothing could be
    better ordered. Lists without a relevant item have no NDCG and are counted in ``detail``, beside the value
    of the popular list (``baseline``). Interval: central limit theorem over lists.

    Examples
    --------
    >>> from monitor.metrics.examples import ranked
    >>> round(ndcg(ranked(["abc"], [{"a": 1, "c": 1}], ks=[3]), k=3).value, 4)  # (1 + 1/2) / (1 + 1/log2(3))
    0.9197

    References
    ----------
    Järvelin, Kekäläinen (2002), Cumulated gain-based evaluation of IR techniques, ACM TOIS 20.
    """
    return data.mean(f"ndcg@{k}")
