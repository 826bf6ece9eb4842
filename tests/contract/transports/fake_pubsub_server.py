"""A gRPC server that answers as Google does where the emulator cannot: refusals, ended streams, ids that failed.

It keeps no queues: what a test delivers goes to the stream that is open, and what it is told is noted.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from asya.transports.pubsub.messages import CLASSES, PACKAGE

_METHODS = {
    "Publisher": {"Publish": ("PublishRequest", "PublishResponse")},
    "Subscriber": {
        "Acknowledge": ("AcknowledgeRequest", "Nothing"),
        "ModifyAckDeadline": ("ModifyRequest", "Nothing"),
        "GetSubscription": ("SubscriptionRequest", "Subscription"),
        "Pull": ("PullRequest", "PullResponse"),
    },
}
Holds = Callable[[], Awaitable[bool]]


class FakePubsubServer:
    """Every method succeeds unless told otherwise; `Pull` never has anything."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.exactly_once = False
        self.published: list[bytes] = []
        self.publish_calls = 0
        self.authorizations: list[str] = []
        self.acknowledged: list[str] = []
        self.extended: list[tuple[int, list[str]]] = []
        self.flow_control: list[int] = []
        self._refusals: dict[str, tuple[grpc.StatusCode, str]] = {}
        self._refused = 0
        self.pulls_wait = False
        self._pulls = 0
        self._failing: dict[str, str] = {}
        self._ids = itertools.count(1)
        self._outgoing: asyncio.Queue[bytes] = asyncio.Queue()
        self._streams: dict[asyncio.Future[tuple[grpc.StatusCode, str]], int] = {}

    async def start(self, credentials: grpc.ServerCredentials | None = None) -> None:
        """Listen on a free loopback port; with a server's credentials, by TLS."""
        self._server = grpc.aio.server()
        for service, methods in _METHODS.items():
            handlers = {
                name: grpc.unary_unary_rpc_method_handler(
                    getattr(self, f"_{name.lower()}"),
                    request_deserializer=CLASSES[request].FromString,
                    response_serializer=CLASSES[response].SerializeToString,
                )
                for name, (request, response) in methods.items()
            }
            if service == "Subscriber":
                handlers["StreamingPull"] = grpc.stream_stream_rpc_method_handler(
                    self._streamingpull,
                    request_deserializer=CLASSES["StreamRequest"].FromString,
                    response_serializer=CLASSES["StreamResponse"].SerializeToString,
                )
            self._server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(f"{PACKAGE}.{service}", handlers),)
            )
        port = (
            self._server.add_insecure_port("127.0.0.1:0")
            if credentials is None
            else self._server.add_secure_port("127.0.0.1:0", credentials)
        )
        self.endpoint = f"127.0.0.1:{port}"
        await self._server.start()

    async def stop(self) -> None:
        """End at once."""
        await self._server.stop(None)

    def refuse(self, method: str, code: grpc.StatusCode | None, text: str = "") -> None:
        """Refuse a method from now on; None: no more."""
        self._refusals.pop(method, None)
        if code is not None:
            self._refusals[method] = (code, text)

    def fail_ids(self, failing: dict[str, str]) -> None:
        """Have some ids fail, each with a reason; those that fail for now fail once."""
        self._failing = dict(failing)

    def deliver(self, body: bytes) -> None:
        """Hand a message out to the next stream that has room in its window."""
        self._outgoing.put_nowait(body)

    def end_streams(self, code: grpc.StatusCode, text: str) -> None:
        """End every stream."""
        for stream in list(self._streams):
            stream.set_result((code, text))

    def has_streams(self, expected: list[int]) -> Holds:
        """Tell whether exactly these windows are open."""

        async def holds() -> bool:
            return sorted(self._streams.values()) == expected

        return holds

    def has_refused(self, times: int) -> Holds:
        """Tell whether as many calls were refused."""

        async def holds() -> bool:
            return self._refused >= times

        return holds

    def has_pulls(self, count: int) -> Holds:
        """Tell whether as many pulls have come."""

        async def holds() -> bool:
            return self._pulls >= count

        return holds

    def has_acknowledged(self, count: int) -> Holds:
        """Tell whether as many ids were acknowledged."""

        async def holds() -> bool:
            return len(self.acknowledged) == count

        return holds

    async def _check(self, method: str, context: Any) -> None:
        if method in self._refusals:
            self._refused += 1
            await context.abort(*self._refusals[method])

    async def _publish(self, request: Any, context: Any) -> Any:
        await self._check("Publish", context)
        self.publish_calls += 1
        self.authorizations += [value for key, value in context.invocation_metadata() if key == "authorization"]
        self.published += [message.data for message in request.messages]
        return CLASSES["PublishResponse"](message_ids=[str(next(self._ids)) for _ in request.messages])

    async def _acknowledge(self, request: Any, context: Any) -> Any:
        await self._check("Acknowledge", context)
        failing = {ack_id: self._failing[ack_id] for ack_id in request.ack_ids if ack_id in self._failing}
        self.acknowledged += [ack_id for ack_id in request.ack_ids if ack_id not in failing]
        if failing:
            self._failing = {key: why for key, why in self._failing.items() if why.startswith("PERMANENT")}
            info = CLASSES["ErrorInfo"](
                reason="EXACTLY_ONCE_ACKID_FAILURE",
                domain="pubsub.googleapis.com",
                metadata=[CLASSES["Attribute"](key=key, value=why) for key, why in failing.items()],
            )
            detail = CLASSES["Any"](type_url="type.googleapis.com/google.rpc.ErrorInfo", value=info.SerializeToString())
            status = CLASSES["Status"](code=3, message="some ids failed", details=[detail])
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                "some ids failed",
                (("grpc-status-details-bin", status.SerializeToString()),),
            )
        return CLASSES["Nothing"]()

    async def _modifyackdeadline(self, request: Any, context: Any) -> Any:
        await self._check("ModifyAckDeadline", context)
        if list(request.ack_ids) == ["none"]:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "You have passed an invalid ack ID to the service.")
        self.extended.append((request.ack_deadline_seconds, list(request.ack_ids)))
        return CLASSES["Nothing"]()

    async def _getsubscription(self, request: Any, context: Any) -> Any:
        await self._check("GetSubscription", context)
        return CLASSES["Subscription"](name=request.subscription)

    async def _pull(self, request: Any, context: Any) -> Any:
        self._pulls += 1
        if self.pulls_wait:
            await asyncio.Event().wait()
        return CLASSES["PullResponse"]()

    async def _streamingpull(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        first = await anext(aiter(requests))
        await self._check("StreamingPull", context)
        self.flow_control.append(first.max_outstanding_messages)
        end: asyncio.Future[tuple[grpc.StatusCode, str]] = asyncio.get_running_loop().create_future()
        half_closed = asyncio.create_task(_exhaust(requests))
        self._streams[end] = first.max_outstanding_messages
        try:
            while True:
                more = asyncio.create_task(self._outgoing.get())
                await asyncio.wait({more, end, half_closed}, return_when=asyncio.FIRST_COMPLETED)
                if more.done():
                    bodies = [more.result()]
                    while not self._outgoing.empty() and len(bodies) < 1000:
                        bodies.append(self._outgoing.get_nowait())
                    yield self._response(bodies)
                    continue
                more.cancel()
                if end.done():
                    await context.abort(*end.result())
                return
        finally:
            del self._streams[end]
            half_closed.cancel()

    def _response(self, bodies: list[bytes]) -> Any:
        return CLASSES["StreamResponse"](
            received_messages=[
                CLASSES["Received"](ack_id=f"id-{next(self._ids)}", message=CLASSES["Message"](data=body))
                for body in bodies
            ],
            subscription_properties=CLASSES["Properties"](exactly_once_delivery_enabled=self.exactly_once),
        )


async def _exhaust(requests: AsyncIterator[Any]) -> None:
    async for _ in requests:
        pass
