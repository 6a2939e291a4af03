"""How often the 95 % intervals hold the truth, over simulated windows whose truth is known.

    python benchmarks/intervals.py [--windows 2000] [--only fairness] [--sizes 200 1000] [--json]

Every metric that publishes ``lower`` and ``upper`` is asked of windows drawn from populations whose value of
the metric is known: scikit-learn's on the population's cells, a sum over its scores, a formula, or (where
there is none) the value of four million rows. The rows of a window are drawn, counted into summaries and
asked as evaluation does. Estimates have to hold the value that the labels of the same window then give; what
they learn from is drawn anew every ten windows (calibrators: for each).

A line of the table is one metric in one population at one size; with 2,000 windows a share has a standard
error of 0.5 points. Lines with a star are those where no interval can hold the truth in 95 % of windows and
in no more, because the truth lies on the edge of what is possible (a gap of 0, a calibrated model) or has no
variance to estimate (heavy tails); docs/uncertainty.md says more. The figures there are from this command.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from interval_lists import Attributions, Lists, Shown, groups_of_lists

from monitor.lift import expected_errors
from monitor.metrics import ColumnPair, GroupData, Outcome, TaskData, WindowFacts, find
from monitor.metrics.estimates import EstimateData
from monitor.metrics.examples import rows as sample_of
from monitor.metrics.fairness.gaps import GAPS, Gap
from monitor.metrics.group_errors import GroupErrorData, GroupErrors
from monitor.summaries.calibration import Calibrator
from monitor.summaries.categorical import CategoricalSummary
from monitor.summaries.confusion import EVERYONE, Confusion
from monitor.summaries.error_model import ErrorModel
from monitor.summaries.expected import PredictedScores
from monitor.summaries.numeric import NumericSummary
from monitor.summaries.residuals import ResidualSummary
from monitor.summaries.scores import ScoreSummary, edges_from

SIZES = (200, 1_000, 5_000, 20_000)
LARGE = 4_000_000
NO_CUTS = edges_from(np.empty(0))
Rng = np.random.Generator
Answers = Mapping[str, tuple[Outcome, float]]  # metric -> its outcome, and the truth it has to hold


@dataclass(frozen=True)
class Population:
    """Where windows come from.

    ``window`` draws one of ``n`` rows; ``edge`` names the metrics whose truth lies on an edge.
    """

    family: str
    name: str
    window: Callable[[Rng, int], Answers]
    edge: frozenset[str] = frozenset()
    sizes: tuple[int, ...] = SIZES


def _seed(rng: Rng) -> Rng:
    return np.random.default_rng(int(rng.integers(2**63)))


# ---- classifiers: cells -----------------------------------------------------------------------------

FROM_CELLS = ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "mcc", "cohen_kappa")


@cache
def _cell_truths(flat: tuple[float, ...]) -> dict[str, float]:
    """Scikit-learn's metrics on the population's cells, truth by prediction."""
    from sklearn import metrics as skm

    size = math.isqrt(len(flat))
    truth, chosen = (side.ravel() for side in np.indices((size, size)))
    weight = {"sample_weight": np.array(flat)}
    average = {"average": "binary" if size == 2 else "macro"}
    by_class = np.array(flat).reshape(size, size).sum(1)
    return {
        "accuracy": skm.accuracy_score(truth, chosen, **weight),
        "balanced_accuracy": skm.balanced_accuracy_score(truth, chosen, **weight),
        "precision": skm.precision_score(truth, chosen, **average, **weight),
        "recall": skm.recall_score(truth, chosen, **average, **weight),
        "f1": skm.f1_score(truth, chosen, **average, **weight),
        "mcc": skm.matthews_corrcoef(truth, chosen, **weight),
        "cohen_kappa": skm.cohen_kappa_score(truth, chosen, **weight),
        "baseline_accuracy": float(by_class.max()),
    }


def _lift_cells(counts: np.ndarray[Any, Any], group: str = EVERYONE, unlabelled: int = 0) -> Confusion:
    size = len(counts)
    truth, chosen = (side.ravel().astype(str).tolist() for side in np.indices((size, size)))
    return Confusion.lift(
        [group] * (size * size + 1), [*truth, None], [*chosen, "0"], [*counts.ravel().tolist(), unlabelled]
    )


def cells(*table: Sequence[float]) -> Callable[[Rng, int], Answers]:
    """Windows of a classifier with these shares of truth by prediction."""
    shares = np.array(table)
    truths = _cell_truths(tuple(shares.ravel()))

    def window(rng: Rng, n: int) -> Answers:
        counts = rng.multinomial(n, shares.ravel()).reshape(shares.shape)
        task = "binary" if len(shares) == 2 else "multiclass"
        data = TaskData(task, _seed(rng), _lift_cells(counts), positive="1")
        return {name: (find(name)(data), truth) for name, truth in truths.items()}

    return window


# ---- classifiers: scores ----------------------------------------------------------------------------

GRID = (np.arange(4096) + 0.5) / 4096


def _beta(a: float, b: float) -> np.ndarray[Any, Any]:
    from scipy.stats import beta

    return np.diff(beta.cdf(np.linspace(0, 1, 4097), a, b))


@dataclass(frozen=True, eq=False)
class Scores:
    """A binary classifier: scores beta-distributed on a grid, positive with probability ``chance(score)``."""

    a: float
    b: float
    chance: Callable[[Any], Any]
    truths: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        share, p = _beta(self.a, self.b), self.chance(GRID)
        positive, negative = share * p, share * (1 - p)
        m, k = positive.sum(), negative.sum()
        above = np.cumsum(positive[::-1])[::-1]
        selected = np.cumsum(share[::-1])[::-1]
        precision = np.divide(above, selected, out=np.zeros(len(GRID)), where=selected > 0)
        below = np.cumsum(share) - share / 2
        bins = np.minimum((below * 10).astype(int), 9)
        gaps = np.bincount(bins, share * GRID - positive, 10)
        self.truths.update(
            roc_auc=float((positive * (np.cumsum(negative) - negative / 2)).sum() / (m * k)),
            average_precision=float((positive * precision).sum() / m),
            log_loss=float(-(positive * np.log(GRID) + negative * np.log1p(-GRID)).sum()),
            brier_score=float((positive * (1 - GRID) ** 2 + negative * GRID**2).sum()),
            calibration_error=float(np.abs(gaps).sum()),
        )

    def draw(self, rng: Rng, n: int) -> tuple[Any, Any]:
        scores = GRID[np.minimum((rng.beta(self.a, self.b, n) * 4096).astype(int), 4095)]
        return scores, rng.random(n) < self.chance(scores)

    def window(self, rng: Rng, n: int) -> Answers:
        scores, truth = self.draw(rng, n)
        summary = ScoreSummary.lift(scores, truth, edges=NO_CUTS)
        counts = np.array([[n - truth.sum(), 0], [truth.sum(), 0]])
        data = TaskData("binary", _seed(rng), _lift_cells(counts), {"1": summary}, positive="1")
        return {name: (find(name)(data), value) for name, value in self.truths.items()}


def _softmax(rng: Rng, n: int, *, off: float) -> tuple[Any, Any]:
    """Draw scores of four classes, and truths that follow them but for a temperature ``off``."""
    logits = rng.normal(size=(n, 4)) * 1.5 + np.array([1.0, 0.5, 0.0, -0.5])
    scores, chances = (np.exp(side) for side in (logits, logits * off))
    scores, chances = scores / scores.sum(1, keepdims=True), chances / chances.sum(1, keepdims=True)
    truth = (rng.random((n, 1)) > np.cumsum(chances, 1)[:, :-1]).sum(1)
    return scores, truth


@cache
def _softmax_truths(off: float) -> dict[str, float]:
    scores, truth = _softmax(np.random.default_rng(1), LARGE, off=off)
    areas = []
    for k in range(4):
        order = np.argsort(scores[:, k], kind="stable")
        mine = (truth == k)[order]
        areas.append((np.cumsum(~mine)[mine]).sum() / (mine.sum() * (~mine).sum()))
    return {
        "roc_auc": float(np.mean(areas)),
        "log_loss": float(-np.log(scores[np.arange(LARGE), truth]).mean()),
        "brier_score": float(np.square(scores - np.eye(4)[truth]).sum(1).mean()),
    }


def softmax(off: float) -> Callable[[Rng, int], Answers]:
    def window(rng: Rng, n: int) -> Answers:
        scores, truth = _softmax(rng, n, off=off)
        summaries = {str(k): ScoreSummary.lift(scores[:, k], truth == k, edges=NO_CUTS) for k in range(4)}
        chosen = np.argmax(scores, 1)
        counts = np.bincount(truth * 4 + chosen, minlength=16).reshape(4, 4)
        data = TaskData(
            "multiclass", _seed(rng), _lift_cells(counts), summaries, sample=(scores[:5_000], truth[:5_000])
        )
        return {name: (find(name)(data), value) for name, value in _softmax_truths(off).items()}

    return window


# ---- regressions ------------------------------------------------------------------------------------

FROM_ERRORS = ("mae", "rmse", "mape", "mean_error", "r2", "median_absolute_error")


def _normal_rows(rng: Rng, n: int) -> tuple[Any, Any]:
    truth = rng.normal(50, 10, n)
    return truth + rng.normal(1, 4, n), truth


def _skewed_rows(rng: Rng, n: int) -> tuple[Any, Any]:
    """Lognormal truths, Laplace errors that grow with them."""
    truth = rng.lognormal(3, 0.5, n)
    return truth + rng.laplace(0, 0.2, n) * truth, truth


def _heavy_rows(rng: Rng, n: int) -> tuple[Any, Any]:
    """Errors of Student's t with three degrees of freedom: their squares have no variance."""
    truth = rng.normal(50, 10, n)
    return truth + 2 * rng.standard_t(3, n), truth


@cache
def _regression_truths(rows: Callable[[Rng, int], tuple[Any, Any]]) -> dict[str, float]:
    predictions, truth = rows(np.random.default_rng(2), 2 * LARGE)
    error = predictions - truth
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt(np.square(error).mean())),
        "mape": float(np.abs(error / truth).mean()),
        "mean_error": float(error.mean()),
        "r2": float(1 - np.square(error).mean() / truth.var()),
        "median_absolute_error": float(np.median(np.abs(error))),
    }


def regression(rows: Callable[[Rng, int], tuple[Any, Any]]) -> Callable[[Rng, int], Answers]:
    def window(rng: Rng, n: int) -> Answers:
        summary = ResidualSummary.lift(*rows(rng, n), center=50.0)
        data = TaskData("regression", _seed(rng), residuals=summary)
        return {name: (find(name)(data), value) for name, value in _regression_truths(rows).items()}

    return window


# ---- estimates --------------------------------------------------------------------------------------

ESTIMATED = ("accuracy", "precision", "recall", "f1", "roc_auc")
PER_REFERENCE = {Calibrator: 1, ErrorModel: 10}  # windows asked of what one reference taught


def _realised(truth: Any, chosen: Any, scores: Any) -> dict[str, float]:
    hits, m, k = float((truth & chosen).sum()), float(truth.sum()), float(chosen.sum())
    order = np.argsort(scores, kind="stable")
    mine, n = truth[order], len(truth)
    ranks = (np.searchsorted(scores[order], scores[order], "left") + np.arange(n) + 1) / 2
    last = np.searchsorted(scores[order], scores[order], "right")
    ranks = (np.searchsorted(scores[order], scores[order], "left") + 1 + last) / 2
    return {
        "accuracy": float((truth == chosen).mean()),
        "precision": hits / k if k else math.nan,
        "recall": hits / m if m else math.nan,
        "f1": 2 * hits / (m + k) if m + k else math.nan,
        "roc_auc": float((ranks[mine].sum() - m * (m + 1) / 2) / (m * (n - m))) if 0 < m < n else math.nan,
    }


class Estimated:
    """CBPE: of calibrated scores as they are, or of others by a reference of so many rows.

    Windows have the reference's scores, or others: ``shifted``, of the same chances.
    """

    def __init__(
        self, known: int, scores: Scores, threshold: float = 0.5, shifted: Scores | None = None
    ) -> None:
        self.known, self.scores, self.threshold = known, scores, threshold
        self.live = shifted or scores
        self.asked, self.calibrator = 0, None

    def window(self, rng: Rng, n: int) -> Answers:
        if self.asked % PER_REFERENCE[Calibrator] == 0:
            self.calibrator = Calibrator.fit(*self.scores.draw(rng, self.known))
        self.asked += 1
        assert self.calibrator is not None
        scores, truth = self.live.draw(rng, n)
        chosen = scores > self.threshold
        summary = PredictedScores.lift(scores, chosen, edges=edges_from(self.calibrator.knots))
        counts = np.bincount(truth * 2 + chosen, minlength=4).reshape(2, 2)
        lifted = {"1": ScoreSummary.lift(scores, truth, edges=NO_CUTS)}
        realised = TaskData("binary", _seed(rng), _lift_cells(counts), lifted, positive="1")
        data = EstimateData("binary", _seed(rng), self.calibrator, summary, realised=realised)
        known = _realised(truth, chosen, scores)
        return {
            **{f"estimated_{name}": (find(f"estimated_{name}")(data), known[name]) for name in ESTIMATED},
            **{f"estimation_error_{n_}": (find(f"estimation_error_{n_}")(data), 0.0) for n_ in ESTIMATED},
        }


class Losses:
    """DLE: a forest learnt on so many rows whose error depends on two inputs."""

    def __init__(self, known: int) -> None:
        self.known, self.asked, self.model = known, 0, None

    @staticmethod
    def draw(rng: Rng, n: int) -> tuple[dict[str, Any], Any]:
        x, kind = rng.random(n), rng.integers(0, 3, n)
        noise = rng.normal(size=n) * (0.5 + 2 * x) * np.array([1.0, 1.5, 0.7])[kind]
        return {"x": x, "kind": np.array(list("abc"), dtype=object)[kind], "other": rng.normal(size=n)}, noise

    def window(self, rng: Rng, n: int) -> Answers:
        if self.asked % PER_REFERENCE[ErrorModel] == 0:
            self.model = ErrorModel.fit(*self.draw(rng, self.known))
        self.asked += 1
        assert self.model is not None
        columns, errors = self.draw(rng, n)
        some = {name: column[:5_000] for name, column in columns.items()}
        expected = expected_errors(self.model, some, n)
        residuals = ResidualSummary.lift(errors, np.zeros(n))
        realised = TaskData("regression", _seed(rng), residuals=residuals)
        data = EstimateData("regression", _seed(rng), errors=expected, realised=realised)
        known = {"mae": float(np.abs(errors).mean()), "rmse": float(np.sqrt(np.square(errors).mean()))}
        return {
            **{f"estimated_{name}": (find(f"estimated_{name}")(data), known[name]) for name in known},
            **{f"estimation_error_{name}": (find(f"estimation_error_{name}")(data), 0.0) for name in known},
        }


# ---- fairness ---------------------------------------------------------------------------------------


class Groups:
    """Groups with a share of the rows, of positives, and the model's rates in each; asked for some gaps."""

    def __init__(
        self,
        sizes: Sequence[float],
        base: Sequence[float],
        tpr: Sequence[float],
        fpr: Sequence[float],
        gaps: Sequence[Gap] = GAPS,
    ) -> None:
        self.gaps = gaps
        share, base_, tpr_, fpr_ = (np.array(side, dtype=float) for side in (sizes, base, tpr, fpr))
        share = share / share.sum()
        inside = [base_ * tpr_, base_ * (1 - tpr_), (1 - base_) * fpr_, (1 - base_) * (1 - fpr_)]
        self.p = np.stack(inside, 1) * share[:, None]  # TP FN FP TN
        tp, fn, fp, tn = inside
        self.rates = {
            "selection_rate": tp + fp,
            "accuracy": tp + tn,
            "tpr": tpr_,
            "fnr": 1 - tpr_,
            "fpr": fpr_,
            "precision": tp / (tp + fp),
        }

    def window(self, rng: Rng, n: int) -> Answers:
        counts = rng.multinomial(n, self.p.ravel()).reshape(self.p.shape)
        merged = Confusion.zero()
        for name, (tp, fn, fp, tn) in zip("abcdefghij", counts, strict=False):
            merged = merged.merge(_lift_cells(np.array([[tn, fp], [fn, tp]]), name))
        data = GroupData(merged, "1", _seed(rng), min_group_size=20)
        answers = {}
        for gap in self.gaps:
            for kind in ("difference", "ratio"):
                outcome = find(f"{gap.name}_{kind}")(data)
                compared = outcome.detail.get("rates", {})  # of two groups at least, if there is a value
                if outcome.value is not None:
                    sides = [self.rates[rate][_places(compared[rate])] for rate in gap.rates]
                    answers[f"{gap.name}_{kind}"] = (outcome, _gap(sides, kind))
        return answers

    def by_group(self, rng: Rng, n: int) -> Answers:
        counts = rng.multinomial(n, self.p.ravel()).reshape(self.p.shape)
        merged = Confusion.zero()
        for name, (tp, fn, fp, tn) in zip("abcdefghij", counts, strict=False):
            merged = merged.merge(
                _lift_cells(np.array([[tn, fp], [fn, tp]]), name, int(rng.binomial(n, 0.1)))
            )
        data = GroupData(merged, "1", _seed(rng), min_group_size=20, privileged="a")
        names = [f"group_{rate}" for rate in self.rates]
        answers = {
            name: (find(name).by_group(data)["b"], float(self.rates[name[6:]][1]))
            for name in names
            if name != "group_selection_rate"
        }
        return answers

    def impact(self, rng: Rng, n: int) -> Answers:
        """Selection rates alone: with the labels left out."""
        counts = rng.multinomial(n, self.p.ravel()).reshape(self.p.shape)
        selected = counts[:, 0] + counts[:, 2]
        groups = "abcdefghij"[: len(counts)]
        merged = Confusion.lift(
            [*groups, *groups], [None] * 2 * len(groups), ["1"] * len(groups) + ["0"] * len(groups),
            [*selected.tolist(), *(counts.sum(1) - selected).tolist()],
        )  # fmt: skip
        data = GroupData(merged, "1", _seed(rng), min_group_size=20, privileged="a")
        rates = self.rates["selection_rate"]
        return {
            "disparate_impact": (find("disparate_impact")(data), float(rates[1:].min() / rates[0])),
            "group_selection_rate": (find("group_selection_rate").by_group(data)["b"], float(rates[1])),
        }


def _places(names: Iterable[str]) -> list[int]:
    """Return which groups these are: gaps leave small ones out, and the truth does so with them."""
    return ["abcdefghij".index(name) for name in names]


def _gap(sides: Sequence[Any], kind: str) -> float:
    if kind == "difference":
        return float(max(side.max() - side.min() for side in sides))
    return float(min(side.min() / side.max() if side.max() else math.nan for side in sides))


class ErrorGroups:
    """Groups of a regression with a bias and a spread of errors each."""

    def __init__(self, sizes: Sequence[float], bias: Sequence[float], spread: Sequence[float]) -> None:
        self.share = np.array(sizes, dtype=float) / sum(sizes)
        self.bias, self.spread = np.array(bias, dtype=float), np.array(spread, dtype=float)
        from scipy.stats import foldnorm

        self.mae = foldnorm.mean(np.abs(self.bias) / self.spread, scale=self.spread)

    def window(self, rng: Rng, n: int) -> Answers:
        counts = rng.multinomial(n, self.share)
        rows = zip("abcdefghij", counts, self.bias, self.spread, strict=False)
        parts = {name: GroupErrors.lift(rng.normal(b, s, k)) for name, k, b, s in rows}
        data = GroupErrorData(parts, _seed(rng), 20)
        held = _places(data.moments("error"))
        return {
            "mean_error_difference": (find("mean_error_difference")(data), float(np.ptp(self.bias[held]))),
            "mae_difference": (find("mae_difference")(data), float(np.ptp(self.mae[held]))),
            "group_mean_error": (find("group_mean_error").by_group(data)["b"], float(self.bias[1])),
            "group_mae": (find("group_mae").by_group(data)["b"], float(self.mae[1])),
        }


# ---- quality and drift ------------------------------------------------------------------------------


def shares(p: float) -> Callable[[Rng, int], Answers]:
    """Windows with a share ``p`` of everything that quality counts."""
    cuts = np.array([0.0, 1.0])

    def window(rng: Rng, n: int) -> Answers:
        k, far = (int(x) for x in rng.binomial(n, p, 2))
        numeric = NumericSummary(cuts, np.array([far, 0, n - far, 0, 0]), 0, *_moments(n))
        gone = NumericSummary(cuts, np.array([0, 0, n - k, 0, 0]), k, *_moments(n - k))
        known = NumericSummary(cuts, np.array([0, 1, 98, 1, 0]), 0, *_moments(100))
        names = ("a",)
        words = [
            CategoricalSummary(names, np.array([count]), unseen, 0) for count, unseen in ((9, 0), (n - k, k))
        ]
        facts = WindowFacts(n - k, duplicates=k, conflicts=k, late=int(rng.binomial(n, p)), dated=n)
        labelled = Confusion.lift([EVERYONE] * 2, ["1", None], ["1", "1"], [k, n - k])
        grouped = Confusion.lift(["a"] * 2, ["1", None], ["1", "1"], [k, n - k])
        return {
            "missing_ratio": (find("missing_ratio")(ColumnPair(known, gone)), p),
            "type_mismatch_ratio": (find("type_mismatch_ratio")(ColumnPair(known, gone, mismatched=k)), p),
            "out_of_range_ratio": (find("out_of_range_ratio")(ColumnPair(known, numeric)), p),
            "new_category_ratio": (find("new_category_ratio")(ColumnPair(*words)), p),
            "duplicate_ratio": (find("duplicate_ratio")(facts), p),
            "conflict_ratio": (find("conflict_ratio")(facts), p),
            "late_ratio": (find("late_ratio")(facts), p),
            "label_coverage": (find("label_coverage")(TaskData("binary", rng, labelled)), p),
            "group_label_coverage": (
                find("group_label_coverage").by_group(GroupData(grouped, "1", rng))["a"],
                p,
            ),
        }

    return window


def _moments(n: int) -> tuple[Any, Any]:
    lifted = NumericSummary.lift(np.full(n, 0.5), cuts=np.array([0.0, 1.0]))
    return lifted.moments, lifted.sums


def undrifted(rng: Rng, n: int) -> Answers:
    """Windows of two features with the reference's own distribution: no classifier tells them apart."""
    columns = [{"a": rng.normal(size=k).tolist(), "b": rng.choice(list("xyz"), k).tolist()} for k in (n, n)]
    pair = sample_of(*columns, seed=int(rng.integers(2**31)))
    return {"domain_classifier_auc": (find("domain_classifier_auc")(pair), 0.5)}


# ---- the table --------------------------------------------------------------------------------------

CALIBRATED, SHARP = Scores(2, 3, lambda s: s), Scores(0.8, 1.6, lambda s: s)
CURVED, RARE = Scores(2, 3, np.square), Scores(1, 12, lambda s: s**1.3)
DIFFERENCES = frozenset(f"{gap.name}_difference" for gap in GAPS)
RATIOS = frozenset(f"{gap.name}_ratio" for gap in GAPS)

POPULATIONS = (
    Population("performance", "binary", cells((0.65, 0.05), (0.06, 0.24))),
    Population("performance", "binary, 5 % positive", cells((0.93, 0.02), (0.02, 0.03))),
    Population("performance", "binary, 98.5 % right", cells((0.695, 0.005), (0.01, 0.29))),
    Population(
        "performance", "5 classes",
        cells(
            (0.24, 0.02, 0.02, 0.01, 0.01), (0.02, 0.20, 0.02, 0.01, 0.0), (0.01, 0.02, 0.15, 0.02, 0.0),
            (0.01, 0.01, 0.01, 0.11, 0.01), (0.01, 0.01, 0.01, 0.02, 0.05),
        ),
    ),
    Population("performance", "scores, miscalibrated", CURVED.window),
    Population("performance", "scores, calibrated", CALIBRATED.window, frozenset({"calibration_error"})),
    Population("performance", "scores, 5 % positive", RARE.window),
    Population("performance", "scores of 4 classes", softmax(0.7)),
    Population("performance", "regression", regression(_normal_rows)),
    Population("performance", "regression, skewed", regression(_skewed_rows)),
    Population("performance", "regression, heavy tails", regression(_heavy_rows), frozenset({"rmse", "r2"})),
    Population("performance", "ranking", Lists(0.3, 0.9).window),
    Population("performance", "ranking, few hits", Lists(0.04, 0.8).window),
    Population("performance", "ranking, what is shown", Shown().window),
    Population("estimate", "calibrated scores, reference 10,000", Estimated(10_000, SHARP).window),
    Population("estimate", "other scores, reference 10,000", Estimated(10_000, CURVED, 0.6).window),
    Population("estimate", "other scores, reference 2,000", Estimated(2_000, CURVED, 0.6).window),
    Population("estimate", "scores shifted, reference 10,000", Estimated(
        10_000, CURVED, 0.6, Scores(3, 2, np.square)).window),
    Population("estimate", "scores shifted, reference 2,000", Estimated(
        2_000, CURVED, 0.6, Scores(3, 2, np.square)).window),
    Population("estimate", "regression, reference 10,000", Losses(10_000).window),
    Population("estimate", "regression, reference 2,000", Losses(2_000).window),
    Population("fairness", "2 groups", Groups([5, 5], [0.4, 0.3], [0.8, 0.7], [0.2, 0.1]).window),
    Population("fairness", "3 groups", Groups(
        [4, 3, 3], [0.4, 0.35, 0.3], [0.85, 0.75, 0.65], [0.2, 0.2, 0.1]).window),
    Population("fairness", "5 groups", Groups(
        [4, 3, 3, 2, 1], [0.4, 0.4, 0.35, 0.3, 0.3], [0.85, 0.8, 0.75, 0.7, 0.6],
        [0.2, 0.2, 0.15, 0.1, 0.1]).window),
    Population("fairness", "8 groups, one worse off", Groups(
        [2] * 7 + [1], [0.4] * 8, [0.8] * 7 + [0.5], [0.2] * 7 + [0.1]).window),
    Population(
        "fairness", "4 equal groups", Groups([3, 3, 2, 2], [0.4] * 4, [0.8] * 4, [0.2] * 4).window,
        DIFFERENCES | RATIOS,
    ),
    Population("fairness", "groups", Groups([5, 5], [0.4, 0.3], [0.9, 0.7], [0.2, 0.05]).by_group),
    Population("fairness", "selected, 2 groups", Groups(
        [5, 5], [0.4, 0.3], [0.8, 0.7], [0.2, 0.1]).impact),
    Population("fairness", "selected, 5 groups", Groups(
        [4, 3, 3, 2, 1], [0.4, 0.4, 0.35, 0.3, 0.3], [0.85, 0.8, 0.75, 0.7, 0.6],
        [0.2, 0.2, 0.15, 0.1, 0.1]).impact),
    Population("fairness", "regression, 2 groups", ErrorGroups([5, 5], [0, 1], [2, 3]).window),
    Population("fairness", "regression, 5 groups", ErrorGroups(
        [4, 3, 3, 2, 1], [0, 0.1, 0.3, 0.3, 0.6], [2, 2, 2.4, 2.2, 3]).window),
    Population(
        "fairness", "regression, 4 equal groups", ErrorGroups([3, 3, 2, 2], [0.5] * 4, [2] * 4).window,
        frozenset({"mean_error_difference", "mae_difference"}),
    ),
    Population("fairness", "ranking, 3 groups", groups_of_lists(
        Lists(0.3, 0.9), Lists(0.25, 0.9), Lists(0.2, 0.95))),
    Population("quality", "shares of 2 %", shares(0.02)),
    Population("quality", "shares of 30 %", shares(0.3)),
    Population("explain", "attributions, same as the reference's", Attributions(
        [0, 0.2, -0.3, 0, 0.05], [1, 0.6, 0.4, 0.2, 0.1], [1, 0.6, 0.4, 0.2, 0.1]).window,
        frozenset({"attribution_distance", "attribution_ndcg"})),
    Population("explain", "attributions, changed", Attributions(
        [0, 0.2, -0.3, 0, 0.05], [0.5, 0.6, 0.4, 0.3, 0.2], [1, 0.6, 0.4, 0.2, 0.1]).window,
        frozenset({"attribution_ndcg"})),
    Population("drift", "no drift", undrifted, sizes=(200, 1_000)),
)  # fmt: skip


@dataclass
class Line:
    """What became of one metric: windows with an interval, those that held the truth, and the misses."""

    windows: int = 0
    none: int = 0
    low: int = 0
    high: int = 0
    width: float = 0.0

    def add(self, outcome: Outcome, truth: float) -> None:
        if outcome.lower is None or outcome.upper is None or math.isnan(truth):
            self.none += 1
            return
        slack = 1e-9 * max(abs(truth), 1e-3)
        self.windows += 1
        self.low += truth < outcome.lower - slack
        self.high += truth > outcome.upper + slack
        self.width += outcome.upper - outcome.lower

    @property
    def share(self) -> float:
        return 1 - (self.low + self.high) / self.windows if self.windows else math.nan


def simulate(population: Population, n: int, windows: int, seed: int = 0) -> dict[str, Line]:
    """Ask ``windows`` windows of ``n`` rows; return a line for each metric."""
    rng = np.random.default_rng([seed, n, *population.name.encode()])
    lines: dict[str, Line] = {}
    for _ in range(windows):
        for name, (outcome, truth) in population.window(rng, n).items():
            lines.setdefault(name, Line()).add(outcome, truth)
    return lines


def covered_metrics() -> frozenset[str]:
    """Return the metrics that are simulated."""
    return frozenset().union(*(simulate(one, one.sizes[0], 2) for one in POPULATIONS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=2_000)
    parser.add_argument("--only", default="", help="part of the name of a family or population")
    parser.add_argument("--sizes", type=int, nargs="*")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    given = parser.parse_args()
    chosen = [p for p in POPULATIONS if given.only in f"{p.family}: {p.name}"]
    started, found = time.perf_counter(), []
    for one in chosen:
        sizes = tuple(given.sizes or one.sizes)
        by_size = {n: simulate(one, n, given.windows) for n in sizes}
        for name in sorted(set().union(*by_size.values())):
            row = {n: lines.get(name, Line()) for n, lines in by_size.items()}
            found.append((one, name, row))
            if not given.json:
                _print(one, name, row, first=name == min(set().union(*by_size.values())))
    if given.json:
        print(json.dumps({
            "benchmark": "intervals", "windows": given.windows, "seconds": time.perf_counter() - started,
            "coverage": [
                {"family": p.family, "population": p.name, "metric": name, "edge": name in p.edge,
                 "by_size": {n: round(line.share, 4) for n, line in row.items() if line.windows}}
                for p, name, row in found
            ],
        }))  # fmt: skip
        return
    inside = [0.93 <= line.share <= 0.97 for p, m, row in found for line in row.values()
              if m not in p.edge and line.windows]  # fmt: skip
    print(f"\n{sum(inside)} of {len(inside)} shares are between 93 and 97 %; "
          f"{time.perf_counter() - started:.0f} s")  # fmt: skip


def _print(population: Population, name: str, row: Mapping[int, Line], *, first: bool) -> None:
    if first:
        print(f"\n{population.family}: {population.name}")
        print(" " * 34 + "".join(f"{f'n = {n}':>24}" for n in row), flush=True)
    star = "*" if name in population.edge else " "
    texts = []
    for line in row.values():
        if not line.windows:
            texts.append(f"{'-':>24}")
            continue
        low, high = (100 * k / line.windows for k in (line.low, line.high))
        mark = " " if star == "*" or 0.93 <= line.share <= 0.97 else "!"
        texts.append(f"{100 * line.share:6.1f}{mark}({low:.1f}/{high:.1f}) {line.none or '':>5}".rjust(24))
    print(f"{star} {name:32}" + "".join(texts), flush=True)


if __name__ == "__main__":
    main()
