"""A line to Pub/Sub that knows its calls: a gRPC server that passes bytes on, and can answer in Google's place.

The emulator knows no quotas and no credentials; Google does, with the answers below.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import grpc
import grpc.aio
from tests.torture import trouble
from tests.torture.line import LOOPBACK, Line
from tests.torture.trouble import Trouble

ANSWERS = {
    trouble.THROTTLED: (grpc.StatusCode.RESOURCE_EXHAUSTED, "Quota exceeded for quota metric"),
    trouble.UNAVAILABLE: (grpc.StatusCode.UNAVAILABLE, "The service was unable to fulfill your request"),
    trouble.EXPIRED: (grpc.StatusCode.UNAUTHENTICATED, "Request had invalid authentication credentials"),
    trouble.DENIED: (grpc.StatusCode.PERMISSION_DENIED, "User not authorized to perform this action"),
}
ASKED = {"Publish": "after-publish", "Acknowledge": "before-ack"}
"""Steps that a call is before it has arrived."""
ANSWERED = {"Publish": "before-confirm"}
"""Steps that an answer is before it has been read."""
_SIZES: list[tuple[str, Any]] = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class GoogleProxy(Line):
    """A line to Pub/Sub; `trouble` is what calls meet, if anything."""

    trouble: Trouble | None = None

    async def open(self) -> None:
        """Listen, with the server that understands behind the line, and a channel to the emulator behind that."""
        self._channel = grpc.aio.insecure_channel(f"{LOOPBACK}:{self.target}", options=_SIZES)
        self._inner = grpc.aio.server(options=_SIZES)
        self._inner.add_generic_rpc_handlers((_Everything(self._handler),))
        self.target = self._inner.add_insecure_port(f"{LOOPBACK}:0")
        await self._inner.start()
        await super().open()

    async def close(self) -> None:
        """Stop."""
        await super().close()
        await self._inner.stop(None)
        await self._channel.close()

    def _handler(self, method: str) -> grpc.RpcMethodHandler[Any, Any]:
        if method.endswith("/StreamingPull"):
            return grpc.stream_stream_rpc_method_handler(partial(self._stream, method))
        return grpc.unary_unary_rpc_method_handler(partial(self._call, method))

    async def _call(self, method: str, request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        operation = method.rpartition("/")[2]
        if await self._cuts(ASKED.get(operation)):
            await _cut(context)
        await self._meet(operation, context)
        await asyncio.sleep(self.delay)
        try:
            answer: bytes = await self._channel.unary_unary(method)(request)
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details() or "", tuple(error.trailing_metadata() or ()))
        if await self._cuts(ANSWERED.get(operation)):
            await _cut(context)
        await asyncio.sleep(self.delay)
        return answer

    async def _stream(
        self, method: str, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[bytes]:
        await self._meet("StreamingPull", context)
        call = self._channel.stream_stream(method)(requests)
        try:
            async for answer in call:
                await asyncio.sleep(self.delay)
                yield answer
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details() or "", tuple(error.trailing_metadata() or ()))
        finally:
            call.cancel()

    async def _cuts(self, step: str | None) -> bool:
        """Stop at a step. A call whose caller is killed there is cancelled, what happens at the step must not be."""
        if step is None:
            return False
        return await asyncio.shield(asyncio.create_task(self._watched(step)))

    async def _watched(self, step: str) -> bool:
        return await self.watch(step)

    async def _meet(self, operation: str, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        if self.trouble is not None and self.trouble.meets(operation):
            await context.abort(*ANSWERS[self.trouble.kind])


class _Everything(grpc.GenericRpcHandler):
    def __init__(self, handler: Callable[[str], grpc.RpcMethodHandler[Any, Any]]) -> None:
        self._handler = handler

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        return self._handler(details.method)


async def _cut(context: grpc.aio.ServicerContext[Any, Any]) -> None:
    """Nobody waits for this answer any more, or is not to get one."""
    await context.abort(grpc.StatusCode.UNAVAILABLE, "cut")
