"""The columns in which a model's events are stored, and how SQL names and text are quoted."""

from __future__ import annotations

from monitor.decode.derived import TEXT, hash_mark
from monitor.types import Kind, ModelSpec

_PREFIX: dict[Kind, str] = {
    "numeric": "n",
    "categorical": "c",
    "boolean": "c",
    "text": "t",
    "embedding": "v",
}
SQL_TYPE: dict[Kind, str] = {
    "numeric": "DOUBLE",
    "categorical": "VARCHAR",
    "boolean": "VARCHAR",
    "text": "VARCHAR",
    "embedding": "FLOAT[]",
}


def quote(name: str) -> str:
    """Quote an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def feature_column(name: str, kind: Kind) -> str:
    """Return the store's column of a feature; the same name with another kind is another column.

    >>> feature_column("age", "numeric")
    'n:age'
    """
    return f"{_PREFIX[kind]}:{name}"


def stored_columns(name: str, kind: Kind) -> tuple[str, ...]:
    """Return every column of a feature's values: of a text the numbers made of it, never the text.

    >>> stored_columns("bio", "text")[:2]
    ('t:bio.length', 't:bio.words')
    """
    column = feature_column(name, kind)
    return tuple(f"{column}.{part}" for part in TEXT) if kind == "text" else (column,)


def words_columns(spec: ModelSpec) -> dict[str, str]:
    """Return text -> the store's column of its words' hashes; none where words are not compared."""
    texts = [name for name, kind in spec.features.items() if kind == "text" and spec.checks.vocabulary]
    return {name: f"{feature_column(name, 'text')}.hashes_{hash_mark()}" for name in texts}


def attribution_column(name: str) -> str:
    """Return the store's column of what an event says that a feature added to its prediction.

    >>> attribution_column("age")
    'a:age'
    """
    return f"a:{name}"


def attribution_columns(spec: ModelSpec) -> dict[str, str]:
    """Return column -> SQL type of the logged attributions; none where they are not asked for.

    Of several classes one column holds class -> attribution.
    """
    kind = "MAP(VARCHAR, DOUBLE)" if spec.task == "multiclass" else "DOUBLE"
    return {attribution_column(n): kind for n in spec.features if spec.checks.logged_attributions}


def column_of(spec: ModelSpec, name: str) -> str:
    """Return the column of a segment or sensitive attribute: the feature's own, else an ``s:`` column."""
    return feature_column(name, spec.features[name]) if name in spec.features else f"s:{name}"


def free_columns(spec: ModelSpec) -> list[str]:
    """Return the segments and sensitive attributes that are no feature, sorted."""
    named = {*spec.segments, *spec.extra_columns, *(a for one in spec.checks.sensitive for a in one)}
    return sorted(named - set(spec.features))


def prediction_columns(spec: ModelSpec) -> dict[str, str]:
    """Return column name -> SQL type of the table of a model's predictions.

    ``seq`` numbers rows as they land; ``(part, off)`` is the place in the log; ``id`` the MD5 of the event
    id; ``record_us`` when the record was put into the log, NULL where the log does not say; ``faults`` lists
    what was wrong with single fields, NULL for most rows. A list of ``items`` has its
    first as ``prediction``, and that one's score.
    """
    base = {"seq": "BIGINT", "part": "INTEGER", "off": "BIGINT", "id": "UHUGEINT", "event_us": "BIGINT"}
    base |= {
        "record_us": "BIGINT",
        "version": "VARCHAR",
        "prediction": spec.prediction_type,
        "score": "DOUBLE",
    }
    base |= {"scores": "MAP(VARCHAR, DOUBLE)", "faults": "VARCHAR[]"}
    base |= {"items": "VARCHAR[]"} if spec.task == "ranking" else {}
    for name, kind in spec.features.items():
        base |= dict.fromkeys(stored_columns(name, kind), "DOUBLE" if kind == "text" else SQL_TYPE[kind])
    base |= dict.fromkeys(words_columns(spec).values(), "UINTEGER[]")
    return base | {f"s:{n}": "VARCHAR" for n in free_columns(spec)} | attribution_columns(spec)


def label_columns(spec: ModelSpec) -> dict[str, str]:
    """Return column name -> SQL type of the table of a model's labels; a NULL label withdraws.

    A label about a list is about one ``item`` of it, or (NULL) about all of them.
    """
    base = {"seq": "BIGINT", "part": "INTEGER", "off": "BIGINT", "id": "UHUGEINT", "label_us": "BIGINT"}
    return base | {"label": spec.label_type} | ({"item": "VARCHAR"} if spec.task == "ranking" else {})


def whole_number(text: str) -> str:
    """SQL that drops the ``.0`` of a number in text, so that 1, "1" and 1.0 are one class or category.

    pandas writes whole numbers with a fraction as soon as one of them is missing.
    """
    is_number = f"suffix({text}, '.0') AND try_cast({text} AS DOUBLE) IS NOT NULL"
    return f"CASE WHEN {is_number} THEN left({text}, -2) ELSE {text} END"
