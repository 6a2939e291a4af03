"""Mean average precision."""

from __future__ import annotations

from monitor.metrics.rankings import RankingData
from monitor.metrics.registry import Outcome, metric


@metric("map@k", check="performance", subject="task", applies={"ranking"}, unit="ratio", needs_labels=True)
def mean_average_precision(data: RankingData, k: int) -> Outcome:
    """Mean average precision of the first k items (MAP).

    Mean over lists of: the sum of precision at each of the first k positions that holds a relevant item,
    divided by the smaller of k and the number of relevant items, so that 1 can be reached. Any relevance
    above 0 counts alike. In [0, 1]; 1 means that relevant items come first. Lists without a relevant item are
    left out and counted in ``detail``. Interval: central limit theorem over lists.

    Examples
    --------
    >>> from monitor.metrics.examples import ranked
    >>> mean_average_precision(ranked(["abcd"], [{"a": 1, "d": 1}], ks=[4]), k=4).value  # of 1/1 and 2/4
    0.75

    References
    ----------
    Manning, Raghavan, Schütze (2008), Introduction to Information Retrieval, chapter 8.4.
    """
    return data.mean(f"map@{k}")
