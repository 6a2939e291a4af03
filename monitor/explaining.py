"""From an explainer to what evaluation takes: which rows it is asked about, and what becomes of the answer.

An explainer is code of others in a process of its own: it may be slow, wrong or gone. Whatever it does ends
here as a reason in words.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from monitor.attributions import NO_REFERENCE, Attributed
from monitor.decode.columns import attribution_column
from monitor.engine.attributions import (
    INPUTS,
    KEY,
    MAX_OUTPUTS,
    input_columns,
    logged_outputs,
    output_sql,
    stacked,
)
from monitor.engine.duckdb import Slice, WindowQuery
from monitor.engine.slices import slices
from monitor.errors import ExplainError
from monitor.explain import Explained, Explainer
from monitor.reference.data import Compared, Reference
from monitor.store.explained import KEPT_ROWS, ExplainedRows, read_reference, write_reference
from monitor.store.store import Store
from monitor.summaries.attributions import AttributionSummary, spread_keys
from monitor.types import ALL_VERSIONS, ModelSpec

DEADLINE_S = 60.0
SLICE_ROWS = 100  # of each version and segment at least, if it has them
LABEL = "row\x1f"  # the column of hashes, beside those of the features
Keys = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Explanation:
    """What explanation metrics of a window rest on, and the rows to keep for pictures."""

    attributed: Attributed | None = None
    rows: ExplainedRows | None = None


def explain_window(
    query: WindowQuery,
    compared: Compared,
    explainer: Explainer | None,
    store: Store,
    *,
    now_us: int,
    deadline_s: float = DEADLINE_S,
) -> Explanation:
    """Explain a sample of a window by the model, or take a sample of what its events say.

    Parameters
    ----------
    query, compared
        The window, and what it is compared with; a reference's rows are explained once and remembered.
    explainer
        None: no model; the events carry their attributions, all of which the evaluation reads itself.
    now_us
        The time, to be kept with what is remembered.
    deadline_s
        Of each request to the explainer.
    """
    spec = query.spec
    if spec.checks.logged_attributions:
        return Explanation(rows=_logged_rows(query))
    if explainer is None:
        return Explanation(Attributed(failure="no explainer was given for checks.explain.model"))
    try:
        wanted, rows = _rows_to_explain(query, compared)
        if not rows.num_rows:
            none = AttributionSummary.zero(tuple(spec.features), ("",))
            return Explanation(Attributed(dict.fromkeys(wanted, none)))
        keys: Keys = rows[LABEL].to_numpy()
        given = rows.drop_columns([LABEL])
        explained = _cut(explainer.explain(given, deadline_s=deadline_s))
        own = {part.version for part in wanted} & set(compared.versions)
        known = {
            version: _reference(query, compared.of(version), explainer, store, now_us, deadline_s)
            for version in sorted({ALL_VERSIONS, *own})
        }
    except ExplainError as error:
        return Explanation(Attributed(failure=str(error)))
    names = output_names(spec, explained)
    answered = keys[: len(explained.values)]
    summaries = {}
    for part, some in wanted.items():
        held = np.isin(answered, some)
        summaries[part] = AttributionSummary.lift(
            answered[held], explained.values[held], features=explained.features, outputs=names
        )
    whole = np.isin(answered, wanted[Slice()])
    kept = ExplainedRows(
        given.slice(0, len(answered)).filter(pa.array(whole)), explained.values[whole], explained.features,
        names, explained.units,
    )  # fmt: skip
    return Explanation(Attributed(summaries, known), kept)


def output_names(spec: ModelSpec, explained: Explained) -> tuple[str, ...]:
    """Return the classes of an explanation; the one output of other models has no name."""
    return explained.outputs if spec.task == "multiclass" else ("",)


def _cut(explained: Explained) -> Explained:
    """Return the explanation of the first classes, if there are many."""
    if len(explained.outputs) <= MAX_OUTPUTS:
        return explained
    values, base, scores = (a[:, :MAX_OUTPUTS] for a in (explained.values, explained.base, explained.scores))
    outputs = explained.outputs[:MAX_OUTPUTS]
    return replace(explained, values=values, base=base, scores=scores, outputs=outputs)


def _rows_to_explain(query: WindowQuery, compared: Compared) -> tuple[dict[Slice, Keys], pa.Table]:
    """Return the hashes of each slice's rows, and all rows to explain, those of the whole window first.

    The rows of a slice are those of its rows with the smallest hashes: as many as are among the window's own,
    at least :data:`SLICE_ROWS`.
    """
    spec = query.spec
    columns = {LABEL: KEY, **input_columns(spec)}
    rows = query.sample(Slice(), columns, spec.checks.explain_sample)
    wanted: dict[Slice, Keys] = {Slice(): rows[LABEL].to_numpy()}
    tables, have = [rows], wanted[Slice()]
    for part in slices(query, own=compared.versions):
        if part == Slice():
            continue
        keys: Keys = query.sample(part, {LABEL: KEY}, spec.checks.explain_sample)[LABEL].to_numpy()
        shared = int(np.isin(keys, wanted[Slice()]).sum())
        wanted[part] = keys[: max(shared, min(SLICE_ROWS, spec.checks.explain_sample))]
        if len(wanted[part]) > shared:
            more = query.sample(part, columns, len(wanted[part]))
            more = more.filter(pa.array(~np.isin(more[LABEL].to_numpy(), have)))
            tables.append(more)
            have = np.concatenate([have, more[LABEL].to_numpy()])
    return wanted, pa.concat_tables(tables)


def _reference(
    query: WindowQuery,
    reference: Reference | None,
    explainer: Explainer,
    store: Store,
    now_us: int,
    deadline_s: float,
) -> AttributionSummary | str:
    """Return the attributions of the reference's sample of rows, or why there are none."""
    spec = query.spec
    if reference is None:
        return NO_REFERENCE
    names = [name for name, kind in spec.features.items() if kind in INPUTS]
    if reference.sample is None or not reference.sample.num_rows:
        return "the reference keeps no sample of rows"
    rows = reference.sample.select(names).slice(0, spec.checks.explain_sample)
    settings = repr((reference.id, explainer.key, rows.num_rows, names)).encode()
    key = hashlib.sha256(settings).hexdigest()
    found = read_reference(query.cursor, query.model, key)
    if found is not None:
        return AttributionSummary.from_bytes(found)
    explained = _cut(explainer.explain(rows, deadline_s=deadline_s))
    keys = spread_keys(len(explained.values))  # in the order of a hash, which is random
    summary = AttributionSummary.lift(
        keys, explained.values, features=explained.features, outputs=output_names(spec, explained)
    )
    if len(keys) == rows.num_rows:  # with more time there would be more
        with store.write(query.cursor):
            write_reference(query.cursor, query.model, key, summary.to_bytes(), now_us=now_us)
    return summary


def _logged_rows(query: WindowQuery) -> ExplainedRows:
    """Return a sample of the window's rows with what they say of attributions, for pictures."""
    outputs, names = logged_outputs(query, Slice()), tuple(query.spec.features)
    logged = {f"{o}\x1f{n}": output_sql(attribution_column(n), o) for o in outputs for n in names}
    columns = {f" {n}": sql for n, sql in input_columns(query.spec).items()}
    rows = query.sample(Slice(), {LABEL: KEY, **logged, **columns}, KEPT_ROWS)
    values = stacked(rows, len(outputs), len(names))
    held = np.isfinite(values).any(axis=(1, 2))
    shown = rows.select(list(columns)).rename_columns([name[1:] for name in columns])
    return ExplainedRows(shown.filter(pa.array(held)), values[held], names, outputs)
