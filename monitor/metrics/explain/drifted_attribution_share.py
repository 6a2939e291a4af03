"""How much of what the predictions rest on has drifted."""

from __future__ import annotations

import numpy as np

from monitor.metrics.attributions import TASKS, AttributionData, shares
from monitor.metrics.drift.drifted_share import drifted_features
from monitor.metrics.intervals import percentile
from monitor.metrics.registry import Outcome, metric


@metric("drifted_attribution_share", check="explain", subject="explanation", applies=TASKS, unit="ratio")
def drifted_attribution_share(data: AttributionData) -> Outcome:
    """Share of the window's attribution that is held by features that drifted.

    Drift weighted by what it matters for: the sum of ``attribution_share`` over the features that
    ``drifted_share`` counts as drifted (Benjamini-Hochberg at 0.05; a text or embedding when a number made of
    it did). In [0, 1]; 0 means that what drifted does not move the predictions. Needs the drift check. The
    interval resamples rows, with the drifted features as they are. ``detail`` names them.

    Examples
    --------
    >>> from monitor.metrics.examples import attributed
    >>> one = attributed({"age": [3.0], "plan": [1.0]}, pvalues={"age": 0.5, "plan": 0.0001})
    >>> drifted_attribution_share(one).value
    0.25

    References
    ----------
    Benjamini, Hochberg (1995), Controlling the false discovery rate, J. Royal Stat. Soc. B 57.
    """
    if not data.pvalues:
        return Outcome.none("not_applicable", "no feature has a drift p-value here", n=data.n)
    names = set(data.current.features)
    found = {name if name in names else name.rpartition(".")[0] for name in drifted_features(data.pvalues)}
    held = np.array([name in found for name in data.current.features])
    parts = shares(data.magnitude)
    if np.isnan(parts).all():
        return Outcome.none("not_applicable", "every attribution is 0", n=data.n)
    draws = data.magnitude_draws
    bounds = percentile(np.nansum(shares(draws)[:, held], axis=1)) if draws is not None else (None, None)
    detail = {"drifted": sorted(found & names), "of": len(data.pvalues)}
    value = min(float(np.nansum(parts[held])), 1.0)
    return Outcome(value, "ok", *bounds, data.n, data.n_reference, detail)
