"""Laws that every summary keeps, and a supply of rows to try each one with.

Counts must agree to the bit. Float moments and sums agree to a relative 1e-9 between orders of merging,
and to the bit for a given order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.metrics.examples import ranked
from monitor.summaries.attributions import AttributionSummary
from monitor.summaries.categorical import CategoricalSummary
from monitor.summaries.confusion import Confusion
from monitor.summaries.expected import PredictedScores
from monitor.summaries.exposure import ExposureSummary
from monitor.summaries.moments import Moments
from monitor.summaries.numeric import NumericSummary, ordered
from monitor.summaries.ranking import RankingSummary
from monitor.summaries.residuals import ResidualSummary
from monitor.summaries.scores import ScoreSummary, edges_from

CUTS = np.array([-2.0, -0.5, 0.0, 1.0, 1.5, 7.0])
EDGES = edges_from(np.array([0.123456, 0.5, 2.0]))
NAMES = ("a", "b", "c")


@dataclass(frozen=True)
class Case:
    """How to make rows for a summary, lift them and start from none."""

    kind: type
    rows: Callable[[np.random.Generator, int], list[Any]]
    lift: Callable[[Sequence[Any]], Any]
    zero: Callable[[], Any]


def _numbers(rng: np.random.Generator, n: int) -> list[Any]:
    """Draw normals, heavy tails, exact cut points and missing values."""
    choices = [rng.normal(size=n), rng.standard_cauchy(size=n) * 1e3, rng.choice(CUTS, size=n)]
    values = np.choose(rng.integers(0, 3, size=n), choices).tolist()
    return [None if rng.random() < 0.1 else value for value in values]


def _numeric(rows: Sequence[Any]) -> NumericSummary:
    values = np.array([x for x in rows if x is not None], dtype=np.float64)
    return NumericSummary.lift(values, cuts=CUTS, missing=sum(x is None for x in rows))


def _categorical(rows: Sequence[Any]) -> CategoricalSummary:
    held = [x for x in rows if x is not None]
    return CategoricalSummary.lift(held, [1] * len(held), categories=NAMES, missing=len(rows) - len(held))


def _cells(rng: np.random.Generator, n: int) -> list[Any]:
    columns = [rng.choice(["", "f", "m"], size=n), rng.choice([None, "0", "1", "2"], size=n)]
    columns += [rng.choice(["0", "1", "7"], size=n), rng.random(n)]
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _confusion(rows: Sequence[Any]) -> Confusion:
    groups, truths, predictions, scores = ([row[i] for row in rows] for i in range(4))
    fixed = [round(score * 2**32) for score in scores]
    return Confusion.lift(
        groups, truths, predictions, [1] * len(rows), scored=[1] * len(rows), score_sums=fixed
    )


def _scores(rng: np.random.Generator, n: int) -> list[Any]:
    values = np.where(
        rng.random(n) < 0.2, rng.choice([0.0, 0.5, 1.0, 0.123456, 1.7, -3.0], size=n), rng.beta(1, 9, n)
    )
    return list(zip(values.tolist(), (rng.random(n) < 0.3).tolist(), strict=True))


def _lift_scores(rows: Sequence[Any]) -> ScoreSummary:
    scores, truths = np.array([r[0] for r in rows], float), np.array([r[1] for r in rows], bool)
    return ScoreSummary.lift(scores, truths, edges=EDGES)


def _predicted(rows: Sequence[Any]) -> PredictedScores:
    scores, chosen = np.array([r[0] for r in rows], float), np.array([r[1] for r in rows], bool)
    return PredictedScores.lift(scores, chosen, edges=EDGES, unscored=int(chosen.sum()))


def _pairs(rng: np.random.Generator, n: int) -> list[Any]:
    truth = np.where(rng.random(n) < 0.1, 0.0, rng.lognormal(1, 2, size=n))
    return list(zip((truth + rng.normal(size=n)).tolist(), truth.tolist(), strict=True))


def _residuals(rows: Sequence[Any]) -> ResidualSummary:
    predictions, truths = np.array([r[0] for r in rows], float), np.array([r[1] for r in rows], float)
    return ResidualSummary.lift(predictions, truths, center=3.0)


def _moments(rows: Sequence[Any]) -> Moments:
    return Moments.lift(ordered(np.array(rows, dtype=np.float64)))


def _large(rng: np.random.Generator, n: int) -> list[Any]:
    return list(rng.normal(1e6, 1, size=n).tolist())


def _names(rng: np.random.Generator, n: int) -> list[Any]:
    return list(rng.choice(["a", "b", "z", None], size=n).tolist())


def _attributed(rng: np.random.Generator, n: int) -> list[Any]:
    """Draw rows of two outputs and three features, some gaps, each with a hash of its own."""
    values = rng.standard_cauchy(size=(n, 2, 3))
    values[rng.random(values.shape) < 0.1] = np.nan
    return list(zip(rng.integers(0, 2**63, size=n).tolist(), values.tolist(), strict=True))


def _attributions(rows: Sequence[Any]) -> AttributionSummary:
    keys, values = np.array([r[0] for r in rows], np.int64), np.array([r[1] for r in rows], float)
    names = {"features": ("a", "b", "c"), "outputs": ("0", "1")}
    return AttributionSummary.lift(keys, values.reshape(-1, 2, 3), **names)


def _listed(rng: np.random.Generator, n: int) -> list[Any]:
    """Draw lists of distinct items and a number for each, which no other list has."""
    owners = rng.integers(1, 2**62, n).tolist()
    return [(rng.permutation(30)[: rng.integers(0, 6)].tolist(), owner) for owner in owners]


def _exposure(rows: Sequence[Any]) -> ExposureSummary:
    codes = np.array([code for items, _ in rows for code in items], np.int64)
    lengths, owners = np.array([len(r[0]) for r in rows], np.int64), np.array([r[1] for r in rows], np.int64)
    return ExposureSummary.lift(codes, lengths, owners, size=30, head=7)


def _judged(rng: np.random.Generator, n: int) -> list[Any]:
    """Draw lists with what is relevant; some have no label."""

    def label() -> dict[str, float] | None:
        some = {str(i): float(rng.integers(0, 4)) for i in rng.permutation(9)[: rng.integers(0, 4)]}
        return None if rng.random() < 0.2 else some

    return [([str(i) for i in rng.permutation(9)[: rng.integers(0, 7)]], label()) for _ in range(n)]


def _ranking(rows: Sequence[Any]) -> RankingSummary:
    return ranked([r[0] for r in rows], [r[1] for r in rows], ks=(1, 3), popular="012").summary


CASES = (
    Case(
        AttributionSummary,
        _attributed,
        _attributions,
        lambda: AttributionSummary.zero(("a", "b", "c"), ("0", "1")),
    ),
    Case(Moments, _large, _moments, Moments.zero),
    Case(NumericSummary, _numbers, _numeric, lambda: NumericSummary.zero(CUTS)),
    Case(CategoricalSummary, _names, _categorical, lambda: CategoricalSummary.zero(NAMES)),
    Case(Confusion, _cells, _confusion, Confusion.zero),
    Case(ScoreSummary, _scores, _lift_scores, lambda: ScoreSummary.zero(EDGES)),
    Case(PredictedScores, _scores, _predicted, lambda: PredictedScores.zero(EDGES)),
    Case(ExposureSummary, _listed, _exposure, lambda: ExposureSummary.zero(30, 7)),
    Case(RankingSummary, _judged, _ranking, lambda: RankingSummary.zero((1, 3))),
    Case(ResidualSummary, _pairs, _residuals, lambda: ResidualSummary.zero(3.0)),
)


def differences(a: Any, b: Any, *, rel: float, at: str = "") -> list[str]:
    """Return where two summaries differ: integers and names at all, floats by more than ``rel``."""
    if dataclasses.is_dataclass(a) and type(a) is type(b):
        a, b = ({f.name: getattr(x, f.name) for f in dataclasses.fields(x)} for x in (a, b))
        return [d for name in a for d in differences(a[name], b[name], rel=rel, at=f"{at}.{name}")]
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
        pairs = enumerate(zip(a, b, strict=True))
        return [d for i, (x, y) in pairs for d in differences(x, y, rel=rel, at=f"{at}[{i}]")]
    wrong = [f"{at}: {a!r} and {b!r}"]
    if isinstance(a, np.ndarray):
        if a.shape != b.shape or a.dtype != b.dtype:
            return wrong
        scale = np.abs(a).sum() if a.dtype.kind == "f" else 0
        close = bool(rel) and bool(np.all(np.abs(a - b) <= rel * scale))
        return [] if np.array_equal(a, b) or close else wrong
    if isinstance(a, float) and a != b and rel:
        return [] if abs(a - b) <= rel * max(abs(a), abs(b)) else wrong
    return [] if a == b else wrong
