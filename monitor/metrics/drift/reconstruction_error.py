"""How badly the reference's principal components describe the window's rows."""

from __future__ import annotations

import math

import numpy as np

from monitor.metrics.registry import Measured, Outcome, metric
from monitor.metrics.samples import SamplePair
from monitor.summaries import FloatArray

EXPLAINED = 0.65
CHUNKS = 20
LEAST_REFERENCE = 200  # rows: half for the components, half for twenty chunks of five


def limit(measured: Measured, alpha: float) -> float:
    """Return the t-distribution's quantile, upwards alone: ``alpha`` of drift-free windows are above it."""
    from scipy.stats import t

    return float(t.isf(alpha, CHUNKS - 1))


@metric(
    "reconstruction_error",
    check="drift",
    subject="sample",
    applies={"features"},
    unit="standard errors",
    low=-math.inf,
    high=math.inf,
    needs_reference=True,
    critical=limit,
)
def reconstruction_error(pair: SamplePair) -> Outcome:
    """Mean distance of the window's rows from the reference's principal components, as a z-score.

    The components that explain 65 % of the variance are taken from one half of at most 5,000 reference rows
    (standardised; categories as 0/1 columns). The mean distance of the window's rows from their projections
    is compared with that of the other half, in units of the standard error that its 20 chunks suggest for so
    many rows. 0 means no difference; without drift it is t-distributed with 19 degrees of freedom, and
    ``detail.critical`` is what its size stays below with probability 1 - alpha. Changed correlations show
    here first; a negative value means rows closer to the components than before. With numbers of very heavy
    tails (Cauchy's) the critical value is passed more often than that.

    Examples
    --------
    >>> from monitor.metrics.examples import rows
    >>> line = np.random.default_rng(0).normal(size=400)
    >>> reference = {"a": line, "b": line + 0.01 * np.sin(np.arange(400))}
    >>> reconstruction_error(rows(reference, {"a": line, "b": -line})).value > 100
    True

    References
    ----------
    Jackson, Mudholkar (1979), Control procedures for residuals associated with principal component
    analysis, Technometrics 21.
    """
    if pair.n_reference < LEAST_REFERENCE:
        reason = f"fewer than {LEAST_REFERENCE} rows in the reference's sample"
        return Outcome.none("insufficient_samples", reason, n=pair.n, n_reference=pair.n_reference)
    reference, current = pair.points
    half = len(reference) // 2
    mean, axes = components(reference[:half])
    held_out, errors = (distances(side, mean, axes) for side in (reference[half:], current))
    per_chunk = len(held_out) // CHUNKS
    means = held_out[: per_chunk * CHUNKS].reshape(CHUNKS, per_chunk).mean(axis=1)
    row_variance = float(means.var(ddof=1)) * per_chunk
    standard_error = math.sqrt(row_variance * (1 / len(errors) + 1 / len(held_out)))
    if standard_error <= 1e-12 * max(float(held_out.mean()), 1.0):
        reason = "the reference's rows all lie equally far from its components; there is no scale to judge by"
        return Outcome.none("not_applicable", reason, n=pair.n, n_reference=pair.n_reference)
    from scipy.stats import t

    return pair.outcome(
        float(errors.mean() - held_out.mean()) / standard_error,
        critical=float(t.isf(pair.alpha / 2, CHUNKS - 1)),
        components=axes.shape[1],
        error=float(errors.mean()),
        reference_error=float(held_out.mean()),
    )


def components(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the mean (float64[d]) and the leading components (float64[d, k]) that explain 65 %.

    >>> components(np.array([[0.0, 0.0], [2.0, 0.1], [4.0, 0.0]]))[1].shape
    (2, 1)
    """
    mean: FloatArray = rows.mean(axis=0)
    variances, axes = np.linalg.eigh(np.cov(rows, rowvar=False, ddof=0).reshape(len(mean), -1))
    variances, axes = np.maximum(variances[::-1], 0.0), axes[:, ::-1]
    explained = np.cumsum(variances)
    kept = int(np.searchsorted(explained, EXPLAINED * explained[-1])) + 1
    return mean, axes[:, :kept]


def distances(rows: FloatArray, mean: FloatArray, axes: FloatArray) -> FloatArray:
    """Return each row's Euclidean distance (float64[n]) from its projection onto the components."""
    centred = rows - mean
    result: FloatArray = np.linalg.norm(centred - (centred @ axes) @ axes.T, axis=1)
    return result
