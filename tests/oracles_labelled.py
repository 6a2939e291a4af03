"""Oracles of what needs labels, groups or attributions: performance, estimates, fairness, explanations."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import rankings
from fairlearn import metrics as fair
from oracles import SHAPES, Expected, Family, Number, Rng, oracle, table
from scipy import stats
from scipy.spatial.distance import pdist
from sklearn import metrics as skm

from monitor.metrics import TaskData
from monitor.metrics.attributions import AttributionData
from monitor.metrics.estimates import EstimateData, ExpectedErrors
from monitor.metrics.examples import (
    attributed,
    classified,
    expected,
    grouped,
    ranked,
    ranked_groups,
    regressed,
)
from monitor.metrics.group_errors import GroupErrorData, GroupErrors

Rows = dict[str, list[Any]]
K = 3  # cutoff of ranking metrics

# ---- classes -------------------------------------------------------------------------------------


def _size(shape: str, n: int) -> int:
    return {"one row": 1, "no rows": 0}.get(shape, n)


def _classes(names: Sequence[str]) -> Callable[[Rng, str], Rows]:
    def draw(rng: Rng, shape: str) -> Rows:
        n = _size(shape, 300)
        weights = np.full(len(names), 1.0)
        if shape == "heavy tails":  # one class is nearly all
            weights[0] = 60.0
        truth = rng.choice(names, n, p=weights / weights.sum()).astype(object)
        if shape == "one class":
            truth[:] = names[-1]
        scores = {c: np.clip(rng.beta(2, 2, n) * 0.6 + 0.3 * (truth == c), 0.01, 0.99) for c in names}
        if shape == "ties":
            scores = {c: np.round(s, 1) for c, s in scores.items()}
        if shape == "constant":
            scores = {c: np.full(n, 0.25) for c in names}
        best = np.array([max(names, key=lambda c: scores[c][i]) for i in range(n)], object)
        truth[rng.random(n) < (1.0 if shape == "missing group" else 0.1 if n > 1 else 0.0)] = None
        return {
            "truth": truth.tolist(),
            "chosen": best.tolist(),
            **{c: s.tolist() for c, s in scores.items()},
        }

    return draw


def _held(rows: Rows, *names: str) -> list[list[Any]]:
    """Return columns of the rows that have a label."""
    at = [i for i, t in enumerate(rows["truth"]) if t is not None]
    return [[rows[name][i] for i in at] for name in names]


BINARY = Family(
    _classes(["0", "1"]),
    lambda r: classified(r["truth"], r["chosen"], r["1"]),
    kinds=frozenset({"binary"}),
)
ABC = ("a", "b", "c")
MANY = Family(
    _classes(ABC),
    lambda r: classified(r["truth"], r["chosen"], {c: r[c] for c in ABC}, task="multiclass"),
    kinds=frozenset({"multiclass"}),
)


def _of_class(name: str, rows: Rows, average: str) -> Number:
    truth, chosen = _held(rows, "truth", "chosen")
    if not truth:
        return None
    both = [*truth, *chosen]
    single = len(set(truth)) < 2
    if average == "binary":
        need = {"precision": chosen, "recall": truth, "f1": both}.get(name)
        if need is not None and "1" not in need:
            return None
    if name == "balanced_accuracy" and single:
        return None
    if name == "mcc" and (single or len(set(chosen)) < 2):
        return None
    if name == "cohen_kappa" and len(set(both)) < 2:
        return None
    how: dict[str, Any] = {"average": average, "zero_division": np.nan} | (
        {"pos_label": "1"} if average == "binary" else {}
    )
    found = {
        "accuracy": skm.accuracy_score,
        "balanced_accuracy": skm.balanced_accuracy_score,
        "mcc": skm.matthews_corrcoef,
        "cohen_kappa": skm.cohen_kappa_score,
        "precision": lambda t, p: skm.precision_score(t, p, **how),
        "recall": lambda t, p: skm.recall_score(t, p, **how),
        "f1": lambda t, p: skm.f1_score(t, p, **how),
        "baseline_accuracy": lambda t, p: max(t.count(c) for c in t) / len(t),
    }[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(found(truth, chosen))


COUNTED = (
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "f1",
    "mcc",
    "cohen_kappa",
    "baseline_accuracy",
)
oracle(BINARY, *COUNTED)(lambda name, rows: _of_class(name, rows, "binary"))
oracle(MANY, *COUNTED)(lambda name, rows: _of_class(name, rows, "macro"))


def _scored(function: Callable[[Any, Any], float], *, two: bool) -> Callable[[Rows], Number]:
    def value(rows: Rows) -> Number:
        truth, scores = _held(rows, "truth", "1")
        if not truth or (two and len(set(truth)) < 2):
            return None
        return float(function([int(t == "1") for t in truth], scores))

    return value


def calibration(truth: Sequence[int], scores: Sequence[float]) -> float:
    """Return the expected calibration error over ten bins of equal size, equal scores in one."""
    s, t = np.array(scores), np.array(truth)
    ranks = stats.rankdata(s) - 0.5  # of equal scores the mean
    bins = np.floor(ranks * 10 / len(s)).astype(int)
    return sum(abs(float((s[bins == b] - t[bins == b]).sum())) for b in set(bins.tolist())) / len(s)


table(
    BINARY,
    {
        "roc_auc": _scored(skm.roc_auc_score, two=True),
        "average_precision": _scored(skm.average_precision_score, two=True),
        "log_loss": _scored(lambda t, s: skm.log_loss(t, s, labels=[0, 1]), two=False),
        "brier_score": _scored(lambda t, s: float(np.mean((np.array(t) - np.array(s)) ** 2)), two=False),
    },
    within=1e-9,
)
table(BINARY, {"calibration_error": _scored(calibration, two=False)}, within=1e-8)


def _scored_many(name: str, rows: Rows) -> Number:
    truth, *columns = _held(rows, "truth", *ABC)
    if not truth:
        return None
    scores, hits = np.array(columns).T, np.array([[t == c for c in ABC] for t in truth], float)
    if name == "brier_score":
        return float(((scores - hits) ** 2).sum(1).mean())
    if name == "log_loss":
        return float(-np.log((scores * hits).sum(1)).mean())
    areas = [skm.roc_auc_score(hits[:, i], scores[:, i]) for i in range(3) if len(set(hits[:, i])) > 1]
    return float(np.mean(areas)) if areas else None


oracle(MANY, "roc_auc", "log_loss", "brier_score", within=1e-9)(_scored_many)

# ---- regression ----------------------------------------------------------------------------------


def _pairs(rng: Rng, shape: str) -> Rows:
    n = _size(shape, 250)
    truth = {
        "ties": lambda: rng.poisson(2, n).astype(float),
        "heavy tails": lambda: rng.standard_cauchy(n) * 10,
        "constant": lambda: np.full(n, 3.0),
        "one class": lambda: np.zeros(n),
    }.get(shape, lambda: rng.lognormal(1, 1, n))()
    guess = truth + (0 if shape == "constant" else rng.normal(0.2, 1, n))
    unlabelled = 7 if n > 1 else 0
    return {"truth": truth.tolist(), "guess": guess.tolist(), "unlabelled": [unlabelled]}


def _residuals(rows: Rows) -> TaskData:
    data = regressed(rows["truth"], rows["guess"], center=2.0)
    assert data.residuals is not None
    return replace(data, residuals=replace(data.residuals, unlabelled=rows["unlabelled"][0]))


NUMBERS = Family(
    _pairs, _residuals, tuple(s for s in SHAPES if s != "missing group"), frozenset({"regression"})
)


def _regression(function: Callable[[np.ndarray, np.ndarray], float | None]) -> Callable[[Rows], Number]:
    def value(rows: Rows) -> Number:
        truth, guess = np.array(rows["truth"]), np.array(rows["guess"])
        found = function(truth, guess) if len(truth) else None
        return None if found is None else float(found)

    return value


table(
    NUMBERS,
    {
        name: _regression(function)
        for name, function in {
            "mae": skm.mean_absolute_error,
            "rmse": skm.root_mean_squared_error,
            "mean_error": lambda t, p: (p - t).mean(),
            "r2": lambda t, p: skm.r2_score(t, p) if len(set(t)) > 1 else None,
            "mape": lambda t, p: np.mean(abs(p - t)[t != 0] / abs(t[t != 0])) if t.any() else None,
            "baseline_rmse": lambda t, p: skm.root_mean_squared_error(t, np.full(len(t), 2.0)),
        }.items()
    },
    rel=1e-8,
)
oracle(NUMBERS, "median_absolute_error", rel=0.05)(_regression(lambda t, p: np.median(abs(p - t))))

# ---- lists ---------------------------------------------------------------------------------------

POPULAR = [f"i{j}" for j in range(30)]
VECTORS = {f"i{j}": np.random.default_rng(j).normal(size=4).tolist() for j in range(40)}


def _lists(rng: Rng, shape: str) -> list[tuple[list[str], dict[str, float] | None]]:
    drawn = rankings.draw(rng, _size(shape, 120))
    if shape == "constant":
        drawn = [(["i1", "i2", "i3"], {"i2": 1.0})] * 50
    if shape == "one class":  # nothing is relevant
        drawn = [(items, None if label is None else dict.fromkeys(label, 0.0)) for items, label in drawn]
    if shape == "missing group":
        drawn = [(items, None) for items, _ in drawn]
    if shape == "ties":
        drawn = [(a, None if b is None else {i: float(v > 0) for i, v in b.items()}) for a, b in drawn]
    return drawn


LISTS = Family(
    _lists,
    lambda rows: ranked(
        [a for a, _ in rows], [b for _, b in rows], ks=[K], popular=POPULAR, embeddings=VECTORS
    ),
    kinds=frozenset({"ranking"}),
)


def _list_means(name: str, rows: Sequence[tuple[list[str], dict[str, float] | None]]) -> Number:
    known = [(a, b) for a, b in rows if b is not None]
    if name == "baseline_ndcg@k":
        each = [rankings.ndcg(POPULAR, b, K) for _, b in known]
        held = [x for x in each if x is not None]
        return math.fsum(held) / len(held) if held else None
    return rankings.means(known, [K]).get(name.replace("@k", f"@{K}")) if known else None


oracle(LISTS, "ndcg@k", "map@k", "recall@k", "hit_rate@k", "mrr", "baseline_ndcg@k", rel=1e-9)(_list_means)


def _places(rows: Sequence[tuple[list[str], Any]]) -> list[str]:
    return [item for items, _ in rows for item in items]


def _diversity(rows: Sequence[tuple[list[str], Any]]) -> Number:
    each = [pdist([VECTORS[i] for i in items], "cosine").mean() for items, _ in rows if len(items) > 1]
    return float(np.mean(each)) if each else None


table(
    LISTS,
    {
        "catalogue_coverage": lambda r: len({*_places(r)} & {*POPULAR}) / 30 if r else None,
        "popularity_share": lambda r: (
            sum(i in POPULAR[:6] for i in p) / len(p) if (p := _places(r)) else None
        ),
        "intra_list_diversity": _diversity,
    },
)
for _family in (BINARY, MANY):
    table(_family, {"label_coverage": lambda r: (
        sum(t is not None for t in r["truth"]) / len(r["truth"]) if r["truth"] else None)})  # fmt: skip
table(
    NUMBERS,
    {
        "label_coverage": lambda r: (
            len(r["truth"]) / n if (n := len(r["truth"]) + r["unlabelled"][0]) else None
        )
    },
)
table(LISTS, {"label_coverage": lambda r: sum(b is not None for _, b in r) / len(r) if r else None})

# ---- estimates -----------------------------------------------------------------------------------

ESTIMATED = Family(
    _classes(["0", "1"]),
    lambda r: expected(r["chosen"], r["1"], r["truth"]),
    kinds=frozenset({"binary"}),
)


def _estimate(name: str, rows: Rows) -> Number:
    """Return the expected cells of calibrated scores put into the formula, and pairs for the area."""
    p, chosen = np.array(rows["1"]), np.array([c == "1" for c in rows["chosen"]], bool)
    if not len(p):
        return None
    tp, fp = p[chosen].sum(), (1 - p[chosen]).sum()
    fn = p[~chosen].sum()
    if name.endswith("accuracy"):
        return float((tp + (1 - p[~chosen]).sum()) / len(p))
    if name.endswith("precision"):
        return float(tp / (tp + fp)) if chosen.any() else None
    if name.endswith("recall"):
        return float(tp / (tp + fn))
    if name.endswith("f1"):
        return float(2 * tp / (2 * tp + fp + fn))
    wins = (p[:, None] > p) + 0.5 * (p[:, None] == p)
    return float((p[:, None] * (1 - p) * wins).sum() / (p.sum() * (1 - p).sum()))


CLASSES = ("accuracy", "precision", "recall", "f1", "roc_auc")
oracle(ESTIMATED, *(f"estimated_{n}" for n in CLASSES), rel=1e-6)(_estimate)


@oracle(ESTIMATED, *(f"estimation_error_{n}" for n in CLASSES), rel=1e-6, within=1e-6)
def _estimation_error(name: str, rows: Rows) -> Number:
    base = name.removeprefix("estimation_error_")
    realised = (
        _scored(skm.roc_auc_score, two=True)(rows) if base == "roc_auc" else _of_class(base, rows, "binary")
    )
    guess = _estimate(base, rows)
    return None if guess is None or realised is None else guess - realised


def _errors(rng: Rng, shape: str) -> Rows:
    rows = _pairs(rng, shape)
    return rows | {"known": np.abs(rng.normal(size=len(rows["truth"]))).tolist()}


def _error_data(rows: Rows) -> EstimateData:
    known = np.array(rows["known"])
    moments = ExpectedErrors(np.stack([known, known**2], axis=1), len(known), 0.0, 100)
    return EstimateData("regression", np.random.default_rng(0), errors=moments, realised=_residuals(rows))


ERRORS = Family(_errors, _error_data, NUMBERS.shapes, frozenset({"regression"}))


@oracle(ERRORS, "estimated_mae", "estimated_rmse", "estimation_error_mae", "estimation_error_rmse")
def _expected_errors(name: str, rows: Rows) -> Number:
    known, off = np.array(rows["known"]), np.array(rows["guess"]) - np.array(rows["truth"])
    if not len(known):
        return None
    sides = [np.sqrt((x**2).mean()) if name.endswith("rmse") else np.abs(x).mean() for x in (known, off)]
    return float(sides[0] - sides[1] if name.startswith("estimation") else sides[0])


# ---- groups --------------------------------------------------------------------------------------

LEAST = 20


def _people(rng: Rng, shape: str) -> Rows:
    n = _size(shape, 400)
    names = ["F"] if shape == "missing group" else ["F", "M", "X|north"]
    groups = rng.choice(names, n, p=[1.0] if len(names) == 1 else [0.6, 0.36, 0.04])  # the last is small
    truth = (rng.random(n) < (0.03 if shape == "heavy tails" else 0.4)).astype(int)
    if shape == "one class":
        truth[:] = 1
    chosen = np.where(rng.random(n) < 0.7 + 0.2 * (groups == "M"), truth, 1 - truth)
    if shape == "constant":
        chosen[:] = 0
    labels: list[str | None] = [str(t) if rng.random() < 0.9 or n == 1 else None for t in truth]
    score = np.round(rng.random(n), 1 if shape == "ties" else 9)
    return {
        "group": groups.tolist(),
        "truth": labels,
        "chosen": [str(c) for c in chosen],
        "score": score.tolist(),
    }


PEOPLE = Family(
    _people,
    lambda r: grouped(r["group"], r["truth"], r["chosen"], r["score"], min_group_size=LEAST, privileged="M"),
    kinds=frozenset({"binary"}),
)
MORE_PEOPLE = Family(
    _people,
    lambda r: grouped(r["group"], r["truth"], r["chosen"], min_group_size=LEAST, task="multiclass"),
    kinds=frozenset({"multiclass"}),
)
NEEDED = {"tpr": ("truth", "1"), "fnr": ("truth", "1"), "fpr": ("truth", "0"), "precision": ("chosen", "1")}


def _rates(rate: str, rows: Rows) -> dict[str, float]:
    """Return fairlearn's rate of each group with enough rows, where there is anything to divide by."""
    function = {
        "selection_rate": fair.selection_rate, "tpr": fair.true_positive_rate,
        "fpr": fair.false_positive_rate, "fnr": fair.false_negative_rate,
        "accuracy": skm.accuracy_score, "precision": skm.precision_score,
    }[rate]  # fmt: skip
    found = {}
    for name in sorted(set(rows["group"])):
        at = [i for i, g in enumerate(rows["group"]) if g == name]
        if rate != "selection_rate":
            at = [i for i in at if rows["truth"][i] is not None]
        column, needed = NEEDED.get(rate, ("chosen", None))
        if len(at) < LEAST or (needed and needed not in [rows[column][i] for i in at]):
            continue
        truth = [int(rows["truth"][i] or 0) for i in at]
        found[name] = float(function(truth, [int(rows["chosen"][i]) for i in at]))
    return found


def _rate(name: str, rows: Rows) -> Expected:
    known = _rates(name.removeprefix("group_"), rows)
    return {group: known.get(group) for group in set(rows["group"])}


GAPS = {
    "demographic_parity": ("selection_rate",),
    "equalized_odds": ("tpr", "fpr"),
    "equal_opportunity": ("tpr",),
    "false_positive_rate": ("fpr",),
    "predictive_parity": ("precision",),
    "accuracy_parity": ("accuracy",),
}


def _gap(name: str, rows: Rows) -> Number:
    base, kind = name.rsplit("_", 1)
    values = [list(_rates(rate, rows).values()) for rate in GAPS[base]]
    if any(len(v) < 2 for v in values) or (kind == "ratio" and any(max(v) == 0 for v in values)):
        return None
    return min(min(v) / max(v) for v in values) if kind == "ratio" else max(max(v) - min(v) for v in values)


def _impact(rows: Rows, privileged: str | None) -> Number:
    rates = _rates("selection_rate", rows)
    if privileged is None:
        return _gap("demographic_parity_ratio", rows)
    base = rates.pop(privileged, None)
    return min(rates.values()) / base if rates and base else None


def _by_group(function: Callable[[list[int]], Number]) -> Callable[[Rows], Expected]:
    """Return an oracle that is asked for the places of each group's rows."""

    def value(rows: Rows) -> Expected:
        names = set(rows["group"])
        return {n: function([i for i, g in enumerate(rows["group"]) if g == n]) for n in names}

    return value


def _coverage(rows: Rows) -> Expected:
    return _by_group(lambda at: sum(rows["truth"][i] is not None for i in at) / len(at))(rows)


def _mean_score(rows: Rows) -> Expected:
    return _by_group(
        lambda at: math.fsum(rows["score"][i] for i in at) / len(at) if len(at) >= LEAST else None
    )(rows)


def _if_positive(function: Callable[[Rows], Expected], family: Family) -> Callable[[Rows], Expected]:
    """Return an oracle that knows of no groups where several classes are, and the positive one is not."""
    many = "multiclass" in family.kinds
    return lambda rows: {} if many and "1" not in {*rows["truth"], *rows["chosen"]} else function(rows)


for _family, _privileged in ((PEOPLE, "M"), (MORE_PEOPLE, None)):
    oracle(
        _family, *(f"group_{r}" for r in ("selection_rate", "tpr", "fpr", "fnr", "accuracy", "precision"))
    )(_rate)
    oracle(_family, *(f"{gap}_{kind}" for gap in GAPS for kind in ("difference", "ratio")))(_gap)
    oracle(_family, "disparate_impact")(lambda rows, p=_privileged: _impact(rows, p))
    _counts = {"group_count": _by_group(lambda at: float(len(at))), "group_label_coverage": _coverage}
    table(_family, {name: _if_positive(one, _family) for name, one in _counts.items()})
oracle(PEOPLE, "group_mean_score")(_mean_score)


def _group_pairs(rng: Rng, shape: str) -> dict[str, Rows]:
    sizes = {"one row": {"F": 1}, "no rows": {}, "missing group": {"F": 90}}
    return {
        name: _pairs(rng, "random" if n < 30 else shape)
        | {"truth": (rows := _pairs(rng, shape))["truth"][:n], "guess": rows["guess"][:n]}
        for name, n in sizes.get(shape, {"F": 120, "M": 80, "X": 5}).items()
    }


def _group_errors(groups: dict[str, Rows]) -> GroupErrorData:
    lifted = {
        name: GroupErrors.lift(np.array(r["guess"]) - np.array(r["truth"]), r["unlabelled"][0])
        for name, r in groups.items()
    }
    return GroupErrorData(lifted, np.random.default_rng(0), LEAST)


GROUPS = Family(_group_pairs, _group_errors, kinds=frozenset({"regression"}))


def _group_means(name: str, groups: dict[str, Rows]) -> dict[str, Number]:
    found: dict[str, Number] = {}
    for group, rows in groups.items():
        off = np.array(rows["guess"]) - np.array(rows["truth"])
        mean = np.abs(off).mean() if "mae" in name else off.mean() if len(off) else None
        found[group] = float(mean) if len(off) >= LEAST else None
    return found


def _spread(values: Mapping[str, Number]) -> Number:
    held = [x for x in values.values() if x is not None]
    return max(held) - min(held) if len(held) > 1 else None


oracle(GROUPS, "group_mae", "group_mean_error")(_group_means)
oracle(GROUPS, "mae_difference", "mean_error_difference")(lambda name, g: _spread(_group_means(name, g)))
table(
    GROUPS,
    {
        "group_count": lambda g: {n: float(len(r["truth"]) + r["unlabelled"][0]) for n, r in g.items()},
        "group_label_coverage": lambda g: {
            n: len(r["truth"]) / (len(r["truth"]) + r["unlabelled"][0]) for n, r in g.items()
        },
    },
)


def _group_lists(rng: Rng, shape: str) -> dict[str, Any]:
    names = {"no rows": [], "missing group": ["F"], "one row": ["F"]}.get(shape, ["F", "M"])
    return {name: _lists(rng, "random" if shape == "missing group" else shape) for name in names}


USERS = Family(
    _group_lists,
    lambda groups: ranked_groups(
        {n: ([a for a, _ in rows], [b for _, b in rows]) for n, rows in groups.items()}, ks=[K]
    ),
    kinds=frozenset({"ranking"}),
)


def _ndcgs(groups: Any) -> dict[str, Number]:
    return {name: _list_means("ndcg@k", rows) for name, rows in groups.items()}


table(
    USERS,
    {
        "group_ndcg@k": _ndcgs,
        "ndcg_difference@k": lambda groups: _spread(_ndcgs(groups)),
        "group_count": lambda groups: {n: float(len(rows)) for n, rows in groups.items()},
        "group_label_coverage": lambda groups: {
            n: sum(b is not None for _, b in rows) / len(rows) for n, rows in groups.items()
        },
    },
)

# ---- attributions --------------------------------------------------------------------------------


def _attributions(rng: Rng, shape: str) -> dict[str, Any]:
    n, names = _size(shape, 80), [f"f{i}" for i in range(6)]
    scale = rng.exponential(size=6)
    draw = rng.standard_cauchy if shape == "heavy tails" else rng.normal
    current = {name: (s * draw(size=n)).tolist() for name, s in zip(names, scale, strict=True)}
    if shape in ("constant", "one class"):
        value = 0.0 if shape == "constant" else 0.5  # nothing matters, or all equally
        current = {name: [value] * n for name in names}
    if shape == "ties":
        current |= {"f1": current["f0"], "f2": current["f0"]}
    if shape == "missing group":
        current |= {"f5": [math.nan] * n}
    reference = {
        name: (s * rng.normal(size=200)).tolist() for name, s in zip(names, scale[::-1], strict=True)
    }
    return {"current": current, "reference": reference, "p": {n: float(rng.random() ** 5) for n in names}}


def _attribution_data(rows: dict[str, Any]) -> AttributionData:
    return attributed(rows["current"], rows["reference"], pvalues=rows["p"])


PUSHES = Family(
    _attributions, _attribution_data, kinds=frozenset({"binary", "regression", "multiclass", "ranking"})
)


def _sizes(side: Mapping[str, Sequence[float]]) -> dict[str, Number]:
    held = {name: [abs(x) for x in column if not math.isnan(x)] for name, column in side.items()}
    return {name: math.fsum(column) / len(column) if column else None for name, column in held.items()}


def _shares(side: Mapping[str, Sequence[float]]) -> dict[str, Number]:
    sizes = _sizes(side)
    total = math.fsum(x for x in sizes.values() if x is not None)
    return {name: x / total if x is not None and total else None for name, x in sizes.items()}


def _both(rows: dict[str, Any]) -> tuple[list[float], list[float]] | None:
    """Return the sizes on both sides of the features that both have; None if one side has none above 0."""
    sides = [_sizes(rows[side]) for side in ("reference", "current")]
    names = [name for name in sides[0] if all(side[name] is not None for side in sides)]
    reference, current = ([float(side[name] or 0) for name in names] for side in sides)
    return (reference, current) if sum(reference) and sum(current) else None


def _drifted_attribution(rows: dict[str, Any]) -> Number:
    sizes = {k: v for k, v in _sizes(rows["current"]).items() if v is not None}
    if not sum(sizes.values()):
        return None
    held = dict(zip(rows["p"], stats.false_discovery_control(list(rows["p"].values())) <= 0.05, strict=True))
    return sum(v for k, v in sizes.items() if held[k]) / sum(sizes.values())


table(
    PUSHES,
    {
        "attribution_mean_abs": lambda r: _sizes(r["current"]),
        "attribution_mean": lambda r: {
            k: math.fsum(x) / len(x) if (x := [v for v in c if not math.isnan(v)]) else None
            for k, c in r["current"].items()
        },
        "attribution_share": lambda r: _shares(r["current"]),
        "attribution_distance": lambda r: (
            sum(abs(a / sum(b[0]) - c / sum(b[1])) for a, c in zip(*b, strict=True)) / 2
            if (b := _both(r))
            else None
        ),
        "attribution_ndcg": lambda r: float(skm.ndcg_score([b[0]], [b[1]])) if (b := _both(r)) else None,
        "drifted_attribution_share": _drifted_attribution,
    },
)
