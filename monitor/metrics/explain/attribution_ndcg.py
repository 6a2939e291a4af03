"""How far the window's attributions are from the reference's, by order."""

from __future__ import annotations

import numpy as np

from monitor.metrics.attributions import TASKS, AttributionData, Sides
from monitor.metrics.intervals import Interval, percentile
from monitor.metrics.registry import Outcome, metric
from monitor.summaries import FloatArray


@metric(
    "attribution_ndcg",
    check="explain",
    subject="explanation",
    applies=TASKS,
    unit="ratio",
    needs_reference=True,
)
def attribution_ndcg(data: AttributionData) -> Outcome:
    """Agreement of the order of features by attribution with the reference's (NDCG); alert below 0.90.

    Σ a(f'ᵢ) / log₂(i+1) ÷ Σ a(fᵢ) / log₂(i+1), where a is the reference's mean absolute attribution, f the
    features in the reference's order and f' in the window's. In (0, 1]; 1 means the same order; features
    that mattered count most. Ties in the window's order share their places. It cannot see sizes that change
    and leave the order: see ``attribution_distance``. The interval resamples the rows of both sides.

    Examples
    --------
    >>> from monitor.metrics.examples import attributed
    >>> live = {"SAT": [0.10], "GPA": [0.20], "rank": [0.70]}
    >>> round(attribution_ndcg(attributed(live, {"SAT": [0.70], "GPA": [0.50], "rank": [0.05]})).value, 2)
    0.69

    References
    ----------
    Järvelin, Kekäläinen (2002), Cumulated gain-based evaluation of IR techniques, ACM TOIS 20.
    """
    return data.against_reference(ndcg, _interval)


def _interval(value: float, sides: Sides, draws: Sides) -> Interval:
    """Return the percentile interval, at least up to the value: draws of one at its limit lie below it."""
    lower, upper = percentile(ndcg(*draws))
    return (None, None) if lower is None or upper is None else (min(lower, value), max(upper, value))


def ndcg(reference: FloatArray, current: FloatArray) -> FloatArray:
    """Return the NDCG of the order of ``current`` with the gains ``reference``, over the last axis.

    >>> float(ndcg(np.array([2.0, 1.0]), np.array([5.0, 5.0])).round(4))  # a tie: both orders' mean
    0.9299
    """
    discounts = 1 / np.log2(np.arange(2, reference.shape[-1] + 2))
    best = (np.flip(np.sort(reference, axis=-1), axis=-1) * discounts).sum(axis=-1)
    order = np.argsort(-current, axis=-1, kind="stable")
    ranked = np.take_along_axis(current, order, axis=-1)
    gains = np.take_along_axis(np.broadcast_to(reference, current.shape), order, axis=-1)
    found: FloatArray = np.minimum((gains * _shared(discounts, ranked)).sum(axis=-1) / best, 1.0)
    return found


def _shared(discounts: FloatArray, ranked: FloatArray) -> FloatArray:
    """Return the discount of each place of values in falling order; places of equal values share theirs."""
    place = np.arange(ranked.shape[-1])
    new, ends = np.ones(ranked.shape, dtype=bool), np.ones(ranked.shape, dtype=bool)
    new[..., 1:] = ends[..., :-1] = ranked[..., 1:] != ranked[..., :-1]
    first = np.maximum.accumulate(np.where(new, place, 0), axis=-1)
    last = np.flip(np.minimum.accumulate(np.flip(np.where(ends, place, len(place)), -1), axis=-1), -1)
    upto = np.concatenate([[0.0], np.cumsum(discounts)])
    shared: FloatArray = np.where(
        first == last, discounts, (upto[last + 1] - upto[first]) / (last - first + 1)
    )
    return shared
