"""One turn of the monitor for one model: settle what landed, ask the windows that are due, decide, commit.

The daemon turns it with the clock, the replay with simulated time; both pass the time in, so that what
follows from the same events at the same moment is the same.

Commit order of one window, all in one transaction: its results, its row in ``windows`` (which cleans it),
alert states, transitions, retrain state, and the outbox rows of alerts and of a decision to retrain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from monitor.actions.payload import retrain_message
from monitor.decode.derived import monitored_names
from monitor.due import Due, due_windows
from monitor.engine.arrivals import newest_event
from monitor.engine.duckdb import WindowQuery
from monitor.engine.sample import SAMPLE_ROWS
from monitor.engine.settled import settled_query
from monitor.evaluate import Evaluation, evaluate, follows_labels
from monitor.explain import Explainer
from monitor.explaining import DEADLINE_S, Explanation, explain_window
from monitor.facts import past_results
from monitor.notices import Notices
from monitor.reference.data import Compared, Reference
from monitor.references import Origin, References
from monitor.retraining import attribution_shares, decision_json, followed, look, made, verdict_json
from monitor.rules.alerts import announce, evaluate_rules
from monitor.rules.retrain import Decision, RetrainRule, RetrainState, Verdict
from monitor.rules.rule import AlertRule, needs_baselines, watches
from monitor.rules.silences import Silence
from monitor.rules.state import AlertState
from monitor.store.explained import write_explained
from monitor.store.requests import write_requests
from monitor.store.results import (
    WindowRow,
    changes,
    read_states,
    revision_of,
    rewrite,
    transition_json,
    write_alert_states,
    write_results,
    write_retrain_state,
    write_transitions,
    write_window,
)
from monitor.store.settle import Settled, settle
from monitor.store.store import Cursor, Store
from monitor.types import ALL_VERSIONS, ModelSpec, Result, Series, Transition, Window


@dataclass(frozen=True, slots=True)
class Monitored:
    """One model with everything its turn needs.

    ``origins``: the references of versions, and the default (``"*"``) where it is not the file's profile
    ``reference``; ``sample`` is how many rows of the stream they keep. ``has_feedback``: labels are to be
    expected. ``explainer``: what explains the model, with ``explain_deadline_s`` for each request.
    """

    spec: ModelSpec
    model: int
    reference: Reference | None
    origins: Mapping[str, Origin] = field(default_factory=dict)
    sample: int = SAMPLE_ROWS
    alerts: tuple[AlertRule, ...] = ()
    silences: tuple[Silence, ...] = ()
    retrain: RetrainRule | None = None
    has_feedback: bool = False
    notices: Notices = Notices()
    explainer: Explainer | None = None
    explain_deadline_s: float = DEADLINE_S


@dataclass(frozen=True, slots=True)
class Answer:
    """What asking one window brought, once it is committed."""

    window: Window
    labelled_only: bool
    evaluation: Evaluation
    results: tuple[Result, ...]
    transitions: tuple[Transition, ...]
    decision: Decision | None


class Cycle:
    """The turns of one model; alert states are kept here and in the store alike."""

    def __init__(self, store: Store, cursor: Cursor, monitored: Monitored) -> None:
        self.store, self.cursor, self.monitored = store, cursor, monitored
        default = {ALL_VERSIONS: monitored.reference} if monitored.reference else {}
        self.references = References(
            store, cursor, monitored.spec, monitored.model, {**default, **monitored.origins},
            sample=monitored.sample, needed=any(map(needs_baselines, monitored.alerts)),
        )  # fmt: skip
        self.compared = Compared(monitored.reference)  # with what the last window was compared
        self.latest_us: int | None = None  # event time of the newest event seen by :meth:`latest_event`
        self.expired_us = 0  # windows that end by then have left retention and are not asked again
        self.states = stored_states(cursor, monitored)
        retrain = read_states(cursor, "retrain_states", monitored.model)
        self.retrain = RetrainState.from_json(retrain[0]) if retrain else RetrainState()

    def settle(self) -> Settled:
        """Free what landed of duplicates and mark the windows that it touches."""
        return settle(self.store, self.cursor, self.monitored.spec)

    def due(self, watermark_us: int) -> list[Due]:
        """Return the windows to ask now that event time has come to ``watermark_us``, oldest first."""
        one = self.monitored
        return due_windows(
            self.cursor, one.spec, one.model, watermark_us,
            has_feedback=one.has_feedback, expired_us=self.expired_us,
        )  # fmt: skip

    def advance(self, watermark_us: int) -> None:
        """Store how far event time has come; it never goes back."""
        with self.store.write(self.cursor):
            self.cursor.execute(
                "UPDATE models SET watermark_us = greatest(watermark_us, ?) WHERE id = ?",
                [watermark_us, self.monitored.model],
            )

    def ask(self, due: Due, *, now_us: int, as_of_us: int | None = None) -> Answer:
        """Evaluate one window, step the rules, decide, and commit it all."""
        monitored, window = self.monitored, self.monitored.spec.window.at(due.index)
        query = settled_query(self.cursor, monitored.spec, monitored.model, window, as_of_us=as_of_us)
        if not due.silent:
            self.compared = self.references.of(window, now_us=now_us)
        explanation = self._explain(query, due, now_us)
        evaluation = evaluate(
            query,
            self.compared,
            has_feedback=monitored.has_feedback,
            label_wait_over=due.label_wait_over,
            labelled_only=due.labelled_only,
            silent=due.silent,
            attributed=explanation.attributed,
        )
        revision = revision_of(self.cursor, monitored.model, due.index) + 1
        row = WindowRow(due.index, revision, evaluation.labels != "awaiting")
        coverage = None if due.silent else evaluation.coverage or 0.0
        results = tuple(replace(result, revision=row.revision) for result in evaluation.results)
        answers = followed(self.cursor, monitored.model, query, results)
        labelled = [(result, follows_labels(result.metric)) for result in results]

        def write(cursor: Cursor) -> None:
            write_results(cursor, monitored.model, window, labelled, labelled_only=due.labelled_only)
            write_window(cursor, monitored.model, window, row, coverage=coverage, now_us=now_us)
            if not due.labelled_only:
                write_explained(cursor, monitored.model, window, explanation.rows)
            write_requests(cursor, monitored.model, [one.to_json() for one in answers])

        transitions, decision = self._commit(window, results, write, now_us)
        return Answer(window, due.labelled_only, evaluation, results, transitions, decision)

    def restate(self, index: int, *, now_us: int) -> Answer | None:
        """Ask anew what depends on the rows before a window, and commit it; None if all is as it was."""
        model, window = self.monitored.model, self.monitored.spec.window.at(index)
        query = settled_query(self.cursor, self.monitored.spec, model, window)
        found = past_results(query)
        evaluation = Evaluation(found, "none", None, query.count())
        revision = revision_of(self.cursor, model, index) + 1
        changed = tuple(
            replace(r, revision=revision) for r in changes(self.cursor, model, evaluation.results)
        )

        def write(cursor: Cursor) -> None:
            rewrite(cursor, model, window, index, changed, now_us=now_us)

        if not changed:
            with self.store.write(self.cursor) as cursor:
                write(cursor)
            return None
        transitions, decision = self._commit(window, changed, write, now_us)
        return Answer(window, False, evaluation, changed, transitions, decision)

    def _commit(
        self, window: Window, results: tuple[Result, ...], write: Callable[[Cursor], None], now_us: int
    ) -> tuple[tuple[Transition, ...], Decision | None]:
        """Step the rules, decide, and commit both with what ``write`` writes."""
        limits = self.references.frame(self.compared)
        known = (self.monitored.alerts, self.states, results, now_us, limits, self.monitored.silences)
        states, transitions = evaluate_rules(*known)
        retrain, verdict = self._decide(states, transitions, window, now_us, results)
        with self.store.write(self.cursor) as cursor:
            write(cursor)
            self._write_decisions(states, transitions, retrain, verdict, window, results, now_us)
        self.states, self.retrain = states, retrain
        return tuple(transitions), verdict.decision if verdict else None

    def _explain(self, query: WindowQuery, due: Due, now_us: int) -> Explanation:
        """Explain a window whose rows have changed; labels change no explanation."""
        one = self.monitored
        if due.labelled_only or due.silent or not one.spec.checks.explain:
            return Explanation()
        return explain_window(
            query,
            self.compared,
            one.explainer,
            self.store,
            now_us=now_us,
            deadline_s=one.explain_deadline_s,
        )

    def latest_event(self) -> int | None:
        """Return the largest event time of the model, microseconds; None before there is any."""
        found = newest_event(self.cursor, self.monitored.model, self.latest_us)
        self.latest_us = self.latest_us if found is None else found
        return self.latest_us

    def release(self, *, now_us: int) -> Decision | None:
        """Act on what a cooldown or a silence held back; return a request to retrain if one is made."""
        rules, silences = self.monitored.alerts, self.monitored.silences
        states, transitions = announce(rules, self.states, now_us, silences)
        if not self.retrain.held and not transitions:
            return None
        window = Window(now_us, now_us)
        retrain, verdict = self._decide(states, transitions, window, now_us)
        if transitions or retrain != self.retrain:
            with self.store.write(self.cursor):
                self._write_decisions(states, transitions, retrain, verdict, window, (), now_us)
            self.states, self.retrain = states, retrain
        return verdict.decision if verdict else None

    def _decide(
        self,
        states: Mapping[tuple[str, Series], AlertState],
        transitions: Sequence[Transition],
        window: Window,
        now_us: int,
        results: Sequence[Result] = (),
    ) -> tuple[RetrainState, Verdict | None]:
        rule = self.monitored.retrain
        if rule is None:
            return self.retrain, None
        shares = attribution_shares(self.cursor, rule, self.monitored.model, results)
        return look(
            rule, self.retrain, states.values(), silences=self.monitored.silences, shares=shares,
            window=window, transitions=transitions, at_us=now_us,
        )  # fmt: skip

    def _write_decisions(
        self,
        states: Mapping[tuple[str, Series], AlertState],
        transitions: Sequence[Transition],
        retrain: RetrainState,
        verdict: Verdict | None,
        window: Window,
        results: Sequence[Result],
        now_us: int,
    ) -> None:
        monitored, cursor = self.monitored, self.cursor
        changed = {
            (name, "\x1f".join(series)): state.to_json()
            for (name, series), state in states.items()
            if self.states.get((name, series)) is not state
        }
        write_alert_states(cursor, monitored.model, changed)
        bodies = [transition_json(one) for one in transitions]
        rule = monitored.retrain
        if rule is not None and verdict is not None and retrain.said != self.retrain.said:
            bodies.append(verdict_json(rule, verdict, window, now_us))
        if rule is not None and verdict is not None and verdict.outcome == "requested" and verdict.decision:
            bodies.append(decision_json(verdict.decision))
            self._ask_to_retrain(rule, verdict.decision, states.values(), results, now_us)
        monitored.notices.tell_transitions(
            cursor, monitored.alerts, transitions, self.states, states, now_us=now_us
        )
        write_transitions(cursor, monitored.model, bodies, now_us)
        if retrain != self.retrain:
            write_retrain_state(cursor, monitored.model, retrain.to_json())

    def _ask_to_retrain(
        self,
        rule: RetrainRule,
        decision: Decision,
        states: Iterable[AlertState],
        results: Sequence[Result],
        now_us: int,
    ) -> None:
        """Put the request into the outbox and on record, inside the caller's transaction."""
        monitored, cursor = self.monitored, self.cursor
        watched = [s for s in states if s.phase == "firing" and s.alert in decision.alerts]
        metrics = {(s.series[2], s.series) for s in watched}
        evidence = sorted(results, key=lambda r: ((r.metric, r.series) not in metrics, r.metric, r.series))
        message = retrain_message(
            decision,
            watched,
            evidence=[r for r in evidence if r.state == "ok"],
            reference_id=self.compared.default.id if self.compared.default else None,
            config_hash=monitored.notices.config_hash,
        )
        for action in rule.actions:
            monitored.notices.tell(
                cursor, message, action=action, id=decision.id, rule=decision.rule, now_us=now_us, again=False
            )
        write_requests(cursor, monitored.model, [made(cursor, monitored.model, decision).to_json()])


def stored_states(cursor: Cursor, monitored: Monitored) -> dict[tuple[str, Series], AlertState]:
    """Return the stored states of a model's alerts, of those that are still configured and can change."""
    rules = {rule.name: rule for rule in monitored.alerts}
    columns = {"", *monitored_names(monitored.spec.features)}
    states = [AlertState.from_json(row) for row in read_states(cursor, "alert_states", monitored.model)]
    return {
        (s.alert, s.series): s
        for s in states
        if s.alert in rules and watches(rules[s.alert], s.series) and s.series[3] in columns
    }


def turn(
    cycle: Cycle, watermark_us: int, *, now_us: int, on_answer: Callable[[Answer], None] = lambda _: None
) -> Settled:
    """Make one whole turn: settle, ask all that is due, act on what was held back."""
    settled = cycle.settle()
    cycle.references.refresh(now_us=now_us)
    for due in cycle.due(watermark_us):
        answer = cycle.restate(due.index, now_us=now_us) if due.past_only else cycle.ask(due, now_us=now_us)
        if answer is not None:
            on_answer(answer)
    cycle.advance(watermark_us)
    cycle.release(now_us=now_us)
    return settled
