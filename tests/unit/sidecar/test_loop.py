"""The loop with a real runtime: each situation brought about, and where the messages are afterwards."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from typing import Any

import pytest
from tests.unit.sidecar.conftest import NAMES, Bench, RecordingReceiver

from asya.errors import TransportError
from asya.policy import Policy, Resiliency
from asya.transports import Consumer, Delivery, QueueSpec
from asya.wire import headers
from asya_sidecar.decide import Actor
from asya_sidecar.hop import Hop
from asya_sidecar.link import frames
from asya_sidecar.metrics.recorder import Recorder

RETRY = Resiliency(policies={"default": Policy(max_attempts=3, initial_delay=0.01, jitter=False)})
SETTLED = (0, 0, 0, 0)
# Notes each call in the file `calls`, and goes on when the file `go` is there.
GATED = """
    import os, time
    def handle(p):
        with open(p["calls"], "a") as calls:
            calls.write("x")
        while not os.path.exists(p["go"]):
            time.sleep(0.01)
        return p
"""


def payloads(envelopes: list[Any]) -> list[Any]:
    return [json.loads(bytes(envelope.payload)) for envelope in envelopes]


async def test_a_result_goes_to_the_next_actor(bench: Bench) -> None:
    await bench.start()
    await bench.handler("def handle(p): return {'n': p['n'] + 1}")
    sent = await bench.send({"n": 1}, "me", "b", "c")
    (arrived,) = await bench.arrives("b")
    assert arrived.id == sent
    assert payloads([arrived]) == [{"n": 2}]
    await bench.until(lambda: not bench.loop.held)
    assert await bench.counts() == SETTLED


async def test_results_are_sent_on_while_the_call_still_runs(bench: Bench) -> None:
    await bench.start()
    await bench.handler("""
        import os, time
        def handle(p):
            yield {"i": 0}
            yield {"i": 1}
            yield {"i": 2}
            while not os.path.exists(p["go"]):
                time.sleep(0.01)
    """)
    go = bench.folder / "go"
    sent = await bench.send({"go": str(go)})
    children = await bench.arrives("b", 2)
    assert sorted(each["i"] for each in payloads(children)) == [1, 2]
    assert {child.parent_id for child in children} == {sent}
    go.touch()
    everything = await bench.arrives("b", 3)
    assert [envelope.id for envelope in everything if json.loads(bytes(envelope.payload))["i"] == 0] == [sent]


async def test_many_results_are_bounded_in_memory_and_all_arrive(bench: Bench) -> None:
    await bench.start()
    await bench.handler("def handle(p):\n    for i in range(2000):\n        yield {'i': i}")
    await bench.send({})
    everything = await bench.arrives("b", 2000)
    assert sorted(each["i"] for each in payloads(everything)) == list(range(2000))
    assert len({envelope.id for envelope in everything}) == 2000


async def test_nothing_returned_ends_the_route(bench: Bench) -> None:
    await bench.start()
    await bench.handler("def handle(p): return None")
    await bench.send({"n": 1})
    (ended,) = await bench.arrives("x-sink")
    assert ended.status is not None
    assert (ended.status.phase, payloads([ended])) == ("succeeded", [{"n": 1}])


async def test_a_failing_handler_is_tried_again_and_given_up(bench: Bench) -> None:
    await bench.start(resiliency=RETRY)
    await bench.handler("def handle(p, context):\n    raise ValueError('no %d' % context.attempt)")
    await bench.send({"n": 1})
    (ended,) = await bench.arrives("x-sink")
    assert ended.status is not None
    assert ended.status.error is not None
    assert (ended.status.attempt, ended.status.error.message, ended.status.error.type) == (3, "no 3", "ValueError")
    assert await bench.counts() == SETTLED


async def test_retry_after_is_honoured(bench: Bench) -> None:
    await bench.start(resiliency=RETRY)
    await bench.handler("""
        class Busy(Exception):
            retry_after = 60
        def handle(p):
            raise Busy("later")
    """)
    await bench.send({})
    queue = bench.broker.queues[NAMES.queue("me")]
    await bench.until(lambda: queue.delayed)
    (message,) = queue.delayed
    assert 55 < message.since - bench.broker.clock.now() <= 60


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("import time\ndef handle(p):\n    time.sleep(3600)", "sync"),
        ("import asyncio\nasync def handle(p):\n    await asyncio.sleep(3600)", "async"),
    ],
)
async def test_a_call_that_takes_too_long_is_stopped_and_the_next_one_runs(
    bench: Bench, source: str, kind: str
) -> None:
    await bench.start(resiliency=Resiliency(actor_timeout=0.3))
    quick = source.replace("    ", "    if p: return p\n    ", 1) if kind == "sync" else source
    quick = quick.replace("    await", "    if p: return p\n    await")
    await bench.handler(quick)
    await bench.send(None)
    (ended,) = await bench.arrives("x-sink")
    assert ended.status is not None
    assert ended.status.error is not None
    assert (ended.status.reason, ended.status.error.type) == ("Timeout", "CallTimeout")
    await bench.send({"quick": True})
    assert payloads(await bench.arrives("b")) == [{"quick": True}]


async def test_a_crash_of_the_users_process_is_survived(bench: Bench) -> None:
    await bench.start()
    await bench.handler("""
        import os
        def handle(p, context):
            if context.attempt == 1:
                os.kill(os.getpid(), 9)
            return {"attempt": context.attempt}
    """)
    await bench.send({})
    (arrived,) = await bench.arrives("b")
    assert payloads([arrived]) == [{"attempt": 2}]
    assert await bench.counts() == SETTLED


async def test_without_a_runtime_nothing_is_received(bench: Bench) -> None:
    await bench.start()
    await bench.send({})
    process = await bench.handler("import does_not_exist")
    await bench.until(lambda: "does_not_exist" in bench.link.reason)
    assert any("does_not_exist" in problem for problem in bench.loop.problems())
    assert await bench.counts() == (1, 0, 0, 0)
    assert process.returncode is None, "the runtime stays and tries again; the pod is not restarted"


async def test_a_result_that_is_not_json_fails_and_names_the_place(bench: Bench) -> None:
    await bench.start(resiliency=RETRY)
    await bench.handler("def handle(p): return {'a': [1, float('nan')]}")
    await bench.send({"n": 1})
    (ended,) = await bench.arrives("x-sink")
    assert ended.status is not None
    assert ended.status.error is not None
    assert ended.status.error.type == "ResultNotSerializable"
    assert ended.status.attempt == 1, "the same input gives the same result: not tried again"


async def test_a_wrong_route_stops_a_stream(bench: Bench) -> None:
    await bench.start()
    await bench.handler("""
        def handle(p):
            yield {"i": 0}
            yield {"i": 1}
            yield "SET", ".route.next", ["x-sink"]
            while True:
                yield {"i": 2}
    """)
    await bench.send({})
    (ended,) = await bench.arrives("x-sink")
    assert ended.status is not None
    assert (ended.status.reason, ended.status.partial) == ("InvalidRoute", 1)
    assert payloads(bench.inside("b")) == [{"i": 1}]


async def test_async_calls_run_side_by_side(bench: Bench) -> None:
    await bench.start()
    await bench.handler("""
        import asyncio
        together = asyncio.Barrier(20) if hasattr(asyncio, "Barrier") else None
        async def handle(p):
            await together.wait()
            return p
    """)
    for index in range(20):
        await bench.send({"i": index})
    assert len(await bench.arrives("b", 20)) == 20


async def test_worker_processes_work_side_by_side(bench: Bench) -> None:
    await bench.start()
    await bench.handler(
        """
        import os, time
        def handle(p):
            open(os.path.join(p["folder"], str(os.getpid())), "w").close()
            while len(os.listdir(p["folder"])) < 3:
                time.sleep(0.01)
            return os.getpid()
        """,
        ASYA_RUNTIME_WORKERS="3",
    )
    folder = bench.folder / "pids"
    folder.mkdir()
    for _ in range(3):
        await bench.send({"folder": str(folder)})
    assert len(set(payloads(await bench.arrives("b", 3)))) == 3


async def test_a_batch_handler_gets_lists_and_each_message_its_own_result(bench: Bench) -> None:
    await bench.start()
    await bench.handler(
        """
        def handle(batch):
            return [ValueError("odd") if p["i"] % 2 else {"i": p["i"], "size": len(batch)} for p in batch]
        """,
        ASYA_BATCH_SIZE="4",
        ASYA_BATCH_WAIT="5s",
    )
    for index in range(4):
        await bench.send({"i": index})
    assert payloads(await bench.arrives("b", 2)) == [{"i": 0, "size": 4}, {"i": 2, "size": 4}]
    failed = await bench.arrives("x-sink", 2)
    assert [envelope.status.error.message for envelope in failed if envelope.status and envelope.status.error] == [
        "odd",
        "odd",
    ]


async def test_sigterm_finishes_what_runs_and_releases_the_rest(bench: Bench) -> None:
    await bench.start(ASYA_PREFETCH="5")
    await bench.handler(GATED)
    calls, go = bench.folder / "calls", bench.folder / "go"
    for _ in range(5):
        await bench.send({"calls": str(calls), "go": str(go)})
    await bench.until(calls.exists)
    await bench.until(lambda: bench.loop.held == 5)
    draining = asyncio.get_running_loop().create_task(bench.loop.drain(10.0))
    await bench.until(lambda: len(bench.inside("me")) == 4)
    assert not draining.done(), "the running call is waited for"
    go.touch()
    assert await draining == 0
    assert len(bench.inside("b")) == 1
    assert await bench.counts() == (4, 0, 0, 0)


async def test_sigterm_releases_a_call_that_outlasts_the_grace_period(bench: Bench) -> None:
    await bench.start()
    await bench.handler("import time\ndef handle(p):\n    time.sleep(3600)")
    await bench.send({})
    await bench.until(lambda: bench.loop.held)
    assert await bench.loop.drain(0.3) == 1
    assert await bench.counts() == (1, 0, 0, 0)


async def test_leases_are_kept_while_a_call_runs(bench: Bench) -> None:
    bench.broker.lease_seconds = 0.3
    await bench.start()
    await bench.handler("import time\ndef handle(p):\n    time.sleep(1.2)\n    return p")
    await bench.send({"n": 1})
    await bench.arrives("b")
    await bench.until(lambda: not bench.loop.held)
    assert await bench.counts() == SETTLED
    assert len(bench.inside("b")) == 1, "it was handed out once only"


async def test_prefetched_messages_of_a_broken_connection_are_not_worked_on_in_vain(bench: Bench) -> None:
    await bench.start(ASYA_PREFETCH="3")
    await bench.handler(GATED)
    calls, go = bench.folder / "calls", bench.folder / "go"
    for _ in range(3):
        await bench.send({"calls": str(calls), "go": str(go)})
    await bench.until(lambda: bench.loop.held == 3 and calls.exists())
    bench.transport.drop_connection()
    go.touch()
    bench.transport.restore_connection()
    await bench.arrives("b", 3)
    await bench.until(lambda: not bench.loop.held)
    assert len(calls.read_text()) == 4, "the running call was repeated, the two that waited were not called twice"
    assert await bench.counts() == SETTLED


async def test_a_deadline_that_comes_while_the_call_waits_its_turn_ends_it(bench: Bench) -> None:
    await bench.start(ASYA_CONCURRENCY="2")
    await bench.handler(GATED)
    calls, go = bench.folder / "calls", bench.folder / "go"
    await bench.send({"calls": str(calls), "go": str(go)})
    await bench.until(calls.exists)
    await bench.send({"calls": str(calls), "go": str(go)}, deadline_at=time.time() + 0.3)
    (ended,) = await bench.arrives("x-sink")
    assert ended.status is not None
    assert ended.status.reason == "Timeout"
    go.touch()
    await bench.arrives("b")
    assert calls.read_text() == "x", "the late one was never begun"


async def test_a_lost_lease_does_not_settle_twice(bench: Bench) -> None:
    await bench.start()
    await bench.handler(GATED)
    calls, go = bench.folder / "calls", bench.folder / "go"
    await bench.send({"calls": str(calls), "go": str(go)})
    await bench.until(calls.exists)
    assert bench.broker.redeliver(NAMES.queue("me")) == 1
    go.touch()
    await bench.arrives("b")
    await bench.until(lambda: not bench.loop.held)
    assert await bench.counts() == SETTLED
    assert len({envelope.id for envelope in bench.inside("b")}) == 1


async def test_canceled_during_the_call(bench: Bench, receiver: RecordingReceiver) -> None:
    await bench.start(reporter=receiver)
    await bench.handler("import asyncio\nasync def handle(p):\n    await asyncio.sleep(3600)")
    sent = await bench.send({"n": 1})
    await bench.until(lambda: sent in receiver.stops)
    receiver.stops[sent]()
    (ended,) = await bench.arrives("x-sink")
    assert ended.status is not None
    assert (ended.status.phase, payloads([ended])) == ("canceled", [{"n": 1}])
    assert await bench.counts() == SETTLED


@pytest.mark.parametrize(("state", "phase"), [("canceled", "canceled"), ("paused", "paused")])
async def test_preflight_is_asked_where_there_is_a_receiver(
    bench: Bench, receiver: RecordingReceiver, state: str, phase: str
) -> None:
    receiver.state = state
    await bench.start(reporter=receiver)
    await bench.handler("def handle(p): raise AssertionError('must not be called')")
    await bench.send({})
    (ended,) = await bench.arrives("x-sink")
    assert ended.status is not None
    assert ended.status.phase == phase


async def test_children_are_reported_before_the_message_is_settled(bench: Bench, receiver: RecordingReceiver) -> None:
    await bench.start(reporter=receiver)
    await bench.handler(
        "def handle(p):\n    for i in range(3):\n        yield {'i': i}\n    yield 'FLY', {'done': True}"
    )
    sent = await bench.send({})
    everything = await bench.arrives("b", 3)
    (children,) = [report for report in receiver.reports if report.type == "children"]
    assert set(children.data["children"]) == {envelope.id for envelope in everything} - {sent}  # type: ignore[index]
    assert [report.status for report in receiver.reports if report.type == "status"] == ["processing", "completed"]
    assert [bytes(report.data) for report in receiver.reports if report.type == "fly"] == [b'{"done":true}']  # type: ignore[arg-type]


async def test_the_hop_guard_ends_a_loop(bench: Bench) -> None:
    await bench.start()
    await bench.handler("def handle(p):\n    yield 'SET', '.route.next', ['me']\n    yield p")
    await bench.send({}, "me")
    (ended,) = await bench.arrives("x-sink", within=30.0)
    assert ended.status is not None
    assert ended.status.reason == "HopLimit"
    assert bytes(ended.headers[headers.HOP]) == b"1002"


async def test_the_runtime_being_stopped_is_drained_first(bench: Bench) -> None:
    await bench.start()
    process = await bench.handler("def handle(p): return p")
    await bench.send({})
    await bench.arrives("b")
    bench.link._on_drain = lambda: drained.set()
    drained = asyncio.Event()
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        await drained.wait()
    assert await bench.loop.finish(5.0)
    assert process.returncode is None, "it serves until it is told that nothing more will come"
    bench.link.finish()
    async with asyncio.timeout(10):
        assert await process.wait() == 0


async def test_a_paused_connection_is_read_again_when_the_call_ended_first(bench: Bench) -> None:
    """More results than the window, their confirmations after the end of the call."""
    await bench.start()
    await bench.handler("""
        def handle(p):
            for i in range(p["n"]):
                yield {"i": i}
    """)
    await bench.send({"n": 205})
    bench.broker.refuse("slow disk")
    await bench.until(lambda: bench.loop.waiting)
    bench.broker.refuse(None)
    await bench.arrives("b", 205)
    await bench.send({"n": 1})
    await bench.arrives("b", 206)
    assert bench.link._workers[0]._paused == 0


async def test_a_runtime_that_was_restarted_after_a_drain_is_used(bench: Bench) -> None:
    await bench.start()
    broken = await bench.handler("import does_not_exist")
    await bench.until(lambda: "does_not_exist" in bench.link.reason)
    assert await bench.loop.finish(1.0)
    bench.link.finish()
    async with asyncio.timeout(10):
        await broken.wait()
    await bench.handler("def handle(p): return p")
    await bench.send({"n": 1})
    await bench.arrives("b")
    assert bench.loop.problems() == []


async def test_results_that_wait_for_their_destination_do_not_hold_the_slot(bench: Bench) -> None:
    await bench.start(destination_wait=30.0)
    await bench.handler("def handle(p):\n    for i in range(p['n']):\n        yield i")
    await bench.send({"n": 3}, "me", "later")
    await bench.until(lambda: bench.loop.waiting)
    await bench.send({"n": 1}, "me", "b")
    await bench.arrives("b")
    await bench.transport.declare([QueueSpec("later")])
    assert sorted(payloads(await bench.arrives("later", 3))) == [0, 1, 2]
    await bench.until(lambda: not bench.loop.held)
    assert await bench.counts() == SETTLED


async def test_a_message_that_meets_an_error_of_ours_goes_to_the_dead_letters(
    bench: Bench, receiver: RecordingReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.start(reporter=receiver)
    await bench.handler("def handle(p): return p")

    async def broken(envelope_id: str) -> None:
        raise TypeError("a bug")

    monkeypatch.setattr(receiver, "preflight", broken)
    await bench.send({"n": 1})
    queue = bench.broker.queues[NAMES.queue("me")]
    await bench.until(lambda: queue.dead)
    assert [message.reason for message in queue.dead] == ["internal-error"]
    monkeypatch.undo()
    await bench.send({"n": 2})
    assert payloads(await bench.arrives("b")) == [{"n": 2}]
    await bench.until(lambda: not bench.loop.held)
    assert await bench.counts() == (0, 0, 0, 1)


async def test_a_waiting_calls_deadline_does_not_hurt_the_running_one(bench: Bench) -> None:
    await bench.start(ASYA_CONCURRENCY="2")
    await bench.handler(
        """
        import os, time
        def handle(p):
            while not os.path.exists(p["go"]):
                time.sleep(0.01)
            return p
        """,
        ASYA_PIPELINE="1",
    )
    go = bench.folder / "go"
    await bench.send({"go": str(go)})
    await bench.until(lambda: bench.link._workers and bench.link._workers[0].calls)
    await bench.send({"go": str(go)}, deadline_at=time.time() + 0.2)
    await bench.arrives("x-sink")
    worker = bench.link._workers[0]
    await asyncio.sleep(2.5)  # longer than the grace of a cancel: that is what is tested
    assert bench.link._workers == [worker]
    go.touch()
    (arrived,) = await bench.arrives("b")
    assert arrived.status is not None
    assert arrived.status.attempt == 1


async def test_neighbours_of_a_call_that_had_to_be_killed_are_begun_anew(bench: Bench) -> None:
    await bench.start()
    await bench.handler("""
        import asyncio, os, time
        async def handle(p, context):
            if p["hang"]:
                time.sleep(3600)
            while not os.path.exists(p["go"]):
                await asyncio.sleep(0.01)
            return {"attempt": context.attempt}
    """)
    go = bench.folder / "go"
    await bench.send({"hang": False, "go": str(go)})
    await bench.until(lambda: bench.link._workers and bench.link._workers[0].calls)
    await bench.send({"hang": True}, deadline_at=time.time() + 0.3)
    await bench.arrives("x-sink")
    go.touch()
    assert payloads(await bench.arrives("b")) == [{"attempt": 1}]


async def test_a_batch_has_its_time_from_when_it_begins(bench: Bench) -> None:
    await bench.start(resiliency=Resiliency(actor_timeout=1.5))
    await bench.handler(
        """
        import time
        def handle(batch):
            time.sleep(1.0)
            return batch
        """,
        ASYA_BATCH_SIZE="2",
        ASYA_BATCH_WAIT="1ms",
    )
    await bench.send({"i": 0})
    await bench.until(lambda: bench.link._workers and bench.link._workers[0].calls)
    await bench.until(lambda: all(call.since for call in bench.link._workers[0].calls.values()))
    await bench.send({"i": 1})
    assert payloads(await bench.arrives("b", 2)) == [{"i": 0}, {"i": 1}]


async def test_a_delivery_on_its_way_while_the_actor_drains_is_given_back(bench: Bench) -> None:
    await bench.start()
    await bench.handler("def handle(p): return p")
    await bench.until(lambda: bench.link.capacity)
    assert await bench.loop.drain(1.0) == 0
    late: list[Delivery] = []
    await bench.send({"n": 1})
    await bench.transport.consume("me", 1, late.append)
    await bench.until(lambda: late)
    bench.loop._on_delivery(late[0])
    await bench.until(lambda: not bench.loop.held)
    assert bench.inside("b") == []
    assert len(late) == 2, "the broker hands it out again"


async def test_a_subscription_that_cannot_be_closed_does_not_keep_a_drain_from_its_end(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.start()
    await bench.handler("def handle(p): return p")
    await bench.until(lambda: bench.link.capacity)
    consumer = bench.loop._consumer
    assert consumer is not None

    async def broken() -> None:
        raise TransportError("the channel is gone")

    bench.loop._consumer = Consumer(set_credit=consumer.set_credit, close=lambda: asyncio.ensure_future(broken()))
    await bench.loop.drain(1.0)
    await bench.loop.close()
    assert "the subscription was not closed cleanly" in caplog.text
    assert bench.loop.failure is None


class FakeBrokenObserver(Recorder):
    """Fails at the end of each message, and of each wait."""

    def passed(self, hop: Hop) -> None:
        raise TypeError("a bug in counting")


async def test_a_bug_in_counting_holds_no_slot_and_changes_no_message(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.start(ASYA_CONCURRENCY="1", observer=FakeBrokenObserver(Actor(name="me")))
    await bench.handler("def handle(p): return p")
    for index in range(3):
        await bench.send({"n": index})
    assert payloads(await bench.arrives("b", 3)) == [{"n": 0}, {"n": 1}, {"n": 2}]
    await bench.until(lambda: not bench.loop.held)
    assert await bench.counts() == SETTLED
    assert bench.loop.active == 0
    assert caplog.text.count("TypeError: a bug in counting") == 3


async def test_a_message_that_an_error_of_ours_puts_aside_is_let_go_although_counting_fails_too(
    bench: Bench, receiver: RecordingReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.start(ASYA_CONCURRENCY="1", observer=FakeBrokenObserver(Actor(name="me")), reporter=receiver)
    await bench.handler("def handle(p): return p")
    asked = 0

    async def broken(envelope_id: str) -> None:
        nonlocal asked
        asked += 1
        raise TypeError("a bug")

    monkeypatch.setattr(receiver, "preflight", broken)
    await bench.send({"n": 1})
    queue = bench.broker.queues[NAMES.queue("me")]
    await bench.until(lambda: queue.dead and not bench.loop.held)
    assert (bench.loop.active, asked) == (0, 1)
    assert await bench.counts() == (0, 0, 0, 1)


async def test_a_process_that_neither_reads_nor_has_a_supervisor_is_given_up(bench: Bench) -> None:
    await bench.start(resiliency=Resiliency(actor_timeout=0.3))
    reader, writer = await asyncio.open_unix_connection(str(bench.sockets / "asya.sock"))
    hello = json.dumps({"protocol": 1, "role": "worker", "pid": 1, "kind": "sync", "credit": 1}).encode()
    writer.write(frames.frame(frames.HELLO, 0, hello))
    await bench.until(lambda: bench.link.capacity)
    await bench.send("x" * 900_000)  # more than a socket takes without a reader
    (ended,) = await bench.arrives("x-sink")
    assert ended.status is not None
    assert ended.status.reason == "Timeout"
    await bench.until(lambda: not bench.link.capacity)
    await bench.handler("def handle(p): return p")
    await bench.send({"n": 1})
    assert payloads(await bench.arrives("b")) == [{"n": 1}]
    writer.close()
    assert not reader.at_eof()
