"""The references of the models as the running monitor has them: kept in its store under their ids."""

from __future__ import annotations

from dataclasses import replace

from monitor.reference.build import shape
from monitor.reference.data import Reference
from monitor.store.profiles import read_profile, write_profile
from monitor.store.store import Store
from monitor.types import ModelSpec


def remembered(
    store: Store, spec: ModelSpec, reference: Reference, *, version: str, needed: bool, now_us: int
) -> Reference:
    """Return a file's reference with the baselines that the store has for it; store what it lacks.

    With ``needed`` its baselines are computed now, if they never were, and not when they are first looked at.
    """
    cursor, settings = store.cursor(), shape(spec)
    text = read_profile(cursor, reference.id, settings)
    known = Reference.from_json(text).baselines if text else {}
    if known:
        return replace(reference, baselines=known)
    if needed:
        reference = replace(reference, baselines=dict(reference.baselines))
    if needed or text is None:
        with store.write(cursor):
            write_profile(
                cursor, reference.id, settings, reference.to_json(), model=spec.name, version=version,
                now_us=now_us,
            )  # fmt: skip
    cursor.close()
    return reference
