"""The ``checks`` section of a model: which families of metrics are computed, and with what parameters.

An absent check is off; one without content (``drift:`` or ``drift: {}``) is on with its defaults.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from monitor.config.base import (
    Count,
    ExistingFile,
    Given,
    Label,
    NotSwitch,
    Probability,
    Section,
    Switch,
    Text,
    one_or_many,
)
from monitor.config.explain import Explain

Names = tuple[Text, ...]


class Drift(Section):
    """Distributions of features and predictions against the reference."""

    bins: Annotated[int, Field(ge=2, le=1000), NotSwitch] = 10
    """Bins of numeric columns for `psi` and `js_distance`, cut at the reference's quantiles."""
    alpha: Probability = 0.01
    """Chance, without drift, that a window reaches a critical value such as `psi_critical`."""
    multivariate: Switch = False
    """Also compare the features together: `domain_classifier_auc`, `mmd`, `reconstruction_error`."""
    columns: Names | None = None
    """Features whose distributions are compared; by default all."""
    vocabulary: Annotated[int, Field(ge=0, le=100_000), NotSwitch] = 10_000
    """Most words of the reference's texts that words are looked up in; 0: no hashes of words are stored."""


Cutoff = Annotated[int, Field(ge=1, le=1000), NotSwitch]


class ItemEmbeddings(Section):
    """Embeddings of the items that a ranking model recommends."""

    path: ExistingFile
    """A Parquet, CSV or JSON Lines file with a row for each item."""
    item: Text = "item"
    """Its column of the items' ids."""
    vector: Text = "embedding"
    """Its column of the vectors, all of one length."""


class Performance(Section):
    """Predictions against labels."""

    k: Annotated[tuple[Cutoff, ...], Field(min_length=1, max_length=10), one_or_many(Cutoff)] = (10,)
    """Ranking: one or a list of positions at which lists are cut, for `ndcg@k`, `map@k` and the like."""
    popular: Annotated[float, Field(gt=0, le=1), NotSwitch] = 0.2
    """Ranking: share of the reference's items, the most popular first, that `popularity_share` counts."""
    catalogue_size: Count | None = None
    """Ranking: number of items there are, for `catalogue_coverage`; by default those of the reference."""
    embeddings: ItemEmbeddings | None = None
    """Ranking: embeddings of the items, for `intra_list_diversity`."""


class Fairness(Section):
    """Rates by group, and the gaps between groups."""

    sensitive: Annotated[Names, Field(min_length=1)]
    """Attributes whose groups are compared: features, or names in the events' `segments`."""
    intersections: tuple[Annotated[Names, Field(min_length=2)], ...] = ()
    """Attributes to combine, as in `[[sex, region]]`."""
    min_group_size: Count = 50
    """Smaller groups are left out of gaps and listed."""
    privileged: dict[str, Label] = Field(default={})
    """Attribute to the group that `disparate_impact` compares with; by default the best-off."""


class Quality(Section):
    """Missing values, unseen categories and other faults of the data."""

    silent_windows: Annotated[int, Field(ge=0, le=1000), NotSwitch] = 24
    """Windows without events that are asked after one with some, so that `row_count` says 0; 0: none."""


class Estimate(Section):
    """Expected performance without labels, of binary and regression models; needs a labelled reference."""


class Checks(Section):
    """Families of metrics; an absent one is off."""

    drift: Annotated[Drift | None, Given] = None
    """Drift of features and predictions."""
    performance: Annotated[Performance | None, Given] = None
    """Accuracy and its kin, as labels arrive."""
    fairness: Annotated[Fairness | None, Given] = None
    """Rates and gaps by group."""
    quality: Annotated[Quality | None, Given] = None
    """Faults of the data."""
    explain: Annotated[Explain | None, Given] = None
    """Attributions of the predictions to features."""
    estimate: Annotated[Estimate | None, Given] = None
    """Performance estimated before labels arrive."""
