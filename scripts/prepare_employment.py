"""Make the demonstration's data from NannyML's packaging of the American Community Survey (run by hand).

    python scripts/prepare_employment.py FOLDER_WITH_THE_NANNYML_FILES

The source files are ``employment_MA_reference.pq``, ``employment_MA_analysis.pq`` and
``employment_MA_analysis_target.pq``. The output is ``monitor/examples/employment/people.parquet``: a seeded
sample, the columns under names that say what they are, the group codes as words.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

COLUMNS = {
    "AGEP": "age", "SCHL": "schooling", "MAR": "marital_status", "RELP": "relationship", "DIS": "disability",
    "ESP": "parents_employment", "CIT": "citizenship", "MIG": "moved", "MIL": "military", "ANC": "ancestry",
    "NATIVITY": "nativity", "DEAR": "hearing_difficulty", "DEYE": "vision_difficulty",
    "DREM": "cognitive_difficulty",
}  # fmt: skip
SEX = {1: "male", 2: "female"}
RACE = {1: "white", 2: "black", 6: "asian", 8: "other", 9: "two or more"}  # smaller groups count as "other"
ROWS = {"train": 12_000, "reference": 12_000, "stream": 60_000}


def main(folder: Path) -> None:
    """Sample, rename and write."""
    reference = pd.read_parquet(folder / "employment_MA_reference.pq")
    later = pd.read_parquet(folder / "employment_MA_analysis.pq")
    later = later.merge(pd.read_parquet(folder / "employment_MA_analysis_target.pq"), on="id")
    first = reference.sample(ROWS["train"] + ROWS["reference"], random_state=0)
    parts = {
        "train": first[: ROWS["train"]],
        "reference": first[ROWS["train"] :],
        "stream": later.sample(ROWS["stream"], random_state=0),
    }
    rows = pd.concat([frame.assign(part=name) for name, frame in parts.items()])
    people = rows[list(COLUMNS)].astype("int8").rename(columns=COLUMNS)
    people["sex"] = rows["SEX"].astype(int).map(SEX)
    people["race"] = rows["RAC1P"].astype(int).map(RACE).fillna("other")
    people["employed"] = rows["employed"].astype("int8")
    people["part"] = rows["part"]
    target = Path(__file__).parent.parent / "monitor" / "examples" / "employment" / "people.parquet"
    people.to_parquet(target, index=False, compression="zstd")
    sys.stdout.write(f"{target}: {len(people)} rows, {target.stat().st_size / 1e6:.2f} MB\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
