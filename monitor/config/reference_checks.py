"""What must hold of a model's references: each has one origin, and a period stays in the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from monitor.config.base import format_duration
from monitor.config.document import Part
from monitor.config.models import Columns, Model, ReferenceData
from monitor.time import DAY_US

Loc = tuple[Part, ...]
Found = Iterator[tuple[Loc, str]]
ORIGINS = ("path", "window", "rolling")


def reference_problems(model: Model, retention_us: int, declared: Callable[[Loc], list[str]]) -> Found:
    """Yield the location, seen from the model, and sentence of what is wrong with its references."""
    reference = model.reference
    if reference is None:
        return
    if "infer" in declared(("features",)) and not reference.path:
        yield ("features",), "'infer' needs a reference file to take names and kinds from; list them"
    if reference.versions and not _origins(reference):
        yield from _unused(("reference",), reference)
    else:
        yield from _one(("reference",), reference, retention_us)
    for version, own in reference.versions.items():
        yield from _one(("reference", "versions", version), own, retention_us)


def _origins(reference: ReferenceData) -> list[str]:
    return [name for name in ORIGINS if getattr(reference, name) is not None]


def _one(loc: Loc, reference: ReferenceData, retention_us: int) -> Found:
    given = _origins(reference)
    if not given:
        yield loc, "needs one of path, window, rolling"
    for name in given[1:]:
        yield (*loc, name), f"is given beside {given[0]}; give one of path, window, rolling"
    if not reference.path:
        yield from _unused(loc, reference)
    rolling = reference.rolling
    if rolling and rolling + min(rolling, DAY_US) > retention_us:
        least = format_duration(rolling + min(rolling, DAY_US))
        yield (
            (*loc, "rolling"),
            (
                f"reaches past store.retention, so its events would leave before it is whole; shorten it, or "
                f"raise store.retention to {least} or more"
            ),
        )


def _unused(loc: Loc, reference: ReferenceData) -> Found:
    if reference.columns != Columns():
        yield (*loc, "columns"), "names the columns of a file; it goes with path"
    if reference.format != "auto":
        yield (*loc, "format"), "is that of a file; it goes with path"
