"""Intervals that may be looked at after every window: confidence sequences for shares and for gaps of shares.

An ordinary 95 % interval is wrong in 5 % of windows, so whoever looks often enough sees it wrong. Here the
chance of *ever* being wrong, over all windows there will be, is at most 5 %.

For a share at most p the likelihood ratio of the counted rows, binomial with q > p against p, has a mean
of at most 1, whatever was seen before. Bets on several q, begun at each window t with a stake 1 / (t (t+1)),
are therefore together worth more than 1 / alpha with a chance of at most alpha, ever (Ville's inequality).
The lower limit is the largest p for which they are. Begun anew at each window, they see a change soon however
long all was well before. The newest 30 windows count; leaving out older ones only lowers what bets are worth.
For a gap every group has both limits, all of them together at 5 %; this supposes that rates keep still.

References: Howard, Ramdas, McAuliffe, Sekhon (2021), Time-uniform, nonparametric, nonasymptotic confidence
sequences, Annals of Statistics 49; Shin, Ramdas, Rinaldo (2023), E-detectors, New England J. Statistics in
Data Science 2.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from monitor.metrics import find
from monitor.summaries import FloatArray
from monitor.types import Result

ALPHA = 0.05  # chance of ever being wrong, both sides together
MEMORY = 30  # windows
ALTERNATIVES = np.geomspace(0.002, 0.7, 12)  # of the way from p to 1
HALVINGS = 40

Tallies = Mapping[str, tuple[int, int]]  # group (or rate and group) -> rows counted, of how many
Looks = tuple[
    tuple[int, int, Tallies], ...
]  # (window start, how many windows were looked at by then, tallies)
ALONE = ""
BETWEEN = "\x1f"  # rate and group of a gap


def tallies(result: Result) -> dict[str, tuple[int, int]] | None:
    """Return the counts that a result's value is made of; None where it is no share and no gap of shares."""
    if result.value is None:
        return None
    if find(result.metric).is_share:
        return {ALONE: (round(result.value * result.n), result.n)}
    counts = result.detail.get("counts")
    if not counts:
        return None
    return {
        f"{rate}{BETWEEN}{group}": (int(part), int(of))
        for rate, groups in counts.items()
        for group, (part, of) in groups.items()
    }


def looked(looks: Looks, start_us: int, counted: Tallies) -> Looks:
    """Return the memory with one more window."""
    number = looks[-1][1] + 1 if looks else 1
    return (*looks, (start_us, number, dict(counted)))[-MEMORY:]


def interval(looks: Looks) -> tuple[float, float]:
    """Return the limits of a share, or of the largest gap between groups, that hold at all times together."""
    newest = looks[-1][2]
    if ALONE in newest:
        return limits(looks, ALONE, ALPHA / 2)
    found: dict[str, list[tuple[float, float]]] = {}
    for key in newest:
        found.setdefault(key.partition(BETWEEN)[0], []).append(limits(looks, key, ALPHA / 2 / len(newest)))
    gaps = [
        (max(low for low, _ in each) - min(high for _, high in each),
         max(high for _, high in each) - min(low for low, _ in each))
        for each in found.values()
    ]  # fmt: skip
    return max(0.0, *(low for low, _ in gaps)), min(1.0, max(high for _, high in gaps))


def limits(looks: Looks, key: str, alpha: float) -> tuple[float, float]:
    """Return the limits of one share, each of them ever wrong with a chance of at most ``alpha``."""
    counted = [counts.get(key, (0, 0)) for _, _, counts in looks]
    part, of = (np.array(side, dtype=np.float64) for side in zip(*counted, strict=True))
    numbers = np.array([number for _, number, _ in looks], dtype=np.float64)
    return _lower(part, of, numbers, alpha), 1.0 - _lower(of - part, of, numbers, alpha)


def _lower(part: FloatArray, of: FloatArray, numbers: FloatArray, alpha: float) -> float:
    """Return the largest share that the bets against "at most that" refute, by halving."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _worth(part, of, numbers, middle) >= -np.log(alpha) else (low, middle)
    return low


def _worth(part: FloatArray, of: FloatArray, numbers: FloatArray, share: float) -> float:
    """Return the logarithm of what the bets against "at most ``share``" are worth after the last window."""
    gain, loss = np.log((share + (1 - share) * ALTERNATIVES) / share), np.log1p(-ALTERNATIVES)
    ratios = np.outer(part, gain) + np.outer(of - part, loss)
    since = np.cumsum(ratios[::-1], axis=0)[::-1]  # of the bets begun at each window
    worth = since - np.log(numbers * (numbers + 1))[:, None]
    return float(np.logaddexp.reduce(worth, axis=None) - np.log(len(ALTERNATIVES)))
