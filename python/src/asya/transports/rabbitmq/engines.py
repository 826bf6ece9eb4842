"""From an engine's name to the engine; only the one that is asked for is imported, with the libraries it is made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from asya.transports.rabbitmq.address import Address
from asya.transports.rabbitmq.engine import Engine, OnBlocked

Start = Callable[[Address, OnBlocked], Awaitable[Engine]]
"""Opens both connections of an engine to one host."""


def starter(name: str) -> Start:
    """Return what starts the engine of this name; the setting has let no other name through."""
    match name:
        case "fast":
            from asya.transports.rabbitmq.fast import connect as fast  # noqa: PLC0415

            return fast
        case "aio-pika":
            from asya.transports.rabbitmq.aiopika import connect as aiopika  # noqa: PLC0415

            return aiopika
        case other:
            raise AssertionError(other)
