"""The employment example: census data, a model trained on it, and a dated story of what happens to it later.

Is a person employed? The model has never seen what happens after its training: from one day on an upstream
system writes ``schooling`` in an older code list, and a week later half of the women who had work lose it.
Everything is a function of the start and a seed, so that files, Kafka and a test can be told the same.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitor.time import DAY_US, HOUR_US

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

HERE = Path(__file__).parent
MODEL = "model.joblib"
QUALITY = "      quality: {}\n"
EXPLAIN = """\
      explain:                                  # what predictions rest on, by the model itself
        model:
          kind: sklearn-joblib
          path: model.joblib
          sha256: "{sha256}"
          allow_pickle: true                    # we wrote it ourselves, and the digest says it is that file
"""
FEATURES = (
    "age", "schooling", "marital_status", "relationship", "disability", "parents_employment", "citizenship",
    "moved", "military", "ancestry", "nativity", "hearing_difficulty", "vision_difficulty",
    "cognitive_difficulty",
)  # fmt: skip
DAYS, PAST_DAYS, ROWS_PER_DAY = 24, 21, 2_500
RECODE_DAY, CHANGE_DAY = 7, 14
LABELLED = 0.92  # share of people whose answer ever comes
LABEL_DELAY_HOURS = (4, 20)
LOST_WORK = 0.5  # share of the women with work who lose it
# The code list of 1999 to 2007 by the one that followed: no grade of its own up to 8, no GED, and so on.
OLD_SCHOOLING = (0, 1, 2, 2, 2, 2, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 9, 9, 10, 11, 12, 13, 14, 15, 16)


@dataclass(frozen=True, slots=True)
class Story:
    """Predictions and labels of 24 days, each a JSON line with the moment at which it is written.

    ``start_us`` is a midnight (UTC). From ``recode_us`` on ``schooling`` is recoded, from ``change_us`` on
    outcomes differ; both are midnights. ``times_us`` are in order and match ``lines``.
    """

    start_us: int
    prediction_times_us: Sequence[int]
    predictions: Sequence[str]
    label_times_us: Sequence[int]
    labels: Sequence[str]

    @property
    def recode_us(self) -> int:
        """Moment of the recoded feature."""
        return self.start_us + RECODE_DAY * DAY_US

    @property
    def change_us(self) -> int:
        """Moment from which outcomes differ."""
        return self.start_us + CHANGE_DAY * DAY_US

    def between(self, after_us: int, upto_us: int) -> tuple[Sequence[str], Sequence[str]]:
        """Return the prediction and label lines of ``(after_us, upto_us]``."""
        found = []
        for times, lines in (
            (self.prediction_times_us, self.predictions),
            (self.label_times_us, self.labels),
        ):
            found.append(lines[bisect_right(times, after_us) : bisect_right(times, upto_us)])
        return found[0], found[1]


def start_of(now_us: int) -> int:
    """Return the midnight at which a story starts that is to catch up with ``now_us``."""
    return now_us // DAY_US * DAY_US - PAST_DAYS * DAY_US


def people(part: str) -> pd.DataFrame:
    """Return the rows of ``train``, ``reference`` or ``stream``."""
    import pandas as pd

    rows = pd.read_parquet(HERE / "people.parquet")
    return rows[rows["part"] == part].drop(columns="part").reset_index(drop=True)


def train(seed: int = 0) -> Any:
    """Train a gradient-boosted classifier on the training rows; takes about a second."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    rows = people("train")
    return HistGradientBoostingClassifier(random_state=seed).fit(_matrix(rows), rows["employed"])


def prepare(folder: Path, model: Any) -> None:
    """Write ``model.joblib``, and ``reference.parquet``: scored and labelled rows not used in training."""
    import joblib

    joblib.dump(model, folder / MODEL)
    rows = people("reference")
    rows["score"] = _scores(model, rows)
    rows["prediction"] = (rows["score"] >= 0.5).astype(int)
    rows.to_parquet(folder / "reference.parquet", index=False)


def write_config(folder: Path, *, listen: str, receiver: str) -> Path:
    """Write ``quickstart.yaml`` with the addresses and the prepared model put in; return its path."""
    target = folder / "quickstart.yaml"
    shutil.copy(HERE / "quickstart.yaml", target)
    text = target.read_text(encoding="utf-8")
    text = text.replace("127.0.0.1:9108", listen).replace("http://127.0.0.1:9109/", receiver)
    digest = hashlib.sha256((folder / MODEL).read_bytes()).hexdigest()
    text = text.replace(QUALITY, QUALITY + EXPLAIN.format(sha256=digest))
    target.write_text(text, encoding="utf-8")
    return target


def story(model: Any, start_us: int, *, seed: int = 0) -> Story:
    """Tell the story from the midnight ``start_us`` on; ``seed`` chooses who comes when."""
    import numpy as np

    rng = np.random.default_rng(seed)
    rows = people("stream").sample(DAYS * ROWS_PER_DAY, random_state=seed, ignore_index=True)
    moments = np.sort(rng.integers(0, DAY_US, (DAYS, ROWS_PER_DAY)), axis=1)
    at_us = (start_us + np.arange(DAYS)[:, None] * DAY_US + moments).ravel()
    recoded = at_us >= start_us + RECODE_DAY * DAY_US
    rows.loc[recoded, "schooling"] = np.asarray(OLD_SCHOOLING, np.int8)[rows["schooling"][recoded]]
    scores = _scores(model, rows)
    changed = (at_us >= start_us + CHANGE_DAY * DAY_US) & (rows["sex"] == "female").to_numpy()
    truth = rows["employed"].to_numpy() * ~(changed & (rng.random(len(rows)) < LOST_WORK))
    label_us = at_us + rng.integers(LABEL_DELAY_HOURS[0] * HOUR_US, LABEL_DELAY_HOURS[1] * HOUR_US, len(rows))
    order = np.argsort(label_us, kind="stable")
    order = order[rng.random(len(rows)) < LABELLED]
    ids = [f"p-{start_us // DAY_US}-{i}" for i in range(len(rows))]
    times = _rfc3339(label_us)
    labels = [
        json.dumps({"event_id": ids[i], "timestamp": times[i], "label": str(truth[i])})
        for i in order.tolist()
    ]
    predictions = _prediction_lines(rows, ids, _rfc3339(at_us), scores)
    return Story(start_us, at_us.tolist(), predictions, label_us[order].tolist(), labels)


def _prediction_lines(
    rows: pd.DataFrame, ids: list[str], times: list[str], scores: npt.NDArray[np.float64]
) -> list[str]:
    features = rows[list(FEATURES)].to_dict("records")
    segments = rows[["sex", "race"]].to_dict("records")
    return [
        json.dumps(
            {
                "event_id": ids[i],
                "version": "1",
                "timestamp": times[i],
                "features": features[i],
                "prediction": str(int(score >= 0.5)),
                "score": round(score, 6),
                "segments": segments[i],
            }
        )
        for i, score in enumerate(scores.tolist())
    ]


def _rfc3339(times_us: npt.NDArray[np.int64]) -> list[str]:
    import numpy as np

    texts: list[str] = np.datetime_as_string(times_us.astype("datetime64[us]"), unit="us").tolist()
    return [f"{text}Z" for text in texts]


def _matrix(rows: pd.DataFrame) -> npt.NDArray[np.float64]:
    return rows[list(FEATURES)].to_numpy(dtype=float)


def _scores(model: Any, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
    scores: npt.NDArray[np.float64] = model.predict_proba(_matrix(rows))[:, 1]
    return scores
