"""Write the two CSV files of docs/tutorial.md: two weeks of scored loans, and what became of them.

Only the standard library is used. A model says how likely a default is; from the eleventh
day on an upstream system sends ``income`` by the month instead of by the year, and everybody looks poor.

    python examples/loans.py FOLDER
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import math
import random
from pathlib import Path

START = dt.datetime(2025, 3, 1, tzinfo=dt.UTC)
DAYS, APPLICATIONS_PER_DAY, CHANGE_DAY = 14, 400, 10
PLANS = ("flex", "fixed", "green")


def risk(age: int, income: float, plan: str) -> float:
    """Return the model's score: the probability that a loan defaults."""
    points = 1.4 - 0.00007 * income - 0.02 * (age - 40) + (0.8 if plan == "flex" else 0.0)
    return 1 / (1 + math.exp(-points))


def applications(seed: int = 7) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Return the rows of ``scored.csv`` and ``outcomes.csv``, each in order of time."""
    rng = random.Random(seed)
    scored, outcomes = [], []
    for day in range(DAYS):
        for second in sorted(rng.randrange(86_400) for _ in range(APPLICATIONS_PER_DAY)):
            at = START + dt.timedelta(days=day, seconds=second)
            age, plan, gender = rng.randrange(20, 70), rng.choice(PLANS), rng.choice(("f", "m"))
            income = round(rng.lognormvariate(10.4, 0.45), 2)
            truth = rng.random() < risk(age, income, plan)
            sent = round(income / 12, 2) if day >= CHANGE_DAY else income
            score = risk(age, sent, plan)
            loan = f"L{len(scored):05d}"
            scored.append({"loan": loan, "scored_at": at.isoformat(), "age": age, "income": sent,
                           "plan": plan, "gender": gender, "p_default": round(score, 4)})  # fmt: skip
            if rng.random() < 0.95:
                known = at + dt.timedelta(hours=rng.uniform(6, 40))
                outcomes.append({"loan": loan, "known_at": known.isoformat(timespec="seconds"),
                                 "defaulted": int(truth)})  # fmt: skip
    return scored, sorted(outcomes, key=lambda row: str(row["known_at"]))


def write(path: Path, rows: list[dict[str, object]]) -> None:
    """Write rows of equal keys as CSV with a header."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Write both files into the folder that is named."""
    parser = argparse.ArgumentParser(description="Write scored.csv and outcomes.csv into FOLDER.")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in zip(("scored.csv", "outcomes.csv"), applications(), strict=True):
        write(folder / name, rows)


if __name__ == "__main__":
    main()
