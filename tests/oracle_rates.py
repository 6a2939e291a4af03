"""The oracle's rates: performance and fairness of rows, by scikit-learn and fairlearn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate
from scipy import stats
from sklearn import metrics as sk

EXACT, SUMS = 1e-12, 1e-9  # ratios of counts (what remains is one rounding), and floating-point sums


@dataclass(frozen=True)
class Expected:
    """A number, how far off it may be, and the rows it rests on (None: not said)."""

    value: float
    within: float = EXACT
    n: int | None = None


# ---- performance ---------------------------------------------------------------------------------


def performance(part: pd.DataFrame) -> Iterator[tuple[str, Expected]]:
    labelled = part[part["label"].notna()]
    yield "label_coverage", Expected(len(labelled) / len(part), n=len(part))
    if not len(labelled):
        return
    n = len(labelled)
    truth, said = labelled["label"].eq("1").to_numpy(), labelled["prediction"].eq("1").to_numpy()
    score = labelled["score"].to_numpy()
    counted: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
        "accuracy": sk.accuracy_score, "precision": sk.precision_score, "recall": sk.recall_score,
        "f1": sk.f1_score, "balanced_accuracy": sk.balanced_accuracy_score,
    }  # fmt: skip
    for name, function in counted.items():
        yield name, Expected(float(function(truth, said)), n=n)
    yield "mcc", Expected(float(sk.matthews_corrcoef(truth, said)), SUMS)
    yield "cohen_kappa", Expected(float(sk.cohen_kappa_score(truth, said)), SUMS)
    yield "baseline_accuracy", Expected(max(truth.mean(), 1 - truth.mean()))
    # histograms: pairs within one of 4,096 cells count as ties, an error of about 0.02 / n (one sigma)
    yield "roc_auc", Expected(float(sk.roc_auc_score(truth, score)), max(1e-6, 0.1 / n), n=n)
    yield "average_precision", Expected(float(sk.average_precision_score(truth, score)), max(1e-4, 1 / n))
    yield "log_loss", Expected(float(sk.log_loss(truth, score)), SUMS, n=n)
    yield "brier_score", Expected(float(sk.brier_score_loss(truth, score)), SUMS, n=n)
    yield "calibration_error", Expected(_calibration_error(truth, score), max(2e-3, 5 / n))


def _calibration_error(truth: np.ndarray, score: np.ndarray) -> float:
    place = stats.rankdata(score) - 0.5  # equal scores share the middle of their ranks, hence a bin
    bins = np.minimum((place * 10 / len(score)).astype(int), 9)
    frame = pd.DataFrame({"bin": bins, "truth": truth, "score": score}).groupby("bin")
    gaps = (frame["truth"].mean() - frame["score"].mean()).abs()
    return float((gaps * frame.size()).sum() / len(score))


# ---- fairness ------------------------------------------------------------------------------------

RATES = {"tpr": true_positive_rate, "fpr": false_positive_rate, "accuracy": sk.accuracy_score,
         "precision": sk.precision_score}  # fmt: skip
GAPS = {"selection_rate": "demographic_parity", "tpr": "equal_opportunity", "fpr": "false_positive_rate",
        "precision": "predictive_parity", "accuracy": "accuracy_parity"}  # fmt: skip


def fairness(
    part: pd.DataFrame, attribute: tuple[str, ...], min_group_size: int
) -> Iterator[tuple[str, str, Expected]]:
    part = part.dropna(subset=list(attribute))
    group = part[attribute[0]].astype(str)
    for name in attribute[1:]:
        group = group + "|" + part[name].astype(str)
    has_label = part["label"].notna()
    for name, rows in part.groupby(group):
        yield "group_count", name, Expected(len(rows), n=len(rows))
        yield "group_label_coverage", name, Expected(float(rows["label"].notna().mean()), n=len(rows))
        if len(rows) >= min_group_size:
            yield "group_mean_score", name, Expected(float(rows["score"].mean()), SUMS, n=len(rows))
    yield from _gaps(part, group, {"selection_rate": selection_rate}, min_group_size)
    yield from _gaps(part[has_label], group[has_label], RATES, min_group_size)


def _gaps(
    rows: pd.DataFrame, group: pd.Series, rates: Mapping[str, Callable[..., float]], min_group_size: int
) -> Iterator[tuple[str, str, Expected]]:
    sizes = group.value_counts()
    keep = group.isin(sizes[sizes >= min_group_size].index)
    rows, group = rows[keep], group[keep]
    if not len(rows):
        return
    truth, said = rows["label"].eq("1").astype(int), rows["prediction"].eq("1").astype(int)
    frame = MetricFrame(metrics=dict(rates), y_true=truth, y_pred=said, sensitive_features=group)
    for rate in rates:
        for name, value in frame.by_group[rate].items():
            yield f"group_{rate}", str(name), Expected(float(value))
            if rate == "tpr":
                yield "group_fnr", str(name), Expected(1 - float(value))
    if group.nunique() < 2:
        return
    difference, ratio = frame.difference(), frame.ratio()
    for rate in rates:
        yield f"{GAPS[rate]}_difference", "", Expected(float(difference[rate]))
        yield f"{GAPS[rate]}_ratio", "", Expected(float(ratio[rate]))
    if "tpr" in rates:
        odds = max(difference["tpr"], difference["fpr"]), min(ratio["tpr"], ratio["fpr"])
        yield "equalized_odds_difference", "", Expected(float(odds[0]))
        yield "equalized_odds_ratio", "", Expected(float(odds[1]))
    else:
        yield "disparate_impact", "", Expected(float(ratio["selection_rate"]))
