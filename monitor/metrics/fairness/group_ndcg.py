"""Whether a ranking model serves the groups of its users equally well."""

from __future__ import annotations

from monitor.metrics.fairness.group_errors import by_group, gap_between
from monitor.metrics.group_errors import GroupErrorData
from monitor.metrics.registry import Outcome, metric


@metric(
    "group_ndcg@k", check="fairness", subject="group", applies={"ranking"}, unit="ratio", needs_labels=True
)
def group_ndcg(data: GroupErrorData, k: int) -> dict[str, Outcome]:
    """NDCG of the first k items in the lists shown to the group.

    ``ndcg@k`` over the lists whose request has the attribute; in [0, 1]. Only lists with a relevant item
    count; groups with fewer than ``min_group_size`` of them are ``insufficient_samples``. Interval: Student's
    t over the group's lists.

    Examples
    --------
    >>> from monitor.metrics.examples import ranked_groups
    >>> rows = {"f": (["ab"], [{"a": 1}]), "m": (["ab"], [{"b": 1}])}
    >>> round(group_ndcg(ranked_groups(rows, ks=[2]), k=2)["m"].value, 4)
    0.6309

    References
    ----------
    Ekstrand et al. (2018), All The Cool Kids, How Do They Fit In?, FAT*.
    """
    return by_group(data, f"ndcg@{k}", 0.0, 1.0)


@metric(
    "ndcg_difference@k", check="fairness", subject="gap", applies={"ranking"}, unit="ratio", needs_labels=True
)
def ndcg_difference(data: GroupErrorData, k: int) -> Outcome:
    """NDCG difference between groups, of users served unequally well.

    Largest minus smallest ``group_ndcg@k``; in [0, 1], 0 means parity. The 95 % interval is made as that of
    ``mae_difference``. Groups with fewer than ``min_group_size`` lists with a relevant item are left out and
    listed in ``detail``; fewer than two left is ``insufficient_samples``.

    Examples
    --------
    >>> from monitor.metrics.examples import ranked_groups
    >>> rows = {"f": (["ab", "ab"], [{"a": 1}, {"a": 1}]), "m": (["ab", "ab"], [{"z": 1}, {"a": 1}])}
    >>> ndcg_difference(ranked_groups(rows, ks=[2]), k=2).value
    0.5

    References
    ----------
    Ekstrand et al. (2018), All The Cool Kids, How Do They Fit In?, FAT*.
    """
    return gap_between(data, f"ndcg@{k}", f"ndcg@{k}")
