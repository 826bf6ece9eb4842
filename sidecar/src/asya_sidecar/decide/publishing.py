"""When a message cannot be published: what goes to the actor of last resort instead."""

from __future__ import annotations

import msgspec

from asya.errors import NoDestinationError, TooLargeError
from asya.transports import Settle
from asya.wire import Envelope, ErrorInfo
from asya_sidecar.decide.build import to_sump
from asya_sidecar.decide.model import KEEP, Actor, Decision, Send


def undeliverable(
    received: Envelope, send: Send, error: TooLargeError | NoDestinationError, actor: Actor, now: float
) -> Decision:
    """Decide over one send that can never arrive as it is (rows `too-large`, `no-destination`, `sink-away`).

    `received` is the envelope this actor was working on, `send` what it wanted to publish.
    """
    size_problem = isinstance(error, TooLargeError)
    if send.actor == actor.sump:
        if size_problem:
            # Even the report of last resort is too large: the broker's own dead-letter queue keeps the original bytes.
            return Decision(row="too-large", settle=Settle.DEAD_LETTER)
        return Decision(row="sink-away", settle=KEEP)
    info = ErrorInfo(type="TooLarge" if size_problem else "UnknownActor", message=str(error))
    outgoing = send.envelope
    if size_problem:
        # What is too large is the result; the input travelled once and fits.
        kept = msgspec.structs.replace(received, id=outgoing.id, parent_id=outgoing.parent_id)
        return Decision(row="too-large", sends=(to_sump(kept, actor, now, reason="TooLarge", error=info),))
    return Decision(row="no-destination", sends=(to_sump(outgoing, actor, now, reason="UnknownActor", error=info),))
