"""What a reference says of a ranking model's items: which there are, and how popular each one is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from monitor.engine.duckdb import WindowQuery
from monitor.engine.lists import item_counts
from monitor.errors import ReferenceDataError
from monitor.summaries import IntArray

MAX_ITEMS = 1_000_000


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The reference's items, the most popular first: by how often relevant, then how often shown, then name.

    Parameters
    ----------
    items
        string[n].
    counts
        int64[n]: in how many rows of the reference each is relevant.
    """

    items: pa.Array
    counts: IntArray

    def popular(self, k: int) -> list[str]:
        """Return the ``k`` most popular items."""
        names: list[str] = self.items[:k].to_pylist()
        return names

    def head(self, share: float) -> int:
        """Return how many items are a share of all, rounded up."""
        return int(np.ceil(round(share * len(self.items), 6)))

    def to_json(self) -> dict[str, Any]:
        """Return a form for JSON."""
        return {"items": self.items.to_pylist(), "counts": self.counts.tolist()}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Catalogue:
        """Read what :meth:`to_json` returned."""
        return cls(pa.array(row["items"], pa.string()), np.array(row["counts"], np.int64))

    @classmethod
    def of(cls, query: WindowQuery) -> Catalogue:
        """Count the items of the query's rows.

        Raises
        ------
        ReferenceDataError
            When there are more than a million.
        """
        found = item_counts(query, MAX_ITEMS + 1)
        if len(found) > MAX_ITEMS:
            raise ReferenceDataError(f"the reference has more than {MAX_ITEMS:,} distinct items")
        return cls(found["item"].combine_chunks(), found["relevant"].to_numpy())
