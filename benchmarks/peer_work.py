"""What one peer does with the reference and the window, timed; run by the Python of the peer's environment.

    PYTHON_OF_THE_PEER benchmarks/peer_work.py "alibi-detect: KS, numeric columns" FOLDER

Imports nothing of this project. The peer gets the rows as a pandas frame in memory, what it can prepare from
the reference alone, and the first thousand rows as a warm-up, before the clock runs. Prints one JSON line.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

Ask = Callable[[Any], object]  # the window's frame -> whatever the peer answers
WORK: dict[str, Callable[[Any], Ask]] = {}  # "distribution: what" -> from the reference's frame
WARM_UP_ROWS = 1000

os.environ |= {"NML_DISABLE_USAGE_LOGGING": "1", "WHYLOGS_NO_ANALYTICS": "True", "DO_NOT_TRACK": "1"}


def work(distribution: str, what: str) -> Callable[[Callable[[Any], Ask]], Callable[[Any], Ask]]:
    def add(prepare: Callable[[Any], Ask]) -> Callable[[Any], Ask]:
        WORK[f"{distribution}: {what}"] = prepare
        return prepare

    return add


def features(frame: Any, kinds: str = "nc") -> Any:
    """Return the feature columns: ``n0 …`` are numeric, ``c0 …`` categorical."""
    return frame[[c for c in frame.columns if c[0] in kinds and c[1:].isdigit()]]


def evidently(reference: Any, **methods: str) -> Ask:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    frame = features(reference)
    definition = DataDefinition(
        numerical_columns=list(features(frame, "n")), categorical_columns=list(features(frame, "c"))
    )
    known = Dataset.from_pandas(frame, data_definition=definition)
    report = Report([DataDriftPreset(**methods)])
    return lambda window: report.run(
        Dataset.from_pandas(features(window), data_definition=definition), known
    ).dict()


@work("evidently", "PSI, all columns")
def evidently_psi(reference: Any) -> Ask:
    return evidently(reference, num_method="psi", cat_method="psi")


@work("evidently", "KS, and PSI of categorical")
def evidently_ks(reference: Any) -> Ask:
    return evidently(reference, num_method="ks", cat_method="psi")


@work("nannyml", "KS and JS, and chi2 of categorical")
def nannyml_drift(reference: Any) -> Ask:
    import nannyml

    frame = features(reference)
    calculator = nannyml.UnivariateDriftCalculator(
        column_names=list(frame),
        continuous_methods=["kolmogorov_smirnov", "jensen_shannon"],
        categorical_methods=["chi2", "jensen_shannon"],
        chunk_number=1,
    ).fit(frame)
    return lambda window: calculator.calculate(features(window)).to_df()


@work("alibi-detect", "KS, numeric columns")
def alibi_detect_ks(reference: Any) -> Ask:
    from alibi_detect.cd import KSDrift

    detector = KSDrift(features(reference, "n").to_numpy())
    return lambda window: detector.predict(features(window, "n").to_numpy(), drift_type="feature")


@work("scipy", "KS, numeric columns")
def scipy_ks(reference: Any) -> Ask:
    from scipy.stats import ks_2samp

    return lambda window: [
        ks_2samp(reference[c].to_numpy(), window[c].to_numpy(), method="asymp") for c in features(window, "n")
    ]


@work("whylogs", "profile of all columns")
def whylogs_profile(reference: Any) -> Ask:
    import whylogs

    return lambda window: whylogs.log(pandas=features(window)).view().to_pandas()


@work("fairlearn", "4 rates by group of 2 attributes")
def fairlearn_frames(reference: Any) -> Ask:
    from fairlearn import metrics as fair
    from sklearn.metrics import accuracy_score

    rates = {
        "selection_rate": fair.selection_rate,
        "tpr": fair.true_positive_rate,
        "fpr": fair.false_positive_rate,
        "accuracy": accuracy_score,
    }

    def ask(window: Any) -> list[object]:
        truth, prediction = window["label"].astype(int), window["prediction"].astype(int)
        found: list[object] = []
        for attribute in ("sex", "region"):
            frame = fair.MetricFrame(
                metrics=rates, y_true=truth, y_pred=prediction, sensitive_features=window[attribute]
            )
            found += [frame.difference(), frame.ratio()]
        return found

    return ask


def main() -> None:
    import pandas as pd

    name, folder = sys.argv[1], Path(sys.argv[2])
    warnings.simplefilter("ignore")
    ask = WORK[name](pd.read_parquet(folder / "reference.parquet"))
    window = pd.read_parquet(folder / "window.parquet")
    ask(window.head(WARM_UP_ROWS))
    started, cpu = time.perf_counter(), time.process_time()
    ask(window)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {
                "seconds": seconds,
                "cpu_seconds": cpu,
                "peak_mb": peak_mb,
                "version": version(name.partition(":")[0]),
            }
        )
    )


if __name__ == "__main__":
    main()
