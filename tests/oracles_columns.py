"""Oracles of what is asked of columns, of whole rows, and of a window as a whole."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from typing import Any

import numpy as np
from chance_by_hand import limit
from oracles import Family, Number, Rng, oracle, table
from scipy import stats
from scipy.spatial.distance import jensenshannon, pdist
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.preprocessing import StandardScaler

from monitor.metrics import ColumnPair, WindowFacts
from monitor.metrics.examples import numbers, rows, words

Side = list[Any]
Sides = tuple[Side, Side]

# ---- columns of numbers --------------------------------------------------------------------------


def _number_sides(rng: Rng, shape: str) -> Sides:
    draws = {
        "ties": lambda n, shift: rng.poisson(3 + shift, n).astype(float),
        "heavy tails": lambda n, shift: rng.standard_cauchy(n) * 100 + shift,
        "constant": lambda n, shift: np.full(n, 4.0),
        "one class": lambda n, shift: (rng.random(n) < 0.95).astype(float),
    }
    draw = draws.get(shape, lambda n, shift: rng.normal(shift, 1, n))
    sizes = {"one row": (300, 1), "no rows": (300, 0)}.get(shape, (400, 150))
    sides = [draw(n, shift).tolist() for n, shift in zip(sizes, (0.0, 0.4), strict=True)]
    if shape == "missing group":
        return sides[0], [None] * len(sides[1])
    reference, current = ([None if rng.random() < 0.05 and len(s) > 1 else x for x in s] for s in sides)
    return reference, current


NUMERIC = Family(_number_sides, lambda sides: numbers(*sides), kinds=frozenset({"numeric"}))


def _held(sides: Sides) -> tuple[np.ndarray, np.ndarray]:
    reference, current = (np.array([x for x in side if x is not None], float) for side in sides)
    return reference, current


def _number_bins(sides: Sides) -> tuple[np.ndarray, np.ndarray] | None:
    """Count by the reference's deciles, each edge in the bin below it, repeated ones apart; then missing."""
    if not sides[1]:
        return None
    held = _held(sides)
    edges = np.quantile(held[0], np.arange(1, 10) / 10, method="inverted_cdf").tolist()
    alone = {x for x in edges if edges.count(x) > 1}
    places = [(i, own) for i in range(len(set(edges)) + 1) for own in (True, False)]
    distinct = sorted(set(edges))

    def place(x: float) -> tuple[int, bool]:
        return sum(edge < x for edge in distinct), x in alone

    counts = [Counter(map(place, side.tolist())) for side in held]
    missing = [sum(x is None for x in side) for side in sides]
    p, q = (np.array([*(c[b] for b in places), m]) for c, m in zip(counts, missing, strict=True))
    return p, q


def psi(p: np.ndarray, q: np.ndarray) -> float:
    held = p + q > 0
    p, q = ((side[held] + 0.5) / (side[held] + 0.5).sum() for side in (p, q))
    return math.fsum((b - a) * math.log(b / a) for a, b in zip(p.tolist(), q.tolist(), strict=True))


def hellinger(p: np.ndarray, q: np.ndarray) -> float:
    return float(np.linalg.norm(np.sqrt(p / p.sum()) - np.sqrt(q / q.sum())) / math.sqrt(2))


BINNED = {
    "psi": psi,
    "hellinger": hellinger,
    "js_distance": lambda p, q: float(np.nan_to_num(jensenshannon(p, q, base=2))),
    "l_infinity": lambda p, q: float(np.abs(p / p.sum() - q / q.sum()).max()),
    "psi_critical": lambda p, q: limit(p, q, 0.01),
}
NEAR = {"js_distance": {"rel": 1e-6, "within": 1e-7}, "psi_critical": {"rel": 4e-3, "within": 1e-9}}
for _name in ("psi", "hellinger", "js_distance", "psi_critical"):

    @oracle(NUMERIC, _name, **NEAR.get(_name, {}))
    def _binned(sides: Sides, name: str = _name) -> Number:
        bins = _number_bins(sides)
        return None if bins is None else BINNED[name](*bins)


@oracle(NUMERIC, "ks_statistic", "ks_pvalue")
def _ks(name: str, sides: Sides) -> Number:
    reference, current = _held(sides)
    if not len(current):
        return None
    found = stats.ks_2samp(reference, current, method="asymp")
    return float(found.statistic if name == "ks_statistic" else found.pvalue)


@oracle(NUMERIC, "wasserstein", rel=0.05)  # between two cut points it is taken from straight lines
def _wasserstein(sides: Sides) -> Number:
    reference, current = _held(sides)
    if not len(current) or not reference.std():
        return None
    return float(stats.wasserstein_distance(reference, current) / reference.std())


@oracle(NUMERIC, "out_of_range_ratio")
def _out_of_range(sides: Sides) -> Number:
    reference, current = _held(sides)
    low, high = min(reference), max(reference)
    return sum(not low <= x <= high for x in current.tolist()) / len(current) if len(current) else None


# ---- columns of categories -----------------------------------------------------------------------


def _name_sides(rng: Rng, shape: str) -> Sides:
    names = {"constant": ["a"], "one class": ["a", "b"]}.get(shape, list("abcdef"))
    if shape == "heavy tails":  # more than have a bin of their own
        sides = [[f"c{min(x, 90):02}" for x in rng.zipf(1.5, n).tolist()] for n in (600, 300)]
        return sides[0], sides[1]
    reference = [None if rng.random() < 0.05 else str(x) for x in rng.choice(names, 400)]
    if shape == "missing group":
        return reference, [None] * 50
    size = {"one row": 1, "no rows": 0}.get(shape, 150)
    seen = names if shape in ("constant", "one class") else [*names, "z"]
    return reference, [None if rng.random() < 0.05 and size > 1 else str(x) for x in rng.choice(seen, size)]


NAMES = Family(_name_sides, lambda sides: words(*sides), kinds=frozenset({"categorical"}))


def _name_bins(sides: Sides) -> tuple[np.ndarray, np.ndarray] | None:
    """Count the reference's 50 most frequent categories, the rest of them, never seen, missing."""
    if not sides[1]:
        return None
    counts = Counter(x for x in sides[0] if x is not None)
    ranked = sorted(counts, key=lambda name: (-counts[name], name))

    def place(x: str | None) -> str | int:
        if x is None or x not in counts:
            return "missing" if x is None else "never seen"
        return min(ranked.index(x), 50)

    found = [Counter(map(place, side)) for side in sides]
    places = [*range(51), "never seen", "missing"]
    p, q = (np.array([c[b] for b in places]) for c in found)
    return p, q


for _name in BINNED:

    @oracle(NAMES, _name, **NEAR.get(_name, {}))
    def _of_names(sides: Sides, name: str = _name) -> Number:
        bins = _name_bins(sides)
        return None if bins is None else BINNED[name](*bins)


@oracle(NAMES, "chi2_pvalue", "cramers_v")
def _chi2(name: str, sides: Sides) -> Number:
    reference, current = ([x for x in side if x is not None] for side in sides)
    if not current:
        return None
    known = set(reference)
    columns = Counter(x if x in known else "\0new" for x in [*reference, *current])
    share = min(len(reference), len(current)) / (len(reference) + len(current))
    pool: list[str] = []
    for one in sorted(columns, key=columns.__getitem__):
        if columns[one] * share < 5 or (pool and sum(columns[p] for p in pool) * share < 5):
            pool.append(one)
    kept = [one for one in columns if one not in pool]

    def counts(side: list[str]) -> list[int]:
        seen = Counter(x if x in known else "\0new" for x in side)
        return [*(seen[one] for one in kept), *([sum(seen[p] for p in pool)] if pool else [])]

    observed = np.array([counts(reference), counts(current)])
    if observed.shape[1] < 2:
        return 1.0 if name == "chi2_pvalue" else 0.0
    if name == "cramers_v":
        return float(stats.contingency.association(observed, method="cramer", correction=False))
    return float(stats.chi2_contingency(observed, correction=False).pvalue)


@oracle(NAMES, "new_category_ratio")
def _new_categories(sides: Sides) -> Number:
    known, current = set(sides[0]), [x for x in sides[1] if x is not None]
    return sum(x not in known for x in current) / len(current) if current else None


for _family in (NUMERIC, NAMES):

    @oracle(_family, "missing_ratio")
    def _missing(sides: Sides) -> Number:
        return sum(x is None for x in sides[1]) / len(sides[1]) if sides[1] else None

    @oracle(_family, "constant")
    def _constant(sides: Sides) -> Number:
        before, now = ({x for x in side if x is not None} for side in sides)
        values = [x for x in sides[1] if x is not None]
        return float(len(now) == 1) if len(before) > 1 and len(values) > 1 else None


MISTYPED = Family(
    lambda rng, shape: [bool(x) for x in rng.random(0 if shape == "no rows" else 80) < 0.1],
    lambda flags: ColumnPair(
        None, numbers([0.0], [None if x else 1.0 for x in flags]).current, mismatched=sum(flags)
    ),
    ("random", "no rows"),
    frozenset({"numeric", "categorical"}),
)


@oracle(MISTYPED, "type_mismatch_ratio")
def _mistyped(flags: list[bool]) -> Number:
    return flags.count(True) / len(flags) if flags else None


# ---- whole rows ----------------------------------------------------------------------------------


def _vectors(rng: Rng, shape: str) -> tuple[np.ndarray, np.ndarray]:
    x, y = rng.normal(size=(400, 3)), rng.normal(0.7, 1.4, size=(90, 3))
    if shape == "heavy tails":
        return rng.standard_t(3, size=(400, 3)), rng.standard_t(3, size=(90, 3)) + 1
    return (np.round(x), np.round(y)) if shape == "ties" else (x, y[:0] if shape == "no rows" else y)


SAMPLES = Family(
    _vectors,
    lambda sides: rows(*({f"f{i}": side[:, i] for i in range(3)} for side in sides)),
    ("random", "ties", "heavy tails", "no rows"),
    frozenset({"features"}),
)
EMBEDDED = Family(
    _vectors,
    lambda sides: rows(*({"emb": list(side.astype(np.float32))} for side in sides)),
    ("random", "ties", "heavy tails"),
    frozenset({"embedding"}),
)


@oracle(SAMPLES, "mmd", within=1e-9)
def _mmd(sides: tuple[np.ndarray, np.ndarray]) -> Number:
    if not len(sides[1]):
        return None
    scaler = StandardScaler().fit(sides[0])
    return mmd(*map(scaler.transform, sides))


@oracle(EMBEDDED, "mmd", within=1e-7)
def _mmd_of_vectors(sides: tuple[np.ndarray, np.ndarray]) -> Number:
    x, y = (side.astype(np.float32).astype(float) for side in sides)
    return mmd(x, y)


def mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Return the unbiased estimate over all pairs, with the median distance within ``x`` as the width."""
    width = float(np.median(pdist(x)))
    m, n = len(x), len(y)
    xx, yy = (2 * np.exp(-pdist(side, "sqeuclidean") / (2 * width**2)).sum() for side in (x, y))
    xy = sum(math.exp(-float(((a - b) ** 2).sum()) / (2 * width**2)) for a in x for b in y)
    return float(xx / (m * (m - 1)) + yy / (n * (n - 1)) - 2 * xy / (m * n))


@oracle(SAMPLES, "reconstruction_error", rel=1e-6)
def _reconstruction(sides: tuple[np.ndarray, np.ndarray]) -> Number:
    if not len(sides[1]):
        return None
    scaler = StandardScaler().fit(sides[0])
    x, y = map(scaler.transform, sides)
    pca = PCA(n_components=0.65, svd_solver="full").fit(x[:200])
    far = [np.linalg.norm(s - pca.inverse_transform(pca.transform(s)), axis=1) for s in (x[200:], y)]
    spread = np.std([chunk.mean() for chunk in np.split(far[0], 20)], ddof=1)
    return float((far[1].mean() - far[0].mean()) / (spread * math.sqrt(10 / len(y) + 10 / 200)))


@oracle(EMBEDDED, "domain_classifier_auc", rel=0, within=0.08)
@oracle(SAMPLES, "domain_classifier_auc", rel=0, within=0.08)
def _domain(sides: tuple[np.ndarray, np.ndarray]) -> Number:
    if not len(sides[1]):
        return None
    x, truth = np.vstack(sides), np.repeat([0, 1], [len(side) for side in sides])
    model = GradientBoostingClassifier(n_estimators=30, max_depth=3, learning_rate=0.2, random_state=1)
    return float(roc_auc_score(truth, cross_val_predict(model, x, truth, cv=5, method="decision_function")))


# ---- the window as a whole -----------------------------------------------------------------------


def _stream(rng: Rng, shape: str) -> dict[str, Any]:
    """Draw what came in one window: (kept, its payload was another, late or unknown, delay of its label)."""
    n = {"one row": 1, "no rows": 0}.get(shape, 60)
    dated = shape != "missing group"
    events = [
        {
            "kept": n == 1 or rng.random() < 0.8,
            "conflict": rng.random() < 0.5,
            "late": bool(rng.random() < 0.1) if dated else None,
            "delay": None if shape == "one class" or rng.random() < 0.3 else float(rng.exponential(60)),
        }
        for _ in range(n)
    ]
    before = [] if n == 1 else [0, 0] if shape == "constant" else rng.integers(1, 90, 7).tolist()
    pvalues = {} if n == 0 else {f"f{i}": float(rng.random() ** 4) for i in range(9)}
    return {
        "events": events,
        "before": before,
        "last": 30_000_000,
        "end": 90_500_000,
        "pvalues": pvalues,
        "fields": {"seen": {"a", "x", "y"}, "declared": {"a", "b"}},
        "cities": {"c": 53, "d": 40},
    }


def _facts(stream: dict[str, Any]) -> WindowFacts:
    kept = [e for e in stream["events"] if e["kept"]]
    dropped = [e for e in stream["events"] if not e["kept"]]
    delays = sorted(e["delay"] for e in kept if e["delay"] is not None)
    fields = stream["fields"]
    return WindowFacts(
        len(kept), duplicates=len(dropped), conflicts=sum(e["conflict"] for e in dropped),
        late=sum(bool(e["late"]) for e in kept), dated=sum(e["late"] is not None for e in kept),
        unexpected_fields=len(fields["seen"] - fields["declared"]),
        missing_fields=len(fields["declared"] - fields["seen"]),
        median_rows=float(np.median(stream["before"])) if stream["before"] else None,
        last_event_us=stream["last"], end_us=stream["end"], pvalues=stream["pvalues"],
        label_delays_s={"0.5": float(np.quantile(delays, 0.5))} if delays else None,
        left_out={name: (n - 50, 9) for name, n in stream["cities"].items() if n > 50},
    )  # fmt: skip


TASKS = frozenset({"binary", "multiclass", "regression", "ranking"})
WINDOW = Family(_stream, _facts, kinds=TASKS)


def _ratio(part: int, of: int) -> Number:
    return part / of if of else None


def _kept(s: dict[str, Any]) -> list[dict[str, Any]]:
    return [e for e in s["events"] if e["kept"]]


def _drifted(s: dict[str, Any]) -> Number:
    found = list(s["pvalues"].values())
    return sum(stats.false_discovery_control(found) <= 0.05) / len(found) if found else None


table(
    WINDOW,
    {
        "row_count": lambda s: float(len(_kept(s))),
        "row_count_ratio": lambda s: _ratio(len(_kept(s)), statistics.median(s["before"] or [0])),
        "duplicate_ratio": lambda s: _ratio(len(s["events"]) - len(_kept(s)), len(s["events"])),
        "conflict_ratio": lambda s: _ratio(
            sum(e["conflict"] and not e["kept"] for e in s["events"]), len(s["events"])
        ),
        "late_ratio": lambda s: _ratio(
            sum(e["late"] is True for e in _kept(s)), sum(e["late"] is not None for e in _kept(s))
        ),
        "unexpected_fields": lambda s: 2.0,
        "missing_fields": lambda s: 1.0,
        "segments_left_out": lambda s: 3.0,
        "staleness_seconds": lambda s: 60.5,
        "drifted_share": _drifted,
        "label_delay_seconds": lambda s: (
            statistics.median(d) if (d := [e["delay"] for e in _kept(s) if e["delay"] is not None]) else None
        ),
    },
)
