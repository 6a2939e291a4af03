"""Results, windows, alert states and transitions in the store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from monitor.store.store import Cursor
from monitor.types import Result, Transition, Window

_SCHEMA = pa.schema(
    [("model", pa.int32()), ("start_us", pa.int64()), ("end_us", pa.int64())]
    + [(name, pa.string()) for name in ("version", "metric", "feature", "attribute", "group", "segment")]
    + [("state", pa.string())]
    + [(name, pa.float64()) for name in ("value", "lower", "upper")]
    + [("n", pa.int64()), ("n_reference", pa.int64()), ("revision", pa.int32()), ("labelled", pa.bool_())]
    + [("detail", pa.string())]
)  # fmt: skip
_COLUMNS = ", ".join(f'"{f.name}"' for f in _SCHEMA)
_READ = (
    'SELECT r.*, m.name FROM (SELECT model, start_us, end_us, version, metric, feature, attribute, "group",'
    " segment, state, value, lower, upper, n, n_reference, revision, detail FROM results) r"
    " JOIN models m ON m.id = r.model"
)


@dataclass(frozen=True, slots=True)
class WindowRow:
    """What is known of a window that has been evaluated; ``held``: events landed in it at some time."""

    index: int
    revision: int
    labels_complete: bool
    held: bool = True


def write_results(
    cursor: Cursor, model: int, window: Window, rows: Iterable[tuple[Result, bool]], *, labelled_only: bool
) -> None:
    """Replace a window's results (or only those that need labels) inside the caller's transaction.

    ``rows`` pairs each result with whether it needs labels.
    """
    cursor.execute(
        "DELETE FROM results WHERE model = ? AND start_us = ? AND end_us = ?"
        + (" AND labelled" if labelled_only else ""),
        [model, window.start_us, window.end_us],
    )
    _insert_results(cursor, model, window, rows)


def _insert_results(cursor: Cursor, model: int, window: Window, rows: Iterable[tuple[Result, bool]]) -> None:
    columns: dict[str, list[Any]] = {f.name: [] for f in _SCHEMA}
    for result, labelled in rows:
        columns["model"].append(model)
        columns["start_us"].append(window.start_us)
        columns["end_us"].append(window.end_us)
        columns["labelled"].append(labelled)
        columns["detail"].append(json.dumps(result.detail, default=float) if result.detail else None)
        for name in _SCHEMA.names[3:-2]:
            columns[name].append(getattr(result, name))
    cursor.register("new_results", pa.table(columns, schema=_SCHEMA))
    cursor.execute(f"INSERT INTO results ({_COLUMNS}) SELECT {_COLUMNS} FROM new_results")
    cursor.unregister("new_results")


def read_results(
    cursor: Cursor, where: str = "true", parameters: Sequence[Any] = (), *, tail: str = ""
) -> list[Result]:
    """Return stored results; ``where`` may name the columns of ``results`` and ``name``, the model's name."""
    rows = cursor.execute(f"SELECT * FROM ({_READ}) WHERE {where} {tail}", list(parameters)).fetchall()
    return [_result(row) for row in rows]


def _result(row: tuple[Any, ...]) -> Result:
    _, start, end, version, metric, feature, attribute, group, segment, state, *rest, name = row
    value, lower, upper, n, n_reference, revision, detail = rest
    return Result(
        model=name, version=version, window=Window(start, end), metric=metric, state=state, value=value,
        feature=feature, attribute=attribute, group=group, segment=segment, lower=lower, upper=upper, n=n,
        n_reference=n_reference, revision=revision, detail=json.loads(detail) if detail else {},
    )  # fmt: skip


def latest_results(cursor: Cursor) -> list[Result]:
    """Return, for each model and metric, the rows of the newest window that is complete for it."""
    newest = (
        "SELECT model, metric, coalesce(max(start_us) FILTER (state <> 'awaiting_labels'), max(start_us))"
        " FROM results GROUP BY model, metric"
    )
    where = f"(model, metric, start_us) IN ({newest})"
    return read_results(cursor, where, tail="ORDER BY ALL")


def window_rows(cursor: Cursor, model: int) -> dict[int, WindowRow]:
    """Return the evaluated windows of a model by index."""
    rows = cursor.execute(
        "SELECT idx, revision, labels_complete, coverage IS NOT NULL FROM windows WHERE model = ?", [model]
    ).fetchall()
    return {row[0]: WindowRow(*row) for row in rows}


def revision_of(cursor: Cursor, model: int, index: int) -> int:
    """Return the newest revision of a window; 0 of one that was never evaluated."""
    query = "SELECT revision FROM windows WHERE model = ? AND idx = ?"
    rows = cursor.execute(query, [model, index]).fetchall()
    return int(rows[0][0]) if rows else 0


def write_window(
    cursor: Cursor, model: int, window: Window, row: WindowRow, *, coverage: float | None, now_us: int
) -> None:
    """Record an evaluation of a window inside the caller's transaction; it is clean from then on.

    ``coverage`` is None of one without events.
    """
    cursor.execute("DELETE FROM windows WHERE model = ? AND idx = ?", [model, row.index])
    cursor.execute(
        "INSERT INTO windows VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            model,
            row.index,
            window.start_us,
            window.end_us,
            row.revision,
            row.labels_complete,
            coverage,
            now_us,
        ],
    )
    cursor.execute("DELETE FROM dirty WHERE model = ? AND idx = ?", [model, row.index])


def dirty_windows(cursor: Cursor, model: int) -> dict[int, tuple[bool, bool, bool]]:
    """Return window index -> (new or displaced predictions, new labels, new rows before the window)."""
    query = (
        "SELECT idx, bool_or(features), bool_or(labels), bool_or(NOT features AND NOT labels) FROM dirty"
        " WHERE model = ? GROUP BY idx"
    )
    return {row[0]: (row[1], row[2], row[3]) for row in cursor.execute(query, [model]).fetchall()}


def changes(cursor: Cursor, model: int, results: Iterable[Result]) -> list[Result]:
    """Return the results of which not the same is stored, their revision aside."""
    return [new for new in results if [replace(new, revision=0)] != _stored_as(cursor, model, new)]


def _stored_as(cursor: Cursor, model: int, new: Result) -> list[Result]:
    where = "model = ? AND start_us = ? AND end_us = ? AND metric = ?"
    place = [model, new.window.start_us, new.window.end_us, new.metric]
    return [replace(old, revision=0) for old in read_results(cursor, where, place)]


def rewrite(
    cursor: Cursor, model: int, window: Window, index: int, changed: Sequence[Result], *, now_us: int
) -> None:
    """Replace single metrics of a window as its next revision, inside the caller's transaction.

    With none of them the window is only clean from then on.
    """
    if changed:
        cursor.execute(
            "DELETE FROM results WHERE model = ? AND start_us = ? AND end_us = ? AND metric IN ?",
            [model, window.start_us, window.end_us, [result.metric for result in changed]],
        )
        _insert_results(cursor, model, window, [(result, False) for result in changed])
        cursor.execute(
            "UPDATE windows SET revision = ?, evaluated_us = ? WHERE model = ? AND idx = ?",
            [changed[0].revision, now_us, model, index],
        )
    cursor.execute("DELETE FROM dirty WHERE model = ? AND idx = ?", [model, index])


def read_states(cursor: Cursor, table: str, model: int) -> list[Mapping[str, Any]]:
    """Return the JSON of a model's ``alert_states`` or ``retrain_states``."""
    rows = cursor.execute(f"SELECT state FROM {table} WHERE model = ?", [model]).fetchall()
    return [json.loads(row[0]) for row in rows]


def write_alert_states(
    cursor: Cursor, model: int, states: Mapping[tuple[str, str], Mapping[str, Any]]
) -> None:
    """Write changed alert states, keyed by (alert, series as text), inside the caller's transaction."""
    for (alert, series), state in states.items():
        cursor.execute(
            "DELETE FROM alert_states WHERE model = ? AND alert = ? AND series = ?", [model, alert, series]
        )
        cursor.execute(
            "INSERT INTO alert_states VALUES (?, ?, ?, ?)", [model, alert, series, json.dumps(state)]
        )


def write_retrain_state(cursor: Cursor, model: int, state: Mapping[str, Any]) -> None:
    """Replace a model's retrain state inside the caller's transaction."""
    cursor.execute("DELETE FROM retrain_states WHERE model = ?", [model])
    cursor.execute("INSERT INTO retrain_states VALUES (?, ?)", [model, json.dumps(state)])


def write_transitions(cursor: Cursor, model: int, bodies: Iterable[Mapping[str, Any]], at_us: int) -> None:
    """Append to the history of alert transitions and retrain decisions."""
    for body in bodies:
        cursor.execute(
            "INSERT INTO transitions SELECT coalesce(max(seq), 0) + 1, ?, ?, ? FROM transitions",
            [model, at_us, json.dumps(body)],
        )


def read_transitions(cursor: Cursor) -> list[Mapping[str, Any]]:
    """Return the whole history, oldest first."""
    return [json.loads(r[0]) for r in cursor.execute("SELECT body FROM transitions ORDER BY seq").fetchall()]


def transition_json(one: Transition) -> dict[str, Any]:
    """Return the public JSON form of a transition."""
    from monitor.time import to_rfc3339

    _, version, metric, feature, attribute, group, segment = one.series
    return {
        "kind": "alert", "model": one.model, "alert": one.alert, "severity": one.severity, "version": version,
        "metric": metric, "feature": feature or None, "attribute": attribute or None, "group": group or None,
        "segment": segment or None, "window_start": to_rfc3339(one.window.start_us),
        "window_end": to_rfc3339(one.window.end_us), "before": one.before, "after": one.after,
        "value": one.value, "bound": one.bound, "at": to_rfc3339(one.at_us),
        "silenced": one.silenced,
    }  # fmt: skip
