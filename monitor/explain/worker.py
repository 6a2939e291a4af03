"""The process that loads a model and explains its scores: ``python -m monitor.explain.worker MEMORY PARENT``.

Requests come on standard input, answers go to what standard output was; what a model prints goes to standard
error. In order: limits; the model's bytes, and their hash; the imports; the right to reach outward is given
up; the model is loaded from exactly those bytes; requests until standard input ends.
"""

from __future__ import annotations

import faulthandler
import os
import select
import sys
import time
import warnings
from importlib import import_module
from typing import Any, BinaryIO

from monitor.errors import ExplainError
from monitor.explain import sandbox, wire
from monitor.explain.settings import PICKLED, Settings

IDLE_S = 60.0


def main() -> None:
    """Serve one model until the daemon closes the pipe or asks nothing for a minute."""
    memory, parent = int(sys.argv[1]), int(sys.argv[2])
    requests, answers = os.fdopen(os.dup(0), "rb", buffering=0), os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    os.close(0)
    sandbox.limit(memory, parent)
    faulthandler.enable()
    warnings.simplefilter("ignore")
    explaining = None
    while (message := _read(requests)) is not None:
        head, payload = message
        try:
            sandbox.cpu_limit(float(head["deadline_s"]))
            if explaining is None:
                explaining, answer = _load(head, payload)
            else:
                answer = _explain(explaining, head, payload)
        except MemoryError:
            answer = _failed(
                f"more memory than memory_limit ({memory / 1e6:.0f} MB) was asked for", fatal=True
            )
        except ExplainError as error:
            answer = _failed(str(error), fatal=explaining is None)
        except BaseException as error:  # a model can raise anything, SystemExit included
            answer = _failed(f"the model raised {type(error).__name__}: {error}", fatal=explaining is None)
        _write(answers, answer)


def _load(head: dict[str, Any], payload: bytes) -> tuple[Any, bytes]:
    from monitor.explain.content import read_model
    from monitor.explain.models import module

    begun = time.monotonic()
    settings = Settings.from_json(head["settings"])
    if settings.kind in PICKLED and not settings.allow_pickle:
        raise ExplainError(
            f"a model of kind {settings.kind} can run any code when it is loaded; set allow_pickle: true to "
            "trust it"
        )
    data = read_model(settings)
    library = module(settings.kind)
    from monitor.explain import batch, explainers

    import_module("shap")
    enforced = sandbox.confine(network=not settings.path)
    rows = wire.read_table(payload)
    model = library.load(data, settings, rows)
    background = batch.from_table(rows, model.inputs)
    explaining = explainers.Explaining(model, background, settings)
    answer = {
        "ok": True, "features": list(model.inputs), "outputs": list(explaining.outputs[1]),
        "units": explaining.chosen.units, "explainer": explaining.chosen.name, "enforced": enforced,
        "seconds": time.monotonic() - begun,
    }  # fmt: skip
    return explaining, wire.pack(answer)


def _explain(explaining: Any, head: dict[str, Any], payload: bytes) -> bytes:
    from monitor.explain import batch

    rows = batch.from_table(wire.read_table(payload), explaining.model.inputs)
    return wire.pack(*wire.explained_message(explaining.explain(rows, budget_s=float(head["budget_s"]))))


def _failed(reason: str, *, fatal: bool) -> bytes:
    return wire.pack({"ok": False, "error": reason[:2000], "fatal": fatal})


def _read(requests: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    import json

    if not select.select([requests], [], [], IDLE_S)[0]:
        return None
    header = _exactly(requests, wire.HEADER.size)
    if header is None:
        return None
    head, payload = wire.HEADER.unpack(header)
    body = _exactly(requests, head + payload)
    return None if body is None else (json.loads(body[:head]), body[head:])


def _exactly(stream: BinaryIO, count: int) -> bytes | None:
    parts: list[bytes] = []
    while count:
        piece = stream.read(min(count, 1 << 20))
        if not piece:
            return None
        parts.append(piece)
        count -= len(piece)
    return b"".join(parts)


def _write(stream: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[stream.write(view) or 0 :]


if __name__ == "__main__":
    main()
