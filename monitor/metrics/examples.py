"""Raw rows to metric inputs in one call: for the examples in the documentation, for notebooks and tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from monitor.metrics.attributions import AttributionData
from monitor.metrics.columns import ColumnPair
from monitor.metrics.estimates import EstimateData, ExpectedErrors
from monitor.metrics.group_errors import GroupErrorData
from monitor.metrics.groups import GroupData
from monitor.metrics.rankings import Exposed, RankingData, Spread
from monitor.metrics.samples import SamplePair
from monitor.metrics.tasks import TaskData
from monitor.summaries import FloatArray
from monitor.summaries.attributions import AttributionSummary, spread_keys
from monitor.summaries.calibration import LEVELS, Calibrator
from monitor.summaries.categorical import CategoricalSummary, categories_from
from monitor.summaries.confusion import EVERYONE, SCORE_UNIT, Confusion
from monitor.summaries.distances import mean_distances
from monitor.summaries.expected import PredictedScores
from monitor.summaries.exposure import ExposureSummary
from monitor.summaries.numeric import NumericSummary, cuts_from, ordered
from monitor.summaries.ranking import Gains, RankingSummary
from monitor.summaries.residuals import ResidualSummary
from monitor.summaries.scores import ScoreSummary, edges_from
from monitor.types import Task


def numbers(
    reference: Sequence[float | None], current: Sequence[float | None], *, bins: int = 10
) -> ColumnPair:
    """Return a numeric column's pair; None is a missing value.

    >>> numbers([1, 2, None], [2]).n_reference
    3
    """
    present = [
        np.array([x for x in side if x is not None], dtype=np.float64) for side in (reference, current)
    ]
    missing = [len(side) - len(kept) for side, kept in zip((reference, current), present, strict=True)]
    cuts = cuts_from(ordered(present[0]))
    lifted = [NumericSummary.lift(x, cuts=cuts, missing=m) for x, m in zip(present, missing, strict=True)]
    return ColumnPair(lifted[0], lifted[1], bins=bins)


def words(reference: Sequence[str | None], current: Sequence[str | None]) -> ColumnPair:
    """Return a categorical column's pair; None is a missing value.

    >>> words("aab", "abz").n
    3
    """
    counts = [Counter(x for x in side if x is not None) for side in (reference, current)]
    missing = [sum(x is None for x in side) for side in (reference, current)]
    names = categories_from(counts[0].items())
    lifted = [
        CategoricalSummary.lift(list(c), list(c.values()), categories=names, missing=m)
        for c, m in zip(counts, missing, strict=True)
    ]
    return ColumnPair(lifted[0], lifted[1])


def classified(
    truths: Sequence[str | None],
    predictions: Sequence[str],
    scores: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
    *,
    task: Task = "binary",
    positive: str = "1",
    seed: int = 0,
) -> TaskData:
    """Return a classifier's window; a truth of None has no label, ``scores`` go by class if multiclass.

    >>> classified("110", "100").labelled
    3
    """
    rows = Counter(zip(truths, predictions, strict=True))
    cells = Confusion.lift(
        [EVERYONE] * len(rows), [t for t, _ in rows], [p for _, p in rows], list(rows.values())
    )
    by_class = scores if isinstance(scores, Mapping) else {} if scores is None else {positive: scores}
    labelled = np.array([t is not None for t in truths], dtype=bool)
    lifted = {
        name: ScoreSummary.lift(
            np.array(column, dtype=np.float64)[labelled],
            np.array([t == name for t in truths], dtype=bool)[labelled],
            edges=edges_from(np.unique(np.array(column, dtype=np.float64))[:1024]),
        )
        for name, column in by_class.items()
    }
    sample = None
    if task == "multiclass" and lifted:
        places = {name: place for place, name in enumerate(sorted(lifted))}
        columns = np.array([by_class[name] for name in places], dtype=np.float64).T
        truth = np.array([places.get(t or "", -1) for t in truths], dtype=np.int64)
        sample = columns[labelled], truth[labelled]
    return TaskData(task, np.random.default_rng(seed), cells, lifted, positive=positive, sample=sample)


def regressed(truths: Sequence[float], predictions: Sequence[float], *, center: float = 0.0) -> TaskData:
    """Return a regression's window.

    >>> regressed([1, 2], [1, 3]).labelled
    2
    """
    residuals = ResidualSummary.lift(
        np.array(predictions, dtype=np.float64), np.array(truths, dtype=np.float64), center=center
    )
    return TaskData("regression", np.random.default_rng(0), residuals=residuals)


def grouped(
    groups: Sequence[str],
    truths: Sequence[str | None],
    predictions: Sequence[str],
    scores: Sequence[float] | None = None,
    *,
    positive: str = "1",
    min_group_size: int = 1,
    privileged: str | None = None,
    task: Task = "binary",
    seed: int = 0,
) -> GroupData:
    """Return one sensitive attribute's window; a truth of None has no label.

    >>> grouped("ab", "10", "11").names
    ('a', 'b')
    """
    fixed = [] if scores is None else [round(score * SCORE_UNIT) for score in scores]
    cells = Confusion.lift(
        list(groups),
        list(truths),
        list(predictions),
        [1] * len(groups),
        scored=[1] * len(groups) if fixed else None,
        score_sums=fixed or None,
    )
    rng = np.random.default_rng(seed)
    return GroupData(cells, positive, rng, min_group_size, privileged, task)


def rows(
    reference: Mapping[str, Sequence[object]], current: Mapping[str, Sequence[object]], *, seed: int = 0
) -> SamplePair:
    """Return whole rows of both sides, feature by feature: numbers, texts (categories) or lists (embeddings).

    >>> rows({"age": [1, 2], "plan": ["a", None]}, {"age": [3], "plan": ["b"]}).n
    1
    """

    def column(values: Sequence[object]) -> pa.Array:
        given = list(values)
        some = next((v for v in given if v is not None), 0.0)
        is_list = isinstance(some, Sequence | np.ndarray) and not isinstance(some, str)
        kind = pa.list_(pa.float32()) if is_list else pa.string() if isinstance(some, str) else pa.float64()
        return pa.array(given, kind, from_pandas=True)

    tables = [pa.table({name: column(v) for name, v in side.items()}) for side in (reference, current)]
    return SamplePair(tables[0], tables[1], seed=seed)


def expected(
    predictions: Sequence[str],
    scores: Sequence[float],
    truths: Sequence[str | None] = (),
    *,
    calibrator: Calibrator | None = None,
    positive: str = "1",
    seed: int = 0,
) -> EstimateData:
    """Return a binary classifier's window to estimate from; without ``calibrator`` scores are probabilities.

    >>> expected("10", [0.9, 0.2]).n
    2
    """
    ends = np.array([0.0, 1.0])
    line = calibrator or Calibrator(ends, ends, np.full(LEVELS, 100), False, 0.0, 0.0)
    chosen = np.array([p == positive for p in predictions], dtype=bool)
    summary = PredictedScores.lift(np.array(scores, np.float64), chosen, edges=edges_from(line.knots))
    realised = classified(truths, predictions, scores, positive=positive) if truths else None
    rng = np.random.default_rng(seed)
    return EstimateData("binary", rng, line, summary, realised=realised)


def expected_errors(errors: Sequence[float]) -> EstimateData:
    """Return a regression's window of rows whose absolute error is known to be this.

    >>> expected_errors([1.0]).n
    1
    """
    both = np.stack([np.abs(errors), np.square(errors)], axis=1)
    return EstimateData(
        "regression", np.random.default_rng(0), errors=ExpectedErrors(both, len(errors), 0.0, 100)
    )


def attributed(
    current: Mapping[str, Sequence[float]],
    reference: Mapping[str, Sequence[float]] | None = None,
    *,
    pvalues: Mapping[str, float] | None = None,
    task: Task = "binary",
    seed: int = 0,
) -> AttributionData:
    """Return the attributions of one output by feature; NaN where a row has none.

    >>> attributed({"age": [0.1, -0.2]}).n
    2
    """
    names = tuple(current)

    def lifted(side: Mapping[str, Sequence[float]]) -> AttributionSummary:
        values = np.array([side[name] for name in names], dtype=np.float64).T[:, None, :]
        return AttributionSummary.lift(spread_keys(len(values)), values, features=names, outputs=("",))

    rng, known = np.random.default_rng(seed), None if reference is None else lifted(reference)
    return AttributionData(task, lifted(current), rng, known, pvalues=pvalues)


def ranked(
    lists: Sequence[Sequence[str]],
    labels: Sequence[Mapping[str, float] | None] = (),
    *,
    ks: Sequence[int] = (10,),
    popular: Sequence[str] = (),
    share: float = 0.2,
    embeddings: Mapping[str, Sequence[float]] | None = None,
) -> RankingData:
    """Return a ranking model's window: lists of items, of each the relevance of items (None: no label).

    ``popular`` are the reference's items, the most popular first.

    >>> ranked(["ab", "c"], [{"a": 1}, None]).labelled
    1
    """
    shown = [list(one) for one in lists]
    held = [(one, label) for one, label in zip(shown, labels, strict=False) if label is not None]
    summary = RankingSummary.lift(
        gains(held, ks[-1], popular).values(ks), ks=ks, unlabelled=len(shown) - len(held)
    )
    names = [*popular, *sorted({item for one in shown for item in one} - set(popular))]
    lengths = np.array([len(one) for one in shown], np.int64)
    codes = np.array([names.index(item) for one in shown for item in one], np.int64)
    owners, head = np.arange(1, len(shown) + 1), round(share * len(popular))
    exposed = Exposed(ExposureSummary.lift(codes, lengths, owners, size=len(names), head=head), len(popular))
    if embeddings is None:
        return RankingData(summary, lambda: exposed)
    vectors = np.array([embeddings[name] for name in names], np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    spread = Spread.lift(mean_distances(codes, lengths, vectors))
    return RankingData(summary, lambda: exposed, lambda: spread)


def gains(
    rows: Sequence[tuple[Sequence[str], Mapping[str, float]]], k: int, popular: Sequence[str] = ()
) -> Gains:
    """Return labelled lists by the relevance of their first ``k`` positions.

    >>> gains([("ab", {"b": 2.0})], 3).shown
    array([[0., 2., 0.]])
    """

    def matrix(relevances: Sequence[Sequence[float]]) -> FloatArray:
        padded = [[*one[:k], *[0.0] * (k - len(one))] for one in relevances]
        return np.array(padded, np.float64).reshape(-1, k)

    shown = [[label.get(item, 0.0) for item in one] for one, label in rows]
    ideal = [sorted(label.values(), reverse=True) for _, label in rows]
    common = [[label.get(item, 0.0) for item in popular] for _, label in rows]
    relevant = [sum(value > 0 for value in label.values()) for _, label in rows]
    first = [next((i for i, value in enumerate(one, 1) if value > 0), 0) for one in shown]
    counts = np.array(relevant, np.int64), np.array(first, np.int64)
    return Gains(matrix(shown), matrix(ideal), *counts, matrix(common) if popular else None)


def ranked_groups(
    rows: Mapping[str, tuple[Sequence[Sequence[str]], Sequence[Mapping[str, float] | None]]],
    *,
    ks: Sequence[int] = (10,),
    min_group_size: int = 1,
) -> GroupErrorData:
    """Return one sensitive attribute of a ranking model's users: group -> lists and their labels.

    >>> ranked_groups({"f": (["ab"], [{"a": 1}])}).names
    ('f',)
    """
    groups = {name: ranked(*one, ks=ks).summary for name, one in rows.items()}
    rng = np.random.default_rng(0)
    return GroupErrorData(groups, rng, min_group_size, "ranking", f"ndcg@{ks[0]}")
