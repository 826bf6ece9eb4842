"""One channel: opening, asking, closing, and what the broker does to it unasked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pamqp import base, commands

from asya.transports.rabbitmq.fast.calls import Calls, decoded
from asya.transports.rabbitmq.fast.errors import ClosedError, ProtocolError

if TYPE_CHECKING:
    from asya.transports.rabbitmq.fast.connection import Connection


class Channel:
    """A channel that neither publishes nor receives: see `confirms` and `subscription` for those that do."""

    def __init__(self, connection: Connection) -> None:
        self.alive = False
        self._closing = False
        self.number = connection.take_number(self)
        self._connection = connection
        self._calls = Calls(self.number, connection.write)

    async def open(self) -> None:
        """Open it at the broker.

        Raises:
            ClosedError: The broker closed the channel or the connection.
        """
        self.alive = True
        await self.ask(commands.Channel.Open(), commands.Channel.OpenOk)

    async def ask(self, request: base.Frame, *wanted: type[base.Frame]) -> base.Frame:
        """Send a request and return the answer.

        Raises:
            ClosedError: The broker closed the channel or the connection, or did not answer.
        """
        try:
            return await self._calls.ask(request, *wanted)
        except TimeoutError:
            self._connection.fail(f"no answer to {request.name}")
            raise ClosedError(f"no answer to {request.name}") from None

    async def close(self) -> None:
        """Close it; what has been written before goes first. Idempotent.

        Raises:
            ClosedError: The broker closed the channel or the connection first.
        """
        if not self.alive:
            return
        self.hurry()
        self._connection.flush()
        self._begin_to_close()
        await self.ask(commands.Channel.Close(200, "", 0, 0), commands.Channel.CloseOk)

    def give_up(self) -> None:
        """Close it without waiting for the broker's answer. Idempotent."""
        if self.alive:
            self._begin_to_close()
            self._calls.send(commands.Channel.Close(200, "", 0, 0))

    def _begin_to_close(self) -> None:
        self._closing = True
        self.end(ClosedError("the channel was closed"), calls=False)

    def end(self, error: ClosedError, *, calls: bool = True) -> None:
        """Take note that it is closed. Idempotent."""
        if calls:
            self._calls.close(error)
        if self.alive:
            self.alive = False
            self.ended(error)

    def hurry(self) -> None:
        """Write what was put off: the channel is about to be closed."""

    def ended(self, error: ClosedError) -> None:
        """Hear once that it is not alive any more."""

    def flow(self, *, active: bool) -> None:
        """Hear that the broker wants no messages for now, or again."""

    def canceled(self, consumer_tag: str) -> None:
        """Hear that the broker has ended a consumer."""

    def delivered(self, tag: int, body: bytes, redelivered: bool, headers: Mapping[str, Any]) -> None:  # noqa: ARG002, FBT001
        """See `reader.Channel`."""
        raise ProtocolError(f"a delivery on channel {self.number}, which does not receive", 503)

    def returned(self, message_id: str) -> None:
        """See `reader.Channel`."""
        raise ProtocolError(f"message {message_id!r} came back on channel {self.number}, which does not publish", 503)

    def confirmed(self, tag: int, multiple: bool, refused: bool) -> None:  # noqa: ARG002, FBT001
        """See `reader.Channel`."""
        raise ProtocolError(f"a confirmation on channel {self.number}, which does not publish", 503)

    def method(self, frame: bytes) -> None:
        """See `reader.Channel`."""
        match decoded(frame):
            case commands.Channel.Close() as closing:
                # What is asked for late in a turn would come after the answer, on a channel that is not open any more:
                # the broker would end the whole connection.
                self.hurry()
                self._connection.flush()
                self._calls.send(commands.Channel.CloseOk())
                if self._closing:
                    # Both at once: our own closing is still answered, so that the number is not free yet.
                    return
                self._connection.free_number(self)
                self.end(ClosedError(str(closing.reply_text), int(closing.reply_code or 0)))
            case commands.Channel.CloseOk() as closed if self._closing:
                self._connection.free_number(self)
                self._calls.answer(closed)
            case commands.Channel.Flow() as flow:
                self._calls.send(commands.Channel.FlowOk(flow.active))
                self.flow(active=bool(flow.active))
            case commands.Basic.Cancel() as cancel:
                if not cancel.nowait:
                    self._calls.send(commands.Basic.CancelOk(cancel.consumer_tag))
                self.canceled(str(cancel.consumer_tag))
            case answer:
                if not self._calls.answer(answer):
                    raise ProtocolError(f"{answer.name} on channel {self.number}, where nobody waits for it", 503)
