"""Columns of raw values as columns of numbers, on scales that are frozen from the reference."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.summaries import FloatArray

KEPT_CATEGORIES = 50  # at most so many have a column of their own
KEPT_SHARE, KEPT_ROWS = 0.01, 5  # and only those as frequent as this in the reference
WIDEST = 32  # dimensions of an embedding for trees; of a wider one the principal ones stand for it
LARGEST = 1e100  # greater numbers count as this, so that squares stay finite

Sides = tuple[FloatArray, FloatArray]


def points(reference: pa.ChunkedArray, current: pa.ChunkedArray) -> Sides:
    """Return a feature's coordinates, float64[m, d] and float64[n, d].

    A number is standardised by the reference (a constant one only centred), a missing one put at the mean
    and marked in a column of its own. A category is 0/1 columns, where those rare or absent in the reference
    share one. An embedding is centred and scaled as a whole to a total variance of 1. So each feature weighs
    about the same: two random rows of the reference are about a squared distance of 2 apart in it, or less.

    >>> points(pa.chunked_array([[1.0, 3.0]]), pa.chunked_array([[5.0, None]]))[1].tolist()
    [[3.0, 0.0], [0.0, 1.0]]
    """
    if pa.types.is_list(current.type):
        return _marked(*_scaled(*_vectors(reference, current)))
    if pa.types.is_floating(current.type):
        columns = [_numbers(side)[:, None] for side in (reference, current)]
        return _marked(*_scaled(columns[0], columns[1]))
    codes = _ranks(reference, current)
    width = int(max(codes[0].max(initial=0), codes[1].max(initial=0))) + 3
    left, right = (np.eye(width)[side.astype(np.int64) + 2] for side in codes)
    return left, right


def tree_columns(reference: pa.ChunkedArray, current: pa.ChunkedArray) -> Sides:
    """Return a feature's columns for decision trees, float64[m, d] and float64[n, d]; missing is NaN.

    A category is its rank by frequency in the reference, -1 when it is rare or absent there. An embedding of
    more than 32 dimensions is its 32 principal coordinates and the norm of what these leave over.

    >>> both = [pa.chunked_array([side]) for side in (["a"] * 6 + ["b"] * 5, ["b", "z", None])]
    >>> tree_columns(*both)[1].ravel().tolist()
    [1.0, -1.0, nan]
    """
    if pa.types.is_list(current.type):
        vectors = _vectors(reference, current)
        return vectors if vectors[0].shape[1] <= WIDEST else _principal(*vectors)
    if pa.types.is_floating(current.type):
        return _numbers(reference)[:, None], _numbers(current)[:, None]
    left, right = (np.where(side == -2, np.nan, side)[:, None] for side in _ranks(reference, current))
    return left, right


def _numbers(column: pa.ChunkedArray) -> FloatArray:
    """Return the values as float64[n], NaN where missing."""
    values: FloatArray = np.clip(column.to_numpy().astype(np.float64), -LARGEST, LARGEST)
    return values


def _vectors(reference: pa.ChunkedArray, current: pa.ChunkedArray) -> Sides:
    """Return the embeddings as matrices; those not as long as most of the reference's are missing."""
    lengths, counts = np.unique(pc.list_value_length(reference.drop_null()).to_numpy(), return_counts=True)
    width = max(int(lengths[counts.argmax()]), 1) if len(lengths) else 1
    return _matrix(reference, width), _matrix(current, width)


def _matrix(column: pa.ChunkedArray, width: int) -> FloatArray:
    held = pc.fill_null(pc.equal(pc.list_value_length(column), width), False)
    flat = pc.list_flatten(column.filter(held)).to_numpy().reshape(-1, width)
    values: FloatArray = np.full((len(column), width), np.nan)
    values[held.to_numpy()] = np.where(np.isfinite(flat).all(axis=1, keepdims=True), flat, np.nan)
    return values


def _scaled(reference: FloatArray, current: FloatArray) -> Sides:
    """Centre and scale by the reference's total variance; NaN stays."""
    known = reference[~np.isnan(reference).any(axis=1)]
    mean = known.mean(axis=0) if len(known) else np.zeros(reference.shape[1])
    spread = float(np.sqrt(known.var(axis=0).sum())) if len(known) else 0.0
    # a constant has a spread of zero but for rounding
    scale = spread if spread > 1e-12 * float(np.abs(mean).max(initial=0.0)) else 1.0
    return (reference - mean) / scale, (current - mean) / scale


def _marked(reference: FloatArray, current: FloatArray) -> Sides:
    """Put missing rows at the mean, and mark them in a further column if there are any on either side."""
    gaps = [np.isnan(side).any(axis=1, keepdims=True) for side in (reference, current)]
    filled = [np.where(gap, 0.0, side) for gap, side in zip(gaps, (reference, current), strict=True)]
    if any(gap.any() for gap in gaps):
        filled = [np.hstack([side, gap]) for gap, side in zip(gaps, filled, strict=True)]
    return filled[0], filled[1]


def _ranks(reference: pa.ChunkedArray, current: pa.ChunkedArray) -> Sides:
    """Return each text's rank among the reference's frequent ones (0 the first), -1 others, -2 missing."""
    counts = reference.drop_null().value_counts()
    found = zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True)
    least = max(KEPT_ROWS, KEPT_SHARE * len(reference))
    frequent = sorted((-n, text) for text, n in found if n >= least)[:KEPT_CATEGORIES]
    rank = {text: float(i) for i, (_, text) in enumerate(frequent)} | {None: -2.0}
    left, right = (
        np.array([rank.get(text, -1.0) for text in side.to_pylist()]) for side in (reference, current)
    )
    return left, right


def _principal(reference: FloatArray, current: FloatArray) -> Sides:
    """Return principal coordinates and the norm of the rest.

    Of both sides together: components of one side alone fit its own rows better, which trees would notice.
    """
    pooled = np.vstack([reference, current])
    known = pooled[~np.isnan(pooled).any(axis=1)]
    mean = known.mean(axis=0) if len(known) else np.zeros(pooled.shape[1])
    _, axes = np.linalg.eigh((known - mean).T @ (known - mean))
    kept = axes[:, ::-1][:, :WIDEST]
    left, right = (_projected(side - mean, kept) for side in (reference, current))
    return left, right


def _projected(centred: FloatArray, axes: npt.NDArray[np.float64]) -> FloatArray:
    inside = centred @ axes
    rest = np.sqrt(np.maximum((centred**2).sum(axis=1) - (inside**2).sum(axis=1), 0.0))
    return np.column_stack([inside, rest])
