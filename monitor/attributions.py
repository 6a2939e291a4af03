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
from monitor.reference.profile import Reference
from monitor.summaries.attributions import AttributionSummary
from monitor.types import Window

Answer = tuple[str, str | None, str | None, Outcome]


@dataclass(frozen=True)
class Attributed:
    """What a model's explainer said: of the window's slices and of the reference, or why nothing."""

    slices: Mapping[Slice, AttributionSummary] = field(default_factory=lambda: MappingProxyType({}))
    reference: AttributionSummary | None = None
    why_no_reference: str = "there is no reference"
    failure: str = ""

    def of(self, query: WindowQuery, part: Slice, panes: Sequence[Window]) -> AttributionSummary | Outcome:
        """Return a slice's attributions, which the log or the explainer has, or why there are none."""
        if query.spec.checks.logged_attributions:
            return logged_summary(query, part, panes)
        found = self.slices.get(part)
        reason = self.failure or "the model was not asked to explain these rows"
        return found if found is not None else Outcome(None, "failed", detail={"error": reason})


def logged(reference: Reference | None) -> Attributed:
    """Return what the reference file says of attributions, for a model whose events carry theirs."""
    if reference is None:
        return Attributed()
    why = "the reference has no column of attributions"
    return Attributed(reference=reference.attributions, why_no_reference=why)


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
        by_class, summary = part.segment is None, current
        found = guarded(lambda: list(_answers(query, summary, asked, attributed, rng, pvalues, by_class)))
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
    attributed: Attributed,
    rng: np.random.Generator,
    pvalues: Mapping[str, float] | None,
    by_class: bool,
) -> Iterator[Answer]:
    several = len(current.outputs) > 1 or query.spec.task == "multiclass"
    known = _same_axes(attributed.reference, current)
    classes = [name for name in current.outputs if name] if several and by_class else []
    for output, stream in zip((None, *classes), rng.spawn(1 + len(classes)), strict=True):
        has = known is not None and (output is None or output in known.outputs)
        data = AttributionData(
            query.spec.task,
            current.of(output),
            stream,
            known.of(output) if known is not None and has else None,
            attributed.why_no_reference if known is None else f"the reference has no class {output!r}",
            pvalues,
            pooled=several and output is None,
        )
        for entry in entries:
            if entry.subject == "explanation":
                yield entry.name, None, output, entry(data)
            else:
                yield from ((entry.name, n, output, found) for n, found in entry.by_group(data).items())


def _same_axes(known: AttributionSummary | None, current: AttributionSummary) -> AttributionSummary | None:
    """Return the reference's summary over the window's features, which it may have in another order."""
    if known is None or known.features == current.features:
        return known
    return known.over(current.features)
