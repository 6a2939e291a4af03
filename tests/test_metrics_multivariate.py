"""Multivariate drift metrics against scikit-learn, numpy and double loops on the raw rows."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.preprocessing import StandardScaler

from monitor.metrics import Outcome, find, metrics
from monitor.metrics.drift.domain_classifier_auc import auc
from monitor.metrics.drift.reconstruction_error import components, distances
from monitor.metrics.examples import rows
from monitor.metrics.samples import SamplePair

Side = dict[str, object]
every_metric = pytest.mark.parametrize("name", ["domain_classifier_auc", "mmd", "reconstruction_error"])


def side(rng: np.random.Generator, n: int, *, shift: float = 0.0, correlation: float = 0.8) -> Side:
    """Two correlated numbers, one with gaps, and a category."""
    a = rng.normal(size=n)
    return {
        "a": a + shift,
        "b": correlation * a + math.sqrt(1 - correlation**2) * rng.normal(size=n),
        "gaps": np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
        "plan": rng.choice(["gold", "silver", "tin"], size=n, p=[0.2, 0.3, 0.5]).tolist(),
    }


def ask(name: str, pair: SamplePair) -> Outcome:
    return find(name)(pair)


def value(name: str, pair: SamplePair) -> float:
    outcome = ask(name, pair)
    assert outcome.state == "ok" and outcome.value is not None, outcome
    return outcome.value


# ---- domain classifier ---------------------------------------------------------------------------


@pytest.mark.parametrize("ties", [False, True])
def test_auc_of_a_fold_is_scikit_learns_with_the_variance_of_pairs_taken_apart(ties: bool) -> None:
    rng = np.random.default_rng(2)
    truth = rng.random(200) < 0.4
    scores = rng.normal(size=200) + truth
    scores = np.round(scores) if ties else scores
    mean, variance = auc(scores, truth)
    assert mean == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    wins = (scores[truth][:, None] > scores[~truth]) + 0.5 * (scores[truth][:, None] == scores[~truth])
    by_hand = wins.mean(axis=1).var(ddof=1) / truth.sum() + wins.mean(axis=0).var(ddof=1) / (~truth).sum()
    assert variance == pytest.approx(by_hand, rel=1e-12)


def test_domain_auc_is_near_scikit_learns_cross_validation_on_the_raw_rows() -> None:
    rng = np.random.default_rng(4)
    reference, current = side(rng, 1500), side(rng, 1500, shift=0.5)
    names = ("a", "b", "gaps")
    x = np.vstack([np.column_stack([s[n] for n in names]) for s in (reference, current)])
    x = np.nan_to_num(x, nan=-9.0)
    truth = np.repeat([0, 1], 1500)
    model = GradientBoostingClassifier(
        n_estimators=30, max_leaf_nodes=8, max_depth=None, learning_rate=0.2, random_state=1
    )
    expected = roc_auc_score(truth, cross_val_predict(model, x, truth, cv=5, method="decision_function"))
    found = ask("domain_classifier_auc", rows(reference, current))
    assert found.value == pytest.approx(expected, abs=0.02)
    assert found.lower is not None and found.upper is not None
    assert 0.5 < found.lower < found.value < found.upper < 0.8
    assert next(iter(found.detail["top_features"])) == "a"


def test_a_changed_correlation_is_seen_though_no_column_moved() -> None:
    rng = np.random.default_rng(5)
    pair = rows(side(rng, 2000), side(rng, 2000, correlation=-0.8))
    found = ask("domain_classifier_auc", pair)
    assert found.value is not None and found.value > 0.8
    assert set(list(found.detail["top_features"])[:2]) == {"a", "b"}
    assert ask("mmd", pair).detail["pvalue"] < 0.01
    error = ask("reconstruction_error", pair)
    assert error.value is not None and error.value > 10 * error.detail["critical"]


@pytest.mark.parametrize("what", ["gaps", "plan"])
def test_more_missing_values_or_another_mix_of_categories_are_told_apart(what: str) -> None:
    rng = np.random.default_rng(6)
    current = side(rng, 1000)
    current[what] = np.full(1000, np.nan) if what == "gaps" else ["gold"] * 500 + ["new"] * 500
    pair = rows(side(rng, 1000), current)
    found = ask("domain_classifier_auc", pair)
    assert found.value is not None and found.value > 0.7 and next(iter(found.detail["top_features"])) == what
    assert ask("mmd", pair).detail["pvalue"] < 0.01


@pytest.mark.slow
def test_without_drift_the_interval_holds_one_half_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    found = [ask("domain_classifier_auc", rows(side(rng, 120), side(rng, 80), seed=i)) for i in range(40)]
    held = sum(f.lower <= 0.5 <= f.upper for f in found if f.lower is not None and f.upper is not None)
    assert stats.binom.cdf(held, 40, 0.95) > 0.001
    assert np.mean([f.value for f in found]) == pytest.approx(0.5, abs=0.025)


def test_rare_categories_that_differ_by_chance_are_no_drift() -> None:
    rng = np.random.default_rng(8)
    ids = [f"user {i}" for i in rng.integers(0, 10**9, size=4000)]
    found = ask("domain_classifier_auc", rows({"user": ids[:2000]}, {"user": ids[2000:]}))
    assert found.value == 0.5


# ---- maximum mean discrepancy --------------------------------------------------------------------


def mmd_by_hand(x: np.ndarray, y: np.ndarray) -> float:
    """Sum the unbiased estimate pair by pair, with the median distance within ``x`` as the kernel's width."""
    width = float(np.median(pdist(x)))

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return math.exp(-sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) / (2 * width**2))

    m, n = len(x), len(y)
    xx = sum(k(x[i], x[j]) for i in range(m) for j in range(m) if i != j)
    yy = sum(k(y[i], y[j]) for i in range(n) for j in range(n) if i != j)
    xy = sum(k(a, b) for a in x for b in y)
    return xx / (m * (m - 1)) + yy / (n * (n - 1)) - 2 * xy / (m * n)


@pytest.mark.parametrize(("m", "n"), [(2, 2), (25, 31), (41, 7)])
def test_mmd_equals_a_double_loop_over_scaled_rows(m: int, n: int) -> None:
    rng = np.random.default_rng(m)
    x, y = rng.normal(3, 5, size=(m, 3)), rng.normal(4, 6, size=(n, 3))
    scaler = StandardScaler().fit(x)
    pair = rows(*({f"f{i}": s[:, i] for i in range(3)} for s in (x, y)))
    expected = mmd_by_hand(scaler.transform(x), scaler.transform(y))
    assert value("mmd", pair) == pytest.approx(expected, abs=1e-10)


def test_mmd_of_an_embedding_is_that_of_its_vectors() -> None:
    rng = np.random.default_rng(9)
    x, y = (rng.normal(s, 1, size=(40, 16)).astype(np.float32) for s in (0, 0.3))
    pair = rows({"emb": list(x)}, {"emb": list(y)})
    assert pair.kind == "embedding"
    assert value("mmd", pair) == pytest.approx(mmd_by_hand(x.astype(float), y.astype(float)), abs=1e-10)
    assert ask("reconstruction_error", pair).state == "not_applicable"


@pytest.mark.slow
def test_mmd_pvalues_are_uniform_without_drift_and_small_with_it() -> None:
    rng = np.random.default_rng(10)
    without = [ask("mmd", rows(side(rng, 60), side(rng, 40), seed=i)).detail["pvalue"] for i in range(100)]
    assert stats.kstest(without, "uniform").pvalue > 0.001
    with_drift = [
        ask("mmd", rows(side(rng, 60), side(rng, 40, shift=1.5), seed=i)).detail["pvalue"] for i in range(20)
    ]
    assert np.mean(np.array(with_drift) < 0.05) > 0.9


def test_mmd_never_looks_at_more_than_a_thousand_rows_a_side() -> None:
    rng = np.random.default_rng(11)
    found = ask("mmd", rows({"x": rng.normal(size=4000)}, {"x": rng.normal(size=3000)}))
    assert (found.n, found.n_reference) == (1000, 1000)


# ---- reconstruction error ------------------------------------------------------------------------


def test_components_are_those_of_scikit_learn_and_of_the_singular_values() -> None:
    rng = np.random.default_rng(12)
    x = rng.normal(size=(300, 6)) @ rng.normal(size=(6, 6))
    y = rng.normal(size=(50, 6)) @ rng.normal(size=(6, 6))
    mean, axes = components(x)
    pca = PCA(n_components=0.65, svd_solver="full").fit(x)
    assert axes.shape[1] == pca.n_components_
    expected = np.linalg.norm(y - pca.inverse_transform(pca.transform(y)), axis=1)
    assert distances(y, mean, axes) == pytest.approx(expected, rel=1e-9)
    _, singular, right = np.linalg.svd(x - x.mean(axis=0))
    k = int((np.cumsum(singular**2) / (singular**2).sum() < 0.65).sum()) + 1
    projector = right[:k].T @ right[:k]
    assert axes @ axes.T == pytest.approx(projector, abs=1e-9)


def test_reconstruction_error_is_the_difference_of_means_over_the_chunks_standard_error() -> None:
    rng = np.random.default_rng(13)
    x, y = rng.normal(size=(400, 3)), rng.normal(size=(90, 3)) * 1.5
    scaler = StandardScaler().fit(x)
    a, b = scaler.transform(x), scaler.transform(y)
    pca = PCA(n_components=0.65, svd_solver="full").fit(a[:200])
    far = [np.linalg.norm(s - pca.inverse_transform(pca.transform(s)), axis=1) for s in (a[200:], b)]
    chunk_sd = np.std([chunk.mean() for chunk in np.split(far[0], 20)], ddof=1)
    expected = (far[1].mean() - far[0].mean()) / (chunk_sd * math.sqrt(10 / 90 + 10 / 200))
    pair = rows(*({f"f{i}": s[:, i] for i in range(3)} for s in (x, y)))
    assert value("reconstruction_error", pair) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n", [30, 400])
def test_without_drift_reconstruction_error_passes_its_critical_value_about_as_often_as_it_says(
    n: int,
) -> None:
    rng = np.random.default_rng(n)
    found = [ask("reconstruction_error", rows(side(rng, 1000), side(rng, n))) for _ in range(200)]
    past = sum(abs(f.value) > f.detail["critical"] for f in found if f.value is not None)
    assert stats.binom.sf(past - 1, 200, 0.01) > 0.001
    assert found[0].detail["critical"] == pytest.approx(stats.t.ppf(0.995, 19))


# ---- what data may be like -----------------------------------------------------------------------


@every_metric
def test_each_is_the_same_whenever_it_is_asked(name: str) -> None:
    rng = np.random.default_rng(14)
    reference, current = side(rng, 300), side(rng, 200)
    again = rows(reference, current, seed=3)
    assert ask(name, rows(reference, current, seed=3)) == ask(name, again) == ask(name, again)


@every_metric
@pytest.mark.parametrize("n", [0, 1, 30])
@pytest.mark.parametrize("m", [0, 1, 300])
def test_few_rows_have_a_value_or_a_reason(name: str, n: int, m: int) -> None:
    rng = np.random.default_rng(15)
    whole = rows(*({k: s[k] for k in ("a", "plan")} for s in (side(rng, 300), side(rng, 30))))
    assert whole.reference is not None
    pair = SamplePair(whole.reference.slice(0, m), whole.current.slice(0, n))
    found = ask(name, pair)
    enough = {"domain_classifier_auc": (25, 25), "mmd": (2, 2), "reconstruction_error": (200, 1)}[name]
    if m == 0:
        assert found.state == "no_reference"
    elif m >= enough[0] and n >= enough[1]:
        assert found.state == "ok"
    else:
        assert found.state == "insufficient_samples" and found.detail["reason"]


@every_metric
def test_no_sample_of_the_reference_is_no_reference(name: str) -> None:
    assert ask(name, SamplePair(None, rows({"a": [1.0]}, {"a": [1.0]}).current)).state == "no_reference"


@every_metric
@pytest.mark.parametrize(
    ("reference", "current"),
    [
        ([4.0] * 300, [4.0] * 60),
        ([4.0] * 300, [5.0] * 60),
        ([None] * 300, [None] * 60),
        ([None] * 300, [1.0] * 60),
        ([1.0, 2.0, 3.0] * 100, [None] * 60),
        ([1e308, -1e308] * 150, [1e308, 0.0] * 30),
        ([1e-320, 0.0, 2e-320] * 100, [1e-320] * 60),
    ],
    ids=["same constant", "other constant", "all missing", "was missing", "went missing", "huge", "tiny"],
)
def test_odd_columns_give_finite_numbers_or_a_reason(
    name: str, reference: list[float | None], current: list[float | None]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = ask(name, rows({"x": reference}, {"x": current}))
    assert found.state in ("ok", "not_applicable"), found
    assert found.value is None or math.isfinite(found.value)
    if reference[:60] == current:
        assert found.value in (None, 0.5, pytest.approx(0.0, abs=1e-9))
        assert found.detail.get("pvalue", 1.0) == 1.0
    elif name != "reconstruction_error" and abs(reference[0] or 0.0) < 1e300 and reference[0] != 1e-320:
        assert found.detail.get("pvalue", 0.0) < 0.01
        assert found.value is not None and found.value > (0.99 if name != "mmd" else 0.1)


def test_a_wide_embedding_without_drift_is_not_told_apart_and_a_shifted_one_is() -> None:
    rng = np.random.default_rng(16)
    x, y = (rng.normal(size=(800, 96)).astype(np.float32) for _ in range(2))
    same = ask("domain_classifier_auc", rows({"e": list(x)}, {"e": list(y)}))
    assert same.lower is not None and same.upper is not None and same.lower < 0.5 < same.upper
    shifted = rows({"e": list(x)}, {"e": list(y + np.float32(0.3))})
    assert value("domain_classifier_auc", shifted) > 0.9
    assert shifted.tree_columns["e"][0].shape == (800, 33)


def test_they_are_the_metrics_of_samples() -> None:
    names = {m.name for m in metrics(subject="sample")}
    assert names == {"domain_classifier_auc", "mmd", "reconstruction_error"}
