"""The reference file's own attributions, where it has columns of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from monitor.decode.columns import literal, quote
from monitor.engine.attributions import MAX_OUTPUTS, stacked
from monitor.reference.profile import ReferenceFile
from monitor.summaries.attributions import AttributionSummary
from monitor.types import Kind, Task

ROWS = 100_000  # of more, so many are taken by a hash
COLUMN = "attributions"


def reference_attributions(
    file: ReferenceFile, features: Mapping[str, Kind], *, task: Task
) -> AttributionSummary | None:
    """Return what each feature added to the file's predictions; None where it has no column of that.

    From a column ``attributions`` (struct, map or JSON: feature to number or, of several classes, to class to
    number), or from a column for each feature, mapped as ``attributions.age``.
    """
    columns = {name: json for name in features if (json := _json(file, name))}
    if not columns:
        return None
    outputs = _classes(file, columns) if task == "multiclass" else ("",)
    listed = {
        f"{output}\x1f{name}": f"try_cast({_text(json, output)} AS DOUBLE)"
        for output in outputs
        for name, json in columns.items()
    }
    rows = file.select({"row": "0", **listed}, where="true", k=ROWS)
    values = stacked(rows, len(outputs), len(columns))
    keys = np.arange(len(values), dtype=np.int64)  # rows come in the order of a hash: their blocks are random
    return AttributionSummary.lift(keys, values, features=tuple(columns), outputs=outputs)


def _json(file: ReferenceFile, name: str) -> str | None:
    """Return SQL of a feature's attribution as JSON."""
    if (mapped := file.mapped.get(f"{COLUMN}.{name}")) is not None:
        return f"to_json({quote(mapped)})"
    return f"json_extract(to_json({quote(COLUMN)}), {_pointer(name)})" if COLUMN in file.types else None


def _text(json: str, output: str) -> str:
    return f"json_extract_string({json}, {_pointer(output)})" if output else f"({json})->>'$'"


def _pointer(name: str) -> str:
    return literal("/" + name.replace("~", "~0").replace("/", "~1"))


def _classes(file: ReferenceFile, columns: Mapping[str, str]) -> tuple[str, ...]:
    """Return the most frequent classes, sorted."""
    counts: dict[str, int] = {}
    for json in columns.values():
        found = file.select({"c": f"unnest(json_keys({json}))"}, where="true")["c"].value_counts()
        for one in found.to_pylist():
            counts[one["values"]] = counts.get(one["values"], 0) + one["counts"]
    return tuple(sorted(sorted(counts, key=lambda c: (-counts[c], c))[:MAX_OUTPUTS]))
