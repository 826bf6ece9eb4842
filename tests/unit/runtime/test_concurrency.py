"""Many calls at once: async handlers, batches, and calls sent ahead."""

from __future__ import annotations

import json
import signal
import struct
import time

import pytest
from tests.unit.runtime.fake_sidecar import (
    BEGUN,
    CALL,
    CANCEL,
    CHUNK,
    END,
    ERROR,
    META,
    PING,
    PONG,
    RESULT,
    Connection,
    FakeSidecar,
    Frame,
)


def read(worker: Connection, count: int) -> dict[int, Frame]:
    """Read the answers of `count` calls that each have one frame."""
    frames = [worker.read() for _ in range(count)]
    return {frame.call: frame for frame in frames}


MEETING = """
import asyncio
waiting = {}
async def process(payload):
    if payload["say"]:
        waiting[payload["to"]].set_result(payload["say"])
        return "said"
    waiting[payload["to"]] = asyncio.get_running_loop().create_future()
    try:
        return await waiting[payload["to"]]
    except asyncio.CancelledError:
        print("cancelled", payload["to"])
        raise
"""


def test_async_calls_run_side_by_side_and_answer_out_of_order(sidecar: FakeSidecar) -> None:
    worker = sidecar.start(MEETING, ASYA_ASYNC_CONCURRENCY="5").worker()
    assert worker.hello["credit"] == 5
    one, two = worker.call({"to": 1, "say": None}), worker.call({"to": 2, "say": None})
    assert worker.result({"to": 1, "say": "hello"}) == "said"
    assert worker.read().call == one
    assert worker.result({"to": 2, "say": "bye"}) == "said"
    frame = worker.read()
    assert (frame.call, frame.payload) == (two, "bye")


def test_an_async_call_is_cancelled_and_the_others_go_on(sidecar: FakeSidecar) -> None:
    worker = sidecar.start(MEETING).worker()
    one, two = worker.call({"to": 1, "say": None}), worker.call({"to": 2, "say": None})
    worker.send(PING)
    assert worker.read().kind == PONG
    worker.send(CANCEL, one)
    frame = worker.read()
    assert (frame.call, frame.kind, frame.json["type"]) == (one, ERROR, "Canceled")
    assert sidecar.stdout == "cancelled 1\n"
    worker.send(CANCEL, one)
    worker.send(CANCEL, 999)
    assert worker.result({"to": 2, "say": "x"}) == "said"
    assert worker.read().call == two


def test_an_async_call_is_cancelled_before_it_begins(sidecar: FakeSidecar) -> None:
    worker = sidecar.start(MEETING).worker()
    head = json.dumps(META).encode()
    body = struct.pack(">I", len(head)) + head + b'{"to": 1, "say": null}'
    # one write, so that both are there when the worker reads
    worker.socket.sendall(struct.pack(">IBI", 5 + len(body), CALL, 7) + body + struct.pack(">IBI", 5, CANCEL, 7))
    frame = worker.read()
    assert (frame.call, frame.json["type"]) == (7, "Canceled")
    assert worker.error({"to": 1, "say": "x"})["type"] == "KeyError"


def test_a_handler_may_finish_what_was_cancelled(sidecar: FakeSidecar) -> None:
    code = """
import asyncio
async def process(payload):
    print("in")
    try:
        await asyncio.sleep(1000)
    except asyncio.CancelledError:
        return "saved"
"""
    worker = sidecar.start(code).worker()
    call = worker.call(1)
    # answered after the call has begun, since frames are handled in order and the loop runs what came first
    worker.send(PING)
    assert worker.read().kind == PONG
    worker.send(CANCEL, call)
    assert worker.read().payload == "saved"


def test_an_async_generator_is_closed_when_it_is_cancelled(sidecar: FakeSidecar) -> None:
    code = """
import asyncio
async def process(payload):
    try:
        yield 1
        await asyncio.sleep(1000)
    finally:
        print("closed")
"""
    worker = sidecar.start(code).worker()
    call = worker.call(1)
    worker.read()
    worker.send(CANCEL, call)
    assert worker.read().json["type"] == "Canceled"
    assert sidecar.stdout == "closed\n"


STREAM = """
async def process(payload):
    if payload == "ping": yield "pong"
    else:
        try:
            while True:
                print("made", flush=True)
                yield payload
        finally:
            print("closed", flush=True)
"""


def test_an_async_generator_that_never_awaits_leaves_room_for_others(sidecar: FakeSidecar) -> None:
    worker = sidecar.start(STREAM).worker()
    endless = worker.call("x")
    assert worker.read().payload == "x"
    other = worker.call("ping")
    frames = []
    while not frames or frames[-1].call != other:
        frames.append(worker.read())
    assert frames[-1].payload == "pong"
    worker.send(CANCEL, endless)
    while frames[-1].kind != ERROR:
        frames.append(worker.read())
    assert frames[-1].json["type"] == "Canceled"
    assert {frame.kind for frame in frames if frame.call == endless} == {CHUNK, ERROR}
    assert sidecar.stdout.endswith("closed\n")


def test_an_async_generator_waits_for_a_sidecar_that_does_not_read(sidecar: FakeSidecar) -> None:
    worker = sidecar.start(STREAM).worker()
    calls = [worker.call("x" * 100_000), worker.call("y" * 100_000)]
    made = -1
    while made < 20 and (made != (made := sidecar.stdout.count("made")) or not made):
        time.sleep(0.5)
    # what the socket and the transport hold, and no more
    assert made < 20
    # one of the two that wait is cancelled; the other one must not notice
    worker.send(CANCEL, calls[0])
    frames = [worker.read()]
    while frames[-1].kind != ERROR:
        frames.append(worker.read())
    assert (frames[-1].call, frames[-1].json["type"]) == (calls[0], "Canceled")
    for _ in range(30):
        frame = worker.read()
        assert (frame.call, frame.kind) == (calls[1], CHUNK)


def test_a_cancelled_async_generator_sees_the_cancellation_at_its_yield(sidecar: FakeSidecar) -> None:
    code = """
import asyncio
async def process(payload):
    try:
        while True: yield 1
    except asyncio.CancelledError:
        yield "saved"
"""
    worker = sidecar.start(code).worker()
    call = worker.call(1)
    assert worker.read().payload == 1
    worker.send(CANCEL, call)
    frames = [worker.read()]
    while frames[-1].kind == CHUNK:
        frames.append(worker.read())
    assert (frames[-1].kind, frames[-2].payload) == (END, "saved")


def test_async_calls_of_a_lost_link_are_cancelled(sidecar: FakeSidecar) -> None:
    worker = sidecar.start(MEETING).worker()
    worker.call({"to": 1, "say": None})
    worker.send(PING)
    worker.read()
    sidecar.hang_up()
    sidecar.listen()
    again = sidecar.worker()
    assert again.hello["pid"] == worker.hello["pid"]
    assert sidecar.stdout == "cancelled 1\n"
    assert again.error({"to": 3, "say": "x"})["type"] == "KeyError"


def test_clients_made_at_start_are_shared_by_all_calls(sidecar: FakeSidecar) -> None:
    code = """
import asyncio
class Model:
    def __init__(self): self.loop = asyncio.get_running_loop()
    async def start(self): self.lock, self.calls = asyncio.Lock(), 0
    async def predict(self, payload):
        async with self.lock:
            self.calls += 1
            return [self.calls, self.loop is asyncio.get_running_loop()]
"""
    worker = sidecar.start(code, "handler.Model.predict").worker()
    calls = [worker.call(n) for n in range(20)]
    answers = read(worker, 20)
    assert sorted(answers[call].payload for call in calls) == [[n, True] for n in range(1, 21)]


def test_calls_sent_ahead_run_in_order(sidecar: FakeSidecar) -> None:
    worker = sidecar.start("def process(payload): return payload", ASYA_PIPELINE="199").worker()
    calls = [worker.call(n) for n in range(200)]
    frames = [worker.read() for _ in calls]
    assert [frame.call for frame in frames] == calls
    assert [frame.payload for frame in frames] == list(range(200))


def test_a_result_does_not_wait_for_the_call_behind_it(sidecar: FakeSidecar) -> None:
    code = """
import os, time
def process(payload):
    if payload == "/": return payload
    if payload: print("waiting", flush=True)
    while payload and not os.path.exists(payload):
        time.sleep(0.01)
    return payload
"""
    worker = sidecar.start(code, ASYA_PIPELINE="5").worker()
    gate = sidecar.folder / "gate"
    calls = [worker.call(None), worker.call(str(gate)), worker.call("/"), worker.call("/"), worker.call(None)]
    assert worker.read().kind == END
    sidecar.wait_for_output("waiting\n")
    worker.send(CANCEL, calls[3])
    worker.send(PING)
    gate.touch()
    # the cancelled one had not begun; it is answered as soon as the socket is looked at
    frames = [worker.read() for _ in range(5)]
    kinds = {frame.call: frame.kind for frame in frames}
    assert kinds == {calls[1]: RESULT, calls[2]: RESULT, calls[3]: ERROR, calls[4]: END, 0: PONG}


BATCH = """
import os
def process(payloads):
    print(len(payloads), flush=True)
    if "crash" in payloads: raise ValueError("all")
    if "short" in payloads: return payloads[1:]
    if "none" in payloads: return None
    return [ValueError("one") if p == "bad" else float("nan") if p == "nan" else p for p in payloads]
"""


@pytest.mark.parametrize("declaration", ["def", "async def"])
def test_a_batch_is_one_call_of_the_handler(sidecar: FakeSidecar, declaration: str) -> None:
    code = BATCH.replace("def", declaration, 1)
    worker = sidecar.start(code, ASYA_BATCH_SIZE="4", ASYA_BATCH_WAIT="1h", ASYA_PIPELINE="4").worker()
    assert (worker.hello["kind"], worker.hello["credit"]) == ("batch", 8)
    calls = [worker.call(n) for n in (1, None, "bad", "nan", 5, 6, 7, 8)]
    answers = read(worker, 8)
    assert [answers[call].kind for call in calls] == [RESULT, END, ERROR, ERROR] + [RESULT] * 4
    assert [answers[call].payload for call in (calls[0], *calls[4:])] == [1, 5, 6, 7, 8]
    assert (answers[calls[2]].json["type"], answers[calls[2]].json["message"]) == ("ValueError", "one")
    assert answers[calls[3]].json["type"] == "ResultNotSerializable"
    assert sidecar.stdout == "4\n4\n"


def test_a_batch_does_not_wait_for_ever_to_be_full(sidecar: FakeSidecar) -> None:
    worker = sidecar.start(BATCH, ASYA_BATCH_SIZE="100", ASYA_BATCH_WAIT="100ms").worker()
    assert worker.result(1) == 1
    calls = [worker.call(2), worker.call(3)]
    assert set(read(worker, 2)) == set(calls)
    assert sum(map(int, sidecar.stdout.split())) == 3


@pytest.mark.parametrize(
    ("payload", "kind", "words"),
    [("crash", "ValueError", "all"), ("short", "TypeError", "2, not 1"), ("none", "TypeError", "2, not a NoneType")],
)
def test_a_batch_fails_together(sidecar: FakeSidecar, payload: str, kind: str, words: str) -> None:
    worker = sidecar.start(BATCH, ASYA_BATCH_SIZE="2", ASYA_BATCH_WAIT="1h").worker()
    calls = [worker.call(payload), worker.call(1)]
    answers = read(worker, 2)
    for call in calls:
        assert answers[call].json["type"] == kind
        assert words in answers[call].json["message"]
    calls = [worker.call(1), worker.call(2)]
    assert {answer.kind for answer in read(worker, 2).values()} == {RESULT}


@pytest.mark.parametrize("error", ["KeyError", "SystemExit"])
def test_one_result_that_cannot_be_read_does_not_spoil_the_batch(sidecar: FakeSidecar, error: str) -> None:
    code = f"""
import collections.abc
class Odd(collections.abc.Mapping):
    def __getitem__(self, key): raise {error}
    def __iter__(self): return iter("k")
    def __len__(self): return 1
def process(payloads): return [Odd() if payload == "odd" else payload for payload in payloads]
"""
    worker = sidecar.start(code, ASYA_BATCH_SIZE="2", ASYA_BATCH_WAIT="1h").worker()
    odd, good = worker.call("odd"), worker.call(1)
    answers = read(worker, 2)
    assert answers[odd].json["type"] == ("SystemExit" if error == "SystemExit" else "ResultNotSerializable")
    assert answers[good].payload == 1


def test_one_unreadable_payload_does_not_spoil_the_batch(sidecar: FakeSidecar) -> None:
    worker = sidecar.start(BATCH, ASYA_BATCH_SIZE="2", ASYA_BATCH_WAIT="1h").worker()
    bad, good = worker.call(b"{"), worker.call(1)
    answers = read(worker, 2)
    assert (answers[bad].json["type"], answers[good].payload) == ("InvalidPayload", 1)


def test_a_waiting_call_of_a_batch_can_be_cancelled(sidecar: FakeSidecar) -> None:
    worker = sidecar.start(BATCH, ASYA_BATCH_SIZE="2", ASYA_BATCH_WAIT="1h").worker()
    call = worker.call(1)
    worker.send(CANCEL, call)
    frame = worker.read()
    assert (frame.call, frame.json["type"]) == (call, "Canceled")
    calls = [worker.call(1), worker.call(2)]
    assert set(read(worker, 2)) == set(calls)


def test_the_calls_of_a_batch_are_said_to_have_begun(sidecar: FakeSidecar) -> None:
    code = """
import os, time
def process(payloads):
    while not os.path.exists(payloads[0]): time.sleep(0.01)
    return payloads
"""
    gate, later = sidecar.folder / "gate", sidecar.folder / "later"
    worker = sidecar.start(code, ASYA_BATCH_SIZE="2", ASYA_BATCH_WAIT="1h", ASYA_PIPELINE="4").worker()
    calls = [worker.call(str(gate)) for _ in range(2)] + [worker.call(str(later)) for _ in range(4)]
    # told before the handler is through
    assert [(frame.kind, frame.call) for frame in (worker.read_any(), worker.read_any())] == [
        (BEGUN, calls[0]),
        (BEGUN, calls[1]),
    ]
    worker.send(CANCEL, calls[2])
    worker.send(CANCEL, calls[0])
    gate.touch()
    frames = [worker.read_any() for _ in range(5)]
    assert [(frame.kind, frame.call) for frame in frames] == [
        (RESULT, calls[0]),
        (RESULT, calls[1]),
        (ERROR, calls[2]),
        (BEGUN, calls[3]),
        (BEGUN, calls[4]),
    ]
    assert frames[2].json["type"] == "Canceled"


def test_a_batch_handler_gets_a_context_for_each_payload(sidecar: FakeSidecar) -> None:
    code = """
def process(payloads, contexts=None, context=None):
    for one in context: one.route.next = ["x" + one.id]
    return payloads
"""
    worker = sidecar.start(code, ASYA_BATCH_SIZE="2", ASYA_BATCH_WAIT="1h").worker()
    for n in range(2):
        worker.call(n, {"id": str(n), "route": {"curr": "b"}})
    assert {frame.payload: frame.changes for frame in read(worker, 2).values()} == {
        0: {"next": ["x0"]},
        1: {"next": ["x1"]},
    }


def test_workers_take_calls_each_for_itself(sidecar: FakeSidecar) -> None:
    sidecar.start("import os\ndef process(payload): return os.getpid()", ASYA_RUNTIME_WORKERS="3")
    workers = [sidecar.worker() for _ in range(3)]
    assert len({worker.result(1) for worker in workers}) == 3


def test_children_of_a_handler_can_be_terminated(sidecar: FakeSidecar) -> None:
    code = """
import multiprocessing, subprocess, time
def process(payload):
    program = subprocess.Popen(["sleep", "1000"])
    program.terminate()
    codes = [program.wait()]
    for _ in range(50):
        forked = multiprocessing.get_context("fork").Process(target=time.sleep, args=(1000,))
        forked.start()
        forked.terminate()
        forked.join()
        codes.append(forked.exitcode)
    return codes
"""
    worker = sidecar.start(code).worker()
    assert worker.result(1) == [-signal.SIGTERM] * 51
