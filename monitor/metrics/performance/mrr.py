"""Mean reciprocal rank."""

from __future__ import annotations

from monitor.metrics.rankings import RankingData
from monitor.metrics.registry import Outcome, metric


@metric("mrr", check="performance", subject="task", applies={"ranking"}, unit="ratio", needs_labels=True)
def mrr(data: RankingData) -> Outcome:
    """Mean reciprocal rank of the first relevant item.

    Mean over labelled lists of 1 / position of the first relevant item in the whole list; 0 for a list that
    shows none, be it that there is none. In [0, 1]; 1 means that the first item is always relevant. The
    ``baseline`` in ``detail`` looks at as many popular items as the largest k. Interval: central limit
    theorem over lists.

    Examples
    --------
    >>> from monitor.metrics.examples import ranked
    >>> mrr(ranked(["abc", "abc", "abc"], [{"b": 1, "c": 1}, {"a": 3}, {}])).value
    0.5

    References
    ----------
    Voorhees (1999), The TREC-8 Question Answering Track Report, TREC.
    """
    return data.mean("mrr")
