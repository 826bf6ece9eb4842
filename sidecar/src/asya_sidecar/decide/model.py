"""The values the core works with."""

from __future__ import annotations

from typing import Literal

import msgspec

from asya.policy import Failure, Resiliency
from asya.transports import Settle
from asya.wire import Envelope, ErrorInfo

KEEP: Literal["keep"] = "keep"
"""Not settled yet: the lease is kept."""

Role = Literal["actor", "sink", "sump"]


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """The actor for whom is decided, and the limits it works under."""

    name: str
    sink: str = "x-sink"
    sump: str = "x-sump"
    resiliency: Resiliency = Resiliency()
    max_hops: int = 1000
    max_route: int = 1000

    @property
    def role(self) -> Role:
        """Tell whether this is one of the two terminal actors."""
        if self.name == self.sump:
            return "sump"
        return "sink" if self.name == self.sink else "actor"


class Send(msgspec.Struct, frozen=True):
    """One envelope for the queue of `actor`, deliverable after `delay` seconds."""

    actor: str
    envelope: Envelope
    delay: float = 0.0


class Final(msgspec.Struct, frozen=True, kw_only=True):
    """A report that the receiver must acknowledge before the message is settled."""

    status: Literal["succeeded", "failed", "canceled", "paused"]
    reason: str | None = None
    actor: str = ""
    error: ErrorInfo | None = None
    partial: int | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What to do, in this order: acknowledge `final`, publish `sends`, settle.

    `row` is the truth-table id whose effects these are; `cause` the id of the situation where that is another row
    ("as for handler-error").
    """

    row: str
    cause: str = ""
    sends: tuple[Send, ...] = ()
    settle: Settle | Literal["keep"] = Settle.ACK
    final: Final | None = None
    failure: Failure | None = None


class Result(msgspec.Struct, frozen=True):
    """One result of a call: its payload, and what the handler changed.

    `changes` is JSON text of `{"next", "headers", "status"}`, empty when nothing was changed.
    """

    changes: bytes
    payload: bytes | memoryview


class Ended(msgspec.Struct, frozen=True):
    """The call ended well. `first` is result 0, None when there was none; `count` how many there were in all."""

    first: Result | None = None
    count: int = 0


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """The call failed after `published` results had been sent on. `cause` is the truth-table id of the situation."""

    failure: Failure
    cause: str = "handler-error"
    published: int = 0


class Canceled(msgspec.Struct, frozen=True):
    """The task was canceled while the call ran, and the call was stopped."""


class Away(msgspec.Struct, frozen=True):
    """No runtime took the call; it has not begun."""

    reason: str = ""


Outcome = Ended | Failed | Canceled | Away
