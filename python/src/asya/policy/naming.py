"""Names on which who makes a queue and who uses it must agree, and how they are shortened where they are too long."""

from __future__ import annotations

import hashlib

TERMINAL_ACTORS = ("x-sink", "x-sump")
"""Where every message ends; all namespaces may share them."""
SQS_LENGTH = 80
FIFO = ".fifo"
"""What SQS asks the name of a FIFO queue to end with; it counts towards the length."""
_SQS_DIGITS = 8
"""At SQS the namespace stands in front in full, as permissions go by it, so a hash tells apart its own actors only."""


def shorten(text: str, limit: int, *, separator: str, digits: int) -> str:
    """Return `text` if it fits, else its beginning with a hash of all of it; never longer than `limit` characters."""
    if len(text) <= limit:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:digits]
    return text[: limit - digits - len(separator)].rstrip("-_.") + separator + digest


def pubsub_delayed(queue: str) -> str:
    """Return what the topic and subscription of an actor's delayed messages are called; no queue's name has a dot."""
    return f"{queue}.delay"


def sqs_queue(queue: str, *, separator: str, fifo: bool = False) -> str:
    """Return what a queue is called at SQS: at most 80 characters."""
    end = FIFO if fifo else ""
    return shorten(queue, SQS_LENGTH - len(end), separator=separator, digits=_SQS_DIGITS) + end


def sqs_dead_letters(queue: str, *, separator: str, fifo: bool = False) -> str:
    """Return what a queue's dead-letter queue is called at SQS; its end tells what it is in any case."""
    end = f"{separator}dlq{FIFO if fifo else ''}"
    return shorten(queue, SQS_LENGTH - len(end), separator=separator, digits=_SQS_DIGITS) + end
