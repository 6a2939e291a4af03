"""How large a regression's error will be, given its inputs: a small forest learnt on the labelled reference.

It is kept as plain arrays, so that it can be stored and read back without running anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from monitor.summaries import FloatArray, IntArray, pack, unpack

TREES, DEPTH, LEAF = 20, 8, 20
PRIOR_ROWS = 20  # of the mean that a category's code is shrunk to
LARGEST = 1e30  # trees compare in single precision


@dataclass(frozen=True, eq=False)
class ErrorModel:
    """A forest of the expected absolute and squared error.

    Parameters
    ----------
    columns
        Names of the inputs, in the order of ``features``.
    codes
        For each input the number of each category (its mean absolute error in the reference); None if
        it is numeric.
    fill
        float64[F]: what stands for a missing value or a category never seen.
    roots, features, children
        int64[T], int64[N], int64[N, 2]: first node of each tree; a node's input (-1: a leaf) and next nodes.
    thresholds, values
        float64[N], float64[N, 2]: a row goes left when its input is at most the threshold; the mean
        absolute and squared error of a leaf.
    learnt
        float64[N]: rows that a node's values were taken from.
    kurtosis
        Mean of (e² - expected e²)² over the mean of (expected e²)², for the spread of squared errors.
    rows
        Labelled rows it was learnt on.
    """

    columns: tuple[str, ...]
    codes: tuple[Mapping[str, float] | None, ...]
    fill: FloatArray
    roots: IntArray
    features: IntArray
    children: IntArray
    thresholds: FloatArray
    values: FloatArray
    learnt: FloatArray
    kurtosis: float
    rows: int

    @classmethod
    def fit(cls, columns: Mapping[str, Sequence[Any]], errors: FloatArray) -> Self:
        """Learn the size of ``errors`` (float64[n], finite) from the columns: numbers (NaN: missing) or text.

        A random forest of 20 trees of depth 8 with 20 rows or more in a leaf; both errors at once, each
        divided by its standard deviation.

        Raises
        ------
        ValueError
            When there are no rows.
        """
        from sklearn.ensemble import RandomForestRegressor

        if not len(errors):
            raise ValueError("no row has both a prediction and a label")
        targets = np.stack([np.abs(errors), np.square(errors)], axis=1)
        codes = tuple(_codes(column, targets[:, 0]) for column in columns.values())
        medians = [
            _median(column) if code is None else targets[:, 0].mean()
            for code, column in zip(codes, columns.values(), strict=True)
        ]
        fill = np.array(medians, dtype=np.float64)
        spread = targets.std(0)
        spread[spread == 0] = 1.0
        forest = RandomForestRegressor(TREES, max_depth=DEPTH, min_samples_leaf=LEAF, random_state=0)
        forest.fit(_matrix(columns, tuple(columns), codes, fill), targets / spread)
        trees = [one.tree_ for one in forest.estimators_]
        roots = np.cumsum([0, *(tree.node_count for tree in trees[:-1])])
        arrays = {
            "features": np.concatenate([np.maximum(tree.feature, -1) for tree in trees]),
            "children": np.concatenate([_children(t, r) for t, r in zip(trees, roots, strict=True)]),
            "thresholds": np.concatenate([tree.threshold for tree in trees]),
            "values": np.concatenate([tree.value[:, :, 0] for tree in trees]) * spread,
            "learnt": np.concatenate([tree.weighted_n_node_samples for tree in trees]),
        }
        model = cls(tuple(columns), codes, fill, roots, **arrays, kurtosis=0.0, rows=len(errors))
        expected = model(columns)[:, 1]
        power = float(np.square(expected).mean())
        kurtosis = float(np.square(targets[:, 1] - expected).mean()) / power if power else 0.0
        return cls(tuple(columns), codes, fill, roots, **arrays, kurtosis=kurtosis, rows=len(errors))

    def __call__(self, columns: Mapping[str, Sequence[Any]]) -> FloatArray:
        """Return the expected absolute and squared error of each row, float64[n, 2]."""
        return self.expected(self.leaves(columns))

    def leaves(self, columns: Mapping[str, Sequence[Any]]) -> IntArray:
        """Return the leaf that each row comes to in each tree, int64[T, n]."""
        inputs = _matrix(columns, self.columns, self.codes, self.fill)
        rows, found = np.arange(len(inputs)), []
        for root in self.roots:
            at = np.full(len(inputs), root)
            for _ in range(DEPTH):
                right = (inputs[rows, self.features[at]] > self.thresholds[at]).astype(np.int64)
                at = self.children[at, right]
            found.append(at)
        return np.stack(found)

    def expected(self, leaves: IntArray) -> FloatArray:
        """Return the expected absolute and squared error of rows that came to these leaves, float64[n, 2]."""
        total = np.zeros((leaves.shape[1], 2))
        for at in leaves:
            total += self.values[at]
        return total / len(self.roots)

    def own_variance(self, leaves: IntArray) -> FloatArray:
        """Return the variance of the mean expected errors that is due to what was learnt, float64[2].

        A leaf's values are means of the reference's rows there, so where more of a window comes to leaves of
        few rows the forest knows less. The trees see the same rows: what one of them has by it, all have.
        """
        mean, second = self.values[:, 0], self.values[:, 1]
        noise = np.stack([second - np.square(mean), self.kurtosis * np.square(second)], axis=1)
        variance = np.zeros(2)
        for at in leaves:
            share = np.bincount(at, minlength=len(self.learnt)) / max(len(at), 1)
            variance += (np.square(share) / self.learnt) @ np.maximum(noise, 0.0)
        return variance / len(self.roots)

    def to_bytes(self) -> bytes:
        names = ("fill", "roots", "features", "children", "thresholds", "values", "learnt")
        codes = [code and dict(code) for code in self.codes]
        header = {"columns": self.columns, "codes": codes, "kurtosis": self.kurtosis, "rows": self.rows}
        return pack("error model", header, **{name: getattr(self, name) for name in names})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        header, arrays = unpack("error model", data)
        columns, codes = tuple(header.pop("columns")), tuple(header.pop("codes"))
        return cls(columns, codes, **arrays, **header)


def _children(tree: Any, root: int) -> IntArray:
    """Return int64[N, 2]; a leaf leads to itself, so that every row takes the same number of steps."""
    both = np.stack([tree.children_left, tree.children_right], axis=1).astype(np.int64)
    own = np.arange(tree.node_count)[:, None]
    result: IntArray = np.where(both < 0, own, both) + root
    return result


def _codes(column: Sequence[Any], absolute: FloatArray) -> dict[str, float] | None:
    """Return the shrunk mean absolute error of each category; None for a column of numbers."""
    if np.asarray(column).dtype.kind in "fiub":
        return None
    names = np.array(["" if value is None else f"={value}" for value in column])
    found, where = np.unique(names, return_inverse=True)
    n, total = np.bincount(where), np.bincount(where, absolute)
    means = (total + PRIOR_ROWS * absolute.mean()) / (n + PRIOR_ROWS)
    return {name[1:]: float(mean) for name, mean in zip(found.tolist(), means, strict=True) if name}


def _median(column: Sequence[Any]) -> float:
    values = np.asarray(column, dtype=np.float64)
    held = values[np.isfinite(values)]
    return float(np.median(held)) if len(held) else 0.0


def _matrix(
    columns: Mapping[str, Sequence[Any]],
    names: Sequence[str],
    codes: Sequence[Mapping[str, float] | None],
    fill: FloatArray,
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Return float32[n, F] without missing values, as scikit-learn's trees compare it."""
    wide = []
    for name, code, missing in zip(names, codes, fill.tolist(), strict=True):
        if code is not None:
            numbers = np.array([code.get(value, missing) for value in columns[name]], dtype=np.float64)
        else:
            numbers = np.asarray(columns[name], dtype=np.float64)
            numbers = np.where(np.isfinite(numbers), numbers, missing)
        wide.append(np.clip(numbers, -LARGEST, LARGEST).astype(np.float32))
    return np.stack(wide, axis=1)
