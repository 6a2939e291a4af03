"""What came of a request to retrain: the version that answered it, and how it does beside the old one.

A request is *answered* by the first version that was unknown when it was made. Over the answering version's
next windows its performance is held against the old one's: of the same window where both serve side by side,
else of the last window before the request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from monitor.time import to_rfc3339
from monitor.types import ALL_VERSIONS, Result, Window

COMPARED_WINDOWS = 20
# metrics that are compared (of lists at each cutoff), and whether more of them is better
HEADLINE = {
    "accuracy": True,
    "f1": True,
    "roc_auc": True,
    "mae": False,
    "rmse": False,
    "ndcg": True,
    "mrr": True,
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric of one window: the new version's value beside the old one's."""

    start_us: int
    metric: str
    old: float
    new: float
    side_by_side: bool

    @property
    def gain(self) -> float:
        """By how much the new version is better, in the metric's unit."""
        return self.new - self.old if HEADLINE[_base(self.metric)] else self.old - self.new


@dataclass(frozen=True, slots=True)
class Request:
    """A request that has been made.

    Parameters
    ----------
    versions
        The model's versions known by the end of the window that caused it.
    before
        Headline metric -> value of the newest complete window by then.
    answered_by, answered_us
        The version that answered, and the start of the first window that holds it.
    compared
        By window, then metric.
    """

    id: str
    model: str
    at_us: int
    window: Window
    alerts: tuple[str, ...]
    versions: tuple[str, ...]
    before: Mapping[str, float]
    answered_by: str | None = None
    answered_us: int | None = None
    compared: tuple[Comparison, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the stored form."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Request:
        """Read what :meth:`to_json` wrote."""
        lists = {name: tuple(row[name]) for name in ("alerts", "versions")}
        compared = tuple(Comparison(**one) for one in row["compared"])
        return cls(**{**row, **lists, "window": Window(**row["window"]), "compared": compared})

    def concerns(self, window: Window) -> bool:
        """Tell whether a window counts: later than the cause, and among the first that are compared."""
        starts = {one.start_us for one in self.compared}
        known = len(starts) < COMPARED_WINDOWS or window.start_us <= max(starts)
        return window.end_us > self.window.end_us and known

    def gains(self) -> dict[str, tuple[float, int]]:
        """Return, by metric, the mean gain of the new version and the windows that it rests on."""
        found: dict[str, list[float]] = {}
        for one in self.compared:
            found.setdefault(one.metric, []).append(one.gain)
        return {name: (sum(gains) / len(gains), len(gains)) for name, gains in found.items()}

    def public(self) -> dict[str, Any]:
        """Return the API's form."""
        row = self.to_json()
        gains = {name: {"mean_gain": gain, "windows": n} for name, (gain, n) in self.gains().items()}
        compared = [{"window_start": to_rfc3339(c.pop("start_us")), **c} for c in row.pop("compared")]
        window = row.pop("window")
        return {
            **row,
            "at": to_rfc3339(row.pop("at_us")),
            "window_start": to_rfc3339(window["start_us"]),
            "window_end": to_rfc3339(window["end_us"]),
            "answered": None if self.answered_us is None else to_rfc3339(self.answered_us),
            "gains": gains,
            "compared": compared,
        }


def _base(metric: str) -> str:
    """Return a metric's name without its cutoff: ``ndcg`` of ``ndcg@10``."""
    return metric.partition("@")[0]


def headline(results: Iterable[Result], version: str) -> dict[str, float]:
    """Return the headline values of one version in one window's results.

    ``version`` ``"*"`` takes the rows of all versions together.
    """
    return {
        r.metric: r.value
        for r in results
        if _base(r.metric) in HEADLINE and r.version == version and r.segment is None and r.group is None
        if r.state == "ok" and r.value is not None
    }


def follow(request: Request, window: Window, versions: Sequence[str], results: Iterable[Result]) -> Request:
    """Look at a later window: whether it holds an answer, and how that does.

    Parameters
    ----------
    versions
        The window's versions, the most frequent first.
    results
        The window's results; those that wait for labels have no value and are compared when they have.

    Returns
    -------
    The request, the same object when the window says nothing about it. A window again replaces what it said.
    """
    if not request.concerns(window):
        return request
    new = [v for v in versions if v not in request.versions]
    if new and (request.answered_us is None or window.start_us < request.answered_us):
        request = replace(request, answered_by=new[0], answered_us=window.start_us)
    if request.answered_by not in versions:
        return request
    rows = list(results)
    alone = len(versions) == 1
    values = headline(rows, ALL_VERSIONS if alone else str(request.answered_by))
    old_version = next((v for v in versions if v in request.versions), None)
    beside = headline(rows, old_version) if old_version is not None else {}
    fresh = [
        Comparison(
            window.start_us, name, beside.get(name, request.before.get(name, value)), value, name in beside
        )
        for name, value in sorted(values.items())
        if name in beside or name in request.before
    ]
    if not fresh:
        return request
    others = [one for one in request.compared if one.start_us != window.start_us]
    starts = sorted({one.start_us for one in (*others, *fresh)})[:COMPARED_WINDOWS]
    kept = sorted(
        (one for one in (*others, *fresh) if one.start_us in starts), key=lambda c: (c.start_us, c.metric)
    )
    return replace(request, compared=tuple(kept))
