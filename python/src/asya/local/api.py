"""The loopback API: docs/reference/mesh-api.md, call by call."""

from __future__ import annotations

import difflib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from operator import methodcaller
from typing import Any, Protocol, TypeVar, get_args

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from asya.errors import TooLargeError, TransportError, WireError
from asya.local import views
from asya.local.guard import Guard, answer
from asya.local.problems import ApiError, invalid
from asya.local.reports import Batch, Report, TaskStatus
from asya.local.stream import task_events
from asya.local.writer import TaskStore
from asya.wire import Raw, decode, encode, new_envelope, new_id

T = TypeVar("T")
_ID_CHARS = 200
_PAGE = 1000
_KEEPALIVE_SECONDS = 15.0


class Mesh(Protocol):
    """What the API needs to know of the running mesh."""

    sink: str
    sump: str

    def actors(self) -> Sequence[Mapping[str, Any]]:
        """Return one record per actor, as ``GET /api/v1/actors`` shows it."""

    async def is_known(self, actor: str) -> bool:
        """Tell whether messages for `actor` have somewhere to go."""

    async def publish(self, actor: str, body: bytes) -> None:
        """Publish one envelope; returns when the broker has confirmed it."""

    def asked(self) -> None:
        """Take note that somebody sends tasks or wants to know of them."""


class NewTask(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of a new task; `timeout` in seconds, `route` holds the actors after the first."""

    payload: Raw
    headers: dict[str, Raw] = {}
    route: list[str] = []
    timeout: float | None = None
    id: str | None = None


def create_app(
    store: TaskStore, mesh: Mesh, *, token: str, body_limit: int, keepalive: float = _KEEPALIVE_SECONDS
) -> Starlette:
    """Make the ASGI application. `body_limit` in bytes, `keepalive` in seconds between comments on an idle stream."""
    calls = _Calls(store, mesh, keepalive)
    routes = [
        Route("/health", calls.health, methods=["GET"]),
        Route("/api/v1/actors", calls.actors, methods=["GET"]),
        Route("/api/v1/mesh", calls.create, methods=["POST"]),
        Route("/api/v1/mesh/", calls.create, methods=["POST"]),
        Route("/api/v1/mesh", calls.roots, methods=["GET"]),
        Route("/api/v1/mesh/", calls.roots, methods=["GET"]),
        Route("/api/v1/mesh/events", calls.batch, methods=["POST"]),
        Route("/api/v1/mesh/{id}", calls.task, methods=["GET"]),
        Route("/api/v1/mesh/{id}", calls.cancel, methods=["DELETE"]),
        Route("/api/v1/mesh/{id}/events", calls.events, methods=["GET"]),
        Route("/api/v1/mesh/{id}/events", calls.report, methods=["POST"]),
        Route("/api/v1/mesh/{id}/trace", calls.trace, methods=["GET"]),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, token=token, body_limit=body_limit)],
        exception_handlers={ApiError: _problem, 404: _no_such_call, 405: _no_such_call},
    )


class _Calls:
    def __init__(self, store: TaskStore, mesh: Mesh, keepalive: float) -> None:
        self._store, self._mesh, self._keepalive = store, mesh, keepalive

    async def health(self, request: Request) -> Response:  # noqa: ARG002  the shape of an endpoint
        return JSONResponse({"status": "ok"})

    async def actors(self, request: Request) -> Response:  # noqa: ARG002  the shape of an endpoint
        return _json({"actors": list(self._mesh.actors())})

    async def create(self, request: Request) -> Response:
        self._mesh.asked()
        actor = request.query_params.get("actor", "")
        new = _read(await request.body(), NewTask)
        now = time.time()
        task_id = new_id() if new.id is None else _checked_id(new.id)
        if new.timeout is not None and not 0 < new.timeout < 1e9:
            raise invalid(f"timeout is {new.timeout}, expected seconds above 0")
        route = [actor, *new.route]
        await self._check_route(route)
        deadline_at = None if new.timeout is None else now + new.timeout
        envelope = new_envelope(
            route, new.payload, now=now, envelope_id=task_id, headers=new.headers, deadline_at=deadline_at
        )
        body = encode(envelope)
        try:
            decode(body)
        except WireError as error:
            raise invalid(str(error)) from None
        await self._store.change(lambda tasks: tasks.create(task_id, route, now=now, deadline_at=deadline_at))
        try:
            await self._mesh.publish(actor, body)
        except TransportError as error:
            await self._store.change(lambda tasks: tasks.forget(task_id))
            if isinstance(error, TooLargeError):
                raise ApiError(413, "too_large", str(error)) from None
            raise ApiError(503, "transport", f"the message could not be published: {error}") from None
        return _json({"id": task_id}, status=201, headers={"Location": f"/api/v1/mesh/{task_id}"})

    async def roots(self, request: Request) -> Response:
        status = request.query_params.get("status") or None
        if status is not None and status not in get_args(TaskStatus):
            raise invalid(f"status is {status[:64]!r}, expected one of {', '.join(get_args(TaskStatus))}")
        limit = _whole(request, "limit", default=50, least=1, most=_PAGE)
        offset = _whole(request, "offset", default=0, least=0, most=2**53)
        tasks, total = await self._store.read(lambda db: views.roots(db, status, limit, offset))
        return _json({"messages": tasks, "total": total})

    async def task(self, request: Request) -> Response:
        self._mesh.asked()
        return _json(await self._store.read(lambda db: views.task(db, request.path_params["id"])))

    async def trace(self, request: Request) -> Response:
        self._mesh.asked()
        return _json(await self._store.read(lambda db: views.trace(db, request.path_params["id"])))

    async def cancel(self, request: Request) -> Response:
        now = time.time()
        await self._store.change(lambda tasks: tasks.cancel(request.path_params["id"], now=now))
        return Response(status_code=204)

    async def events(self, request: Request) -> Response:
        task_id = request.path_params["id"]
        await self._store.read(lambda db: views.find(db, task_id))
        text = request.headers.get("last-event-id", "0")
        if not text.isdigit():
            raise invalid(f"Last-Event-ID is {text[:64]!r}, expected a whole number")
        chunks: AsyncIterator[bytes] = task_events(self._store, task_id, after=int(text), keepalive=self._keepalive)
        return StreamingResponse(chunks, media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    async def report(self, request: Request) -> Response:
        report = _read(await request.body(), Report)
        if report.id != request.path_params["id"]:
            raise invalid("the id in the address and the one in the report differ")
        await self._store.change(lambda tasks: tasks.apply(report))
        return Response(status_code=204)

    async def batch(self, request: Request) -> Response:
        batch = _read(await request.body(), Batch)
        waiting = [self._store.change(methodcaller("apply", report)) for report in batch.events]
        for done in waiting:
            try:
                await done
            except ApiError:
                continue  # one report that nobody can use is no reason to lose the others
        canceled = await self._store.read(lambda db: views.canceled_among(db, batch.running))
        return _json({"canceled": canceled})

    async def _check_route(self, route: list[str]) -> None:
        if not route[0]:
            raise invalid("name the first actor: POST /api/v1/mesh/?actor=NAME")
        for actor in route:
            if actor in (self._mesh.sink, self._mesh.sump):
                raise invalid(f"{actor!r} comes at the end of every route by itself; leave it out")
            if not await self._mesh.is_known(actor):
                raise ApiError(404, "unknown_actor", self._unknown(actor))

    def _unknown(self, actor: str) -> str:
        names = sorted(record["name"] for record in self._mesh.actors())
        names = [name for name in names if name not in (self._mesh.sink, self._mesh.sump)]
        near = difflib.get_close_matches(actor, names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names) or 'none'}"
        return f"there is no actor {actor[:128]!r}; {hint}"


def _read(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise invalid(f"the body cannot be read: {error}") from None
    except RecursionError:
        raise invalid("the body is nested too deep") from None


def _checked_id(task_id: str) -> str:
    if not 0 < len(task_id) <= _ID_CHARS or not task_id.isprintable() or "/" in task_id or task_id == "events":
        raise invalid(f"an id has 1 to {_ID_CHARS} printable characters and no slash")
    return task_id


def _whole(request: Request, name: str, *, default: int, least: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isdigit() or not least <= int(text) <= most:
        raise invalid(f"{name} is {text[:64]!r}, expected a whole number from {least} to {most}")
    return int(text)


def _json(value: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json", headers=headers)


async def _problem(request: Request, error: Exception) -> Response:  # noqa: ARG001  the shape of a handler
    if not isinstance(error, ApiError):
        raise error
    return answer(error)


async def _no_such_call(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    return answer(
        ApiError(status, "no_such_call", f"no call {request.method} {request.url.path}; see docs/reference/mesh-api.md")
    )
