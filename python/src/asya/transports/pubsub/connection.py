"""The channel to Pub/Sub: credentials, calls, and whether it is connected. The only place that opens one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

import grpc
import grpc.aio

from asya.errors import ConnectionLostError, DeniedError
from asya.transports.base import Link
from asya.transports.pubsub.endpoint import Endpoint
from asya.transports.pubsub.messages import CLASSES, PACKAGE
from asya.transports.pubsub.refusals import Call, meaning

log = logging.getLogger(__name__)

SCOPES: Final = ("https://www.googleapis.com/auth/pubsub", "https://www.googleapis.com/auth/monitoring.read")
CALL_SECONDS: Final = 30.0
STREAM_END_SECONDS: Final = 1.0
"""How long what is on its way is waited for when a stream is ended."""
UNTOLD_SECONDS: Final = 1.0
"""So long the connection may be away before the link says so."""
_OPTIONS: Final[Sequence[tuple[str, Any]]] = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5000),
    # A line that is cut without a word is noticed by these, also below a stream on which nothing comes.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
)
_METHODS: Final = {
    "Publish": ("Publisher", "PublishRequest", "PublishResponse"),
    "Pull": ("Subscriber", "PullRequest", "PullResponse"),
    "Acknowledge": ("Subscriber", "AcknowledgeRequest", "Nothing"),
    "ModifyAckDeadline": ("Subscriber", "ModifyRequest", "Nothing"),
    "CreateTopic": ("Publisher", "Topic", "Topic"),
    "DeleteTopic": ("Publisher", "TopicRequest", "Nothing"),
    "CreateSubscription": ("Subscriber", "Subscription", "Subscription"),
    "GetSubscription": ("Subscriber", "SubscriptionRequest", "Subscription"),
    "DeleteSubscription": ("Subscriber", "SubscriptionRequest", "Nothing"),
    "CreateSnapshot": ("Subscriber", "SnapshotRequest", "Nothing"),
    "DeleteSnapshot": ("Subscriber", "SnapshotName", "Nothing"),
    "Seek": ("Subscriber", "SeekRequest", "Nothing"),
}


class Connection:
    """One channel; gRPC itself connects again, and calls that are under way when it breaks fail."""

    def __init__(self, endpoint: Endpoint, link: Link) -> None:
        self._endpoint, self._link = endpoint, link
        self._channel: grpc.aio.Channel | None = None
        self._calls: dict[str, Any] = {}
        self._stream: Any = None
        self._watching: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """Connect, however long it takes. Idempotent.

        Raises:
            DeniedError: There are no credentials, or they are not good for anything.
        """
        async with self._opening:
            if self._channel is not None:
                return
            channel = await self._make()
            reported = False
            try:
                while (state := channel.get_state(try_to_connect=True)) is not grpc.ChannelConnectivity.READY:
                    if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE and not reported:
                        reported = True
                        log.warning("cannot reach Pub/Sub at %s, trying again", self._endpoint.address)
                    self._link.set(False, f"cannot reach {self._endpoint.address}")
                    await channel.wait_for_state_change(state)
            except BaseException:
                await channel.close()
                raise
            self._take(channel)

    async def close(self) -> None:
        """Disconnect; what is under way fails. Idempotent."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
        channel, self._channel = self._channel, None
        self._calls.clear()
        self._link.set(False, "closed")
        if channel is not None:
            await channel.close()

    @property
    def emulated(self) -> bool:
        """Whether the other end is an emulator."""
        return self._endpoint.plain

    async def call(self, method: str, about: Call, *, within: float = CALL_SECONDS, **fields: Any) -> Any:  # noqa: ANN401  a message
        """Make one call and return its answer.

        Raises:
            TransportError: What the answer means; `ConnectionLostError` also when the transport is not open.
        """
        try:
            carry_out = self._calls[method]
        except KeyError:
            raise ConnectionLostError("not connected: the transport is not open") from None
        try:
            return await carry_out(CLASSES[_METHODS[method][1]](**fields), timeout=within)
        except grpc.RpcError as error:
            raise meaning(error, about) from error
        except asyncio.CancelledError:
            # So gRPC tells that the channel was closed; a task that was really cancelled stays so.
            if _cancelled():
                raise
            raise ConnectionLostError("the connection was closed") from None

    async def stream(self, about: Call, ending: asyncio.Event, **fields: Any) -> AsyncGenerator[Any, None]:  # noqa: ANN401  messages
        """Receive until the broker ends the stream, or for some moments after `ending` is set: nothing is then sent on.

        Raises:
            TransportError: Why the broker ended it.
        """
        if self._channel is None:
            raise ConnectionLostError("not connected: the transport is not open")
        call = self._stream()
        closing = asyncio.get_running_loop().create_task(_close_on(ending, call))
        try:
            with contextlib.suppress(asyncio.InvalidStateError):  # it has ended already; reading tells why
                await call.write(CLASSES["StreamRequest"](**fields))
            while (response := await call.read()) is not grpc.aio.EOF:
                yield response
        except grpc.RpcError as error:
            if not ending.is_set():
                raise meaning(error, about) from error
        except asyncio.CancelledError:
            # A cancelled call looks the same as a cancelled task.
            if not ending.is_set() or _cancelled():
                raise
        finally:
            closing.cancel()
            call.cancel()

    def _take(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        for name, (service, request, response) in _METHODS.items():
            self._calls[name] = channel.unary_unary(
                f"/{PACKAGE}.{service}/{name}",
                request_serializer=CLASSES[request].SerializeToString,
                response_deserializer=CLASSES[response].FromString,
            )
        self._stream = channel.stream_stream(
            f"/{PACKAGE}.Subscriber/StreamingPull",
            request_serializer=CLASSES["StreamRequest"].SerializeToString,
            response_deserializer=CLASSES["StreamResponse"].FromString,
        )
        self._link.set(True)
        self._watching = asyncio.get_running_loop().create_task(self._watch(channel))

    async def _watch(self, channel: grpc.aio.Channel) -> None:
        loop = asyncio.get_running_loop()
        told_at = math.inf  # when it will be told that there is no connection
        while True:
            state = channel.get_state(try_to_connect=True)
            if state is grpc.ChannelConnectivity.READY:
                told_at = math.inf
                if not self._link.connected:
                    log.info("connected to Pub/Sub again")
                self._link.set(True)
            else:
                # Google ends each connection after an hour or so, and the next one is there at once.
                told_at = min(told_at, loop.time() + UNTOLD_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(told_at if self._link.connected and told_at < math.inf else None):
                    await channel.wait_for_state_change(state)
                    continue
            log.warning("connection to Pub/Sub at %s lost", self._endpoint.address)
            self._link.set(False, f"no connection to {self._endpoint.address}")

    async def _make(self) -> grpc.aio.Channel:
        address = self._endpoint.address
        if self._endpoint.plain:
            return grpc.aio.insecure_channel(address, options=_OPTIONS)
        # google-auth renews tokens with blocking calls: gRPC asks for them on threads of its own.
        credentials = await asyncio.get_running_loop().run_in_executor(None, _credentials)
        return grpc.aio.secure_channel(address, credentials, options=_OPTIONS)


async def _close_on(ending: asyncio.Event, call: Any) -> None:  # noqa: ANN401  grpc's call has no type of its own here
    """End a stream so that nothing is lost on its way here: the broker ends it when we say that we have no more."""
    await ending.wait()
    with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
        await call.done_writing()
    await asyncio.sleep(STREAM_END_SECONDS)
    call.cancel()


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _credentials() -> grpc.ChannelCredentials:
    """Return the default credentials: Workload Identity in a pod, a key file, or those of gcloud.

    Raises:
        DeniedError: There are none, or Google does not take them.
    """
    import google.auth  # noqa: PLC0415  an emulator wants no credentials, and this is large
    import google.auth.transport.grpc  # noqa: PLC0415
    import google.auth.transport.requests  # noqa: PLC0415
    from google.auth.exceptions import DefaultCredentialsError, RefreshError, TransportError  # noqa: PLC0415

    request = google.auth.transport.requests.Request()
    try:
        credentials, _ = google.auth.default(scopes=SCOPES, request=request)
        credentials.refresh(request)  # type: ignore[no-untyped-call]
    except DefaultCredentialsError as error:
        raise DeniedError(f"no Google credentials: {error}") from error
    except RefreshError as error:
        raise DeniedError(f"Google does not take the credentials: {error}") from error
    except TransportError as error:
        log.warning("the credentials could not be tried, going on: %s", error)
    plugin = google.auth.transport.grpc.AuthMetadataPlugin(credentials, request)  # type: ignore[no-untyped-call]
    return grpc.composite_channel_credentials(grpc.ssl_channel_credentials(), grpc.metadata_call_credentials(plugin))
