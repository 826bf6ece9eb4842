"""One connection: frames in and out, its channels, its heartbeat, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, Protocol, cast

from pamqp import base, commands

from asya.transports.rabbitmq.engine import OnBlocked
from asya.transports.rabbitmq.fast import reader
from asya.transports.rabbitmq.fast.calls import Calls, decoded
from asya.transports.rabbitmq.fast.errors import ClosedError, ProtocolError
from asya.transports.rabbitmq.fast.writer import Writer

log = logging.getLogger(__name__)
CLOSE_SECONDS = 3.0
UNSENT_BYTES = 1 << 20
"""How much may wait for the network before publishing pauses."""
_HEARTBEAT = b"\x08\x00\x00\x00\x00\x00\x00\xce"
_SILENT_INTERVALS = 3


class OpenChannel(reader.Channel, Protocol):
    """What a connection needs of its channels."""

    number: int

    def end(self, error: ClosedError) -> None:
        """Take note that it is closed."""


class Connection(asyncio.BufferedProtocol):
    """See the module. Made by `handshake.connect`, which also agrees on what is set here."""

    def __init__(self, on_blocked: OnBlocked | None = None) -> None:
        self.paused = False
        """Whether too much waits for the network."""
        self.on_resumed: Callable[[], None] | None = None
        self.on_end: Callable[[str], None] | None = None
        self.channel_max = 0
        self.body_bytes = 0
        """Most body bytes in a frame."""
        self._on_blocked = on_blocked
        self._channels: dict[int, Any] = {}
        self._reader = reader.Reader(self._channels)
        self._writer = Writer()
        self.write, self.write_all, self.write_late = (
            self._writer.write,
            self._writer.write_all,
            self._writer.write_late,
        )
        self.flush = self._writer.flush
        self.calls = Calls(0, self.write)
        """On the connection itself."""
        self._channels[0] = _Zero(self)
        self._transport: asyncio.Transport | None = None
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ended: ClosedError | None = None
        self._beating: asyncio.TimerHandle | None = None
        self._silence = 0

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._ended is None

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        # A stream's; uvloop's own class is no subclass of asyncio's.
        stream = cast("asyncio.Transport", transport)
        self._transport = stream
        stream.set_write_buffer_limits(UNSENT_BYTES)
        self._writer.start(stream)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """See `asyncio.BufferedProtocol`."""
        return self._reader.room()

    def buffer_updated(self, nbytes: int) -> None:
        """See `asyncio.BufferedProtocol`."""
        self._silence = 0
        try:
            self._reader.received(nbytes)
        except ProtocolError as error:
            self.refuse(error)

    def eof_received(self) -> None:
        """See `asyncio.Protocol`."""
        self.fail("the broker closed the connection")

    def connection_lost(self, exc: BaseException | None) -> None:
        """See `asyncio.BaseProtocol`."""
        self.fail(str(exc) if exc is not None and str(exc) else "the connection was lost")
        # Not left to the garbage collector, which would find the buffers of many lives before it runs.
        self._reader.release()
        self._channels.clear()
        if not self._gone.done():
            self._gone.set_result(None)

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self.paused = True

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self.paused = False
        if self.on_resumed is not None:
            self.on_resumed()

    # -- channels

    def take_number(self, channel: OpenChannel) -> int:
        """Return a number that no other open channel has.

        Raises:
            ClosedError: The connection has ended, or has no number left.
        """
        if self._ended is not None:
            raise ClosedError(self._ended.text, self._ended.code)
        number = next(number for number in range(1, self.channel_max + 2) if number not in self._channels)
        if number > self.channel_max:
            raise ClosedError(f"{self.channel_max} channels are open, more were not agreed on")
        self._channels[number] = channel
        return number

    def free_number(self, channel: OpenChannel) -> None:
        """Let others have the channel's number. Idempotent."""
        if self._channels.get(channel.number) is channel:
            del self._channels[channel.number]
            self._reader.forget(channel.number)

    # -- life

    def agree(self, frame_bytes: int, channel_max: int, heartbeat: int) -> None:
        """Keep to what was agreed on: largest frame, highest channel, and seconds between heartbeats (0 = none)."""
        self._reader.agree(frame_bytes)
        self.body_bytes = frame_bytes - len(_HEARTBEAT)
        self.channel_max = channel_max
        if heartbeat:
            self._beat(heartbeat / 2, 0)

    def fail(self, reason: str, code: int = 0) -> None:
        """End at once, without a word to the broker. Idempotent."""
        if self._ended is not None:
            return
        self._ended = ClosedError(reason, code)
        if self._beating is not None:
            self._beating.cancel()
        self._writer.stop()
        if self._transport is not None:
            self._transport.abort()
        self.calls.close(self._ended)
        for channel in [channel for number, channel in self._channels.items() if number]:
            channel.end(self._ended)
        if self.on_end is not None:
            self.on_end(reason)

    def refuse(self, error: ProtocolError) -> None:
        """Tell the broker what was wrong, and end."""
        if self._ended is None:
            self.flush()
            self.calls.send(commands.Connection.Close(error.code, str(error)[:200], 0, 0))
            self.flush()
            self.fail(f"the broker broke the protocol: {error}", error.code)

    async def close(self) -> None:
        """Send what is to be sent, say goodbye, and end. Idempotent; bounded in time: who blocks us reads nothing."""
        if self._ended is None:
            # What is asked for late in a turn would come after the goodbye.
            self.flush()
            with contextlib.suppress(ClosedError, TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self.calls.ask(commands.Connection.Close(200, "goodbye", 0, 0), commands.Connection.CloseOk)
            self.fail("the connection was closed")
        if self._transport is not None:
            await asyncio.wait({self._gone}, timeout=CLOSE_SECONDS)

    def method(self, frame: base.Frame) -> None:
        """Take a method on the connection itself."""
        match frame:
            case commands.Connection.Close():
                self.calls.send(commands.Connection.CloseOk())
                self.flush()
                self.fail(str(frame.reply_text), int(frame.reply_code or 0))
            case commands.Connection.Blocked():
                self._tell_blocked(str(frame.reason) or "no reason given")
            case commands.Connection.Unblocked():
                self._tell_blocked(None)
            case answer:
                if not self.calls.answer(answer):
                    raise ProtocolError(f"{answer.name}, for which nobody waits", 503)

    def _tell_blocked(self, reason: str | None) -> None:
        if self._on_blocked is not None:
            self._on_blocked(reason)

    def _beat(self, interval: float, silence: int) -> None:
        """Twice in the agreed time: send a heartbeat if nothing else was sent, and look whether anything came.

        Intervals are counted, not time, so that a machine that slept does not take the broker for dead on waking.
        """
        self._silence = silence
        if silence > 2 * _SILENT_INTERVALS:
            self.fail(f"nothing was heard from the broker for {_SILENT_INTERVALS * 2 * interval:g} s")
            return
        if self._writer.idle and not self.paused:
            self.write(_HEARTBEAT)
            self.flush()
        self._writer.idle = True
        loop = asyncio.get_running_loop()
        self._beating = loop.call_later(interval, lambda: self._beat(interval, self._silence + 1))


class _Zero:
    """Channel 0, which is the connection itself."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def method(self, frame: bytes) -> None:
        self._connection.method(decoded(frame))

    def _no_message(self, *_: object) -> None:
        raise ProtocolError("a message on channel 0", 504)

    delivered = returned = confirmed = _no_message
