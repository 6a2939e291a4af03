"""The references of the models as the running monitor has them: built when needed, kept in the store.

A file's reference is there from the start. One of a period of the stream is built when the first window asks
for it, from the settled rows of the period, and stored; should rows or labels come that belong to it, it is
built anew, and the windows that were compared with it are asked again. So it is a function of the stored
events, whatever the order in which they came. Once events of the period have left retention it stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

import monitor
from monitor.baselines import baselines
from monitor.engine.duckdb import WindowQuery
from monitor.engine.settled import settled_query
from monitor.errors import ReferenceDataError
from monitor.reference.build import build, shape
from monitor.reference.data import Compared, LazyBaselines, Reference
from monitor.reference.learn import learn
from monitor.reference.period import Fixed, Period, Rolling
from monitor.reference.profile import ReferenceFile
from monitor.rules.bounds import Frame
from monitor.rules.calibrate import frame
from monitor.store.profiles import (
    StoredProfile,
    has_profile,
    packed,
    read_period,
    read_profile,
    stale_periods,
    write_period,
    write_profile,
)
from monitor.store.results import window_rows
from monitor.store.store import Cursor, Store
from monitor.types import ALL_VERSIONS, Baseline, BaselineKey, ModelSpec, Window

Origin = Reference | Fixed | Rolling
KEPT = 8  # profiles of periods in memory


def file_reference(
    file: ReferenceFile, spec: ModelSpec, *, sample: int, store: Store | None = None
) -> Reference:
    """Return the profile of a file; what it is on itself is computed when it is first looked at.

    A ``store`` that has it, of the same content, settings and program, spares making it again.

    Raises
    ------
    ReferenceDataError
        When a feature has no column, or there is nothing to learn estimates from.
    """
    id = file.id(spec, sample)
    reference = (_kept(store, id, spec) if store else None) or _made(file, spec, sample, id)
    if reference.baselines:
        return reference

    def on_itself() -> Mapping[BaselineKey, Baseline]:
        with file.rows(spec) as query:
            return baselines(query, reference)

    return replace(reference, baselines=LazyBaselines(on_itself))


def _made(file: ReferenceFile, spec: ModelSpec, sample: int, id: str) -> Reference:
    with file.rows(spec) as query:
        reference = build(query, sample=sample, id=id)
        if not spec.checks.estimate:
            return reference
        try:
            return replace(reference, learned=learn(query, reference))
        except ReferenceDataError as error:
            raise ReferenceDataError(f"{file.path}: {error}") from None


def _kept(store: Store, id: str, spec: ModelSpec) -> Reference | None:
    """Return what the store has of a file's profile; it holds baselines only if they were asked for."""
    cursor = store.cursor()
    text = read_profile(cursor, id, _maker(spec))
    cursor.close()
    return Reference.from_json(text) if text else None


def _maker(spec: ModelSpec) -> str:
    """Return what a stored profile of a file depends on besides its content: settings and the program."""
    return f"{shape(spec)}/{monitor.__version__}"


def remembered(
    store: Store, spec: ModelSpec, reference: Reference, *, version: str, needed: bool, now_us: int
) -> Reference:
    """Return a file's reference with the baselines that the store has for it; store what it lacks.

    With ``needed`` its baselines are computed now, if they never were, and not when they are first looked at.
    """
    if not isinstance(reference.baselines, LazyBaselines):  # from the store
        return reference
    cursor, settings = store.cursor(), _maker(spec)
    stored = has_profile(cursor, reference.id, settings)
    if needed:
        known = _kept(store, reference.id, spec)
        stored = known is not None and bool(known.baselines)
        reference = replace(
            reference, baselines=known.baselines if known and stored else dict(reference.baselines)
        )
    if not stored:
        with store.write(cursor):
            write_profile(
                cursor, reference.id, settings, reference.to_json(), model=spec.name, version=version,
                now_us=now_us,
            )  # fmt: skip
    cursor.close()
    return reference


def kept_reference(
    cursor: Cursor, spec: ModelSpec, origin: Origin | None, window: Window, *, sample: int
) -> Reference | None:
    """Return what a window of all versions is compared with, as it is stored; nothing is built or written."""
    period = origin if origin is None or isinstance(origin, Reference) else origin.of(window)
    if not isinstance(period, Period):
        return period if isinstance(period, Reference) else None
    key = (spec.name, ALL_VERSIONS, period.start_us, period.end_us, period.labels_us)
    stored = read_period(cursor, key, f"{shape(spec)}/{sample}")
    return Reference.from_json(stored.text) if stored is not None and stored.id else None


class References:
    """What each window of one model is compared with.

    Parameters
    ----------
    store, cursor
        Where profiles are kept, and the calling thread's cursor.
    spec, model
        The model and its number in the store.
    origins
        By version; ``"*"`` is the default.
    sample
        Rows of a period that are kept as they are.
    needed
        Whether rules need the baselines of rolling references; those of fixed periods are always computed,
        as their events will leave.
    """

    def __init__(
        self,
        store: Store,
        cursor: Cursor,
        spec: ModelSpec,
        model: int,
        origins: Mapping[str, Origin],
        *,
        sample: int,
        needed: bool,
    ) -> None:
        self.store, self.cursor, self.spec, self.model = store, cursor, spec, model
        self.origins, self.sample, self.needed = origins, sample, needed
        self.settings = f"{shape(spec)}/{sample}"
        self._held: dict[str, Reference] = {}
        self._frames: dict[str, Frame] = {}

    def of(self, window: Window, *, now_us: int) -> Compared:
        """Return what a window is compared with, after building what is not there yet."""
        found: dict[str, Reference | None] = {}
        reasons: dict[str, str] = {}
        for version, origin in self.origins.items():
            period = origin if isinstance(origin, Reference) else origin.of(window)
            if isinstance(period, Period):
                stored = self._stored(version, origin, period, now_us)
                period = self._read(stored) if stored.id else str(stored.reason)
            found[version] = period if isinstance(period, Reference) else None
            reasons |= {version: period} if isinstance(period, str) else {}
        return Compared(found.pop(ALL_VERSIONS, None), found, reasons)

    def refresh(self, *, now_us: int) -> None:
        """Build anew what new rows or labels belong to; windows compared with what changed become dirty."""
        for old in stale_periods(self.cursor, self.spec.name, self.settings):
            _, version, start_us, end_us, labels_us = old.key
            origin = self.origins.get(version)
            if isinstance(origin, Fixed | Rolling):
                windows = self._windows(origin, (start_us, end_us, labels_us))
                period = origin.of(windows[0][1]) if windows else None
                if isinstance(period, Period):
                    self._renew(version, origin, period, old, [index for index, _ in windows], now_us)

    def frame(self, compared: Compared) -> Frame:
        """Return what bounds are resolved against in a window: what was simulated before is remembered."""
        default = self._frame(compared.default)
        return replace(default, versions={v: self._frame(one) for v, one in compared.versions.items()})

    def _frame(self, reference: Reference | None) -> Frame:
        if reference is None:
            return Frame()
        if reference.id not in self._frames:
            while len(self._frames) >= KEPT:
                self._frames.pop(next(iter(self._frames)))
            self._frames[reference.id] = frame(reference, self.spec)
        return self._frames[reference.id]

    def _stored(self, version: str, origin: Origin, period: Period, now_us: int) -> StoredProfile:
        key = (self.spec.name, version, period.start_us, period.end_us, period.labels_us)
        known = read_period(self.cursor, key, self.settings)
        fresh = known is not None and known.settings == self.settings and not known.stale
        if known is not None and (fresh or (known.id and self._left(period))):
            return known
        return self._renew(version, origin, period, known, [], now_us)

    def _renew(
        self,
        version: str,
        origin: Origin,
        period: Period,
        old: StoredProfile | None,
        windows: list[int],
        now_us: int,
    ) -> StoredProfile:
        """Build a period's profile and store it; ``windows`` become dirty if it is not what it was."""
        key = (self.spec.name, version, period.start_us, period.end_us, period.labels_us)
        if old is not None and old.id and self._left(period):
            new = old
        else:
            built = self._built(version, origin, period)
            if isinstance(built, Reference):
                profile = packed(built.to_json())
                new = StoredProfile(key, self.settings, built.id, None, False, profile)
            else:
                new = StoredProfile(key, self.settings, None, built, False, None)
        with self.store.write(self.cursor):
            write_period(self.cursor, new, until_us=period.until_us, now_us=now_us)
            if windows and old is not None and new.id != old.id:
                rows = ", ".join(f"({self.model}, {index}, true, true)" for index in windows)
                self.cursor.execute(f"INSERT INTO dirty VALUES {rows}")
        return new

    def _built(self, version: str, origin: Origin, period: Period) -> Reference | str:
        query = self._query(version, period)
        lack = self._lack(version, origin, period, query)
        if lack:
            return lack
        spec = self.spec
        try:
            reference = build(query, sample=self.sample)
        except ReferenceDataError as error:
            return str(error)
        if spec.checks.estimate:
            with suppress(ReferenceDataError):  # no labels yet: estimates say that nothing was learnt
                reference = replace(reference, learned=learn(query, reference))
        reference = reference.named(reference.content())
        if self.needed or isinstance(origin, Fixed):
            reference = replace(reference, baselines=baselines(query, reference))
        return reference

    def _lack(self, version: str, origin: Origin, period: Period, query: WindowQuery) -> str:
        """Return why the period cannot be a reference, or an empty string."""
        if self._left(period):
            return f"events of the reference's period, {period}, have left retention"
        if isinstance(origin, Rolling):
            first = self.cursor.execute(f"SELECT min(event_us) FROM {query.predictions}").fetchall()[0][0]
            if first is None or first // origin.step_us * origin.step_us > period.start_us:
                return f"the stored events do not reach back to the start of the reference, {period}"
        return "" if query.count() else f"there are no events of the reference's period, {period}"

    def _query(self, version: str, period: Period) -> WindowQuery:
        return settled_query(
            self.cursor, self.spec, self.model, period.window, as_of_us=period.labels_us,
            version=None if version == ALL_VERSIONS else version,
        )  # fmt: skip

    def _left(self, period: Period) -> bool:
        rows = self.cursor.execute("SELECT expired_us FROM models WHERE id = ?", [self.model]).fetchall()
        return rows[0][0] is not None and rows[0][0] > period.start_us

    def _windows(self, origin: Origin, place: tuple[int, int, int]) -> list[tuple[int, Window]]:
        """Return the evaluated windows that are compared with the period at a place."""
        assert not isinstance(origin, Reference)
        found = []
        rows = window_rows(self.cursor, self.model)
        for index in sorted(index for index, row in rows.items() if row.held):
            window = self.spec.window.at(index)
            period = origin.of(window)
            if isinstance(period, Period) and (period.start_us, period.end_us, period.labels_us) == place:
                found.append((index, window))
        return found

    def _read(self, stored: StoredProfile) -> Reference:
        assert stored.id is not None
        if stored.id not in self._held:
            while len(self._held) >= KEPT:
                self._held.pop(next(iter(self._held)))
            self._held[stored.id] = Reference.from_json(stored.text)
        return self._held[stored.id]
