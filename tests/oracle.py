"""A batch oracle: every number from the raw events, by pandas, scipy, scikit-learn and fairlearn on rows.

Nothing of the monitor is used here, and nothing is incremental: parse all, keep the first of each id in log
order, take each id's latest label, cut into windows, and call the libraries on the rows.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from chance_by_hand import limit
from oracle_rates import EXACT, SUMS, Expected, fairness, performance
from scipy import stats
from scipy.spatial.distance import jensenshannon

HOUR_US = 3_600_000_000
LIMITS = 2e-3  # the monitor looks at some of the counts that a full bin can have, not all
# What may have a value that the oracle does not: facts that depend on when one looks, and tests whose
# approximation (pooled cells, cut points) the oracle does not share; where it does, it still compares.
UNCHECKED = {"staleness_seconds", "late_ratio", "duplicate_ratio", "conflict_ratio", "row_count_ratio",
             "drifted_share", "segments_left_out", "unexpected_fields", "missing_fields",
             "chi2_pvalue", "cramers_v", "ks_pvalue"}  # fmt: skip
Key = tuple[
    str, str, str, str, str, str, str
]  # window start, version, metric, feature, attribute, group, segment


@dataclass(frozen=True)
class Model:
    """What is monitored: names of the columns by their use."""

    numeric: Sequence[str]
    categorical: Sequence[str]
    sensitive: Sequence[tuple[str, ...]]
    segment: str
    min_group_size: int = 20
    bins: int = 10
    alpha: float = 0.01
    size_us: int = HOUR_US
    every_us: int = HOUR_US


def oracle(
    predictions: Sequence[Sequence[bytes]],
    feedback: Sequence[Sequence[bytes]],
    reference: pd.DataFrame,
    model: Model,
) -> dict[Key, Expected]:
    """Return every expected number by its key."""
    rows = joined(predictions, feedback, model)
    answers: dict[Key, Expected] = {}
    first, last = int(rows["us"].min()), int(rows["us"].max())
    start = (first - model.size_us) // model.every_us * model.every_us + model.every_us
    for at in range(start, last + 1, model.every_us):
        window = rows[(rows["us"] >= at) & (rows["us"] < at + model.size_us)]
        if len(window):
            moment = pd.Timestamp(at, unit="us").isoformat() + "Z"
            for key, expected in _window(window, reference, model):
                answers[(moment, *key)] = expected
    return answers


def joined(
    predictions: Sequence[Sequence[bytes]], feedback: Sequence[Sequence[bytes]], model: Model
) -> pd.DataFrame:
    """Return one row for each distinct prediction with its final label (None where there is none)."""
    frame = pd.concat(
        [_frame(part[i : i + 50_000]) for part in predictions for i in range(0, len(part), 50_000)]
    )
    frame = frame.drop_duplicates("id", keep="first")  # partitions and offsets ascend: log order
    said = [
        (event["event_id"], pd.Timestamp(event["timestamp"]).value // 1000, event["label"])
        for part in feedback
        for event in map(json.loads, part)
    ]
    labels = pd.DataFrame(said, columns=["id", "label_us", "label"])
    labels = labels.sort_values("label_us", kind="stable").drop_duplicates("id", keep="last")
    frame = frame.merge(labels, on="id", how="left")
    moments = pd.to_datetime(frame["timestamp"], format="ISO8601")
    frame["us"] = moments.astype("datetime64[us, UTC]").astype("int64")
    from_score = np.where(frame["score"] >= 0.5, "1", "0")
    frame["prediction"] = frame["prediction"].where(frame["prediction"].notna(), from_score)
    for name in model.numeric:
        values = frame[name]
        wrong = values.map(lambda v: isinstance(v, str))
        frame[f"{name}:wrong"], frame[name] = wrong, pd.to_numeric(values.where(~wrong), errors="raise")
    return frame


def _frame(values: Sequence[bytes]) -> pd.DataFrame:
    """Return one row for each value; in pieces, so that a million parsed events are never held at once."""
    return pd.DataFrame([_flat(event) for event in map(json.loads, values)])


def _flat(event: dict) -> dict:
    named = {"id": event["event_id"], "version": event["version"], "timestamp": event["timestamp"]}
    return named | {
        "prediction": event.get("prediction"), "score": event["score"], **event["features"],
        **event["segments"],
    }  # fmt: skip


def _window(
    window: pd.DataFrame, reference: pd.DataFrame, model: Model
) -> Iterator[tuple[tuple[str, ...], Expected]]:
    versions = sorted(window["version"].unique())
    slices = [("*", "", window)]
    slices += [(v, "", window[window["version"] == v]) for v in versions if len(versions) > 1]
    for segment in filter(None, [model.segment]):
        slices += [("*", f"{segment}={v}", part) for v, part in window.groupby(segment, dropna=True)]
    for version, name, part in slices:
        own = reference[reference[model.segment] == name.partition("=")[2]] if name else reference
        for metric, feature, expected in _columns(part, own, model, points=256 if name else 1024):
            yield (version, metric, feature, "", "", name), expected
        for metric, expected in performance(part):
            yield (version, metric, "", "", "", name), expected
        for attribute in model.sensitive:
            for metric, group, expected in fairness(part, attribute, model.min_group_size):
                yield (version, metric, "", "|".join(attribute), group, name), expected
    labelled = window[window["label"].notna()]
    delay = np.quantile(labelled["label_us"] - labelled["us"], 0.5, method="inverted_cdf") / 1e6
    yield ("*", "label_delay_seconds", "", "", "", ""), Expected(float(delay))
    yield ("*", "row_count", "", "", "", ""), Expected(len(window))


# ---- columns -------------------------------------------------------------------------------------


def _columns(
    part: pd.DataFrame, reference: pd.DataFrame, model: Model, points: int
) -> Iterator[tuple[str, str, Expected]]:
    for name in model.numeric:
        yield from ((m, name, e) for m, e in _numeric(reference[name], part[name], model, points))
        yield "type_mismatch_ratio", name, Expected(float(part[f"{name}:wrong"].mean()), n=len(part))
    for name in model.categorical:
        yield from ((m, name, e) for m, e in _categorical(reference[name], part[name], model))
        yield "type_mismatch_ratio", name, Expected(0.0, n=len(part))
    labels = part["label"].dropna()
    quality = {"missing_ratio", "new_category_ratio", "out_of_range_ratio", "constant"}
    for prefix, found in (
        ("score_", _numeric(reference["score"], part["score"], model, points)),
        ("prediction_", _categorical(reference["prediction"], part["prediction"], model)),
        ("label_", _categorical(reference["label"], labels, model)),
    ):
        yield from ((prefix + m, "", e) for m, e in found if m not in quality)


def _numeric(
    reference: pd.Series, current: pd.Series, model: Model, points: int
) -> Iterator[tuple[str, Expected]]:
    before, now, n = reference.dropna().to_numpy(), current.dropna().to_numpy(float), len(current)
    p, q = numeric_bins(before, now, model.bins, points)
    p, q = np.append(p, len(reference) - len(before)), np.append(q, n - len(now))
    yield from _binned(p, q, model)
    few = len(np.unique(before)) <= points
    test = stats.ks_2samp(before, now, method="asymp")
    yield "ks_statistic", Expected(test.statistic, EXACT if few else 1 / (points - 1), n=len(now))
    if few:
        large = len(before) * len(now) / (len(before) + len(now)) > 9_999  # there the corrected limit is used
        yield "ks_pvalue", Expected(test.pvalue, 2e-6 if large else SUMS)
    distance = stats.wasserstein_distance(before, now) / before.std()
    same = few and np.isin(now, before).all()
    # exact at cut points, straight lines between them: coarse ones where they are few
    yield (
        "wasserstein",
        Expected(distance, SUMS if same else 2e-2 if few else max(4.0 / points, distance / 50)),
    )
    outside = (now < before.min()) | (now > before.max())
    yield "out_of_range_ratio", Expected(float(outside.mean()), n=len(now))
    yield "missing_ratio", Expected(1 - len(now) / n if len(now) < n else 0.0, n=n)
    yield "constant", Expected(float(now.min() == now.max()))


def _categorical(reference: pd.Series, current: pd.Series, model: Model) -> Iterator[tuple[str, Expected]]:
    before, now, n = reference.dropna(), current.dropna(), len(current)
    known = before.value_counts()
    seen = now[now.isin(known.index)].value_counts().reindex(known.index, fill_value=0)
    unseen = len(now) - int(seen.sum())
    p = np.append(known.to_numpy(), [0, len(reference) - len(before)])
    q = np.append(seen.to_numpy(), [unseen, n - len(now)])
    yield from _binned(p, q, model)
    yield "l_infinity", Expected(float(np.abs(q / q.sum() - p / p.sum()).max()), n=n)
    table = np.stack([p[:-1], q[:-1]])
    table = table[:, table.sum(0) > 0]
    chi2 = stats.chi2_contingency(table, correction=False)
    if (
        table.shape[1] > 1 and chi2.expected_freq.min() >= 5
    ):  # below that cells are pooled; tested by the metric's own tests
        yield "chi2_pvalue", Expected(chi2.pvalue, SUMS)
        yield "cramers_v", Expected(stats.contingency.association(table, "cramer", correction=False), SUMS)
    yield "new_category_ratio", Expected(unseen / len(now), n=len(now))
    yield "missing_ratio", Expected(1 - len(now) / n if len(now) < n else 0.0, n=n)
    if len(known) > 1:
        yield "constant", Expected(float(now.nunique() == 1))


def numeric_bins(
    reference: np.ndarray, current: np.ndarray, bins: int, most: int = 1024
) -> tuple[np.ndarray, np.ndarray]:
    """Count both sides in the reference's deciles, right-closed; a value of two deciles stands alone."""
    ordered = np.sort(reference)
    points = np.unique(ordered)
    if len(points) > most:
        points = np.unique(ordered[np.arange(most) * (len(ordered) - 1) // (most - 1)])
    share = np.searchsorted(ordered, points, side="right")
    edges = [points[np.argmax(share * bins >= k * len(ordered))] for k in range(1, bins)]
    found = pd.Series(edges).value_counts()
    limits = {e: [np.nextafter(e, -np.inf), e] if n > 1 else [e] for e, n in found.items()}
    cuts = [-np.inf, *sorted(c for some in limits.values() for c in some), np.inf]
    first, second = (
        pd.Series(pd.cut(side, cuts)).value_counts(sort=False).to_numpy() for side in (reference, current)
    )
    held = first + second > 0
    return first[held], second[held]


def _binned(p: np.ndarray, q: np.ndarray, model: Model) -> Iterator[tuple[str, Expected]]:
    held = p + q > 0
    p, q = p[held], q[held]
    a, b = (p + 0.5) / (p + 0.5).sum(), (q + 0.5) / (q + 0.5).sum()
    yield "psi", Expected(math.fsum((b - a) * np.log(b / a)), EXACT, n=int(q.sum()))
    yield "psi_critical", Expected(limit(p, q, model.alpha), LIMITS)
    yield "js_distance", Expected(float(jensenshannon(p, q, base=2)), SUMS)
    root = np.linalg.norm(np.sqrt(p / p.sum()) - np.sqrt(q / q.sum())) / math.sqrt(2)
    yield "hellinger", Expected(float(root), SUMS)


# ---- comparison ----------------------------------------------------------------------------------


def differences(results: Sequence[Mapping], expected: Mapping[Key, Expected]) -> list[str]:
    """Compare result rows (their JSON form) with the oracle; return a sentence for each disagreement.

    A number missing on either side is a disagreement too, :data:`UNCHECKED` metrics excepted.
    """
    got: dict[Key, Mapping] = {}
    wrong: list[str] = []
    for row in results:
        named = (row[k] or "" for k in ("version", "metric", "feature", "attribute", "group", "segment"))
        key: Key = (row["window_start"], *named)
        if key in got:
            wrong.append(f"{key}: twice")
        got[key] = row
    for key, want in expected.items():
        row = got.get(key)
        if row is None or row["state"] != "ok":
            wrong.append(f"{key}: {row and row['state']}, expected {want.value}")
        elif not math.isclose(row["value"], want.value, rel_tol=EXACT, abs_tol=want.within):
            wrong.append(f"{key}: {row['value']}, expected {want.value} within {want.within}")
        elif want.n is not None and row["n"] != want.n:
            wrong.append(f"{key}: n {row['n']}, expected {want.n}")
    held = {key[0] for key in expected}  # a window without events may be asked, and says that it has none
    wrong += [
        f"{key}: {row['value']}, nothing expected"
        for key, row in got.items()
        if row["state"] == "ok" and key not in expected and not key[2].endswith(tuple(UNCHECKED))
        if not (key[2] == "row_count" and key[0] not in held and row["value"] == 0)
    ]
    return wrong
