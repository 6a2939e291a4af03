"""Maximum mean discrepancy between the window's rows and the reference's."""

from __future__ import annotations

import numpy as np

from monitor.metrics.registry import Outcome, metric
from monitor.metrics.samples import SamplePair
from monitor.summaries import FloatArray

MOST_ROWS = 1_000  # of either side: the work grows with the square
PERMUTATIONS = 500


@metric(
    "mmd",
    check="drift",
    subject="sample",
    applies={"features", "embedding"},
    unit="squared kernel distance",
    low=-2.0,
    high=2.0,
    needs_reference=True,
)
def mmd(pair: SamplePair) -> Outcome:
    """Squared maximum mean discrepancy (MMD) of the window's rows from the reference's, unbiased.

    The mean of k(x, x') within each side minus twice that between the sides, on at most 1,000 rows a side,
    with k(x, y) = exp(-|x - y|² / 2s²) and s the median distance between the reference's rows. 0 on average
    when both have the same distribution, and then as often below 0 as chance has it. ``detail.pvalue`` is
    from 500 permutations of the rows, ``detail.critical`` their 1 - alpha quantile.

    Examples
    --------
    >>> from monitor.metrics.examples import rows
    >>> round(mmd(rows({"x": [0.0, 1.0, 2.0]}, {"x": [10.0, 11.0, 12.0]})).value, 2)
    0.9

    References
    ----------
    Gretton, Borgwardt, Rasch, Schoelkopf, Smola (2012), A kernel two-sample test, J. Machine Learning
    Research 13.
    """
    reference, current = (side[:MOST_ROWS] for side in pair.points)
    m, n = len(reference), len(current)
    if min(m, n) < 2:
        reason = "fewer than 2 rows in the window or in the reference's sample"
        return Outcome.none("insufficient_samples", reason, n=n, n_reference=m)
    kernel = _kernel(np.vstack([reference, current]), m)
    rng = pair.rng("mmd")
    mine = np.zeros((m + n, PERMUTATIONS + 1))
    mine[m:, 0] = 1.0
    for column in range(1, PERMUTATIONS + 1):
        mine[rng.permutation(m + n)[:n], column] = 1.0
    found = _discrepancies(kernel, mine)
    reached = int((found[1:] >= found[0] - 1e-12).sum())
    critical = float(np.quantile(found[1:], 1 - pair.alpha, method="higher"))
    pvalue = (1 + reached) / (1 + PERMUTATIONS)
    return pair.outcome(float(found[0]), n, m, pvalue=pvalue, critical=critical)


def _kernel(points: FloatArray, m: int) -> FloatArray:
    """Return the kernel matrix of all rows, with zeros on its diagonal; the first ``m`` set its width."""
    squares = (points**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2 * points @ points.T, 0.0)
    among = distances[:m, :m][np.triu_indices(m, 1)]
    width = float(np.median(np.sqrt(among))) ** 2 or float(among.mean()) or 1.0
    kernel: FloatArray = np.exp(distances / (-2 * width))
    np.fill_diagonal(kernel, 0.0)
    return kernel


def _discrepancies(kernel: FloatArray, mine: FloatArray) -> FloatArray:
    """Return the unbiased MMD² for each column of ``mine``, which is 1 for rows of the one side, else 0."""
    n = float(mine[:, 0].sum())
    m = len(mine) - n
    reached = kernel @ mine
    within = (mine * reached).sum(axis=0)
    across = reached.sum(axis=0) - within
    others = kernel.sum() - within - 2 * across
    result: FloatArray = within / (n * (n - 1)) + others / (m * (m - 1)) - 2 * across / (m * n)
    return result
