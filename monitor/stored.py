"""What the web layer may ask of the store and tell it: queries on cursors of their own, and retries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from markupsafe import Markup

from monitor.cycle import Monitored
from monitor.errors import NotThereError
from monitor.explaining_event import explain_event
from monitor.report.board import Board, board, distribution
from monitor.report.material import Standing
from monitor.report.page import report
from monitor.retraining import retrain_history
from monitor.store import outbox
from monitor.store.explained import ExplainedRows, read_explained
from monitor.store.quarantine import listed
from monitor.store.results import read_results
from monitor.store.store import Cursor, Store
from monitor.time import Clock
from monitor.types import Result, Window
from monitor.web.backend import ResultsQuery
from monitor.web.snapshot import QuarantineView, Snapshot

T = TypeVar("T")
_COLUMNS = {
    "model": "name", "version": "version", "metric": "metric", "feature": "feature", "attribute": "attribute",
    "group": '"group"', "segment": "segment",
}  # fmt: skip


class StoreBackend:
    """The part of a web backend that is answered from the store."""

    store: Store
    clock: Clock
    _board: tuple[Sequence[Result], Board] | None = None  # of the results it was read beside

    def snapshot(self) -> Snapshot:
        """Return the newest committed snapshot."""
        raise NotImplementedError

    @property
    def models(self) -> Sequence[Monitored]:
        """The models as they are monitored now."""
        raise NotImplementedError

    def results(self, query: ResultsQuery) -> list[Result]:
        tests, values = ["true"], []
        for name, column in _COLUMNS.items():
            if (want := getattr(query, name)) is not None:
                tests.append(f"coalesce({column}, '') = ?")
                values.append(want)
        if query.window_start_us is not None:
            tests.append("start_us = ?")
            values.append(query.window_start_us)
        tail = (
            f'ORDER BY start_us DESC, metric, feature, attribute, "group", segment LIMIT {int(query.limit)}'
        )
        return self._with_cursor(lambda c: read_results(c, " AND ".join(tests), values, tail=tail))

    def quarantine(self, limit: int) -> Sequence[QuarantineView]:
        rows = self._with_cursor(lambda c: listed(c, limit=limit))
        return [QuarantineView(**{k: v for k, v in row.items() if k != "seq"}) for row in rows]

    def outbox(self, state: str | None, limit: int) -> Sequence[Mapping[str, object]]:
        return self._with_cursor(lambda c: outbox.to_json(outbox.listed(c, state=state, limit=limit)))

    def retraining(self, model: str | None, limit: int) -> Mapping[str, Any]:
        shown = {m.spec.name: m.model for m in self.models if model in (None, m.spec.name)}
        return self._with_cursor(lambda c: retrain_history(c, shown, model, limit))

    def retry_messages(self, id: str | None, action: str | None) -> int:
        now_us = self.clock.now_us()
        return self._with_cursor(lambda c: outbox.retry(self.store, c, now_us, id=id, action=action))

    def _monitored(self, model: str) -> Monitored:
        found = [one for one in self.models if one.spec.name == model]
        if not found:
            names = ", ".join(one.spec.name for one in self.models)
            raise NotThereError(f"no model {model!r}; there are {names}")
        return found[0]

    def explained(self, model: str, start_us: int | None) -> tuple[Window, ExplainedRows]:
        """See :meth:`monitor.web.backend.Backend.explained`."""
        one = self._monitored(model)
        found = self._with_cursor(lambda c: read_explained(c, one.model, start_us))
        if found is None:
            raise NotThereError(
                f"no explained rows are kept of {'any window' if start_us is None else 'this window'} of "
                f"{model!r}; they are of its newest windows, where checks.explain is on"
            )
        return found

    def explain_event(self, model: str, event_id: str) -> Mapping[str, Any]:
        """See :meth:`monitor.web.backend.Backend.explain_event`."""
        one = self._monitored(model)
        return self._with_cursor(lambda c: explain_event(c, one.spec, one.model, one.explainer, event_id))

    def board(self) -> Board:
        """See :meth:`monitor.web.backend.Backend.board`."""
        results, kept = self.snapshot().results, self._board
        if kept is None or kept[0] is not results:
            kept = self._board = results, self._with_cursor(lambda c: board(c, self.models))
        return kept[1]

    def distribution(self, model: str, feature: str) -> tuple[Standing, Markup]:
        """See :meth:`monitor.web.backend.Backend.distribution`."""
        one = self._monitored(model)
        return self._with_cursor(lambda c: distribution(c, one, feature))

    def report(self, model: str, start_us: int | None) -> str:
        """See :meth:`monitor.web.backend.Backend.report`."""
        one, now_us = self._monitored(model), self.clock.now_us()
        return self._with_cursor(lambda c: report(c, one, start_us, now_us=now_us))

    def _with_cursor(self, ask: Callable[[Cursor], T]) -> T:
        cursor = self.store.cursor()
        try:
            return ask(cursor)
        finally:
            cursor.close()
