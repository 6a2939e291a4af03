"""The ranking that anyone could make."""

from __future__ import annotations

from monitor.metrics.rankings import RankingData
from monitor.metrics.registry import Outcome, metric


@metric(
    "baseline_ndcg@k",
    worse_at="neither",
    check="performance",
    subject="task",
    applies={"ranking"},
    unit="ratio",
    needs_labels=True,
)
def baseline_ndcg(data: RankingData, k: int) -> Outcome:
    """NDCG of recommending the reference's most popular items to everyone.

    ``ndcg@k`` of one fixed list: the k items that are most often relevant in the reference (of equal ones
    those most often recommended there, then by name). In [0, 1]. A model whose NDCG is not above it knows
    nothing of its users that this window shows. Where only shown items can get feedback it is too low: what
    was not shown could not be clicked. Interval: central limit theorem over lists.

    Examples
    --------
    >>> from monitor.metrics.examples import ranked
    >>> baseline_ndcg(ranked(["ab", "ba"], [{"a": 1}, {"b": 1}], popular="a", ks=[1]), k=1).value
    0.5

    References
    ----------
    Ferrari Dacrema, Cremonesi, Jannach (2019), Are We Really Making Much Progress?, RecSys.
    """
    return data.mean(f"baseline_ndcg@{k}")
