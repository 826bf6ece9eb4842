"""One connection of the runtime, and the calls that are out on it."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import msgspec

from asya.policy import Failure
from asya.policy.resiliency import CALL_TIMEOUT, RUNTIME_CRASHED
from asya_sidecar.decide import Canceled, Ended, Failed, Outcome, Result
from asya_sidecar.link import frames
from asya_sidecar.link.frames import Buffer

UNSENT_BYTES = 262_144
"""How much may wait until the process reads; then no call is sent ahead."""


class Hello(msgspec.Struct, kw_only=True):
    """How a runtime process introduces itself."""

    protocol: int
    role: str
    pid: int
    python: str = ""
    handler: str = ""
    kind: str = "sync"
    credit: int = 1
    workers: int = 1


_decode_hello = msgspec.json.Decoder(Hello).decode
_decode_error = msgspec.json.Decoder(Failure).decode


class Listener(Protocol):
    """Who hears of a call while it runs."""

    def ended(self, outcome: Outcome) -> None:
        """The call is over; nothing more comes of it."""

    def chunk(self, index: int, result: Result) -> None:
        """Take result `index` (1-based; result 0 waits for the end of the call)."""

    def fly(self, event: bytes) -> None:
        """Take an event for whoever watches the task, as JSON text."""

    def noted(self, body: bytes) -> None:
        """Take what the handler noted during the call (`notes.read`); it comes just before the answer."""


class Call:
    """One call of the handler. Its listener hears the outcome once; whatever comes after it is ignored."""

    __slots__ = (
        "expires",
        "first",
        "limit",
        "listener",
        "meta",
        "number",
        "over",
        "payload",
        "results",
        "since",
        "worker",
    )

    def __init__(self, meta: bytes, payload: Buffer, limit: float, listener: Listener) -> None:
        self.meta, self.payload, self.limit, self.listener = meta, payload, limit, listener
        self.over = False
        self.expires: float | None = None
        """Loop time after which the result is of no use, whether or not the handler has begun."""
        self.number = 0
        self.worker: WorkerConnection | None = None
        self.since: float | None = None
        """Loop time at which the handler began, as far as can be told; None while it waits its turn."""
        self.first: Result | None = None
        self.results = 0

    def end(self, outcome: Outcome) -> None:
        """Settle the outcome; the first one counts."""
        if not self.over:
            self.over = True
            self.listener.ended(outcome)

    def crashed(self) -> None:
        """End it because its process is gone."""
        failure = Failure(
            type=RUNTIME_CRASHED, message="the runtime's process ended during the call", mro=("Exception",)
        )
        self.end(Failed(failure=failure, cause="runtime-crashed", published=self.published))

    def timed_out(self) -> None:
        """End it because it takes too long."""
        failure = Failure(
            type=CALL_TIMEOUT,
            message=f"the call took longer than {self.limit:g} s",
            mro=("TimeoutError", "OSError", "Exception"),
        )
        self.end(Failed(failure=failure, cause="call-timeout", published=self.published))

    @property
    def published(self) -> int:
        """How many results have been sent on: all but the first, which waits for the end."""
        return max(self.results - 1, 0)

    def stop(self) -> None:
        """End it as canceled, and stop the handler if it has begun."""
        self.end(Canceled())
        if self.worker is not None:
            self.worker.stop_call(self)

    def start_over(self) -> None:
        """Make it as if it had not begun; what it emits again has the same ids."""
        self.worker, self.since, self.first, self.results = None, None, None, 0


class Peers(Protocol):
    """What a connection tells the server that owns it."""

    welcome: bytes

    def joined(self, connection: WorkerConnection) -> None:
        """A process has introduced itself."""

    def left(self, connection: WorkerConnection, unstarted: list[Call]) -> None:
        """A connection is gone; `unstarted` calls may go to another worker."""

    def freed(self) -> None:
        """A worker can take another call."""

    def counted(self, connection: WorkerConnection, body: bytes) -> None:
        """Take the state of the registry in which a worker's handler counts with prometheus_client."""

    def failed_to_start(self, failure: Failure) -> None:
        """The handler cannot be imported or started."""

    def asked_to_drain(self) -> None:
        """The runtime's container was asked to stop."""

    def replace(self, connection: WorkerConnection) -> None:
        """Have this worker killed and started anew."""


class WorkerConnection(asyncio.BufferedProtocol):
    """A connected runtime process, supervisor or worker."""

    def __init__(self, peers: Peers, loop: asyncio.AbstractEventLoop) -> None:
        self._peers = peers
        self._loop = loop
        self._reader = frames.FrameReader()
        self._transport: asyncio.Transport | None = None
        self._out: list[Buffer] = []
        self._large = False
        """Whether a piece of what goes out is large."""
        self._full = False
        """Whether the process takes less than is sent: then nothing is sent ahead."""
        self._last_number = 0
        self._paused = 0
        self.calls: dict[int, Call] = {}
        """Calls that the process has not answered yet, in the order they were sent."""
        self.hello: Hello | None = None
        self.last_heard = loop.time()
        self.canceled_at: dict[int, float] = {}
        self.replaced = False
        """Whether we have asked for the end of this process ourselves."""

    # -- asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the transport."""
        self._transport = transport  # type: ignore[assignment]  # a Unix stream connection
        transport.set_write_buffer_limits(UNSENT_BYTES)  # type: ignore[attr-defined]

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  asyncio's signature
        """Return where the next bytes are to be put."""
        return self._reader.room()

    def buffer_updated(self, nbytes: int) -> None:
        """Handle every frame that is complete."""
        self.last_heard = self._loop.time()
        try:
            for kind, number, body in self._reader.received(nbytes):
                self._handle(kind, number, body)
        except (frames.FrameError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self.refuse(f"protocol error: {error}")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        """Sort the open calls: those that ran have crashed, the others can go elsewhere.

        Where we had the process killed because of one call, the others are not to blame: they are begun anew.
        """
        self._transport = None
        calls, self.calls = [call for call in self.calls.values() if not call.over], {}
        again = [call for call in calls if self.replaced or call.since is None]
        for call in calls:
            if call not in again:
                call.worker = None
                call.crashed()
        for call in again:
            call.start_over()
        self._peers.left(self, again)

    def pause_writing(self) -> None:
        """Take no more calls."""
        self._full = True

    def resume_writing(self) -> None:
        """Take calls again."""
        self._full = False
        self._peers.freed()

    # -- towards the process

    @property
    def is_open(self) -> bool:
        """Tell whether frames can still be sent."""
        return self._transport is not None

    @property
    def room(self) -> int:
        """How many more calls this worker takes now."""
        if self.hello is None or self.hello.role != "worker" or self._transport is None or self._full:
            return 0
        return self.hello.credit - len(self.calls)

    def begin(self, call: Call) -> None:
        """Send `call`."""
        self._last_number = self._last_number % 0xFFFF_FFFF + 1
        call.number, call.worker = self._last_number, self
        kind = self.hello.kind if self.hello is not None else "sync"
        if kind == "async" or (kind == "sync" and not self.calls):
            call.since = self._loop.time()  # a batch says itself when it begins
        self.calls[call.number] = call
        pieces = frames.call_frame(call.number, call.meta, call.payload)
        for piece in pieces:
            self.send(piece)
        if len(pieces) > 1:
            # The network is to say at once whether it takes more.
            self._large = True
            self._flush()
        elif len(self.calls) == 1:
            # There is nothing to send it together with: a turn of the loop sooner.
            self._flush()

    def stop_call(self, call: Call) -> None:
        """Cancel an async handler, or a call that has not begun; replace the process of any other."""
        if call.number not in self.calls or self.hello is None:
            return
        if self.hello.kind == "async" or call.since is None:
            self.canceled_at.setdefault(call.number, self._loop.time())
            self.send(frames.frame(frames.CANCEL, call.number))
        else:
            self._peers.replace(self)

    def send(self, data: Buffer) -> None:
        """Write at the end of this loop tick, together with whatever else is written in it."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)

    def refuse(self, message: str) -> None:
        """Say why, and hang up."""
        if self._transport is not None:
            self.send(frames.frame(frames.REFUSED, 0, msgspec.json.encode({"message": message})))
            self._flush()
            self._transport.close()

    def abort(self) -> None:
        """Hang up at once: a process that hangs does not read what is still to be sent."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Hang up when everything is sent."""
        if self._transport is not None:
            self._flush()
            self._transport.close()

    def pause_reading(self) -> None:
        """Stop reading; counted, since several calls may ask."""
        self._paused += 1
        if self._paused == 1 and self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again once everyone who paused has resumed."""
        self._paused -= 1
        if self._paused == 0 and self._transport is not None:
            self._transport.resume_reading()

    def _flush(self) -> None:
        if self._transport is not None and self._out:
            if self._large:
                self._transport.writelines(self._out)
            else:
                self._transport.write(b"".join(self._out))
        self._large = False
        self._out = []

    # -- from the process

    def _handle(self, kind: int, number: int, body: Buffer) -> None:
        if kind == frames.RESULT:
            self._result(number, body)
        elif kind == frames.CHUNK:
            self._chunk(number, body)
        else:
            # Only results are worth not being copied.
            self._handle_small(kind, number, body if type(body) is bytes else bytes(body))

    def _handle_small(self, kind: int, number: int, body: bytes) -> None:
        if kind == frames.END:
            if (call := self._over(number)) is not None:
                call.end(Ended(call.first, call.results))
        elif kind == frames.ERROR:
            self._error(number, body)
        elif kind == frames.FLY:
            call = self.calls.get(number)
            if call is not None and not call.over:
                call.listener.fly(body)
        elif kind == frames.NOTES:
            call = self.calls.get(number)
            if call is not None and not call.over:
                call.listener.noted(body)
        elif kind == frames.BEGUN:
            call = self.calls.get(number)
            if call is not None:
                self._begun(call)
        else:
            self._handle_rare(kind, body)

    def _handle_rare(self, kind: int, body: bytes) -> None:
        if kind == frames.HELLO:
            self._introduced(_decode_hello(body))
        elif kind == frames.PING:
            self.send(frames.frame(frames.PONG))
        elif kind == frames.REGISTRY:
            self._peers.counted(self, body)
        elif kind == frames.FAILED:
            self._peers.failed_to_start(_decode_error(body))
        elif kind == frames.DRAIN:
            self._peers.asked_to_drain()
        elif kind != frames.PONG:
            raise frames.FrameError(f"a frame of type {kind} from the runtime")

    def _introduced(self, hello: Hello) -> None:
        if hello.protocol != frames.PROTOCOL:
            self.refuse(f"the runtime speaks protocol {hello.protocol}, this sidecar {frames.PROTOCOL}")
            return
        if self.hello is not None or hello.role not in ("worker", "supervisor") or hello.credit < 1:
            raise frames.FrameError("a HELLO that makes no sense")
        self.hello = hello
        self.send(frames.frame(frames.WELCOME, 0, self._peers.welcome))
        self._peers.joined(self)

    def _result(self, number: int, body: Buffer) -> None:
        result = Result(
            *frames.split_result(body)
        )  # before the call is taken off: what cannot be read ends the process
        call = self._over(number)
        if call is not None:
            call.end(Ended(result, 1))

    def _chunk(self, number: int, body: Buffer) -> None:
        call = self.calls.get(number)
        if call is None or call.over:
            return
        result = Result(*frames.split_result(body))
        index, call.results = call.results, call.results + 1
        if index == 0:
            call.first = result
        else:
            call.listener.chunk(index, result)

    def _error(self, number: int, body: bytes) -> None:
        failure = _decode_error(body)
        call = self._over(number)
        if call is not None:
            cause = "unserialisable" if failure.type == "ResultNotSerializable" else "handler-error"
            call.end(Failed(failure=failure, cause=cause, published=call.published))

    def _begun(self, call: Call) -> None:
        call.since = self._loop.time()
        if call.number in self.canceled_at:
            self.canceled_at[call.number] = call.since  # only now can it let go

    def _over(self, number: int) -> Call | None:
        """Take the call off the list; the next one of a worker that does one at a time begins now."""
        call = self.calls.pop(number, None)
        if call is None:
            raise frames.FrameError(f"an answer to call {number}, which is not out")
        self.canceled_at.pop(number, None)
        call.worker = None
        if self.calls and self.hello is not None and self.hello.kind == "sync":
            self._begun(next(iter(self.calls.values())))
        self._peers.freed()
        return call


def welcome(**fields: Any) -> bytes:  # noqa: ANN401  JSON values
    """Write the body of WELCOME."""
    return msgspec.json.encode({"protocol": frames.PROTOCOL, "max_frame": frames.MAX_FRAME, **fields})
