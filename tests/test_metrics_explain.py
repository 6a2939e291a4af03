"""Explanation metrics against published numbers, scikit-learn, scipy and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import false_discovery_control
from sklearn.metrics import ndcg_score

from monitor.metrics import find
from monitor.metrics.attributions import AttributionData
from monitor.metrics.examples import attributed
from monitor.metrics.explain.attribution_distance import half_l1
from monitor.metrics.explain.attribution_ndcg import ndcg
from monitor.summaries.attributions import AttributionSummary

# SageMaker's guide, "Feature attribution drift for models in production", college admission
TRAINING = {"SAT score": [0.70], "GPA": [0.50], "Class rank": [0.05]}
LIVE = {"SAT score": [0.10], "GPA": [0.20], "Class rank": [0.70]}


def test_sagemakers_published_example_is_reproduced_and_breaks_its_bound() -> None:
    value = find("attribution_ndcg")(attributed(LIVE, TRAINING)).value
    assert round(value, 2) == 0.69 and value < 0.90
    # by hand: (0.05/1 + 0.50/log2 3 + 0.70/2) / (0.70/1 + 0.50/log2 3 + 0.05/2)
    assert value == pytest.approx((0.05 + 0.50 / np.log2(3) + 0.35) / (0.70 + 0.50 / np.log2(3) + 0.025))


def test_distance_sees_a_change_of_size_that_the_order_does_not() -> None:
    known = {"a": [0.4], "b": [0.35], "c": [0.25]}
    doubled = attributed({"a": [0.8], "b": [0.12], "c": [0.08]}, known)
    assert find("attribution_ndcg")(doubled).value == 1.0
    assert find("attribution_distance")(doubled).value == pytest.approx(0.4)
    swapped = attributed({"a": [0.35], "b": [0.4], "c": [0.25]}, known)
    assert find("attribution_ndcg")(swapped).value < 1.0
    assert find("attribution_distance")(swapped).value == pytest.approx(0.05)


def test_the_order_s_agreement_is_scikit_learns_ndcg_with_and_without_ties() -> None:
    rng = np.random.default_rng(1)
    for d in (2, 3, 7, 40):
        known = rng.exponential(size=(50, d))
        live = np.where(rng.random((50, 1)) < 0.5, rng.integers(0, 3, (50, d)), rng.exponential(size=(50, d)))
        expected = [ndcg_score([k], [x]) for k, x in zip(known, live, strict=True)]
        np.testing.assert_allclose(ndcg(known, live), expected, rtol=1e-12)


def test_the_distance_is_total_variation_and_ignores_units() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.dirichlet(np.ones(9), size=30), rng.dirichlet(np.ones(9), size=30)
    subsets = ((np.arange(2**9)[:, None] >> np.arange(9)) & 1).astype(float)
    widest = (subsets @ (a - b).T).max(axis=0)  # the definition: the largest difference over all events
    np.testing.assert_allclose(half_l1(7 * a, 0.1 * b), widest, rtol=1e-9)


def test_drifted_features_are_those_of_scipys_benjamini_hochberg() -> None:
    rng = np.random.default_rng(3)
    for _ in range(30):
        names = [f"f{i}" for i in range(12)]
        pvalues = dict(zip(names, (rng.random(12) ** rng.integers(1, 6)).tolist(), strict=True))
        size = dict(zip(names, rng.exponential(size=12), strict=True))
        held = false_discovery_control(list(pvalues.values())) <= 0.05
        expected = sum(v for v, h in zip(size.values(), held, strict=True) if h) / sum(size.values())
        one = attributed({name: [value] for name, value in size.items()}, pvalues=pvalues)
        assert find("drifted_attribution_share")(one).value == pytest.approx(expected)


def test_a_text_has_drifted_when_a_number_made_of_it_has() -> None:
    one = attributed({"bio": [3.0], "age": [1.0]}, pvalues={"bio.words": 1e-9, "bio.length": 0.9, "age": 0.8})
    assert find("drifted_attribution_share")(one).value == 0.75


def test_without_drift_or_a_reference_or_any_size_there_is_a_reason_instead() -> None:
    bare, still = attributed({"a": [1.0]}), attributed({"a": [0.0]}, {"a": [1.0]}, pvalues={"a": 0.001})
    assert find("drifted_attribution_share")(bare).state == "not_applicable"
    assert find("attribution_ndcg")(bare).state == "no_reference"
    for name in ("attribution_ndcg", "attribution_distance", "drifted_attribution_share"):
        assert find(name)(still).state == "not_applicable"
    share = find("attribution_share").by_group(still)["a"]
    assert share.state == "not_applicable" and share.value is None
    assert find("attribution_mean_abs").by_group(still)["a"].value == 0.0


def test_a_feature_that_no_row_speaks_of_has_no_number_and_is_no_part_of_the_others() -> None:
    known = {"a": [1.0], "b": [9.0], "c": [1.0]}
    one = attributed({"a": [1.0, 3.0], "b": [np.nan, np.nan], "c": [2.0, np.nan]}, known)
    shares = find("attribution_share").by_group(one)
    assert (shares["a"].value, shares["b"].state, shares["c"].value) == (0.5, "insufficient_samples", 0.5)
    assert find("attribution_distance")(one).value == 0.0


@pytest.mark.parametrize("rows", [60, *(pytest.param(n, marks=pytest.mark.slow) for n in (500, 20_000))])
def test_intervals_hold_the_truth_about_nineteen_times_in_twenty(rows: int) -> None:
    """Of lognormal attributions, whose means are known; also with many rows a block."""
    sigma, means = np.array([0.5, 1.0]), np.exp(np.array([0.5, 1.0]) ** 2 / 2)
    truth, trials = means / means.sum(), 150
    rng = np.random.default_rng(rows)
    held = 0
    for _ in range(trials):
        values = np.exp(sigma * rng.normal(size=(rows, 2)))[:, None, :]
        keys = rng.integers(0, 2**63, size=rows)
        summary = AttributionSummary.lift(keys, values, features=("a", "b"), outputs=("",))
        data = AttributionData("binary", summary, np.random.default_rng(7))
        found = find("attribution_share").by_group(data)["a"]
        held += found.lower <= truth[0] <= found.upper
    assert 0.88 <= held / trials <= 0.99


@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_the_distance_s_interval_holds_the_truth_also_where_there_is_none(shift: float) -> None:
    """Percentiles of a distance would leave 0 out, and the value itself where nothing has changed."""
    known, live = np.array([0.5, 0.3, 0.2]), np.array([0.5 + shift, 0.3 - shift, 0.2])
    rng, held, trials = np.random.default_rng(9), 0, 25
    for _ in range(trials):
        sides = [rng.exponential(means, size=(400, 3)) for means in (live, known)]
        columns = [dict(zip("abc", side.T.tolist(), strict=True)) for side in sides]
        found = find("attribution_distance")(attributed(*columns))
        assert found.lower <= found.value <= found.upper
        held += found.lower <= shift <= found.upper
    assert held / trials >= 0.92


def test_fewer_than_ten_rows_have_no_interval() -> None:
    found = find("attribution_mean_abs").by_group(attributed({"a": [0.1 * i for i in range(9)]}))["a"]
    assert found.value is not None and found.lower is None
