"""How often there is anything relevant among the first items."""

from __future__ import annotations

from monitor.metrics.rankings import RankingData
from monitor.metrics.registry import Outcome, metric


@metric(
    "hit_rate@k", check="performance", subject="task", applies={"ranking"}, unit="ratio", needs_labels=True
)
def hit_rate(data: RankingData, k: int) -> Outcome:
    """Share of labelled lists with a relevant item among the first k.

    In [0, 1]; a labelled list without any relevant item is a miss. Where feedback exists only of lists that
    were clicked, it is 1 by construction: send an empty label with every list that was shown. Wilson
    interval.

    Examples
    --------
    >>> from monitor.metrics.examples import ranked
    >>> hit_rate(ranked(["ab", "ab"], [{"b": 1}, {"z": 1}], ks=[2]), k=2).value
    0.5

    References
    ----------
    Deshpande, Karypis (2004), Item-based top-N recommendation algorithms, ACM TOIS 22.
    """
    return data.hits(k)
