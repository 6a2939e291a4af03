"""How much of what is relevant is among the first items."""

from __future__ import annotations

from monitor.metrics.rankings import RankingData
from monitor.metrics.registry import Outcome, metric


@metric("recall@k", check="performance", subject="task", applies={"ranking"}, unit="ratio", needs_labels=True)
def recall_at_k(data: RankingData, k: int) -> Outcome:
    """Share of the relevant items that are among the first k.

    Mean over lists of relevant items among the first k / relevant items in the label. In [0, 1]; below 1 by
    necessity for lists with more than k relevant items. Lists without a relevant item are left out and
    counted in ``detail``. Interval: central limit theorem over lists.

    Examples
    --------
    >>> from monitor.metrics.examples import ranked
    >>> recall_at_k(ranked(["abc"], [{"a": 1, "z": 1}], ks=[2]), k=2).value
    0.5

    References
    ----------
    Manning, Raghavan, Schütze (2008), Introduction to Information Retrieval, chapter 8.4.
    """
    return data.mean(f"recall@{k}")
