"""What counting costs: CPU of the one call at the end of a hop, without broker and runtime.

``python -m benchmarks.recording`` prints microseconds a hop, the median of several rounds and their range.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from asya.transports import Delivery, Outgoing
from asya.wire import Raw, encode, new_envelope
from asya_sidecar.decide import Actor, Ended, Result, after_call, receive
from asya_sidecar.hop import Hop
from asya_sidecar.metrics.recorder import Recorder

HOPS, ROUNDS = 100_000, 9


def settled_hop(actor: Actor) -> Hop:
    """A hop of a 450-byte payload that went well, as the loop hands it over."""
    now = time.time()
    body = encode(new_envelope([actor.name, "next"], Raw(b'{"text":"' + b"x" * 439 + b'"}'), now=now - 0.01))
    hop = Hop(None, Delivery(body, actor.name, None), 1.0)  # type: ignore[arg-type]  # it goes nowhere
    hop.begun, hop.called, hop.answered, hop.concluded, hop.settled = 1.0001, 1.0002, 1.0012, 1.0013, 1.002
    hop.began_at = now
    hop.envelope, _ = receive(body, actor, now)
    hop.decision = after_call(hop.envelope, Ended(Result(b"", bytes(hop.envelope.payload)), 1), actor, now)
    hop.messages = [Outgoing(send.actor, encode(send.envelope), send.delay) for send in hop.decision.sends]
    return hop


def microseconds(work: Callable[[Hop], None], hop: Hop) -> float:
    """CPU of one call, the loop around it taken off."""
    began = time.process_time()
    for _ in range(HOPS):
        work(hop)
    counted = time.process_time()
    for _ in range(HOPS):
        pass
    return (2 * counted - began - time.process_time()) / HOPS * 1e6


def main() -> None:
    """Measure and print."""
    actor = Actor(name="bench")
    recorder, hop = Recorder(actor), settled_hop(actor)
    microseconds(recorder.passed, hop)
    rounds = [microseconds(recorder.passed, hop) for _ in range(ROUNDS)]
    print(f"{statistics.median(rounds):.2f} µs a hop ({min(rounds):.2f} to {max(rounds):.2f}, {ROUNDS} × {HOPS})")


if __name__ == "__main__":
    main()
