"""Ranking metrics against scikit-learn, hand-worked tables and plain Python; intervals in simulation."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import rankings
from scipy.spatial.distance import pdist
from sklearn.metrics import ndcg_score

from monitor.metrics import Outcome, cutoff_of, find, is_metric, metrics
from monitor.metrics.examples import ranked
from monitor.metrics.rankings import RankingData

KS = (1, 3, 10)


def ask(name: str, data: RankingData) -> Outcome:
    return find(name)(data)


@pytest.mark.parametrize("seed", range(5))
def test_metrics_are_those_of_plain_python_list_by_list(seed: int) -> None:
    rows = rankings.draw(np.random.default_rng(seed), 200)
    data = ranked([r[0] for r in rows], [r[1] for r in rows], ks=KS)
    expected = rankings.means([(a, b) for a, b in rows if b is not None], KS)
    found = {name: ask(name, data) for name in expected}
    assert {name: one.value for name, one in found.items()} == pytest.approx(expected, rel=1e-12)
    labelled = sum(label is not None for _, label in rows)
    relevant = sum(label is not None and any(label.values()) for _, label in rows)
    assert {found[name].n for name in ("mrr", "hit_rate@3")} == {labelled}
    assert {found[name].n for name in ("ndcg@1", "map@3", "recall@10")} == {relevant}
    assert found["ndcg@1"].detail["without_relevant"] == labelled - relevant > 0


@pytest.mark.parametrize("k", [1, 4, 7])
def test_ndcg_is_that_of_scikit_learn_where_the_whole_catalogue_is_ranked(k: int) -> None:
    rng = np.random.default_rng(k)
    truth = rng.integers(0, 4, (60, 7)).astype(float)
    truth[:, 0] += 1  # never all zero, where scikit-learn says 0
    order = np.argsort(-(score := rng.permuted(np.tile(np.arange(7.0), (60, 1)), axis=1)), axis=1)
    lists = [[f"i{j}" for j in row] for row in order]
    labels = [{f"i{j}": value for j, value in enumerate(row)} for row in truth]
    assert ask(f"ndcg@{k}", ranked(lists, labels, ks=[k])).value == pytest.approx(
        ndcg_score(truth, score, k=k), rel=1e-12
    )


def test_a_table_worked_by_hand() -> None:
    # shown a b c d; relevant b (1), d (3) and z (2), which is not shown
    data = ranked([list("abcd")], [{"b": 1, "d": 3, "z": 2}], ks=(2, 4), popular="zda")
    log3, log5 = 1.584962500721156, 2.321928094887362
    expected = {
        "ndcg@2": (1 / log3) / (3 + 2 / log3),
        "ndcg@4": (1 / log3 + 3 / log5) / (3 + 2 / log3 + 1 / 2),
        "map@2": (1 / 2) / 2,
        "map@4": (1 / 2 + 2 / 4) / 3,
        "recall@2": 1 / 3,
        "recall@4": 2 / 3,
        "hit_rate@2": 1.0,
        "mrr": 1 / 2,
        "baseline_ndcg@2": (2 + 3 / log3) / (3 + 2 / log3),
    }
    assert {name: ask(name, data).value for name in expected} == pytest.approx(expected, rel=1e-14)
    assert ask("recall@2", data).detail["baseline"] == pytest.approx(2 / 3)
    assert ask("hit_rate@2", data).detail["baseline"] == 1.0
    assert ask("mrr", data).detail["baseline"] == 1.0


def test_what_has_no_value_says_why() -> None:
    nothing, unlabelled = ranked([]), ranked(["ab"], [None])
    irrelevant = ranked(["ab", ""], [{}, {"a": 0}], ks=[2])
    entries = [m for one in metrics("performance", "task") if "ranking" in one.applies for m in one.at(10)]
    assert {entry(nothing).state for entry in entries} == {"insufficient_samples"}
    assert {entry(unlabelled).state for entry in entries if entry.needs_labels} == {"no_labels"}
    assert {name: ask(name, irrelevant).state for name in ("ndcg@2", "map@2", "recall@2")} == dict.fromkeys(
        ("ndcg@2", "map@2", "recall@2"), "not_applicable"
    )
    assert {name: ask(name, irrelevant).value for name in ("hit_rate@2", "mrr")} == {
        "hit_rate@2": 0,
        "mrr": 0,
    }
    for name in ("baseline_ndcg@10", "catalogue_coverage", "popularity_share"):
        assert ask(name, ranked(["ab"], [{"a": 1}])).state == "no_reference"
    assert ask("popularity_share", ranked(["", ""], popular="ab")).state == "not_applicable"
    assert ask("intra_list_diversity", ranked(["ab"])).state == "not_applicable"


def test_one_list_has_a_value_and_no_interval_of_nothing() -> None:
    one = ask("ndcg@1", ranked(["ab"], [{"a": 1}], ks=[1]))
    assert (one.value, one.n, one.upper) == (1.0, 1, 1.0)
    assert one.lower is not None and one.lower < 0.3  # Wilson's: a single list says little


def test_cutoffs_are_names_of_their_own_with_a_family_each() -> None:
    assert find("ndcg@5").name == "ndcg@5" and find("ndcg@5").family == "model_monitor_ndcg_at_5"
    assert find("recall").family == "model_monitor_recall" != find("recall@5").family
    assert [is_metric(name) for name in ("ndcg@7", "ndcg@k", "ndcg", "ndcg@0", "psi@3")] == [True] + [
        False
    ] * 4
    assert (cutoff_of("map@20"), cutoff_of("mrr")) == (20, None)


def test_coverage_and_popularity_are_counted_over_distinct_items_and_places() -> None:
    rng = np.random.default_rng(3)
    rows = [row[0] for row in rankings.draw(rng, 150)]
    popular = [f"i{j}" for j in range(30)]  # ten items of the lists are not in the reference
    data = ranked(rows, popular=popular, share=0.1)
    seen, places = {item for one in rows for item in one}, [item for one in rows for item in one]
    assert ask("catalogue_coverage", data).value == len(seen & set(popular)) / 30
    share = ask("popularity_share", data)
    assert share.value == pytest.approx(sum(item in popular[:3] for item in places) / len(places))
    assert (share.n, share.detail["popular_items"]) == (len(places), 3)


def test_diversity_is_the_mean_of_scipys_cosine_distances_over_pairs() -> None:
    rng = np.random.default_rng(4)
    vectors = {f"i{j}": rng.normal(size=5) for j in range(40)}
    rows = [row[0] for row in rankings.draw(rng, 100)]
    found = ask("intra_list_diversity", ranked(rows, embeddings={k: v.tolist() for k, v in vectors.items()}))
    each = [pdist([vectors[i] for i in one], "cosine").mean() for one in rows if len(one) > 1]
    assert found.value == pytest.approx(np.mean(each), rel=1e-12)
    assert (found.n, found.detail["without_distance"]) == (len(each), len(rows) - len(each))


def test_the_errors_of_coverage_and_popularity_are_the_jackknifes_but_for_what_it_errs() -> None:
    rows = [row[0] for row in rankings.draw(np.random.default_rng(5), 40)]
    popular = [f"i{j}" for j in range(40)]
    summary = ranked(rows, popular=popular).exposed.summary
    left = [len({i for j, one in enumerate(rows) if j != k for i in one}) for k in range(len(rows))]
    spread = np.sqrt((len(rows) - 1) * np.var(left))
    held = Counter(item for one in rows for item in one)
    once, twice = (sum(k == times for k in held.values()) for times in (1, 2))
    less = (1 - np.exp(-2 * twice / once)) * once / (2 * twice)  # Colwell et al., of f1 in the jackknife
    assert summary.distinct()[1] == pytest.approx(spread * less**0.25, rel=1e-12)
    lengths = np.array([len(one) for one in rows])
    heads = np.array([sum(i in popular[:8] for i in one) for one in rows])
    share = heads.sum() / lengths.sum()
    error = np.sqrt(((heads - share * lengths) ** 2).sum() * 40 / 39) / lengths.sum()
    assert summary.popular_share() == pytest.approx((share, error), rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("n", [100, 150])
def test_intervals_cover_the_truth_in_95_of_100_windows(n: int) -> None:
    rng = np.random.default_rng(n)
    names = ("ndcg@3", "map@3", "recall@3", "hit_rate@3", "mrr", "popularity_share")
    covered, runs, coverages = dict.fromkeys(names, 0), 2000, []
    population = [(a, b or {}) for a, b in rankings.draw(rng, 4000, items=400)]
    popular = [f"i{j}" for j in range(400)]
    truth = ranked([a for a, _ in population], [b for _, b in population], ks=[3], popular=popular)
    expected = {name: ask(name, truth).value for name in names}
    for _ in range(runs):
        some = [population[i] for i in rng.integers(0, len(population), n)]
        data = ranked([a for a, _ in some], [b for _, b in some], ks=[3], popular=popular)
        for name in names:
            outcome = ask(name, data)
            assert outcome.lower is not None and outcome.upper is not None
            covered[name] += outcome.lower <= expected[name] <= outcome.upper  # type: ignore[operator]
        coverages.append(ask("catalogue_coverage", data))
    mean = np.mean([one.value for one in coverages])  # of windows of this size
    share = np.mean([one.lower <= mean <= one.upper for one in coverages])  # type: ignore[operator]
    assert 0.93 <= share <= 0.97
    assert all(0.93 <= share / runs <= 0.97 for share in covered.values()), covered
