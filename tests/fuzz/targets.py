"""What must hold for whatever comes in. Each target takes bytes and raises when something does not hold."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib.util
import json
import random
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from tests.fuzz import mutations
from tests.support.streams import give

import asya_runtime
from asya.errors import NoDestinationError, TooLargeError, WireError
from asya.policy import Failure, Policy, Resiliency
from asya.transports import Settle
from asya.transports.rabbitmq.consumer import _attempts
from asya.transports.rabbitmq.fast import properties
from asya.transports.rabbitmq.fast.errors import ProtocolError
from asya.wire import Envelope, decode, encode, parse_time
from asya_sidecar.decide import (
    Actor,
    Canceled,
    Decision,
    Ended,
    Failed,
    Outcome,
    Result,
    after_call,
    before_call,
    child_send,
    receive,
    undeliverable,
)
from asya_sidecar.decide.after import InvalidResult
from asya_sidecar.link import frames
from asya_sidecar.link.worker import Call, WorkerConnection
from asya_sidecar.report import HttpReporter

NOW = 1_800_000_000.0
RETRY = Resiliency(
    policies={"default": Policy(max_attempts=3), "rescue": Policy(max_attempts=1, on_exhausted=("r", "s"))}
)
ACTORS = (
    Actor(name="me", resiliency=RETRY),
    Actor(name="me"),
    Actor(name="x-sink", resiliency=RETRY),
    Actor(name="x-sump"),
)
BOOM = Failure(type="ValueError", message="boom", mro=("Exception",), traceback="…")
OUTCOMES: tuple[Outcome, ...] = (
    Ended(Result(b"", b'{"result": 1}'), 1),
    Ended(Result(b'{"next": ["b", "c"], "headers": {"mine": 1}}', b"2"), 3),
    Ended(Result(b'{"next": ["No Name"]}', b"2"), 1),
    Ended(),
    Failed(failure=BOOM, published=1),
    Failed(failure=Failure(type="CallTimeout"), cause="call-timeout"),
    Canceled(),
)
REPORTER = HttpReporter("http://gateway:8080", "token", ("gateway", "*"))


def envelope(data: bytes) -> None:
    """Whatever is in a queue: nothing is raised, nothing is lost, and what goes on can be read by the next actor."""
    for actor in ACTORS:
        received, decision = receive(data, actor, NOW)
        if decision is not None:
            _refused(data, decision)
            continue
        value = _strictly(data)
        assert value.get("id") == received.id, "the id is another one"
        _headers(received)
        before_call(received, actor, NOW, "canceled")
        decided = before_call(received, actor, NOW, "paused"), before_call(received, actor, NOW)
        for each in (*decided, *(after_call(received, outcome, actor, NOW) for outcome in OUTCOMES)):
            if each is not None:
                _goes_on(received, value, each, actor)
        _goes_on(
            received,
            value,
            Decision(row="child", sends=(child_send(received, Result(b"", b"1"), 1, actor, NOW),)),
            actor,
        )


def _strictly(data: bytes) -> dict[str, Any]:
    """Read as any other JSON reader would: what we take must be JSON to everybody."""
    value = json.loads(data.decode(), parse_constant=_refuse)
    assert isinstance(value, dict), "not an object"
    return value


def _refuse(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is taken for JSON")


def _refused(data: bytes, decision: Decision) -> None:
    assert decision.row in ("unparsable", "no-id")
    assert decision.settle is Settle.ACK
    (send,) = decision.sends
    assert send.actor == "x-sump"
    read = json.loads(encode(send.envelope))
    assert read["id"], "it has an id from now on"
    assert (read["status"]["phase"], read["status"]["reason"]) == ("failed", "ParseError")
    if decision.row == "unparsable":
        payload = read["payload"]
        original = (
            payload["original"].encode() if "original" in payload else base64.b64decode(payload["original_base64"])
        )
        assert original == data, "the sump has other bytes"
    else:
        assert read["payload"] == json.loads(data).get("payload"), "the payload is another one"


def _goes_on(received: Envelope, value: dict[str, Any], decision: Decision, actor: Actor) -> None:
    assert decision.sends or decision.final or decision.settle is not Settle.ACK or actor.role != "actor"
    for send in decision.sends:
        body = encode(send.envelope)
        again = decode(body)
        assert again.id == send.envelope.id
        sent = _strictly(body)
        kept = {name: field for name, field in value.items() if name not in _KNOWN}
        assert kept.items() <= sent.items(), "unknown fields are lost"
        if isinstance(value.get("status"), dict) and value["status"].get("deadline_at"):
            assert sent["status"]["deadline_at"] == value["status"]["deadline_at"], "the deadline is lost"
        for error in (
            TooLargeError(actor=send.actor, size=2, limit=1),
            NoDestinationError(actor=send.actor, queue="q"),
        ):
            for instead in undeliverable(received, send, error, actor, NOW).sends:
                _strictly(encode(instead.envelope))


_KNOWN = {"id", "parent_id", "route", "headers", "payload", "status", "flow"}


def _headers(received: Envelope) -> None:
    """Everyone who reads headers, and the handler's side of them."""
    REPORTER.receiver(received)
    if _TRACING:
        from asya_sidecar.tracing import context

        found = context.read(received.headers)
        context.links(received.headers)
        context.previous(received.headers)
        context.write(received.headers, found or context.root(received.id, sampled=True))
    meta = json.dumps(
        {"id": received.id, "headers": {name: json.loads(bytes(raw)) for name, raw in received.headers.items()}}
    )
    assert asya_runtime.Message(meta.encode("utf-8", "surrogatepass"), 1.0).meta["headers"] is not None
    with contextlib.suppress(asya_runtime.InvalidPayload):
        asya_runtime.decode(bytes(received.payload))


_TRACING = importlib.util.find_spec("opentelemetry") is not None


def times(data: bytes) -> None:
    """A time is read, or refused as the wire's error."""
    with contextlib.suppress(WireError):
        parse_time(data.decode("utf-8", "replace"))


def link(data: bytes) -> None:
    """What a runtime sends: every call ends once or is given back, whatever comes."""
    loop = _Loop()
    peers = _Peers()
    connection = WorkerConnection(peers, loop)  # type: ignore[arg-type]
    pipe = _Pipe(connection)
    connection.connection_made(pipe)
    hello = {"protocol": 1, "role": "worker", "pid": 1, "kind": ("sync", "async")[len(data) % 2], "credit": 3}
    give(connection, frames.frame(frames.HELLO, 0, json.dumps(hello).encode()))
    listeners = [_Listener() for _ in range(3)]
    for listener in listeners:
        connection.begin(Call(b"{}", b"1", 10.0, listener))
    for piece in _pieces(data):
        if not pipe.closed:
            give(connection, piece)
    connection.connection_lost(None)
    given_back = [call.listener for call in peers.unstarted]
    for listener in listeners:
        assert len(listener.outcomes) + given_back.count(listener) == 1, "a call is lost, or ends twice"


class _Listener:
    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.envelope = decode(mutations.json.dumps(mutations._ENVELOPES[0]).encode())

    def chunk(self, index: int, result: Result) -> None:
        with contextlib.suppress(InvalidResult):
            encode(child_send(self.envelope, result, index, ACTORS[0], NOW).envelope)

    def fly(self, event: bytes) -> None:
        """Passed on as it is."""

    def noted(self, note: bytes) -> None:
        """For whoever counts."""

    def ended(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        decision = after_call(self.envelope, outcome, ACTORS[0], NOW)
        assert decision.sends or decision.final


class _Peers:
    welcome = b"{}"

    def __init__(self) -> None:
        self.unstarted: list[Call] = []

    def left(self, connection: WorkerConnection, unstarted: list[Call]) -> None:
        self.unstarted = list(unstarted)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


class _Loop:
    """As much of a loop as a connection asks for."""

    def time(self) -> float:
        return 0.0

    def call_soon(self, callback: Callable[..., None], *args: Any) -> None:
        callback(*args)


class _Pipe(asyncio.Transport):
    def __init__(self, connection: WorkerConnection) -> None:
        super().__init__()
        self.closed = False

    def write(self, data: Any) -> None:
        """To nobody."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nobody is never too slow."""

    def close(self) -> None:
        self.closed = True


def codecs(data: bytes) -> None:
    """Both ends cut the same frames from a stream, in whatever pieces it comes, and refuse with their own errors."""
    ours, theirs = frames.FrameReader(limit=1 << 20), asya_runtime.Frames()
    whole, found, other = list(_reference(data)), [], []
    try:
        for piece in _pieces(data):
            found += list(ours.feed(piece))
    except frames.FrameError:
        pass
    assert found == whole[: len(found)], "the sidecar reads other frames"
    try:
        for piece in _pieces(data):
            other += theirs.feed(piece)
    except asya_runtime.ProtocolError:
        pass
    assert [frame for frame in other if frame[0] in frames.KNOWN][: len(found)] == found, (
        "the runtime reads other frames"
    )
    for kind, _, body in other:
        try:
            if kind == asya_runtime.CALL:
                asya_runtime.split_call(body)
            frames.split_result(body)
        except (asya_runtime.ProtocolError, frames.FrameError):
            pass


def _reference(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while len(data) - at >= 9:
        length = int.from_bytes(data[at : at + 4], "big")
        end = at + 4 + length
        if length < 5 or end > len(data):
            return
        yield data[at + 4], int.from_bytes(data[at + 5 : at + 9], "big"), data[at + 9 : end]
        at = end


def _pieces(data: bytes) -> Iterator[bytes]:
    chance = random.Random(len(data))
    at = 0
    while at < len(data):
        size = chance.choice((1, 2, 9, 64, 4096))
        yield data[at : at + size]
        at += size


def message_properties(data: bytes) -> None:
    """The properties and headers of a broker's message: read, or refused as a protocol error."""
    try:
        properties.message_id(data)
        found = properties.headers(data)
    except ProtocolError:
        return
    assert isinstance(_attempts(True, found), int)


def _amqp(chance: random.Random) -> bytes:
    table = b"".join(
        bytes((len(name),))
        + name
        + chance.choice((b"I\x00\x00\x00\x05", b"S\x00\x00\x00\x01x", b"t\x01", b"V", b"A\xff\xff\xff\xff"))
        for name in (b"x-delivery-count", b"x-death")[: chance.randrange(3)]
    )
    flags = chance.choice((0x2000, 0x3080, 0xF000, 0xFFFE, 0x0080, 0x1000))
    data = flags.to_bytes(2, "big") + len(table).to_bytes(4, "big") + table + b"\x02\x04abcd"
    return mutations.octets(chance, data) if chance.random() < 0.7 else data


def _time(chance: random.Random) -> bytes:
    return mutations.octets(
        chance, chance.choice((b"2026-01-01T00:00:00.000Z", b"0001-01-01T00:00:00+23:59", b"9999-12-31T23:59:59-23:59"))
    )


TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[random.Random], bytes], int]] = {
    "envelope": (envelope, mutations.envelope, 40),
    "link": (link, mutations.stream, 25),
    "codecs": (codecs, mutations.stream, 15),
    "properties": (message_properties, _amqp, 15),
    "times": (times, _time, 5),
}
"""By name: what must hold, where inputs come from, and how many of each hundred inputs are for it."""
