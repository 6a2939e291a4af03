"""JSON as everybody can read it: no NaN, no infinity, no lone surrogates, RFC 3339 times."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.responses import Response

from monitor.time import to_rfc3339
from monitor.types import Window
from monitor.web.snapshot import AlertView, ModelView


def clean(value: Any) -> Any:
    """Return ``value`` as plain JSON types; a number that is not finite becomes null.

    >>> clean({"a": float("nan"), "b": (1, "x")})
    {'a': None, 'b': [1, 'x']}
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): clean(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [clean(item) for item in value]
    return str(value).encode("utf-8", "replace").decode()


class Json(Response):
    """A JSON answer that nobody caches."""

    media_type = "application/json"

    def __init__(self, content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(content, status, {"cache-control": "no-store", **(headers or {})})

    def render(self, content: Any) -> bytes:
        return json.dumps(clean(content), allow_nan=False, ensure_ascii=False, indent=1).encode()


def time_or_none(time_us: int | None) -> str | None:
    return None if time_us is None else to_rfc3339(time_us)


def window_json(window: Window | None) -> dict[str, str | None]:
    return {
        "window_start": time_or_none(window.start_us if window else None),
        "window_end": time_or_none(window.end_us if window else None),
    }


def alert_json(alert: AlertView) -> dict[str, Any]:
    """Return the public form of one alert instance."""
    names = ("model", "alert", "severity", "phase", "metric", "version", "feature", "attribute", "group")
    more = ("segment", "value", "bound", "bounds", "margin", "no_data", "reason")
    texts = ("silence", "labels", "runbook", "description")
    return {
        **{name: getattr(alert, name) for name in (*names, *more, *texts)},
        "since": time_or_none(alert.since_us),
        **window_json(alert.window),
    }


def model_json(
    model: ModelView, states: Mapping[str, int], events: Mapping[str, Mapping[str, int]]
) -> dict[str, Any]:
    """Return the public form of one model; counted are its newest results by state, and its events."""
    return {
        "name": model.name,
        "task": model.task,
        "state": model.state,
        "watermark": time_or_none(model.watermark_us),
        **window_json(model.last_window),
        "reference_id": model.reference_id,
        "results": dict(states),
        "events": events,
    }
