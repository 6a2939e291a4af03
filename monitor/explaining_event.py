"""One stored prediction explained by itself: by its model on demand, or by what its event says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from monitor.decode.columns import attribution_column, quote
from monitor.engine.attributions import input_columns
from monitor.errors import ExplainError, NotThereError
from monitor.explain import Explainer
from monitor.explaining import output_names
from monitor.store.schema import predictions_table
from monitor.store.store import Cursor, rank_sql
from monitor.time import to_rfc3339
from monitor.types import ModelSpec

DEADLINE_S = 10.0  # less than what an HTTP request may take


def explain_event(
    cursor: Cursor,
    spec: ModelSpec,
    model: int,
    explainer: Explainer | None,
    event_id: str,
    *,
    deadline_s: float = DEADLINE_S,
) -> dict[str, Any]:
    """Return what each feature added to the prediction of an event, as the JSON of the API.

    Raises
    ------
    NotThereError
        When no such event is stored, or it carries no attributions and there is no model to ask.
    ExplainError
        When the model cannot explain it.
    """
    table, row = _stored(cursor, spec, model, event_id)
    answer = {
        "model": spec.name, "event_id": event_id, "version": row["version"] or None,
        "timestamp": to_rfc3339(row["event_us"]), "prediction": row["prediction"], "score": row["score"],
    }  # fmt: skip
    values = {name: row[f"value {name}"] for name in input_columns(spec)}
    if explainer is not None:
        return answer | _by_model(spec, explainer, table, values, deadline_s)
    if not spec.checks.explain:
        raise NotThereError(f"checks.explain is off for model {spec.name!r}")
    return answer | _as_logged(spec, row, values)


def _stored(cursor: Cursor, spec: ModelSpec, model: int, event_id: str) -> tuple[pa.Table, Mapping[str, Any]]:
    """Return the event's row: the first in log order, as settling keeps it."""
    columns = {name: name for name in ("version", "event_us", "prediction", "score")}
    columns |= {f"value {name}": sql for name, sql in input_columns(spec).items()}
    if spec.checks.logged_attributions:
        columns |= {f"attribution {name}": quote(attribution_column(name)) for name in spec.features}
    listed = ", ".join(f"{sql} AS {quote(name)}" for name, sql in columns.items())
    found = cursor.sql(
        f"SELECT {listed} FROM {predictions_table(model)} WHERE id = md5_number(?)"
        f" ORDER BY {rank_sql(cursor)}, off, seq LIMIT 1",
        params=[event_id],
    ).to_arrow_table()
    if not found.num_rows:
        raise NotThereError(f"no event {event_id!r} of model {spec.name!r} is stored")
    return found, found.to_pylist()[0]


def _by_model(
    spec: ModelSpec, explainer: Explainer, table: pa.Table, values: Mapping[str, Any], deadline_s: float
) -> dict[str, Any]:
    rows = table.select([f"value {name}" for name in values]).rename_columns(list(values))
    explained = explainer.explain(rows, deadline_s=deadline_s)
    if not len(explained.values):
        raise ExplainError(f"the model did not explain the event within {deadline_s:g} s")
    outputs = [
        {
            "class": name or None,
            "base": float(explained.base[0, o]),
            "score": float(explained.scores[0, o]),
            "attributions": _ranked(explained.features, explained.values[0, o].tolist(), values),
        }
        for o, name in enumerate(output_names(spec, explained))
    ]
    how = {"source": "model", "model_hash": explainer.model_hash, "explainer": explained.explainer}
    return {**how, "units": explained.units, "outputs": outputs}


def _as_logged(spec: ModelSpec, row: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    logged = {name: row[f"attribution {name}"] for name in spec.features}
    by_class: dict[str, dict[str, float]] = {}
    for name, given in logged.items():
        pairs = dict(given or ()) if spec.task == "multiclass" else {} if given is None else {"": given}
        for output, value in pairs.items():
            by_class.setdefault(output, {})[name] = value
    if not by_class:
        raise NotThereError("the event carries no attributions, and there is no model to explain it with")
    outputs = [
        {
            "class": name or None, "base": None, "score": None,
            "attributions": _ranked(list(some), list(some.values()), values),
        }
        for name, some in sorted(by_class.items())
    ]  # fmt: skip
    return {"source": "log", "model_hash": None, "explainer": None, "units": None, "outputs": outputs}


def _ranked(
    features: Sequence[str], attributions: Sequence[float], values: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return features with their values and attributions, the largest first."""
    held = [(f, a) for f, a in zip(features, attributions, strict=True) if math.isfinite(a)]
    held.sort(key=lambda pair: (-abs(pair[1]), pair[0]))
    return [{"feature": f, "value": values.get(f), "attribution": a} for f, a in held]
