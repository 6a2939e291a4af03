"""What each series is on the reference itself: the same evaluation, asked of the reference's own rows.

The reference is cut into about 20 chunks of equal numbers of rows, in the order of time (of a file without
times: in its own order), and each is evaluated as if it were a window. So every metric of the checks that are
on has its mean and spread without a second implementation, and the spread is that between stretches of time,
which is what a window differs by when nothing is wrong. Rows that were shuffled show the noise of sampling
alone; rows that were sorted by anything but time show that order.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from dataclasses import replace

from monitor.engine.duckdb import WindowQuery
from monitor.engine.rows import quantiles
from monitor.evaluate import evaluate
from monitor.metrics import find
from monitor.reference.data import Reference
from monitor.types import ALL_VERSIONS, Baseline, BaselineKey, Result, Window

CHUNKS = 20
LEAST_ROWS = 100  # of a chunk; a smaller reference is cut into fewer
COUNTS = ("window", "quality")  # what is counted about a window, not about its rows


def baselines(query: WindowQuery, reference: Reference) -> dict[BaselineKey, Baseline]:
    """Return the baseline of every series that has a value on a chunk of the reference or on the whole.

    Left out is what says nothing about the rows: their number, what the stream did to them, and how many
    have labels. Multivariate drift is left out too; it is judged by its own critical value.

    Parameters
    ----------
    query
        The reference's rows.
    reference
        The profile of the same rows.
    """
    own = {name: vocabulary.without_one() for name, vocabulary in reference.vocabularies.items()}
    reference = replace(reference, vocabularies=own)
    spec = replace(query.spec, checks=replace(query.spec.checks, multivariate=False))
    windows = chunks(query)
    values: dict[BaselineKey, list[float]] = defaultdict(list)
    for window in windows:
        for key, value in _values(query.at(window, spec), reference).items():
            values[key].append(value)
    whole = _values(query.at(query.window, spec), reference)
    rows = query.count() // max(len(windows), 1)
    return {key: _baseline(key, values[key], whole.get(key), rows) for key in sorted({*values, *whole})}


def chunks(query: WindowQuery) -> list[Window]:
    """Cut the query's window into 20 of equal numbers of rows, fewer when these would be below 100 rows.

    Rows of one moment stay together, so the numbers are equal only where times differ.
    """
    count = min(CHUNKS, query.count() // LEAST_ROWS)
    edges = sorted({*quantiles(query, count), query.window.end_us}) if count > 1 else []
    return [Window(a, b) for a, b in zip([query.window.start_us, *edges], edges, strict=False) if a < b]


def _values(query: WindowQuery, reference: Reference) -> dict[BaselineKey, float]:
    found = evaluate(query, reference, has_feedback="label" in reference.targets)
    return {_key(r): r.value for r in found.results if r.value is not None and _about_rows(r)}


def _key(result: Result) -> BaselineKey:
    return (result.metric, *result.series[3:])


def _about_rows(result: Result) -> bool:
    metric = find(result.metric)
    counts = metric.counts_labels or metric.unit == "rows" or (metric.subject, metric.check) == COUNTS
    return result.version == ALL_VERSIONS and not counts


def _baseline(key: BaselineKey, values: list[float], whole: float | None, rows: int) -> Baseline:
    entry = find(key[0])
    drift = entry.check == "drift" or entry.subject == "explanation"  # against itself it means nothing
    mean = statistics.fmean(values) if values else None
    sd = math.sqrt(statistics.variance(values)) if len(values) > 1 else None
    return Baseline(None if drift else whole, mean, sd, len(values), rows)
