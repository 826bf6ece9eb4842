"""A channel that publishes: each message stays here until the broker has confirmed it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from pamqp import commands

from asya.errors import TransportError
from asya.transports.rabbitmq import refusals
from asya.transports.rabbitmq.engine import OnPublished, Publication
from asya.transports.rabbitmq.fast.channel import Channel
from asya.transports.rabbitmq.fast.connection import Connection
from asya.transports.rabbitmq.fast.errors import ClosedError, ProtocolError
from asya.transports.rabbitmq.fast.messages import Messages

log = logging.getLogger(__name__)
_OWN_ERROR = "the outcome of a message met an error of ours"
WINDOW_MESSAGES = 2048
WINDOW_BYTES = 16 * 1024 * 1024
"""How much may be on its way unconfirmed. One message always may, whatever its size."""


class Confirms(Channel):
    """One channel in confirm mode. `on_room` is called when `has_room` may have become true."""

    def __init__(self, connection: Connection, on_room: Callable[[], None]) -> None:
        super().__init__(connection)
        self._on_room = on_room
        self._messages = Messages(self.number, connection.body_bytes)
        self._write = connection.write_all
        self._sent = 0
        self._oldest = 1
        """No message before it is unconfirmed."""
        self._unconfirmed: dict[int, tuple[Publication, OnPublished]] = {}
        self._bytes = 0
        self._returned: set[int] = set()
        self._wanted = True

    async def open(self) -> None:
        """Open it in confirm mode.

        Raises:
            ClosedError: The broker closed the channel or the connection.
        """
        await super().open()
        await self.ask(commands.Confirm.Select(), commands.Confirm.SelectOk)

    def has_room(self, size: int) -> bool:
        """Tell whether a message of `size` bytes may be sent now."""
        return (
            len(self._unconfirmed) < WINDOW_MESSAGES
            and (self._bytes + size <= WINDOW_BYTES or not self._unconfirmed)
            and self._wanted
            and not self._connection.paused
        )

    def send(self, publication: Publication, on_published: OnPublished) -> None:
        """Put a message on its way."""
        number, size = self._sent + 1, len(publication.body)
        self._write(self._messages.encode(publication, number), size)
        self._sent = number
        self._unconfirmed[number] = (publication, on_published)
        self._bytes += size
        if len(self._unconfirmed) == 1:
            # There is nothing to send it together with: a turn of the loop sooner.
            self._connection.flush()

    def confirmed(self, tag: int, multiple: bool, refused: bool) -> None:  # noqa: FBT001
        """See `reader.Channel`."""
        if not self.alive:
            return
        if not 0 < tag <= self._sent:
            raise ProtocolError(f"message {tag} is confirmed; {self._sent} were sent", 503)
        settle, unconfirmed = self._settle, self._unconfirmed
        if multiple:
            for number in range(self._oldest, tag + 1):
                if number in unconfirmed:
                    settle(number, refused)
            self._oldest = max(self._oldest, tag + 1)
        elif tag in unconfirmed:
            settle(tag, refused)
        else:
            raise ProtocolError(f"message {tag} is confirmed twice", 503)
        while self._oldest <= self._sent and self._oldest not in unconfirmed:
            self._oldest += 1
        self._on_room()

    def returned(self, message_id: str) -> None:
        """See `reader.Channel`. The confirmation comes after it."""
        if not self.alive:
            return
        try:
            number = int(message_id, 16)
        except ValueError:
            number = 0
        if number not in self._unconfirmed:
            raise ProtocolError(f"message {message_id!r} came back, which is not on its way", 503)
        self._returned.add(number)

    def flow(self, *, active: bool) -> None:
        """See `Channel.flow`."""
        self._wanted = active
        self._on_room()

    def ended(self, error: ClosedError) -> None:
        """Tell all that are on their way what it means to them."""
        unconfirmed, self._unconfirmed = self._unconfirmed, {}
        for publication, on_published in unconfirmed.values():
            tell(on_published, refusals.closed(error.code, error.text, publication))
        self._on_room()

    def _settle(self, number: int, refused: bool) -> None:  # noqa: FBT001
        publication, on_published = self._unconfirmed.pop(number)
        self._bytes -= len(publication.body)
        error: TransportError | None = None
        if refused:
            error = refusals.rejected(publication)
        elif self._returned and number in self._returned:
            self._returned.discard(number)
            error = refusals.returned(publication)
        # As `tell` does it, without the call.
        try:
            on_published(error)
        except Exception:
            log.exception(_OWN_ERROR)


def tell(on_published: OnPublished, error: TransportError | None) -> None:
    """Say what became of a message; an error of whoever hears it must not harm the others."""
    try:
        on_published(error)
    except Exception:
        log.exception(_OWN_ERROR)
