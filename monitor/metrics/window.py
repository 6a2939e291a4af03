"""Counts about a whole window: what row-level quality metrics take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from monitor.metrics.registry import Metric, Outcome


@dataclass(frozen=True, slots=True)
class WindowFacts:
    """What the store counted about one model's window.

    Parameters
    ----------
    rows
        Distinct predictions.
    duplicates, conflicts
        Redeliveries dropped, and those among them with another payload.
    late, dated
        Rows that came after the window was due to be asked, among those whose arrival is known.
    unexpected_fields, missing_fields
        Distinct field names that were not declared, and declared ones that no row had; None if unknown.
    median_rows
        Median row count of the windows before this one; None before there are any.
    last_event_us, end_us
        Latest event time of the model before the end of the window, and that end, microseconds.
    label_delays_s
        Quantiles of label minus prediction time in seconds, by name (``"0.5"``); None without labels.
    pvalues
        The univariate drift p-value of each feature that has one.
    left_out
        Segment (or ``version``) -> values beyond the most that are asked, and their rows; None if unknown.
    """

    rows: int
    duplicates: int | None = None
    conflicts: int | None = None
    late: int | None = None
    dated: int | None = None
    unexpected_fields: int | None = None
    missing_fields: int | None = None
    median_rows: float | None = None
    last_event_us: int | None = None
    end_us: int | None = None
    label_delays_s: Mapping[str, float] | None = None
    pvalues: Mapping[str, float] | None = None
    left_out: Mapping[str, tuple[int, int]] | None = None

    def lack(self, metric: Metric) -> Outcome | None:
        """Return None: every window has facts."""
        return None
