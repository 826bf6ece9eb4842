"""Errors inside the engine; at its face they become `asya.errors.TransportError`s."""

from __future__ import annotations

from asya.transports.rabbitmq import refusals


class ProtocolError(Exception):
    """The broker sent what AMQP does not allow here; the connection cannot go on.

    `code` is the reply code that says so to the broker: 501 frame error, 502 syntax error, 503 command invalid, 504
    channel error, 505 unexpected frame.
    """

    def __init__(self, message: str, code: int = 501) -> None:
        self.code = code
        super().__init__(message)


class ClosedError(Exception):
    """A channel or connection was closed with these words; code 0 when nobody said any code."""

    def __init__(self, text: str, code: int = 0) -> None:
        self.code, self.text = code, text
        super().__init__(text)

    def ours(self) -> Exception:
        """Return what this means to a caller that waits for something else than a message."""
        return refusals.general(self.code, self.text)
