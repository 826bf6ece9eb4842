"""Rate limits and circuit breakers around a real runtime, on the in-memory broker."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.sidecar.conftest import NAMES, Bench, RecordingReceiver

from asya.policy import CircuitBreaker, CircuitState, Policy, Protection, RateLimit, Resiliency
from asya.transports import Delivery
from asya.wire import Envelope, decode

SETTLED = (0, 0, 0, 0)
ECHO = "def handle(p): return p"
# Notes when it was called, and fails while the file `down` is there.
FLAKY = """
    import os, time
    def handle(p):
        with open(p["calls"], "a") as calls:
            calls.write(f"{time.monotonic()}\\n")
        if os.path.exists(p["down"]):
            raise ConnectionError("the service is down")
        return p
"""
BREAKER = CircuitBreaker(failures=3, open_for=0.4, max_open_for=0.8)


class Watching:
    """An observer that remembers what the gate tells."""

    def __init__(self) -> None:
        self.states: list[tuple[str, CircuitState]] = []
        self.limits: list[tuple[str, float]] = []

    def circuit(self, what: str, state: CircuitState) -> None:
        self.states.append((what, state))

    def limited(self, seconds: float, what: str) -> None:
        self.limits.append((what, seconds))

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_args: None


class Service:
    """What the flaky handler calls."""

    def __init__(self, bench: Bench) -> None:
        self.calls, self.down = bench.folder / "calls", bench.folder / "down"

    @property
    def payload(self) -> dict[str, str]:
        return {"calls": str(self.calls), "down": str(self.down)}

    @property
    def times(self) -> list[float]:
        return [float(line) for line in self.calls.read_text().splitlines()] if self.calls.exists() else []


def limited(rate: float, burst: int = 1) -> Resiliency:
    return Resiliency(protection=Protection(rate_limit=RateLimit(rate=rate, burst=burst)))


def broken(breaker: CircuitBreaker = BREAKER, attempts: int = 50, **more: Any) -> Resiliency:
    retry = Policy(max_attempts=attempts, initial_delay=0.01, backoff="constant", jitter=False)
    return Resiliency(policies={"default": retry}, protection=Protection(circuit_breaker=breaker), **more)


def to(name: str, **protection: Any) -> Resiliency:
    return Resiliency(destinations={name: Protection(**protection)})


def attempts(envelopes: list[Envelope]) -> list[int]:
    return [envelope.status.attempt for envelope in envelopes if envelope.status]


def payloads(envelopes: list[Envelope]) -> list[Any]:
    return [json.loads(bytes(envelope.payload)) for envelope in envelopes]


# -- rate limit of the actor


async def test_calls_keep_to_the_rate_and_all_are_made(bench: Bench) -> None:
    watching = Watching()
    await bench.start(resiliency=limited(20.0, burst=3), observer=watching, ASYA_PREFETCH="50")
    await bench.handler(FLAKY)
    service = Service(bench)
    began = time.monotonic()
    for _ in range(12):
        await bench.send(service.payload)
    await bench.arrives("b", 12)
    assert service.times[-1] - began >= (12 - 3) / 20 - 0.01, "no more than the burst above the rate"
    assert {what for what, _ in watching.limits} == {"me"}
    assert sum(seconds for _, seconds in watching.limits) > 0.2
    await bench.until(lambda: not bench.loop.held)
    assert await bench.counts() == SETTLED


async def test_what_has_to_wait_long_stays_in_the_queue(bench: Bench) -> None:
    await bench.start(resiliency=limited(1 / 3600), ASYA_PREFETCH="50")
    await bench.handler(ECHO)
    for index in range(10):
        await bench.send({"n": index})
    await bench.arrives("b")
    await bench.until(lambda: not bench.loop.held)
    await bench.send({"n": 10})
    await _turns(20)
    assert await bench.counts() == (10, 0, 0, 0), "the next may be called in an hour: nothing is held meanwhile"
    assert bench.loop.problems() == [], "and that is no fault"


async def test_only_what_may_soon_be_called_is_held(bench: Bench) -> None:
    await bench.start(resiliency=limited(0.5), ASYA_PREFETCH="50")
    await bench.handler(ECHO)
    for index in range(20):
        await bench.send({"n": index})
    await bench.arrives("b")
    await bench.until(lambda: bench.loop.held >= 5)
    await _turns(20)
    assert bench.loop.held <= 6, "ten seconds' worth at 0.5/s, and what came while the first was settled"


async def test_leases_are_kept_while_waiting_for_a_token(bench: Bench) -> None:
    bench.broker.lease_seconds = 0.3
    await bench.start(resiliency=limited(1.0))
    await bench.handler(FLAKY)
    service = Service(bench)
    for _ in range(3):
        await bench.send(service.payload)
    await bench.arrives("b", 3)
    await bench.until(lambda: not bench.loop.held)
    assert len(service.times) == 3, "each was handed out and called once"
    assert await bench.counts() == SETTLED


async def test_a_deadline_holds_while_waiting_for_a_token(bench: Bench) -> None:
    await bench.start(resiliency=limited(0.2))
    await bench.handler(FLAKY)
    service = Service(bench)
    await bench.send(service.payload)
    await bench.arrives("b")
    began = time.monotonic()
    await bench.send(service.payload, deadline_at=time.time() + 0.4)
    (ended,) = await bench.arrives("x-sink", within=3.0)
    assert time.monotonic() - began < 2.0, "told when it is late, not when its turn would come"
    assert ended.status is not None
    assert (ended.status.reason, len(service.times)) == ("Timeout", 1)


async def test_a_drain_gives_back_what_waits_for_a_token(bench: Bench) -> None:
    await bench.start(resiliency=limited(0.2), ASYA_PREFETCH="5")
    await bench.handler(ECHO)
    for _ in range(4):
        await bench.send({})
    await bench.arrives("b")
    await bench.until(lambda: bench.loop.held)
    began = time.monotonic()
    assert await bench.loop.drain(10.0) == 0
    assert time.monotonic() - began < 2.0
    assert await bench.counts() == (3, 0, 0, 0)


# -- circuit of the actor


async def test_an_open_circuit_keeps_messages_in_the_queue_and_burns_no_attempts(bench: Bench) -> None:
    watching = Watching()
    breaker = CircuitBreaker(failures=3, open_for=60.0)
    await bench.start(resiliency=broken(breaker), observer=watching, ASYA_PREFETCH="10")
    await bench.handler(FLAKY)
    service = Service(bench)
    service.down.touch()
    for _ in range(20):
        await bench.send(service.payload)
    await bench.until(lambda: ("me", "open") in watching.states)
    await bench.until(lambda: not bench.loop.held)
    queue = bench.broker.queues[NAMES.queue("me")]
    await bench.until(lambda: not queue.delayed)
    assert await bench.counts() == (20, 0, 0, 0)
    assert sorted(attempts(bench.inside("me"))) == [1] * 17 + [2] * 3, "three calls were made, each counted once"
    assert len(service.times) == 3
    assert bench.loop.problems() == [], "not ready would only start more replicas that fail"
    assert bench.loop.blockers == {"circuit of the actor is open"}
    (notice,) = bench.loop.notices
    assert notice.startswith("circuit of the actor is open until ")
    assert notice.endswith("after: ConnectionError: the service is down")


async def test_half_open_takes_one_probe_at_a_time_and_everything_succeeds_afterwards(bench: Bench) -> None:
    watching = Watching()
    await bench.start(resiliency=broken(), observer=watching, ASYA_PREFETCH="10")
    await bench.handler(FLAKY)
    service = Service(bench)
    service.down.touch()
    for _ in range(20):
        await bench.send(service.payload)
    await bench.until(lambda: watching.states.count(("me", "open")) >= 4)
    before = len(service.times)
    assert before == 3 + watching.states.count(("me", "open")) - 1, "three opened it, then one probe each time"
    # The moments are the handler's, which may be late: so the sum of three pauses, of 0.4, 0.8 and 0.8 s less 20 %.
    assert service.times[5] - service.times[2] > 2.0 * 0.8 - 0.3
    service.down.unlink()
    arrived = await bench.arrives("b", 20)
    assert len({envelope.id for envelope in arrived}) == 20
    assert watching.states[-1] == ("me", "closed")
    assert bench.loop.notices == []
    await bench.until(lambda: not bench.loop.held)
    assert await bench.counts() == SETTLED
    assert bench.inside("x-sink") == []
    assert len(service.times) == before + 20


async def test_errors_that_are_not_named_do_not_open_it(bench: Bench) -> None:
    watching = Watching()
    breaker = CircuitBreaker(failures=2, errors=("TimeoutError",))
    await bench.start(resiliency=broken(breaker, attempts=1), observer=watching)
    await bench.handler(FLAKY)
    service = Service(bench)
    service.down.touch()
    for _ in range(6):
        await bench.send(service.payload)
    await bench.arrives("x-sink", 6)
    assert watching.states == [("me", "closed")]


async def test_limit_and_breaker_together(bench: Bench) -> None:
    resiliency = Resiliency(
        policies={"default": Policy(max_attempts=50, initial_delay=0.01, jitter=False)},
        protection=Protection(rate_limit=RateLimit(rate=50.0), circuit_breaker=BREAKER),
    )
    await bench.start(resiliency=resiliency, ASYA_PREFETCH="10")
    await bench.handler(FLAKY)
    service = Service(bench)
    service.down.touch()
    for _ in range(10):
        await bench.send(service.payload)
    await bench.until(lambda: len(service.times) >= 4)
    service.down.unlink()
    closed = time.monotonic()
    await bench.arrives("b", 10)
    assert service.times[-1] - closed >= 9 / 50 - 0.03
    await bench.until(lambda: not bench.loop.held)
    assert await bench.counts() == SETTLED


# -- destinations


async def test_what_is_sent_to_a_destination_keeps_to_its_rate_while_others_go_on(bench: Bench) -> None:
    watching = Watching()
    await bench.start(resiliency=to("b", rate_limit=RateLimit(rate=10.0)), observer=watching)
    await bench.handler(ECHO)
    began = time.monotonic()
    for index in range(8):
        await bench.send({"n": index}, "me", "b")
    await bench.send({"n": "other"}, "me", "c")
    await bench.arrives("c")
    assert len(bench.inside("b")) < 8
    await bench.arrives("b", 8)
    assert time.monotonic() - began >= 0.7 - 0.05
    assert {what for what, _ in watching.limits} == {"b"}
    await bench.until(lambda: not bench.loop.held)
    assert await bench.counts() == SETTLED


async def test_results_of_one_call_keep_to_the_rate_too(bench: Bench) -> None:
    await bench.start(resiliency=to("b", rate_limit=RateLimit(rate=20.0)))
    await bench.handler("def handle(p):\n    for i in range(8):\n        yield {'i': i}")
    began = time.monotonic()
    await bench.send({})
    arrived = await bench.arrives("b", 8)
    assert time.monotonic() - began >= 7 / 20 - 0.05
    assert sorted(each["i"] for each in payloads(arrived)) == list(range(8))
    await bench.until(lambda: not bench.loop.held)
    assert await bench.counts() == SETTLED


async def test_a_full_queue_does_not_stop_messages_to_others(bench: Bench) -> None:
    await bench.start()
    await bench.handler(ECHO)
    bench.broker.fill(NAMES.queue("b"))
    for index in range(10):
        await bench.send({"n": index}, "me", "b")
    for index in range(10):
        await bench.send({"n": index}, "me", "c")
    await bench.arrives("c", 10)
    assert bench.loop.waiting == 10
    assert bench.loop.problems() == []
    bench.broker.fill(NAMES.queue("b"), False)
    await bench.arrives("b", 10)
    await bench.until(lambda: not bench.loop.held)
    assert await bench.counts() == SETTLED


async def test_an_open_circuit_of_a_destination_holds_its_messages_uncalled(bench: Bench) -> None:
    watching = Watching()
    breaker = CircuitBreaker(failures=2, open_for=0.5, max_open_for=0.5)
    await bench.start(resiliency=to("b", circuit_breaker=breaker), observer=watching)
    await bench.handler(FLAKY)
    service = Service(bench)
    bench.broker.fill(NAMES.queue("b"))
    await bench.send(service.payload, "me", "b")
    await bench.until(lambda: ("b", "open") in watching.states)
    assert len(service.times) == 1
    for _ in range(5):
        await bench.send(service.payload, "me", "b")
    await bench.send(service.payload, "me", "c")
    await bench.arrives("c")
    assert len(service.times) == 2, "only the one to c was called; the result to b is held, the others wait uncalled"
    assert any(notice.startswith("circuit of destination b is ") for notice in bench.loop.notices)
    bench.broker.fill(NAMES.queue("b"), False)
    await bench.arrives("b", 6)
    assert len(service.times) == 7, "no call was made twice"
    assert watching.states[-1] == ("b", "closed")
    await bench.until(lambda: not bench.loop.held)
    assert await bench.counts() == SETTLED


async def test_a_stream_goes_on_through_the_probe_that_its_own_message_is(bench: Bench) -> None:
    watching = Watching()
    breaker = CircuitBreaker(failures=1, open_for=0.2, max_open_for=0.2)
    await bench.start(resiliency=to("b", circuit_breaker=breaker), observer=watching)
    await bench.handler("def handle(p):\n    for i in range(5):\n        yield {'i': i}")
    bench.broker.fill(NAMES.queue("b"))
    await bench.send({})
    await bench.until(lambda: watching.states.count(("b", "open")) >= 2)
    bench.broker.fill(NAMES.queue("b"), False)
    await bench.arrives("b", 5)
    await bench.send({})
    await bench.arrives("b", 10)
    await bench.until(lambda: not bench.loop.held)
    assert await bench.counts() == SETTLED


async def test_a_deadline_holds_while_waiting_for_a_destinations_circuit(bench: Bench) -> None:
    watching = Watching()
    await bench.start(resiliency=to("b", circuit_breaker=CircuitBreaker(failures=1, open_for=60.0)), observer=watching)
    await bench.handler(ECHO)
    bench.broker.fill(NAMES.queue("b"))
    await bench.send({}, "me", "b")
    await bench.until(lambda: ("b", "open") in watching.states)
    await bench.send({}, "me", "b", deadline_at=time.time() + 0.4)
    (ended,) = await bench.arrives("x-sink", within=3.0)
    assert ended.status is not None
    assert ended.status.reason == "Timeout"
    await bench.until(lambda: bench.loop.held == 1)


@pytest.mark.parametrize("protection", ["limit", "circuit"])
async def test_a_task_that_is_canceled_while_it_waits_ends_at_once(
    bench: Bench, receiver: RecordingReceiver, protection: str
) -> None:
    breaker = CircuitBreaker(failures=1, open_for=60.0)
    resiliency = limited(0.01) if protection == "limit" else to("b", circuit_breaker=breaker)
    await bench.start(resiliency=resiliency, reporter=receiver, ASYA_PREFETCH="2", ASYA_CONCURRENCY="2")
    await bench.handler(ECHO)
    if protection == "circuit":
        bench.broker.fill(NAMES.queue("b"))
        await bench.send({}, "me", "b")
        await bench.until(lambda: bench.loop.notices)
        waits = await bench.send({}, "me", "b")
    else:
        await bench.until(lambda: bench.link.capacity)
        assert bench.gate is not None
        assert bench.gate._limiter is not None
        assert bench.gate._limiter.try_take()
        bench.gate.on_change()
        delivery = await _delivery(bench)
        waits = decode(delivery.body).id
        bench.loop._on_delivery(delivery)
    await bench.until(lambda: waits in receiver.stops)
    receiver.state = "canceled"
    receiver.stops[waits]()
    ended = await bench.arrives("x-sink")
    assert [(each.id, each.status.reason) for each in ended if each.status] == [(waits, "PreFlightCanceled")]


@pytest.mark.parametrize("connection", ["kept", "broken"])
async def test_whoever_hears_of_a_task_is_asked_again_when_its_wait_is_over(
    bench: Bench, receiver: RecordingReceiver, connection: str
) -> None:
    await bench.start(resiliency=limited(1.0), reporter=receiver, ASYA_PREFETCH="2", ASYA_CONCURRENCY="2")
    await bench.handler(ECHO)
    await bench.send({"n": 1})
    waits = await bench.send({"n": 2})
    await bench.until(lambda: waits in receiver.stops)
    # Canceled where the task is kept only: nobody tells the sidecar.
    receiver.state = "canceled"
    if connection == "broken":
        for connected in (False, True):
            bench.transport.link.set(connected)
    ended = await bench.arrives("x-sink")
    assert [(each.id, each.status.reason) for each in ended if each.status] == [(waits, "PreFlightCanceled")]


async def _delivery(bench: Bench) -> Delivery:
    """A delivery that came although nothing should be received now, as what was on its way does."""
    inbox: list[Delivery] = []
    await bench.send({})
    consumer = await bench.transport.consume("me", 1, inbox.append)
    await bench.until(lambda: inbox)
    consumer.set_credit(0)
    return inbox[0]


async def test_a_missing_destination_opens_its_circuit_and_is_given_up_in_time(bench: Bench) -> None:
    watching = Watching()
    await bench.start(
        resiliency=to("gone", circuit_breaker=CircuitBreaker(failures=1, open_for=60.0)),
        observer=watching,
        destination_wait=0.5,
    )
    await bench.handler(ECHO)
    await bench.send({}, "me", "gone")
    (ended,) = await bench.arrives("x-sump", within=5.0)
    assert ("gone", "open") in watching.states
    assert ended.status is not None
    assert ended.status.reason == "UnknownActor"


async def test_a_lost_connection_is_not_the_destinations_fault(bench: Bench) -> None:
    watching = Watching()
    bench.broker.atomic = False
    await bench.start(resiliency=to("b", circuit_breaker=CircuitBreaker(failures=1)), observer=watching)
    await bench.handler(ECHO)
    await bench.send({})
    bench.broker.lose_confirmations(1)
    await bench.arrives("b", 2)
    await bench.until(lambda: not bench.loop.held)
    assert watching.states == [("b", "closed")]


async def test_a_drain_ends_although_a_circuit_is_open(bench: Bench) -> None:
    watching = Watching()
    await bench.start(resiliency=to("b", circuit_breaker=CircuitBreaker(failures=1, open_for=60.0)), observer=watching)
    await bench.handler(ECHO)
    bench.broker.fill(NAMES.queue("b"))
    await bench.send({"n": 1}, "me", "b")
    await bench.until(lambda: ("b", "open") in watching.states)
    await bench.send({"n": 2}, "me", "b")
    await bench.until(lambda: bench.loop.waiting == 2)
    assert await bench.loop.drain(0.5) == 1, "the computed result is released at the end, the uncalled one at once"
    assert await bench.counts() == (2, 0, 0, 0)


async def _turns(count: int) -> None:
    """Let whatever can happen on the loop happen."""
    for _ in range(count):
        await asyncio.sleep(0.01)


async def test_any_number_of_messages_may_come_to_wait_for_a_destination_at_once(bench: Bench) -> None:
    watching = Watching()
    breaker = CircuitBreaker(failures=1, open_for=1.0, max_open_for=1.0)
    await bench.start(
        resiliency=to("b", circuit_breaker=breaker),
        observer=watching,
        ASYA_PREFETCH="400",
        ASYA_CONCURRENCY="1",
    )
    await bench.handler(
        """
        import os, time
        def handle(p):
            while p and not os.path.exists(p):
                time.sleep(0.01)
            return p
        """
    )
    go = bench.folder / "go"
    await bench.send(str(go), "me", "c")
    for _ in range(350):
        await bench.send("", "me", "b")
    await bench.until(lambda: bench.loop.held == 351)
    bench.broker.fill(NAMES.queue("b"))
    assert bench.gate is not None
    circuit = bench.gate._destinations["b"].circuit
    assert circuit is not None
    ticket = circuit.try_begin()
    assert ticket is not None
    circuit.end(ticket, failed=True, why="it is full")
    go.touch()
    await bench.until(lambda: bench.loop.waiting == 350)
    bench.broker.fill(NAMES.queue("b"), False)
    await bench.arrives("b", 350, within=20.0)
    await bench.until(lambda: not bench.loop.held)
    assert await bench.counts() == SETTLED, "none is among the dead letters"


async def test_a_probe_that_is_given_back_before_its_slot_leaves_its_place_to_another(bench: Bench) -> None:
    watching = Watching()
    breaker = CircuitBreaker(failures=1, open_for=0.5, max_open_for=0.5)
    await bench.start(
        resiliency=to("b", circuit_breaker=breaker), observer=watching, ASYA_PREFETCH="5", ASYA_CONCURRENCY="1"
    )
    await bench.handler(
        """
        import os, time
        def handle(p):
            while p and not os.path.exists(p):
                time.sleep(0.01)
            return p
        """
    )
    go = bench.folder / "go"
    await bench.send("", "me", "c")
    await bench.arrives("c")
    assert bench.gate is not None
    circuit = bench.gate._destinations["b"].circuit
    assert circuit is not None
    ticket = circuit.try_begin()
    assert ticket is not None
    circuit.end(ticket, failed=True, why="it is full")
    await bench.send("", "me", "b")
    await bench.until(lambda: bench.loop.waiting == 1)
    await bench.send(str(go), "me", "c")
    await bench.until(lambda: bench.loop.waiting == 0)
    assert circuit.state == "half-open", "the message is the probe, and waits for the slot"
    await bench.loop._release_prefetched("a circuit opened, or the runtime went away")
    go.touch()
    await bench.arrives("c", 2)
    await bench.arrives("b", 1)
    await bench.until(lambda: not bench.loop.held)
    assert watching.states[-1] == ("b", "closed")
    assert await bench.counts() == SETTLED


async def test_a_bug_at_the_gate_costs_its_message_only(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.start(resiliency=broken(actor_timeout=0.2, attempts=1))
    await bench.handler("import time\ndef handle(p):\n    while p['slow']:\n        time.sleep(0.01)\n    return p")
    assert bench.gate is not None

    def bug(*_: object) -> None:
        raise TypeError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(bench.gate, "answered", bug)
        await bench.send({"slow": True})
        dead = bench.broker.queues[NAMES.queue("me")].dead
        await bench.until(lambda: dead and not bench.loop.held)
    assert bench.loop.active == 0
    await bench.send({"slow": True})
    (late,) = await bench.arrives("x-sink")
    assert late.status is not None
    assert late.status.reason == "Timeout", "calls are still timed"
    await bench.send({"slow": False})
    await bench.arrives("b")
