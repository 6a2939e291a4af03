"""Tells the employment story in plain words while it happens, from what the daemon's own API says."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape

from monitor.actions.receiver import describe
from monitor.examples.employment import DAYS, PAST_DAYS, RECODE_DAY, Story
from monitor.time import DAY_US, from_rfc3339, to_rfc3339

STEPS = {
    "quiet": "quiet days before anything was injected",
    "feature-drift": "the drift alert on the recoded feature",
    "accuracy-fall": "the alert on the fall of accuracy",
    "fairness-gap": "the alert on the gap between women and men",
    "retrain": "a signed retrain request at the receiver",
}
WORDS = {
    "feature-drift": "what comes in is not what the model was accepted on",
    "accuracy-fall": "fewer predictions turn out right",
    "fairness-gap": "women and men are no longer treated alike",
}
Told = dict[str, Any]


class Telling:
    """Follows one run of the story: call :meth:`look` now and then.

    Parameters
    ----------
    say
        Takes each paragraph, and a style for those that matter.
    url
        The daemon's address.
    story
        What is being streamed.

    Attributes
    ----------
    done
        Keys of :data:`STEPS` that have happened.
    surprises
        Sentences about what should not have happened: alerts before their cause, or on other features.
    """

    def __init__(self, say: Callable[[str, str], None], url: str, story: Story) -> None:
        self._say, self.story = say, story
        self.done: set[str] = set()
        self.surprises: list[str] = []
        self._client = httpx.Client(base_url=url, timeout=5.0, trust_env=False)
        self._requests: SimpleQueue[Mapping[str, Any]] = SimpleQueue()
        self._firing: set[tuple[str, ...]] = set()
        self._next_day = 0
        self._announced = 0

    def close(self) -> None:
        """Close the connection to the daemon."""
        self._client.close()

    def received(self, request: Mapping[str, Any]) -> None:
        """Take a request that the receiver has verified; called from its threads."""
        self._requests.put(request)

    def missing(self) -> list[str]:
        """Return what has not happened yet, in words."""
        return [words for step, words in STEPS.items() if step not in self.done]

    def look(self, event_us: int) -> None:
        """Tell what is new, with the stream at ``event_us`` of event time."""
        self._announce(event_us)
        try:
            self._days()
            self._alerts()
        except httpx.HTTPError:  # the daemon starts, stops or is busy: the next look will see it
            pass
        while True:
            try:
                self._request(self._requests.get_nowait())
            except Empty:
                return

    def say(self, text: str, style: str = "") -> None:
        """Say one paragraph; ``text`` is plain, ``style`` shows on terminals only."""
        self._say(text, style)

    def _announce(self, event_us: int) -> None:
        told = [
            (
                self.story.recode_us,
                "an upstream system is changed: schooling arrives in the code list of 2007 (a bachelor's "
                "degree is 13, not 21). The model is not told",
            ),
            (
                self.story.change_us,
                "the world changes: half of the women with work lose it. The model still predicts the old "
                "one; labels arrive 4 to 20 hours later",
            ),
        ]
        for moment, text in told[self._announced :]:
            if event_us >= moment:
                self._announced += 1
                self.say(f"\nINJECTED from {day(moment)} on: {text}.\n", "bold yellow")

    def _days(self) -> None:
        """Tell of each day once its labels have come."""
        while self._next_day < DAYS:
            start = to_rfc3339(self.story.start_us + self._next_day * DAY_US)
            found = self._get("results", model="employment", version="*", segment="", window=start)["results"]
            rows = {(r["metric"], r["feature"] or r["attribute"]): r for r in found if r["group"] is None}
            accuracy, gap = rows.get(("accuracy", None)), rows.get(("equalized_odds_difference", "sex"))
            if not accuracy or not gap or accuracy["value"] is None or gap["value"] is None:
                return
            psi = {name: row["value"] or 0.0 for (metric, name), row in rows.items() if metric == "psi"}
            schooling = psi.pop("schooling", 0.0)
            other = max(psi, key=lambda name: psi[name])
            self.say(
                f"{start[:10]}  {rows['row_count', None]['value']:,.0f} predictions  accuracy"
                f" {accuracy['value']:.3f}  gap women/men {gap['value']:.3f}  drift: schooling"
                f" {schooling:.3f}, next {other} {psi[other]:.3f}"
            )
            self._next_day += 1
            if self._next_day == RECODE_DAY:
                self.done.add("quiet")

    def _alerts(self) -> None:
        for alert in self._get("alerts")["alerts"]:
            key = tuple(str(alert[k] or "") for k in ("alert", "feature", "attribute", "group"))
            if alert["phase"] == "firing" and key not in self._firing:
                self._firing.add(key)
                self._fired(alert)
            elif alert["phase"] == "ok" and key in self._firing:
                self._firing.discard(key)
                self.say(f"\nalert {alert['alert']} has ended\n", "green")

    def _fired(self, alert: Told) -> None:
        about = alert["feature"] or alert["attribute"] or ""
        window, name = alert["window_start"], alert["alert"]
        cause_us = self.story.recode_us if name == "feature-drift" else self.story.change_us
        expected = name != "feature-drift" or about == "schooling"
        self.say(
            f"\nALERT {name} ({alert['severity']}) for {window[:10]}: {WORDS.get(name, '')}."
            f" {alert['metric']}{f' of {about}' if about else ''} is {alert['value']:.3f}, the bound is"
            f" {alert['bound']:g}.\n",
            "bold red",
        )
        if not expected or from_rfc3339(window) < cause_us:
            self.surprises.append(
                f"alert {name} fired on {about or 'the model'} for {window[:10]}, without a cause"
            )
        elif name in STEPS:
            self.done.add(name)

    def _request(self, request: Mapping[str, Any]) -> None:
        self.say("\nRECEIVED by the local webhook receiver, signature verified:", "bold green")
        self.say(describe(request), "green")
        evidence = len(request["data"]["evidence"])
        self.say(
            f"  with {evidence} numbers as evidence, reference {request['data']['reference_id']}\n", "green"
        )
        self.done.add("retrain")

    def _get(self, what: str, **parameters: str) -> Told:
        answer = self._client.get(f"/api/v1/{what}", params=parameters).raise_for_status()
        found: Told = answer.json()
        return found


def tell(console: Console, text: str, style: str = "") -> None:
    """Write plain text: as it is on a terminal, elsewhere as log lines with the time."""
    if not console.is_terminal:
        now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        text = "\n".join(f"{now} {line}" for line in text.splitlines() if line.strip())
    console.print(escape(text), style=style, highlight=False, soft_wrap=True)


def day(moment_us: int) -> str:
    """Return the date of a moment."""
    return to_rfc3339(moment_us)[:10]


def position(story: Story, event_us: int) -> str:
    """Return how far the stream has come, in words."""
    passed = (event_us - story.start_us) // DAY_US + 1
    return f"demonstration: day {passed} of {DAYS}, {day(event_us)}"


def opening(story: Story, url: str) -> str:
    """Return what is said before the stream starts."""
    return (
        f"{PAST_DAYS} days of predictions, {day(story.start_us)} until today, pass by in about a minute;\n"
        f"then the stream goes on in real time. Look at it meanwhile:\n"
        f"  status page   {url}/\n"
        f"  Prometheus    curl -s {url}/metrics | grep model_monitor_feature_psi\n"
        f"  API           curl -s '{url}/api/v1/alerts?phase=firing'\n"
        f"                curl -s '{url}/api/v1/series?model=employment&metric=accuracy'\n"
        f"Nothing is wrong until {day(story.recode_us)}: the days should be quiet.\n"
    )
