"""Share of features that drifted, with the number of tests accounted for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from monitor.metrics.registry import Outcome, metric
from monitor.metrics.window import WindowFacts
from monitor.types import Task

TASKS: frozenset[Task] = frozenset(("binary", "multiclass", "regression", "ranking"))
FALSE_DISCOVERIES = 0.05


@metric("drifted_share", check="drift", subject="window", applies=TASKS, unit="ratio", needs_reference=True)
def drifted_share(facts: WindowFacts) -> Outcome:
    """Share of the features that drifted, at a false discovery rate of 5 %.

    Features whose ``ks_pvalue`` or ``chi2_pvalue`` the Benjamini-Hochberg procedure rejects at 0.05, over
    features with a p-value in this window. In [0, 1]; 0 means none drifted. ``detail`` names those that did.

    Examples
    --------
    >>> drifted_share(WindowFacts(9, pvalues={"age": 0.001, "income": 0.4})).value
    0.5

    References
    ----------
    Benjamini, Hochberg (1995), Controlling the false discovery rate, J. Royal Stat. Soc. B 57.
    """
    if not facts.pvalues:
        return Outcome.none("not_applicable", "no feature has a p-value in this window", n=facts.rows)
    drifted, of = drifted_features(facts.pvalues), len(facts.pvalues)
    return Outcome(len(drifted) / of, n=facts.rows, detail={"drifted": drifted, "of": of})


def drifted_features(pvalues: Mapping[str, float]) -> list[str]:
    """Return the features that the Benjamini-Hochberg procedure rejects, the smallest p-value first.

    >>> drifted_features({"a": 0.04, "b": 0.001, "c": 0.5})
    ['b']
    """
    ranked = sorted((value, name) for name, value in pvalues.items())
    limits = FALSE_DISCOVERIES * np.arange(1, len(ranked) + 1) / len(ranked)
    passing = np.flatnonzero(np.array([value for value, _ in ranked]) <= limits)
    return [name for _, name in ranked[: int(passing[-1]) + 1]] if len(passing) else []
