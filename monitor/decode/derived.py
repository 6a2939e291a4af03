"""Numbers made of features that have no distribution of their own: texts and embeddings.

A text becomes a few numbers while it is decoded, and its words are not kept; an embedding is kept, and its
norm and its distance to the reference's centroid are computed when they are asked for. The same SQL makes
them of the reference's rows, so that both sides mean the same by them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from monitor.types import Kind

TEXT = ("length", "words", "non_ascii_share", "empty")
EMBEDDING = ("norm", "cosine_distance")
_PARTS: dict[Kind, tuple[str, ...]] = {"text": TEXT, "embedding": EMBEDDING}


def derived_names(name: str, kind: Kind) -> tuple[str, ...]:
    """Return the names under which a feature is monitored: its own, or those of what is made of it.

    >>> derived_names("bio", "text")
    ('bio.length', 'bio.words', 'bio.non_ascii_share', 'bio.empty')
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
