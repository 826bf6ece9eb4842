"""The calls of `asya up --metrics`."""

from __future__ import annotations

from pathlib import Path

import msgspec
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from asya.local.guard import Guard, answer
from asya.local.metrics import files
from asya.local.metrics.collector import MeshCollector
from asya.local.metrics.live import Live
from asya.local.problems import ApiError, invalid

_PAGE = Path(__file__).with_name("page")
# The page and its script hold no data: they ask for it with the token, which stands in the address behind the `#`
# and so reaches neither a server nor a log.
_OPEN = {
    "/": "index.html",
    "/page.css": "page.css",
    "/page.js": "page.js",
    "/charts.js": "charts.js",
    "/map.js": "map.js",
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def create_app(collector: MeshCollector, live: Live, *, token: str, config: str, title: str) -> Starlette:
    """Make the ASGI application. `config` is the Prometheus configuration, `title` what the page is headed with."""
    calls = _Calls(collector, live, config, title)
    routes = [
        Route("/health", calls.health),
        Route("/metrics", calls.metrics),
        Route("/live.json", calls.live),
        Route("/panels.json", calls.panels),
        Route("/dashboards/", calls.dashboards),
        Route("/dashboards/{name}", calls.dashboard),
        Route("/alerts.yaml", calls.alerts),
        Route("/prometheus.yaml", calls.prometheus),
        *(Route(path, calls.page) for path in _OPEN),
    ]
    guard = Middleware(Guard, token=token, body_limit=0, open_paths=frozenset({"/health", *_OPEN}))
    return Starlette(
        routes=routes, middleware=[guard], exception_handlers={ApiError: _problem, 404: _nothing, 405: _nothing}
    )


class _Calls:
    def __init__(self, collector: MeshCollector, live: Live, config: str, title: str) -> None:
        self._collector, self._live, self._config, self._title = collector, live, config, title

    async def health(self, request: Request) -> Response:  # noqa: ARG002  the shape of an endpoint
        return JSONResponse({"status": "ok"})

    async def metrics(self, request: Request) -> Response:  # noqa: ARG002  the shape of an endpoint
        return Response(await self._collector.exposition(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def live(self, request: Request) -> Response:
        text = request.query_params.get("after", "0")
        try:
            after = float(text)
        except ValueError:
            raise invalid(f"after is {text[:64]!r}, expected Unix seconds") from None
        return _json({"step": self._collector.step, "panels": self._live.since(after)})

    async def panels(self, request: Request) -> Response:  # noqa: ARG002  the shape of an endpoint
        return _json({"title": self._title, "panels": self._live.panels})

    async def dashboards(self, request: Request) -> Response:  # noqa: ARG002  the shape of an endpoint
        return _json({"dashboards": list(files.dashboards())})

    async def dashboard(self, request: Request) -> Response:
        path = files.dashboards().get(request.path_params["name"])
        if path is None:
            raise ApiError(404, "unknown_dashboard", f"there are: {', '.join(files.dashboards())}")
        return FileResponse(path, media_type="application/json")

    async def alerts(self, request: Request) -> Response:  # noqa: ARG002  the shape of an endpoint
        return FileResponse(files.FOLDER / files.ALERTS_FILE, media_type="application/yaml")

    async def prometheus(self, request: Request) -> Response:  # noqa: ARG002  the shape of an endpoint
        return PlainTextResponse(self._config, media_type="application/yaml")

    async def page(self, request: Request) -> Response:
        return FileResponse(_PAGE / _OPEN[request.url.path], headers=_HEADERS)


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json", headers={"Cache-Control": "no-store"})


async def _problem(request: Request, error: Exception) -> Response:  # noqa: ARG001  the shape of a handler
    if not isinstance(error, ApiError):
        raise error
    return answer(error)


async def _nothing(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    return answer(ApiError(status, "no_such_call", f"no call {request.method} {request.url.path}"))
