"""Numbers made of features that have no distribution of their own: texts and embeddings.

A text becomes a few numbers while it is decoded, and its words are not kept. What they are hashed to is,
where words are compared with those of the reference: which ones it has is known only when they are asked
for, as the reference may change, or be a part of the stream. An embedding is kept, and its norm and its
distance to the reference's centroid are computed when they are asked for. The same SQL makes them of the
reference's rows, so that both sides mean the same by them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import duckdb

from monitor.types import Kind

TEXT = ("length", "words", "non_ascii_share", "empty")
EMBEDDING = ("norm", "cosine_distance")
OUT_OF_VOCABULARY = "out_of_vocabulary_share"
_PARTS: dict[Kind, tuple[str, ...]] = {"text": (*TEXT, OUT_OF_VOCABULARY), "embedding": EMBEDDING}
MOST_WORDS = 256  # of a text, its first
HASH_BITS = 22  # a word that is not among 10,000 is taken for one of them 1 time in 400


def derived_names(name: str, kind: Kind) -> tuple[str, ...]:
    """Return the names under which a feature is monitored: its own, or those of what is made of it.

    >>> derived_names("bio", "text")
    ('bio.length', 'bio.words', 'bio.non_ascii_share', 'bio.empty', 'bio.out_of_vocabulary_share')
    >>> derived_names("age", "numeric")
    ('age',)
    """
    return tuple(f"{name}.{part}" for part in _PARTS[kind]) if kind in _PARTS else (name,)


def monitored_names(features: Mapping[str, Kind]) -> list[str]:
    """Return the names under which all features are monitored."""
    return [monitored for name, kind in features.items() for monitored in derived_names(name, kind)]


def within(name: str, wanted: Sequence[str]) -> bool:
    """Tell whether a column is one of the wanted features or derived from one (``bio.length``)."""
    return any(name == one or name.startswith(f"{one}.") for one in wanted)


def text_sql(text: str) -> tuple[str, ...]:
    r"""Return SQL for each number of :data:`TEXT`, from SQL of a text.

    Characters are Unicode code points; a word is a run of anything but ASCII white space; an empty or blank
    text is ``empty``. A missing text has no numbers, an empty one no share.
    """
    foreign = rf"length(regexp_replace({text}, '[\x00-\x7F]+', '', 'g'))"
    return (
        f"length({text})::DOUBLE",
        rf"len(regexp_extract_all({text}, '\S+'))::DOUBLE",
        f"CASE WHEN length({text}) > 0 THEN {foreign} / length({text}) END",
        rf"(NOT regexp_matches({text}, '\S'))::TINYINT::DOUBLE",
    )


def words_sql(text: str) -> str:
    r"""Return SQL of the hashes of a text's first words (``UINTEGER[]``, sorted), from SQL of the text.

    A word here is a run of letters, marks and digits in lower case. Which hash belongs to which place in the
    text is not kept.
    """
    words = rf"regexp_extract_all(lower({text}), '[\p{{L}}\p{{M}}\p{{N}}]+')[:{MOST_WORDS}]"
    return f"list_sort(list_transform({words}, lambda w: (hash(w) & {2**HASH_BITS - 1})::UINTEGER))"


@cache
def hash_mark() -> str:
    """Return what tells DuckDB's hash function from another one that a later version may have.

    It is part of the name of the column of hashes, so that those of two functions are never compared.
    """
    with duckdb.connect() as connection:
        ((mark,),) = connection.execute("SELECT hash('word') & 65535").fetchall()
    return f"{mark:04x}"


def outside_sql(hashes: str, vocabulary: bytes) -> str:
    """Return SQL of the share of a text's words that are not in a vocabulary; NULL of one without words.

    ``vocabulary`` has a bit for each hash, the first the highest of the first byte.
    """
    known = f"lambda w: get_bit(unhex('{vocabulary.hex()}')::BIT, w::INTEGER)"
    share = f"1 - list_sum(list_transform({hashes}, {known})) / len({hashes})"
    return f"CASE WHEN len({hashes}) > 0 THEN {share} END"


def embedding_sql(vector: str, centroid: Sequence[float]) -> tuple[str, ...]:
    """Return SQL for each number of :data:`EMBEDDING`, from SQL of a ``FLOAT[]``.

    The norm is Euclidean. The cosine distance to the centroid is in [0, 2]; a vector of another length, with
    a gap in it, or of norm zero has none. Without a centroid there is no distance.
    """
    wide = f"{vector}::DOUBLE[]"
    whole = f"len({vector}) > 0 AND list_count({vector}) = len({vector})"
    norm = f"CASE WHEN {whole} THEN sqrt(list_inner_product({wide}, {wide})) END"
    if not len(centroid):
        return (_finite(norm),)
    listed = f"[{', '.join(repr(float(x)) for x in centroid)}]::DOUBLE[]"
    fits = f"{whole} AND len({vector}) = {len(centroid)}"
    return _finite(norm), _finite(f"CASE WHEN {fits} THEN list_cosine_distance({wide}, {listed}) END")


def _finite(value: str) -> str:
    return f"CASE WHEN isfinite({value}) THEN {value} END"
