"""Group and deduplication ids of messages in FIFO queues. Pure.

Messages of one group are handed out in their order, one batch at a time. The group is what the envelope's header
`x-asya-group` says, else each task is a group of its own. The same step of the same message has the same
deduplication id however often it is published, so SQS drops what a repeated call publishes again within 5 minutes.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import Final, NamedTuple

from asya.errors import WireError
from asya.wire import Envelope, decode

GROUP_HEADER: Final = "x-asya-group"
_LENGTH: Final = 128


class Order(NamedTuple):
    """Ids of one message."""

    group: str
    dedup: str

    def entry(self) -> dict[str, str]:
        """Return the part of a batch's entry that says it."""
        return {"MessageGroupId": self.group, "MessageDeduplicationId": self.dedup}


def of(body: bytes) -> Order:
    """Return the ids of a message; what is no envelope is in no order with anything."""
    try:
        envelope = decode(body)
    except WireError:
        return alone()
    attempt = 1 if envelope.status is None else envelope.status.attempt
    step = (envelope.id, envelope.route.curr, str(envelope.hop), str(attempt), ",".join(envelope.route.prev))
    return Order(_group(envelope), _hash("\n".join(step)))


def alone() -> Order:
    """Return ids that no other message has."""
    name = uuid.uuid4().hex
    return Order(name, name)


def _group(envelope: Envelope) -> str:
    header = envelope.headers.get(GROUP_HEADER)
    name = envelope.id if header is None else bytes(header).decode().strip('"')
    fits = 0 < len(name) <= _LENGTH and name.isascii() and name.isprintable() and " " not in name
    return name if fits else _hash(name)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
