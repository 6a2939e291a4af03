"""Windows of ranked lists and of attributions whose truth is known, for ``benchmarks/intervals.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from monitor.metrics import Outcome, find
from monitor.metrics.attributions import AttributionData
from monitor.metrics.group_errors import GroupErrorData
from monitor.metrics.rankings import Exposed, RankingData, Spread
from monitor.summaries.attributions import AttributionSummary, spread_keys
from monitor.summaries.exposure import ExposureSummary
from monitor.summaries.ranking import Gains, RankingSummary

Rng = np.random.Generator
Answers = Mapping[str, tuple[Outcome, float]]
K = 10
MISSED = np.array([0.4, 0.3, 0.2, 0.1])  # how often so many relevant items are not in the list
OF_LISTS = (f"ndcg@{K}", f"map@{K}", f"recall@{K}", "mrr", f"baseline_ndcg@{K}")


class Lists:
    """Lists of ten items, each relevant with a chance that falls with its place; some are missed."""

    def __init__(self, best: float, fall: float) -> None:
        self.chances = best * fall ** np.arange(K)

    @staticmethod
    def gains(shown: Any, missed: Any) -> Gains:
        relevant = (shown.sum(1) + missed).astype(np.int64)
        ideal = (np.arange(K) < relevant[:, None]).astype(float)
        first = np.where(shown.any(1), shown.argmax(1) + 1, 0)
        popular = shown[:, ::-1].astype(float)  # the baseline shows the same items, the worst first
        return Gains(shown.astype(float), ideal, relevant, first, popular)

    @cached_property
    def truths(self) -> dict[str, float]:
        """The means over every list that there can be, by how likely it is."""
        shown = (np.arange(2**K)[:, None] >> np.arange(K) & 1).astype(bool)
        likely = np.where(shown, self.chances, 1 - self.chances).prod(1)
        pairs = np.repeat(shown, len(MISSED), 0), np.tile(np.arange(len(MISSED)), len(shown))
        weights = np.repeat(likely, len(MISSED)) * np.tile(MISSED, len(shown))
        values = self.gains(*pairs).values([K])
        found = {}
        for name in OF_LISTS:
            held = ~np.isnan(values[name])
            found[name] = float(weights[held] @ values[name][held] / weights[held].sum())
        return {**found, f"hit_rate@{K}": float(1 - np.prod(1 - self.chances))}

    def summary(self, rng: Rng, n: int) -> RankingSummary:
        shown = rng.random((n, K)) < self.chances
        missed = rng.choice(len(MISSED), n, p=MISSED)
        return RankingSummary.lift(self.gains(shown, missed).values([K]), ks=[K])

    def window(self, rng: Rng, n: int) -> Answers:
        data = RankingData(self.summary(rng, n), lambda: NOTHING_SHOWN)
        return {name: (find(name)(data), truth) for name, truth in self.truths.items()}


NOTHING_SHOWN = Exposed(ExposureSummary.zero(0), 0)


def groups_of_lists(*groups: Lists) -> Callable[[Rng, int], Answers]:
    """Windows of users in equally large groups whose lists are not equally good."""
    truths = [one.truths[f"ndcg@{K}"] for one in groups]

    def window(rng: Rng, n: int) -> Answers:
        counts = rng.multinomial(n, np.full(len(groups), 1 / len(groups)))
        parts = {name: g.summary(rng, k) for name, g, k in zip("abcdefgh", groups, counts, strict=False)}
        data = GroupErrorData(parts, np.random.default_rng(rng), 20, "ranking", f"ndcg@{K}")
        return {
            f"ndcg_difference@{K}": (find(f"ndcg_difference@{K}")(data), float(np.ptp(truths))),
            f"group_ndcg@{K}": (find(f"group_ndcg@{K}").by_group(data)["b"], truths[1]),
        }

    return window


class Shown:
    """Lists of five items out of 5 x 400, by two tastes: one for what is popular, one less so."""

    SLOTS, ITEMS, HEAD = 5, 400, 400

    def __init__(self) -> None:
        ranks = np.arange(1, self.ITEMS + 1)
        self.tastes = [weights / weights.sum() for weights in (1 / ranks**2, 1 / ranks**1.2)]
        popular = self.HEAD // self.SLOTS
        self.popular = float(np.mean([taste[:popular].sum() for taste in self.tastes]))
        self.held = np.mean(self.tastes, axis=0)

    def window(self, rng: Rng, n: int) -> Answers:
        taste = rng.random(n) < 0.5
        ranks = np.empty((n, self.SLOTS), np.int64)
        for which, weights in zip((True, False), self.tastes, strict=True):
            size = (int((taste == which).sum()), self.SLOTS)
            ranks[taste == which] = rng.choice(self.ITEMS, size, p=weights)
        codes = (ranks * self.SLOTS + np.arange(self.SLOTS)).ravel()
        size = self.ITEMS * self.SLOTS
        lengths, owners = np.full(n, self.SLOTS), np.arange(1, n + 1)
        counted = ExposureSummary.lift(codes, lengths, owners, size=size, head=self.HEAD)
        spread = Spread.lift(2 * rng.beta(2, 5, n))
        data = RankingData(RankingSummary.zero([K]), lambda: Exposed(counted, size), lambda: spread)
        data = RankingData(RankingSummary.lift({}, ks=[K], unlabelled=n), data.exposing, data.spreading)
        return {
            "popularity_share": (find("popularity_share")(data), self.popular),
            "catalogue_coverage": (
                find("catalogue_coverage")(data),
                float((1 - (1 - self.held) ** n).mean()),
            ),
            "intra_list_diversity": (find("intra_list_diversity")(data), 4 / 7),
        }


class Attributions:
    """Attributions of five features: normal around a mean, larger together in some rows than in others."""

    NAMES = ("a", "b", "c", "d", "e")

    def __init__(
        self, mean: Sequence[float], spread: Sequence[float], known_spread: Sequence[float], known: int = 500
    ) -> None:
        self.mean, self.spread, self.known = np.array(mean), np.array(spread), known
        self.known_spread, self.asked = np.array(known_spread), 0
        from scipy.stats import foldnorm

        sizes = [foldnorm.mean(np.abs(self.mean) / s, scale=s) for s in (self.spread, self.known_spread)]
        self.magnitude, self.known_magnitude = sizes
        self.reference: AttributionSummary | None = None

    def draw(self, rng: Rng, n: int, spread: Any) -> AttributionSummary:
        """Rows scaled by a factor with mean 1, so that means stay what they are."""
        factor = rng.gamma(4, 0.25, (n, 1))
        rows = factor * (self.mean + spread * rng.normal(size=(n, len(self.NAMES))))
        return AttributionSummary.lift(spread_keys(n), rows[:, None, :], features=self.NAMES, outputs=("",))

    def window(self, rng: Rng, n: int) -> Answers:
        if self.asked % 2 == 0:
            self.reference = self.draw(rng, self.known, self.known_spread)
        self.asked += 1
        current = self.draw(rng, n, self.spread)
        drifted = {"a": 1e-9, "b": 0.9, "c": 1e-9, "d": 0.9, "e": 0.9}
        data = AttributionData("binary", current, np.random.default_rng(rng), self.reference, pvalues=drifted)
        means, sizes, parts = (
            find(f"attribution_{name}").by_group(data)["b"] for name in ("mean", "mean_abs", "share")
        )
        share, known = (side / side.sum() for side in (self.magnitude, self.known_magnitude))
        distance = float(np.abs(share - known).sum() / 2)
        return {
            "attribution_mean": (means, float(self.mean[1])),
            "attribution_mean_abs": (sizes, float(self.magnitude[1])),
            "attribution_share": (parts, float(share[1])),
            "drifted_attribution_share": (
                find("drifted_attribution_share")(data),
                float(share[0] + share[2]),
            ),
            "attribution_distance": (find("attribution_distance")(data), distance),
            "attribution_ndcg": (find("attribution_ndcg")(data), self.ndcg),
        }

    @cached_property
    def ndcg(self) -> float:
        """Scikit-learn's, of the true order."""
        from sklearn.metrics import ndcg_score

        return float(ndcg_score(self.known_magnitude[None], self.magnitude[None]))
