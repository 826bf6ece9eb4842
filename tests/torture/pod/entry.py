"""The real sidecar with places to stop at. Run as a script in place of ``python -m asya_sidecar``.

Nothing of a message's way is changed: each wrapper does what it wraps, and says beforehand or afterwards that this step
has been reached. What happens on the wire to RabbitMQ is seen by `tests.torture.proxy`, so it has no wrapper here.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import doubts
import stops

import asya_sidecar.main as sidecar
from asya.transports import Consumer, Delivery, Transport
from asya.transports.settings import TransportSettings
from asya.transports.sqlite.store import Store
from asya_sidecar.link.worker import Call

POISON = b'"poison":true'


def watch_received(transport: Transport) -> None:
    """Stop when a delivery has come, before anything looks at it; a poisonous one always."""
    consume = transport.consume

    async def watched(actor: str, credit: int, on_delivery: Callable[[Delivery], None]) -> Consumer:
        def arrived(delivery: Delivery) -> None:
            stops.reached("after-receive")
            if POISON in delivery.body:
                stops.stop("poison")
            on_delivery(delivery)

        return await consume(actor, credit, arrived)

    transport.consume = watched  # type: ignore[method-assign]


def watch_calls() -> None:
    """Stop before the runtime is asked, and when its answer has come and nobody knows of it."""
    call, end = sidecar.RuntimeLink.call, Call.end

    def calling(self: sidecar.RuntimeLink, *args: Any, **more: Any) -> Call:
        stops.reached("before-call")
        return call(self, *args, **more)

    def ending(self: Call, outcome: Any) -> None:
        if not self.over:
            stops.reached("after-result")
        end(self, outcome)

    sidecar.RuntimeLink.call, Call.end = calling, ending  # type: ignore[method-assign]


def watch_transactions() -> None:
    """Stop around the one commit that publishes and settles.

    Its places in the order of a broker's: rows changed (published), all written down (as before an acknowledgement),
    committed and nobody told (as before the confirmation is read).
    """
    complete, commit = Store.complete, Store.commit
    pending: set[int] = set()

    def completing(self: Store, *args: Any, **more: Any) -> Any:
        complete(self, *args, **more)
        pending.add(id(self))
        stops.reached("after-publish")

    def committing(self: Store) -> None:
        settles = id(self) in pending
        pending.discard(id(self))
        if settles:
            self._flush()
            stops.reached("before-ack")
        commit(self)
        if settles:
            stops.reached("before-confirm")

    Store.complete, Store.commit = completing, committing  # type: ignore[method-assign]


def shift_clock(path: Path) -> None:
    """Have `time.time` follow the offset in seconds that the file holds: a machine whose clock is set."""
    real = time.time
    known = [(0, 0.0)]

    def shifted() -> float:
        changed = path.stat().st_mtime_ns
        if changed != known[0][0]:
            known[0] = (changed, float(path.read_text() or "0"))
        return real() + known[0][1]

    time.time = shifted


def main() -> None:
    """Wrap, then run the sidecar."""
    open_transport = sidecar.open_transport

    def opened(settings: TransportSettings) -> Transport:
        transport = open_transport(settings)
        watch_received(transport)
        if path := os.environ.get("TEST_DOUBTS"):
            doubts.watch(transport, Path(path))
        return transport

    sidecar.open_transport = opened
    watch_calls()
    watch_transactions()
    if clock := os.environ.get("TEST_CLOCK"):
        shift_clock(Path(clock))
    sys.argv = sys.argv[:1]
    sidecar.main()


if __name__ == "__main__":
    main()
