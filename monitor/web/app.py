"""The HTTP application: metrics, probes, JSON API and status page over one :class:`Backend`."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

from prometheus_client.exposition import gzip_accepted
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

import monitor
from monitor.errors import NotThereError
from monitor.web import page
from monitor.web.backend import Backend
from monitor.web.explanations import Explanations
from monitor.web.exposition import SERIES_BUDGET, Exposition
from monitor.web.jsonable import Json, alert_json, model_json, time_or_none
from monitor.web.params import BadRequest, alert_filter, known, limit, one_of, results_query, series_query
from monitor.web.pieces import gzipped
from monitor.web.snapshot import PartitionView, QuarantineView, SourceView

log = logging.getLogger(__name__)
T = TypeVar("T")

OUTBOX_STATES = ("pending", "delivered", "dead", "disabled")
CHUNK = 64 * 1024
MAX_WAITING_QUERIES = 32
NO_PAGE = "Not Found"  # the router's words; ours name what is missing
POINT = ("window_start", "window_end", "revision", "state", "value", "lower", "upper", "n", "n_reference")


class Web:
    """The handlers. Rendering and store queries run in two small pools, so neither can hold up the other."""

    def __init__(self, backend: Backend, *, budget: int = SERIES_BUDGET) -> None:
        self.backend = backend
        self.exposition = Exposition(backend.snapshot, backend.telemetry, budget=budget)
        self._rendering = ThreadPoolExecutor(1, thread_name_prefix="metrics")
        self._querying = ThreadPoolExecutor(2, thread_name_prefix="api")
        self._waiting = 0

    async def _query(self, ask: Callable[[], T]) -> T:
        if self._waiting >= MAX_WAITING_QUERIES:
            raise HTTPException(503, "too many queries at once; try again in a moment", {"Retry-After": "1"})
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._querying, ask)
        finally:
            self._waiting -= 1

    async def metrics(self, request: Request) -> Response:
        render = partial(
            _render,
            self.exposition,
            request.headers.get("accept", ""),
            request.headers.get("accept-encoding", ""),
        )
        headers, parts = await asyncio.get_running_loop().run_in_executor(self._rendering, render)
        return Parts(parts, headers)

    async def healthy(self, request: Request) -> Response:
        health = self.backend.health()
        return Json({"healthy": health.alive, "reasons": health.stalled}, 200 if health.alive else 503)

    async def ready(self, request: Request) -> Response:
        health = self.backend.health()
        reasons = (*health.stalled, *health.waiting)
        return Json({"ready": health.ready, "reasons": reasons}, 200 if health.ready else 503)

    async def reload(self, request: Request) -> Response:
        _own_origin(request)
        problems = await self._query(self.backend.reload)
        return Json({"reloaded": not problems, "problems": problems}, 400 if problems else 200)

    async def models(self, request: Request) -> Response:
        known(request.query_params, ())
        snapshot = self.backend.snapshot()
        counts = {model.name: Counter[str]() for model in snapshot.models}
        for result in snapshot.results:
            counts.setdefault(result.model, Counter())[result.state] += 1
        models = [
            model_json(model, counts[model.name], self.backend.telemetry.events_of(model.name))
            for model in snapshot.models
        ]
        return Json({"models": models})

    async def alerts(self, request: Request) -> Response:
        given = alert_filter(request.query_params)
        found = self.backend.snapshot().alerts
        wanted = [a for a in found if all(getattr(a, name) == value for name, value in given.items())]
        return Json({"alerts": [alert_json(alert) for alert in wanted]})

    async def results(self, request: Request) -> Response:
        query, latest = results_query(request.query_params)
        if latest:
            found = [r for r in self.backend.snapshot().results if query.matches(r)][: query.limit]
        else:
            found = await self._query(partial(self.backend.results, query))
        return Json({"results": [result.to_json() for result in found], "limit": query.limit})

    async def series(self, request: Request) -> Response:
        query = series_query(request.query_params)
        found = await self._query(partial(self.backend.results, query))
        rows = [result.to_json() for result in sorted(found, key=lambda r: r.window)]
        names = ("model", "version", "metric", "feature", "attribute", "group", "segment")
        points = [{name: row[name] for name in POINT} for row in rows]
        return Json({"series": {name: getattr(query, name) or None for name in names}, "points": points})

    async def quarantine(self, request: Request) -> Response:
        rows = limit(known(request.query_params, ("limit",)), 100, 1_000)
        found = await self._query(partial(self.backend.quarantine, rows))
        records = [{"at": time_or_none(r.at_us), **_fields(r, ("at_us",))} for r in found]
        return Json({"quarantine": records, "limit": rows})

    async def outbox(self, request: Request) -> Response:
        given = known(request.query_params, ("state", "limit"))
        state, rows = one_of(given, "state", OUTBOX_STATES), limit(given, 1_000, 10_000)
        found = await self._query(partial(self.backend.outbox, state, rows))
        return Json({"outbox": found, "limit": rows})

    async def retraining(self, request: Request) -> Response:
        given = known(request.query_params, ("model", "limit"))
        found = await self._query(
            partial(self.backend.retraining, given.get("model"), limit(given, 100, 1_000))
        )
        return Json(found)

    async def retry_messages(self, request: Request) -> Response:
        _own_origin(request)
        given = known(request.query_params, ("id", "action"))
        ask = partial(self.backend.retry_messages, given.get("id"), given.get("action"))
        return Json({"due_again": await self._query(ask)})

    async def status(self, request: Request) -> Response:
        known(request.query_params, ())
        return Json(_status(self.backend))

    async def page(self, request: Request) -> Response:
        nonce, given = page.new_nonce(), known(request.query_params, ("model", "feature"))
        text = await self._query(partial(self._page, nonce, given))
        return HTMLResponse(text, headers=page.security_headers(nonce))

    def _page(self, nonce: str, given: Mapping[str, str]) -> str:
        snapshot, chosen = self.backend.snapshot(), None
        if "feature" in given:
            names = [one.name for one in snapshot.models]
            model, feature = given.get("model", names[0] if names else ""), given["feature"]
            try:
                chosen = (model, feature, *self.backend.distribution(model, feature))
            except NotThereError as error:
                raise HTTPException(404, str(error)) from error
        return page.render(snapshot, self.backend.health(), self.backend.board(), nonce=nonce, chosen=chosen)

    def routes(self) -> list[Route]:
        get: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "/": self.page,
            "/metrics": self.metrics,
            "/-/healthy": self.healthy,
            "/-/ready": self.ready,
            "/api/v1/models": self.models,
            "/api/v1/results": self.results,
            "/api/v1/series": self.series,
            "/api/v1/alerts": self.alerts,
            "/api/v1/quarantine": self.quarantine,
            "/api/v1/outbox": self.outbox,
            "/api/v1/retraining": self.retraining,
            "/api/v1/status": self.status,
        }
        routes = [Route(path, handler, methods=["GET"]) for path, handler in get.items()]
        routes += Explanations(self.backend, self._query).routes()
        post = {"/-/reload": self.reload, "/-/webhook/retry": self.retry_messages}
        return [*routes, *(Route(path, handler, methods=["POST"]) for path, handler in post.items())]


def create_app(backend: Backend, *, budget: int = SERIES_BUDGET) -> Starlette:
    """Return the ASGI application; ``app.state.exposition`` can prepare a snapshot before it is published.

    Parameters
    ----------
    backend
        The process behind it.
    budget
        Most series in one exposition.
    """
    web = Web(backend, budget=budget)
    routes = web.routes()
    paths = ", ".join(route.path for route in routes)
    app = Starlette(
        routes=list(routes),
        exception_handlers={
            BadRequest: lambda _, error: Json({"error": str(error)}, 400),
            HTTPException: partial(_http_error, paths),
            Exception: _failure,
        },
    )
    app.router.redirect_slashes = False
    app.state.exposition = web.exposition
    return app


class Parts(Response):
    """A body in parts that are shared between answers; sent in pieces, so a slow reader holds one piece."""

    def __init__(self, parts: tuple[bytes, ...], headers: dict[str, str]) -> None:
        super().__init__(None, 200, headers | {"content-length": str(sum(map(len, parts)))})
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        *more, last = _chunks(self._parts) if scope["method"] != "HEAD" else [b""]
        for chunk in more:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await asyncio.sleep(0)  # let others in, and notice that the client has gone
        await send({"type": "http.response.body", "body": last})


def _chunks(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield at least one piece of at most ``CHUNK`` bytes; a body that fits one is sent at once."""
    held = b""
    for part in parts:
        for at in range(0, len(part), CHUNK):
            piece = part[at : at + CHUNK]
            if held and len(held) + len(piece) > CHUNK:
                yield held
                held = b""
            held += piece
    yield held


def _render(exposition: Exposition, accept: str, encodings: str) -> tuple[dict[str, str], tuple[bytes, ...]]:
    content_type, pieces = exposition.render(accept)
    headers = {"content-type": content_type, "vary": "accept, accept-encoding"}
    if gzip_accepted(encodings):
        return headers | {"content-encoding": "gzip"}, gzipped(pieces)
    return headers, tuple(piece.text for piece in pieces)


def _fields(
    view: SourceView | PartitionView | QuarantineView, without: tuple[str, ...] = ()
) -> dict[str, Any]:
    return {name: value for name, value in asdict(view).items() if name not in without}


def _status(backend: Backend) -> dict[str, Any]:
    snapshot, health = backend.snapshot(), backend.health()
    firing = Counter(alert.phase for alert in snapshot.alerts)
    reloaded = backend.telemetry.value("model_monitor_config_last_reload_successful")
    return {
        "version": monitor.__version__,
        "healthy": health.alive,
        "ready": health.ready,
        "reasons": [*health.stalled, *health.waiting],
        "snapshot_taken": time_or_none(snapshot.taken_us or None),
        "alerts": dict(firing),
        "sources": [_fields(source) for source in snapshot.sources],
        "partitions": [_fields(partition) for partition in snapshot.partitions],
        "outbox_pending": snapshot.outbox_pending,
        "store_bytes": snapshot.store_bytes,
        "config_last_reload_successful": None if reloaded is None else bool(reloaded),
    }


def _own_origin(request: Request) -> None:
    origin = request.headers.get("origin")
    if origin and urlsplit(origin).netloc != request.headers.get("host"):
        raise HTTPException(403, "another site's page asked; only this one's own origin may")


def _http_error(paths: str, request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 500)
    headers = getattr(error, "headers", None) or {}
    if status == 404 and getattr(error, "detail", "") == NO_PAGE:
        return Json({"error": f"no page at {request.url.path}; there are {paths}"}, 404)
    if status == 405:
        allow = headers.get("Allow", "GET, HEAD")
        return Json(
            {"error": f"{request.method} is not allowed here; allowed: {allow}"}, 405, {"Allow": allow}
        )
    return Json({"error": getattr(error, "detail", "failed")}, status, headers)


def _failure(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return Json({"error": "the request failed; the monitor's log says why"}, 500)
