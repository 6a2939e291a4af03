"""What is drawn on demand: reports, pictures of explanations, and one prediction by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar, cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from monitor import pictures
from monitor.errors import ExplainError, NotThereError
from monitor.time import to_rfc3339
from monitor.types import ALL_VERSIONS, Window
from monitor.web.backend import Backend, ResultsQuery
from monitor.web.jsonable import Json
from monitor.web.params import BadRequest, known, window_start

MEDIA = {"svg": "image/svg+xml", "png": "image/png"}
PICTURES = {
    "bar": ("version", "segment", "group"),
    "beeswarm": ("group",),
    "dependence": ("feature", "group"),
}
SAFE = {  # an SVG opened by itself is a page; this one may do nothing
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}
REPORT = SAFE | {
    "content-security-policy": SAFE["content-security-policy"] + "; base-uri 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}
MAX_WAITING = 4  # requests for one prediction; the model answers them one after the other
T = TypeVar("T")
Query = Callable[[Callable[[], T]], Awaitable[T]]


class Explanations:
    """The handlers; ``query`` runs what reads the store, a thread of its own waits for the model."""

    def __init__(self, backend: Backend, query: Query[Any]) -> None:
        self.backend, self._query = backend, query
        self._explaining = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._waiting = 0

    def routes(self) -> list[Route]:
        base = "/api/v1/models/{model}"
        return [
            Route("/reports/{model}", self.report, methods=["GET"]),
            Route(f"{base}/explanations/{{picture}}", self.picture, methods=["GET"]),
            Route(f"{base}/events/{{event_id:path}}/explanation", self.event, methods=["GET"]),
        ]

    async def report(self, request: Request) -> Response:
        start_us = window_start(known(request.query_params, ("window",)))
        ask = partial(self.backend.report, request.path_params["model"], start_us)
        return HTMLResponse(await self._query(partial(_answered, ask)), headers=REPORT)

    async def picture(self, request: Request) -> Response:
        kind, _, format = request.path_params["picture"].partition(".")
        if kind not in PICTURES or format not in MEDIA:
            named = ", ".join(f"{one}.svg and {one}.png" for one in PICTURES)
            raise HTTPException(404, f"no picture {request.path_params['picture']!r}; there are {named}")
        given = known(request.query_params, ("window", *PICTURES[kind]))
        if kind == "dependence" and "feature" not in given:
            raise BadRequest("parameter 'feature' is missing; a dependence picture is of one feature")
        draw = partial(self._draw, request.path_params["model"], kind, format, given)
        body = await self._query(partial(_answered, draw))
        return Response(body, media_type=MEDIA[format], headers=SAFE)

    def _draw(self, model: str, kind: str, format: str, given: Mapping[str, str]) -> bytes:
        start_us, group = window_start(given), given.get("group", "")
        form = cast(pictures.Format, format)
        if kind == "bar":
            return self._bar(model, start_us, given, form)
        window, rows = self.backend.explained(model, start_us)
        title = _title(model, window, f"class {group}" if group else "")
        if kind == "beeswarm":
            return pictures.beeswarm(rows, output=group, title=title, format=form)
        return pictures.dependence(rows, given["feature"], output=group, title=title, format=form)

    def _bar(
        self, model: str, start_us: int | None, given: Mapping[str, str], format: pictures.Format
    ) -> bytes:
        version, segment, group = (
            given.get("version", ALL_VERSIONS), given.get("segment", ""), given.get("group", ""),
        )  # fmt: skip
        query = ResultsQuery(
            model, version, "attribution_share", None, "", group, segment, start_us, limit=5_000
        )
        found = self.backend.results(query)
        if not found:
            raise NotThereError(f"no attribution_share of model {model!r} is stored for what was asked")
        window = found[0].window
        words = [f"version {version}" * (version != ALL_VERSIONS), segment, f"class {group}" * bool(group)]
        title = _title(model, window, ", ".join(filter(None, words)))
        return pictures.bar([r for r in found if r.window == window], title=title, format=format)

    async def event(self, request: Request) -> Response:
        known(request.query_params, ())
        if self._waiting >= MAX_WAITING:
            raise HTTPException(503, "other predictions are being explained; try again", {"Retry-After": "5"})
        ask = partial(
            self.backend.explain_event, request.path_params["model"], request.path_params["event_id"]
        )
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return Json(await loop.run_in_executor(self._explaining, partial(_answered, ask)))
        finally:
            self._waiting -= 1


def _answered(ask: Callable[[], T]) -> T:
    """Run what may find nothing, or a model that does not answer, and say so in HTTP's terms."""
    try:
        return ask()
    except NotThereError as error:
        raise HTTPException(404, str(error)) from error
    except ExplainError as error:
        raise HTTPException(503, str(error), {"Retry-After": "30"}) from error


def _title(model: str, window: Window, more: str) -> str:
    span = f"{to_rfc3339(window.start_us)} to {to_rfc3339(window.end_us)}"
    return f"{model}, {span}" + (f", {more}" if more else "")
