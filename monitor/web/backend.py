"""What the HTTP layer needs from the process behind it; the daemon implements it, tests do too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from markupsafe import Markup

from monitor.report.board import Board
from monitor.report.material import Standing
from monitor.store.explained import ExplainedRows
from monitor.types import Result, Window
from monitor.web.snapshot import QuarantineView, Snapshot
from monitor.web.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Health:
    """Two answers: is the process working (liveness), and has it something to show (readiness).

    Parameters
    ----------
    stalled
        One sentence for each loop that has stopped making progress. A broker that is away is not one.
    waiting
        One sentence for each thing that is still missing before the numbers can be trusted.
    """

    stalled: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()

    @property
    def alive(self) -> bool:
        return not self.stalled

    @property
    def ready(self) -> bool:
        return not (self.stalled or self.waiting)


@dataclass(frozen=True, slots=True)
class ResultsQuery:
    """Which stored results to return: a None field matches anything, ``""`` matches only an absent one."""

    model: str | None = None
    version: str | None = None
    metric: str | None = None
    feature: str | None = None
    attribute: str | None = None
    group: str | None = None
    segment: str | None = None
    window_start_us: int | None = None
    limit: int = 1_000

    def matches(self, result: Result) -> bool:
        """Tell whether a result is asked for, the limit aside."""
        names = ("model", "version", "metric", "feature", "attribute", "group", "segment")
        wanted = ((getattr(self, name), getattr(result, name) or "") for name in names)
        at = self.window_start_us
        return all(want in (None, has) for want, has in wanted) and at in (None, result.window.start_us)


class Backend(Protocol):
    """The process as the web sees it. Every method may be called from any thread, many at once."""

    @property
    def telemetry(self) -> Telemetry:
        """The process's own counters."""

    def snapshot(self) -> Snapshot:
        """Return the newest committed snapshot, at once."""

    def health(self) -> Health:
        """Tell how the process is, at once and without I/O."""

    def reload(self) -> list[str]:
        """Read the configuration again; return the problems, empty when the new one is in force."""

    def results(self, query: ResultsQuery) -> list[Result]:
        """Return stored results of any window (newest revision each), newest window first."""

    def explained(self, model: str, start_us: int | None) -> tuple[Window, ExplainedRows]:
        """Return the kept rows of the window that starts then, by default of the newest that has some.

        Raises
        ------
        NotThereError
            When there is no such model, or nothing is kept.
        """

    def explain_event(self, model: str, event_id: str) -> Mapping[str, Any]:
        """Return what each feature added to one stored prediction, as the JSON of the API.

        Raises
        ------
        NotThereError
            When there is no such model or event, or the event carries no attributions.
        ExplainError
            When the model cannot explain it, now or at all.
        """

    def board(self) -> Board:
        """Return the recent history that the status page shows; read anew only when results have changed."""

    def distribution(self, model: str, feature: str) -> tuple[Standing, Markup]:
        """Return a chart of one column of the model's newest window beside its reference.

        Raises
        ------
        NotThereError
            When there is no such model or column, or nothing to compare with.
        """

    def report(self, model: str, start_us: int | None) -> str:
        """Return the report of the window that starts then, by default of the newest with all its labels.

        Raises
        ------
        NotThereError
            When there is no such model, or no such window has been evaluated.
        """

    def quarantine(self, limit: int) -> Sequence[QuarantineView]:
        """Return the newest refused records, newest first."""

    def outbox(self, state: str | None, limit: int) -> Sequence[Mapping[str, object]]:
        """Return the newest messages of the outbox without their bodies, oldest first."""

    def retraining(self, model: str | None, limit: int) -> Mapping[str, Any]:
        """Return the newest requests to retrain and records of decisions: ``requests`` and ``verdicts``."""

    def retry_messages(self, id: str | None, action: str | None) -> int:
        """Make dead and disabled messages (or only these) due again; return how many."""
