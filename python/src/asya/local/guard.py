"""What stands before the loopback API: who may ask, under which name, and how much.

Other programs and web pages on this machine can reach a loopback port too: hence the token, and hence the Host header,
which a page that was resolved to 127.0.0.1 under a foreign name (DNS rebinding) cannot forge.
"""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asya.local.problems import ApiError

_LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})


def answer(problem: ApiError) -> Response:
    """Return a problem as the API writes it."""
    headers = {"WWW-Authenticate": "Bearer"} if problem.status == 401 else None
    body = {"error": {"code": problem.problem, "message": str(problem)}}
    return JSONResponse(body, status_code=problem.status, headers=headers)


class Guard:
    """ASGI middleware: local Host only, bearer token on all but `open_paths`, bodies of at most `body_limit` bytes."""

    def __init__(
        self, app: ASGIApp, *, token: str, body_limit: int, open_paths: frozenset[str] = frozenset({"/health"})
    ) -> None:
        self._app, self._token, self._body_limit, self._open = app, token.encode(), body_limit, open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on or answer with a problem."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope["path"], Headers(scope=scope))
        except ApiError as problem:
            await answer(problem)(scope, receive, send)
            return
        await self._app(scope, self._limited(receive), send)

    def _check(self, path: str, headers: Headers) -> None:
        name = (
            headers.get("host", "").rsplit(":", 1)[0] if not headers.get("host", "").endswith("]") else headers["host"]
        )
        if name.lower() not in _LOCAL_NAMES:
            raise ApiError(421, "wrong_host", "this API answers on loopback only; use the address in api.json")
        if path not in self._open:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            # Both are compared whole, so the time taken tells nothing about how much of a guess was right.
            if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._token):
                raise ApiError(
                    401, "unauthorized", "send `Authorization: Bearer <token>` with the token that `asya up` wrote down"
                )
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > self._body_limit:
            raise _too_large(self._body_limit)

    def _limited(self, receive: Receive) -> Receive:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._body_limit:
                raise _too_large(self._body_limit)
            return message

        return counted


def _too_large(limit: int) -> ApiError:
    return ApiError(413, "too_large", f"the body is larger than {limit} bytes")
