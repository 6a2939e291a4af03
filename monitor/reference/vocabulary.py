"""The words of a reference's texts, as the store has them: hashed."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from monitor.decode.columns import quote
from monitor.decode.derived import HASH_BITS, outside_sql
from monitor.engine.duckdb import WindowQuery

Hashes = npt.NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The words that enough of the reference's texts have for there not to be too many words.

    Parameters
    ----------
    words
        Hashes, uint32, ascending.
    common
        Those of them that one text more has. A text of the reference itself is compared with these: it is
        one of the texts that are counted, and a new one is not. So new texts like the reference's have the
        share that the reference's have, however few those are.
    """

    words: Hashes
    common: Hashes

    @classmethod
    def of(cls, query: WindowQuery, column: str, most: int) -> Self:
        """Return the vocabulary of the query's rows, of at most ``most`` words."""
        where = f"event_us >= {query.window.start_us} AND event_us < {query.window.end_us}"
        found = query.cursor.execute(
            f"SELECT word, count(*) AS texts FROM (SELECT unnest(list_distinct({quote(column)})) AS word"
            f" FROM {query.predictions} WHERE {where}) GROUP BY word ORDER BY word"
        ).fetchnumpy()
        words, texts = np.asarray(found["word"], np.uint32), np.asarray(found["texts"], np.int64)
        least = 1
        if len(texts) > most:
            least = int(np.sort(texts)[::-1][most]) + 1
        return cls(words[texts >= least], words[texts > least])

    def without_one(self) -> Vocabulary:
        """Return what the reference's own texts are compared with."""
        return Vocabulary(self.common, self.common)

    def sql(self, column: str) -> str:
        """Return SQL of the share of words that are not among these, of a column of hashes."""
        known = np.zeros(2**HASH_BITS, dtype=np.uint8)
        known[self.words] = 1
        return outside_sql(quote(column), np.packbits(known).tobytes())

    def to_json(self) -> list[str]:
        """Return the stored form."""
        sides = (self.words, self.common)
        return [base64.b64encode(side.astype("<u4").tobytes()).decode() for side in sides]

    @classmethod
    def from_json(cls, row: list[str]) -> Self:
        """Read what :meth:`to_json` wrote."""
        words, common = (np.frombuffer(base64.b64decode(one), "<u4").astype(np.uint32) for one in row)
        return cls(words, common)
