"""An explainer whose model lives in a worker: starts it when it is needed, and survives whatever it does."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from monitor.errors import ExplainError, Stopped
from monitor.explain import Explained, wire
from monitor.explain.process import Process
from monitor.explain.settings import Settings

CACHED = 64  # answers; of 500 rows and 50 features each is 200 kB
ANSWER_SHARE = 0.8  # of what is left of the deadline the explainer may use, the rest is for the last step
BACK_OFF_S = (0.0, 10.0, 30.0, 60.0, 300.0)  # after so many failures in a row


@dataclass(frozen=True, slots=True)
class Described:
    """What a loaded model says of itself: its inputs, outputs, the explainer chosen, and who confines it."""

    features: tuple[str, ...]
    outputs: tuple[str, ...]
    units: str
    explainer: str
    enforced: str


class WorkerExplainer:
    """Explains one model in a process of its own; see :class:`monitor.explain.Explainer`.

    Parameters
    ----------
    settings
        The model.
    background
        Rows of the reference, as :meth:`explain` takes them; the first ``settings.background`` are used.
    memory_bytes
        Most private memory of the worker.

    A model that raises only fails the request. When the process ends, answers with garbage or misses the
    deadline, it is killed; after the second time in a row the next start waits, longer each time, and
    requests until then fail with the last reason.
    """

    def __init__(self, settings: Settings, background: pa.Table, *, memory_bytes: int) -> None:
        self.settings, self._memory = settings, memory_bytes
        self._background = background.slice(0, settings.background)
        self._lock = threading.Lock()
        self._process: Process | None = None
        self._described: Described | None = None
        self._cache: OrderedDict[str, Explained] = OrderedDict()
        self._key = settings.cache_key + hashlib.sha256(wire.table_bytes(self._background)).hexdigest()
        self._closed = False
        self._failures, self._last, self._retry_s = 0, "", 0.0

    @property
    def model_hash(self) -> str:
        """SHA-256 of the model's file or folder; of the address of a remote one."""
        return self.settings.model_hash

    @property
    def key(self) -> str:
        """See :attr:`monitor.explain.Explainer.key`."""
        return self._key

    def explain(self, rows: pa.Table, *, deadline_s: float) -> Explained:
        """Explain rows; see :meth:`monitor.explain.Explainer.explain`."""
        until = time.monotonic() + deadline_s
        payload = wire.table_bytes(rows)
        key = hashlib.sha256(self._key.encode() + payload).hexdigest()
        self._acquire(until)
        try:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
            described = self._ready(until)
            most = 8 * rows.num_rows * len(described.outputs) * (len(described.features) + 2)
            head = {"budget_s": ANSWER_SHARE * max(until - time.monotonic(), 0.0)}
            answer, body = self._ask(head, payload, until, most)
            explained = wire.read_explained(answer, body, rows=rows.num_rows)
            if len(explained.values) == rows.num_rows:  # with more time there would be more
                self._cache[key] = explained
                if len(self._cache) > CACHED:
                    self._cache.popitem(last=False)
            return explained
        finally:
            self._lock.release()

    def describe(self, *, deadline_s: float) -> Described:
        """Load the model if it is not, and return what it says of itself.

        Raises
        ------
        ExplainError
            With the reason why it cannot be loaded.
        """
        until = time.monotonic() + deadline_s
        self._acquire(until)
        try:
            return self._ready(until)
        finally:
            self._lock.release()

    def close(self) -> None:
        """End the worker at once; see :meth:`monitor.explain.Explainer.close`."""
        self._closed = True
        if (process := self._process) is not None:
            process.interrupt()
        if self._lock.acquire(blocking=False):  # else who holds it sees the end and clears up
            self._end()
            self._lock.release()

    def _acquire(self, until: float) -> None:
        if not self._lock.acquire(timeout=max(until - time.monotonic(), 0.0)):
            raise ExplainError("the worker was busy with another request until the deadline")
        if self._closed:
            self._lock.release()
            raise Stopped("the explainer was closed")

    def _ready(self, until: float) -> Described:
        if self._process is not None and self._process.ended:
            self._end()
        if self._process is None or self._described is None:
            wait = self._retry_s - time.monotonic()
            if wait > 0:
                raise ExplainError(
                    f"{self._last} (not tried again for {wait:.0f} s after {self._failures} failures)"
                )
            try:
                self._process = Process(self._memory)
            except OSError as error:
                raise ExplainError(f"the worker cannot be started: {error.strerror}") from None
            if self._closed:  # meanwhile, with no process there to kill
                self._end()
                raise Stopped("the explainer was closed")
            head = {"settings": self.settings.to_json()}
            answer, _ = self._ask(head, wire.table_bytes(self._background), until, 0)
            self._described = _described(answer)
        return self._described

    def _ask(
        self, head: Mapping[str, Any], payload: bytes, until: float, most: int
    ) -> tuple[dict[str, Any], bytes]:
        """Ask the worker; count as its failure whatever leaves it unusable."""
        assert self._process is not None
        try:
            whole = {**head, "deadline_s": max(until - time.monotonic(), 0.0)}
            answer, body = self._process.ask(whole, payload, deadline_s=until, most=most)
            if not answer.get("ok") and answer.get("fatal"):
                raise ExplainError(str(answer.get("error"))[:2000])
        except ExplainError as error:
            self._end()
            if self._closed:
                raise Stopped("the explainer was closed") from None
            self._last = str(error)
            wait = BACK_OFF_S[min(self._failures, len(BACK_OFF_S) - 1)]
            self._failures, self._retry_s = self._failures + 1, time.monotonic() + wait
            raise
        except BaseException:
            self._end()  # its answer would be taken for that of the next request
            raise
        if not answer.get("ok"):
            raise ExplainError(str(answer.get("error"))[:2000])
        self._failures = 0 if most else self._failures
        return answer, body

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
        self._process = self._described = None


def _described(answer: Mapping[str, Any]) -> Described:
    try:
        names = [tuple(str(name) for name in answer[key]) for key in ("features", "outputs")]
        return Described(names[0], names[1], *(str(answer[k]) for k in ("units", "explainer", "enforced")))
    except (KeyError, TypeError):
        raise ExplainError("the worker's answer cannot be read") from None
