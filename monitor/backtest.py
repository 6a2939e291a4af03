"""What each rule would have done: episodes of firing in a replay, and two rule sets side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitor.config import Config
from monitor.config.base import format_duration
from monitor.replay import Replayed
from monitor.time import SECOND_US, from_rfc3339, to_rfc3339

Row = Mapping[str, Any]
Interval = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Tally:
    """What one rule did: ``episodes`` of any instance firing, ``instances`` that ever fired, microseconds."""

    episodes: tuple[Interval, ...] = ()
    instances: int = 0
    standing: bool = False  # still firing at the end

    @property
    def firing_us(self) -> int:
        """Time in which at least one instance was firing."""
        return sum(end - start for start, end in self.episodes)


def tally(transitions: Iterable[Row], *, end_us: int) -> dict[tuple[str, str], Tally]:
    """Return (model, alert) -> what it did, of rules with an instance that fired.

    Parameters
    ----------
    transitions
        Rows as ``replay --alerts`` writes them; other kinds than ``alert`` are passed over.
    end_us
        Where episodes that have no end are cut.

    Examples
    --------
    >>> row = {"kind": "alert", "model": "m", "alert": "a", "metric": "psi", "feature": "x", "before": "ok"}
    >>> start = row | {"after": "firing", "at": "1970-01-01T00:00:01Z"}
    >>> done = row | {"before": "firing", "after": "ok", "at": "1970-01-01T00:00:04Z"}
    >>> tally([start, done], end_us=9_000_000)["m", "a"].firing_us
    3000000
    """
    began: dict[tuple[str, ...], int] = {}
    found: dict[tuple[str, str], list[Interval]] = {}
    fired: dict[tuple[str, str], set[tuple[str, ...]]] = {}
    for row in sorted((r for r in transitions if r["kind"] == "alert"), key=lambda r: str(r["at"])):
        rule = (row["model"], row["alert"])
        names = ("version", "metric", "feature", "attribute", "group", "segment")
        instance = (*rule, *(str(row.get(name) or "") for name in names))
        if row["after"] == "firing":
            began[instance] = from_rfc3339(row["at"])
            fired.setdefault(rule, set()).add(instance)
        elif row["before"] == "firing" and instance in began:
            found.setdefault(rule, []).append((began.pop(instance), from_rfc3339(row["at"])))
    standing = {instance[:2] for instance in began}
    for instance, start_us in began.items():
        found.setdefault((instance[0], instance[1]), []).append((start_us, max(start_us, end_us)))
    return {
        rule: Tally(_union(found.get(rule, ())), len(instances), rule in standing)
        for rule, instances in fired.items()
    }


def _union(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    joined: list[Interval] = []
    for start, end in sorted(intervals):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)


def replayed_summary(config: Config, outcome: Replayed) -> list[dict[str, Any]]:
    """Return what each rule did in a replay, up to the last moment of it."""
    ends = [r.window.end_us for r in outcome.results] + [from_rfc3339(r["at"]) for r in outcome.transitions]
    return summary(config, outcome.transitions, end_us=max(ends, default=0))


def summary(config: Config, transitions: Sequence[Row], *, end_us: int) -> list[dict[str, Any]]:
    """Return a row for each alert and each retrain rule of the configuration, silent ones included."""
    done = tally(transitions, end_us=end_us)
    rows = []
    for model in config.models:
        rules = [alert.name for alert in model.own_alerts.values()]
        known = {alert for name, alert in done if name == model.name}
        named = [*rules, *sorted(known - set(rules))]  # the others are made from defaults
        rows += [_alert_row(model.name, alert, done.get((model.name, alert), Tally())) for alert in named]
        if model.retrain is not None:
            asked = [r for r in transitions if r["kind"] == "retrain" and r["model"] == model.name]
            rows.append(_retrain_row(model.name, [str(r["at"]) for r in asked]))
    return rows


def _alert_row(model: str, alert: str, one: Tally) -> dict[str, Any]:
    first, last = (one.episodes[0][0], one.episodes[-1][1]) if one.episodes else (None, None)
    return {
        "model": model, "rule": alert, "fired": len(one.episodes), "instances": one.instances,
        "firing for": format_duration(one.firing_us // SECOND_US * SECOND_US) if one.episodes else "",
        "first": to_rfc3339(first) if first is not None else "",
        "last until": "firing at the end" if one.standing else to_rfc3339(last) if last is not None else "",
    }  # fmt: skip


def _retrain_row(model: str, moments: Sequence[str]) -> dict[str, Any]:
    first, last = (moments[0], moments[-1]) if moments else ("", "")
    return {
        "model": model, "rule": "retrain", "fired": len(moments), "instances": "", "firing for": "",
        "first": first, "last until": last,
    }  # fmt: skip


def compared(rows: Sequence[Row], others: Sequence[Row]) -> list[dict[str, Any]]:
    """Return two summaries side by side: a row for each rule that either has; what one lacks is empty."""
    keys = list(dict.fromkeys((r["model"], r["rule"]) for r in (*rows, *others)))
    sides = [{(r["model"], r["rule"]): r for r in some} for some in (rows, others)]
    shown = ("fired", "firing for", "first")
    return [
        {"model": model, "rule": rule}
        | {f"{name}{mark}": side.get((model, rule), {}).get(name, "-")
           for name in shown for side, mark in zip(sides, ("", " (other)"), strict=True)}
        for model, rule in keys
    ]  # fmt: skip
