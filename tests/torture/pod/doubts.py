"""Write down how many messages were sent, or are held, without anybody knowing what became of them.

An answer that did not come in time, or a lease that ran out: at least once means that such a message may come again.
Servers that play clouds are slow, on a busy machine slower than their clients wait; what comes of that is counted here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from asya.errors import ConnectionLostError, LeaseLostError
from asya.transports import Delivery, Outgoing, Settle, Transport

SENDS = b"SendMessageBatch"
ENTRY = b'"Id":'
Doubt = Callable[[int], None]


def watch(transport: Transport, path: Path) -> None:
    """Have each doubt about what goes through `transport` add a line to `path`: how many messages."""

    def doubt(count: int) -> None:
        with path.open("a") as file:
            file.write(f"{count}\n")

    _watch_face(transport, doubt)
    if transport.name == "sqs":
        _watch_requests(doubt)
    elif transport.name == "pubsub":
        _watch_acknowledgements(doubt)


def _watch_face(transport: Transport, doubt: Doubt) -> None:
    complete, publish, extend = transport.complete, transport.publish, transport.extend

    def watched(count: int, done: asyncio.Future[None]) -> asyncio.Future[None]:
        def heard(done: asyncio.Future[None]) -> None:
            if not done.cancelled() and isinstance(done.exception(), ConnectionLostError | LeaseLostError):
                doubt(max(count, 1))

        done.add_done_callback(heard)
        return done

    def completing(
        delivery: Delivery, messages: Sequence[Outgoing] = (), settle: Settle = Settle.ACK, reason: str = ""
    ) -> asyncio.Future[None]:
        return watched(len(messages), complete(delivery, messages, settle, reason))

    def publishing(messages: Sequence[Outgoing]) -> asyncio.Future[None]:
        return watched(len(messages), publish(messages))

    async def extending(delivery: Delivery, seconds: float) -> None:
        try:
            await extend(delivery, seconds)
        except LeaseLostError:
            doubt(1)
            raise

    transport.complete, transport.publish = completing, publishing  # type: ignore[method-assign]
    transport.extend = extending  # type: ignore[method-assign]


def _watch_requests(doubt: Doubt) -> None:
    """SQS: a request without an answer is made again below the transport's face, by both of its clients."""
    from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError
    from botocore.httpsession import URLLib3Session

    from asya.transports.sqs.exchange import _Connection

    ask, send = _Connection.ask, URLLib3Session.send

    async def asking(self: _Connection, request: bytes) -> Any:
        try:
            return await ask(self, request)
        except BaseException:  # who waits no longer cancels it
            if SENDS in request:
                doubt(request.count(ENTRY))
            raise

    def sending(self: URLLib3Session, request: Any) -> Any:
        try:
            return send(self, request)
        except (ConnectTimeoutError, EndpointConnectionError):
            raise  # it has not been sent
        except Exception:
            if SENDS.decode() in str(request.headers.get("X-Amz-Target")):
                doubt(request.body.count(ENTRY))
            raise

    _Connection.ask = asking  # type: ignore[method-assign]
    URLLib3Session.send = sending


def _watch_acknowledgements(doubt: Doubt) -> None:
    """Pub/Sub: where nobody waits for an acknowledgement, only a line in the log says that it did not arrive."""
    from asya.transports.pubsub import leases

    nobody_waits = leases._nobody_waits

    def heard(error: BaseException | None) -> None:
        if error is not None:
            doubt(1)
        nobody_waits(error)

    leases._nobody_waits = heard
