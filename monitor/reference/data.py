"""What a reference is: what normal looks like, as nothing but summaries.

It has an id, so that evidence can say what it was compared with: the hash of a file's content and of the
settings that shape the profile, or of the profile itself where it was made from the stream.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from monitor.decode.derived import hash_mark
from monitor.engine.sample import from_text, to_text
from monitor.errors import StoreError
from monitor.metrics import Outcome, find
from monitor.reference.catalogue import Catalogue
from monitor.reference.vocabulary import Vocabulary
from monitor.summaries import FloatArray
from monitor.summaries.attributions import AttributionSummary
from monitor.summaries.calibration import Calibrator
from monitor.summaries.categorical import CategoricalSummary
from monitor.summaries.confusion import Confusion
from monitor.summaries.error_model import ErrorModel
from monitor.summaries.numeric import NumericSummary
from monitor.types import ALL_VERSIONS, Baseline, BaselineKey

SEGMENT_ROWS = 100  # a segment of fewer rows has no profile of its own in a reference
Column = NumericSummary | CategoricalSummary
Learned = Calibrator | ErrorModel


class LazyBaselines(Mapping[BaselineKey, Baseline]):
    """Baselines that are computed when they are first looked at; most configurations never do."""

    def __init__(self, compute: Callable[[], Mapping[BaselineKey, Baseline]]) -> None:
        self._compute = compute

    @cached_property
    def found(self) -> Mapping[BaselineKey, Baseline]:
        """All of them."""
        return self._compute()

    @property
    def known(self) -> bool:
        """Whether they have been computed."""
        return "found" in self.__dict__

    def __getitem__(self, key: BaselineKey) -> Baseline:
        return self.found[key]

    def __iter__(self) -> Iterator[BaselineKey]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)


@dataclass(frozen=True, eq=False)
class Reference:
    """The reference's summaries.

    Parameters
    ----------
    id
        Hex digest of content and settings, 16 characters.
    rows
        Rows it was made of.
    columns
        Feature name -> summary; features of other kinds than numeric, categorical and boolean have none.
    targets
        ``prediction``, ``score`` and ``label`` -> summary, where any row has them.
    centroids
        Embedding -> mean vector (float64[d]), of the vectors with the most frequent length.
    sample
        Rows in the order of a hash, a column for each feature (texts as numbers); None where none are kept.
    learned
        What estimates of performance without labels rest on; None where they are off.
    attributions
        What each feature added to the predictions of its rows, where they say so.
    cells
        Of a classification the cells of truth and prediction: of everyone (``""``), and by group of each
        sensitive attribute or intersection (``sex|region``).
    baselines
        What each series is on the reference itself, for bounds that are relative to it.
    segments
        ``plan=gold`` -> the profile of that segment's own rows: columns, targets and cells alone. A segment
        of too few rows has none.
    catalogue
        The items of a ranking model; None for other tasks.
    vocabularies
        Text -> its words, where words are compared.
    """

    id: str
    rows: int
    columns: Mapping[str, Column]
    targets: Mapping[str, Column] = field(default_factory=dict)
    centroids: Mapping[str, FloatArray] = field(default_factory=dict)
    sample: pa.Table | None = None
    learned: Learned | None = None
    attributions: AttributionSummary | None = None
    cells: Mapping[str, Confusion] = field(default_factory=dict)
    baselines: Mapping[BaselineKey, Baseline] = field(default_factory=dict)
    segments: Mapping[str, Reference] = field(default_factory=dict)
    catalogue: Catalogue | None = None
    vocabularies: Mapping[str, Vocabulary] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names seen as prediction or label, sorted."""
        found = [c.categories for c in self.targets.values() if isinstance(c, CategoricalSummary)]
        return tuple(sorted({name for names in found for name in names}))

    def named(self, id: str) -> Reference:
        """Return the same under another id."""
        return replace(self, id=id)

    def to_json(self) -> str:
        """Return a form for the store; :meth:`from_json` gives the same back, bit for bit.

        Baselines that nothing has looked at yet are left out.
        """
        return json.dumps(self._to_dict())

    def content(self) -> str:
        """Return the hash, 16 hex digits, of what it says about its rows; id and baselines are no part of it.

        The baselines follow from the same rows, and computing them is optional.
        """
        row = {k: v for k, v in self._to_dict().items() if k not in ("id", "baselines")}
        return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:16]

    def _to_dict(self) -> dict[str, Any]:
        lazy = isinstance(self.baselines, LazyBaselines) and not self.baselines.known
        return {
            "format": 2,
            "id": self.id,
            "rows": self.rows,
            "columns": _encoded(self.columns),
            "targets": _encoded(self.targets),
            "centroids": {k: v.tolist() for k, v in self.centroids.items()},
            "sample": None if self.sample is None else to_text(self.sample),
            "learned": _encoded({"": self.learned} if self.learned else {}),
            "attributions": _encoded({"": self.attributions} if self.attributions else {}),
            "cells": _encoded(self.cells),
            "baselines": [] if lazy else [[*key, *astuple(one)] for key, one in self.baselines.items()],
            "segments": {name: part._to_dict() for name, part in self.segments.items()},
            "catalogue": self.catalogue and self.catalogue.to_json(),
            **self._words(),
        }

    def _words(self) -> dict[str, Any]:
        if not self.vocabularies:
            return {}
        return {"hashes": hash_mark(), "words": {k: v.to_json() for k, v in self.vocabularies.items()}}

    @classmethod
    def from_json(cls, text: str) -> Reference:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        StoreError
            When a program of another version wrote it.
        """
        return cls._from_dict(json.loads(text))

    @classmethod
    def _from_dict(cls, row: Mapping[str, Any]) -> Reference:
        if row.get("format") != 2:
            raise StoreError(f"stored reference {row.get('id')}: format {row.get('format')}; this reads 2")
        learned, attributions = (
            [_decoded(one) for one in row[k].values()] for k in ("learned", "attributions")
        )
        words = row["words"] if row.get("hashes") == hash_mark() else {}  # else by another function
        return cls(
            id=row["id"],
            rows=row["rows"],
            columns={k: _decoded(one) for k, one in row["columns"].items()},
            targets={k: _decoded(one) for k, one in row["targets"].items()},
            centroids={k: np.array(v, dtype=np.float64) for k, v in row["centroids"].items()},
            sample=from_text(row["sample"]) if row["sample"] else None,
            learned=learned[0] if learned else None,
            attributions=attributions[0] if attributions else None,
            cells={k: _decoded(one) for k, one in row.get("cells", {}).items()},
            baselines={tuple(one[:5]): Baseline(*one[5:]) for one in row["baselines"]},
            segments={k: cls._from_dict(part) for k, part in row["segments"].items()},
            catalogue=Catalogue.from_json(row["catalogue"]) if row.get("catalogue") else None,
            vocabularies={k: Vocabulary.from_json(one) for k, one in words.items()},
        )


@dataclass(frozen=True, eq=False)
class Compared:
    """What a window is compared with.

    Parameters
    ----------
    default
        For all versions together, and for versions that have none of their own.
    versions
        By version that has its own, None where that cannot be had now.
    reasons
        Why there is none, by version; ``"*"`` is the default's.
    """

    default: Reference | None = None
    versions: Mapping[str, Reference | None] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)

    def of(self, version: str) -> Reference | None:
        """Return what rows of a version are compared with."""
        return self.versions.get(version, self.default)

    def reason(self, version: str) -> str | None:
        """Return why there is nothing to compare rows of a version with, where that is known."""
        return self.reasons.get(version if version in self.versions else ALL_VERSIONS)

    def said(self, version: str, segment: str | None, metric: str, outcome: Outcome) -> Mapping[str, Any]:
        """Return an outcome's detail with the id of what was compared with, or why there is nothing."""
        reason = self.reason(version)
        if segment and self.default is not None and segment not in self.default.segments:
            reason = f"the reference has fewer than {SEGMENT_ROWS} rows of {segment}"
        if outcome.state == "no_reference" and reason:
            return {**outcome.detail, "reason": reason}
        reference, entry = self.of(version), find(metric)
        if reference is None or not (entry.needs_reference or outcome.n_reference):
            return outcome.detail
        return {"reference": reference.id, **outcome.detail}  # a metric may say the reference's own value


_SUMMARIES = (NumericSummary, CategoricalSummary, Confusion, Calibrator, ErrorModel, AttributionSummary)
_KINDS = {c.__name__: c for c in _SUMMARIES}


def _encoded(
    summaries: Mapping[str, Column | Learned | AttributionSummary | Confusion],
) -> dict[str, list[str]]:
    return {k: [type(v).__name__, base64.b64encode(v.to_bytes()).decode()] for k, v in summaries.items()}


def _decoded(stored: list[str]) -> Any:
    kind, data = stored
    return _KINDS[kind].from_bytes(base64.b64decode(data))
