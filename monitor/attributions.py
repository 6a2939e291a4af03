"""What each feature adds to a window's predictions, beside the reference: from stored rows to results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from monitor.engine.duckdb import Slice, WindowQuery
from monitor.metrics import Metric, Outcome
from monitor.metrics.attributions import AttributionData
from monitor.metrics.registry import guarded
from monitor.reference.attributions import logged_summary
from monitor.reference.data import Compared, Reference
from monitor.summaries.attributions import AttributionSummary
from monitor.types import ALL_VERSIONS, Window

NO_REFERENCE = "there is no reference"
Answer = tuple[str, str | None, str | None, Outcome]


@dataclass(frozen=True)
class Attributed:
    """What a model's explainer said of the window's slices and of references, or why nothing.

    ``references`` has what a version is compared with, or why there is nothing; ``"*"`` is the default.
    """

    slices: Mapping[Slice, AttributionSummary] = field(default_factory=lambda: MappingProxyType({}))
    references: Mapping[str, AttributionSummary | str] = field(default_factory=lambda: MappingProxyType({}))
    failure: str = ""

    def of(self, query: WindowQuery, part: Slice, panes: Sequence[Window]) -> AttributionSummary | Outcome:
        """Return a slice's attributions, which the log or the explainer has, or why there are none."""
        if query.spec.checks.logged_attributions:
            return logged_summary(query, part, panes)
        found = self.slices.get(part)
        reason = self.failure or "the model was not asked to explain these rows"
        return found if found is not None else Outcome(None, "failed", detail={"error": reason})

    def known(self, part: Slice) -> AttributionSummary | str:
        """Return the attributions that a slice is compared with, or why there are none."""
        return self.references.get(part.version, self.references.get(ALL_VERSIONS, NO_REFERENCE))


def logged(compared: Compared) -> Attributed:
    """Return what the references say of attributions, for a model whose events carry theirs."""
    own = {ALL_VERSIONS: compared.default, **compared.versions}
    return Attributed(references={version: _said_by(reference) for version, reference in own.items()})


def _said_by(reference: Reference | None) -> AttributionSummary | str:
    if reference is None:
        return NO_REFERENCE
    return reference.attributions or "no row of the reference has attributions"


def explanations(
    query: WindowQuery,
    part: Slice,
    panes: Sequence[Window],
    attributed: Attributed,
    entries: Sequence[Metric],
    rng: np.random.Generator,
    pvalues: Mapping[str, float] | None,
) -> list[Answer]:
    """Return ``(metric, feature, class, outcome)`` of every metric that is asked of one slice.

    With several classes all are pooled first; then each is asked for itself, but not in segments: there would
    be too many series.
    """
    asked = [entry for entry in entries if query.spec.task in entry.applies]
    current = guarded(lambda: attributed.of(query, part, panes))
    if not isinstance(current, Outcome):
        by_class, summary, known = part.segment is None, current, attributed.known(part)
        found = guarded(lambda: list(_answers(query, summary, asked, known, rng, pvalues, by_class)))
        if not isinstance(found, Outcome):
            return found
        current = found
    answers: list[Answer] = []
    for entry in asked:
        names = query.spec.features if entry.subject == "attribution" else [None]
        answers += [(entry.name, name, None, current) for name in names]
    return answers


def _answers(
    query: WindowQuery,
    current: AttributionSummary,
    entries: Sequence[Metric],
    reference: AttributionSummary | str,
    rng: np.random.Generator,
    pvalues: Mapping[str, float] | None,
    by_class: bool,
) -> Iterator[Answer]:
    several = len(current.outputs) > 1 or query.spec.task == "multiclass"
    known = None if isinstance(reference, str) else _same_axes(reference, current)
    why = reference if isinstance(reference, str) else ""
    classes = [name for name in current.outputs if name] if several and by_class else []
    for output, stream in zip((None, *classes), rng.spawn(1 + len(classes)), strict=True):
        has = known is not None and (output is None or output in known.outputs)
        data = AttributionData(
            query.spec.task,
            current.of(output),
            stream,
            known.of(output) if known is not None and has else None,
            why or f"the reference has no class {output!r}",
            pvalues,
            pooled=several and output is None,
        )
        for entry in entries:
            if entry.subject == "explanation":
                yield entry.name, None, output, entry(data)
            else:
                yield from ((entry.name, n, output, found) for n, found in entry.by_group(data).items())


def _same_axes(known: AttributionSummary, current: AttributionSummary) -> AttributionSummary:
    """Return the reference's summary over the window's features, which it may have in another order."""
    return known if known.features == current.features else known.over(current.features)
