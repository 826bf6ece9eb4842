"""How envelopes get from queue to queue: one contract (`base`), sibling implementations that do not know each other.

`open_transport` picks one by name and imports only that module. Does not belong here: what is inside a message.
"""

from asya.transports.base import (
    Consumer,
    DeadLetter,
    DeadLetters,
    Delivery,
    Depth,
    Limits,
    Outgoing,
    QueueSpec,
    Settle,
    Transport,
)
from asya.transports.naming import QueueNames
from asya.transports.registry import open_transport

__all__ = [
    "Consumer",
    "DeadLetter",
    "DeadLetters",
    "Delivery",
    "Depth",
    "Limits",
    "Outgoing",
    "QueueNames",
    "QueueSpec",
    "Settle",
    "Transport",
    "open_transport",
]
