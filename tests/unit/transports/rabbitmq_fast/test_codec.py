"""The own engine's codec against pamqp: what one writes the other reads, however it is cut; garbage is refused."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands
from pamqp.body import ContentBody
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from asya.transports.rabbitmq.engine import NO_HEADERS, Destination, Publication
from asya.transports.rabbitmq.fast.errors import ProtocolError
from asya.transports.rabbitmq.fast.messages import Messages
from asya.transports.rabbitmq.fast.reader import ROOM, Reader

CHANNELS = (1, 2, 65535)
NAMES = st.from_regex(r"[A-Za-z0-9_.:-]{0,60}", fullmatch=True)
TAGS = st.integers(1, (1 << 63) - 1)
HEADERS = st.dictionaries(
    st.text("abc-", min_size=1, max_size=8), st.integers(0, 1 << 40) | st.booleans() | st.text(max_size=9), max_size=3
)
BODIES = st.binary(max_size=60)


class Recorder:
    """A channel that notes what it is told."""

    def __init__(self, seen: list[object], number: int) -> None:
        self._seen, self._number = seen, number

    def delivered(self, tag: int, body: bytes, redelivered: bool, headers: Mapping[str, Any]) -> None:
        assert headers or headers is NO_HEADERS
        self._seen.append(("delivered", self._number, tag, body, redelivered, dict(headers)))

    def returned(self, message_id: str) -> None:
        self._seen.append(("returned", self._number, message_id))

    def confirmed(self, tag: int, multiple: bool, refused: bool) -> None:
        self._seen.append(("confirmed", self._number, tag, multiple, refused))

    def method(self, frame: bytes) -> None:
        self._seen.append(("method", self._number, frame))


def read(data: bytes, cuts: Sequence[int] = ()) -> list[object]:
    """Return what a reader makes of `data` that comes in pieces of these sizes, and a last one with the rest."""
    seen: list[object] = []
    reader = Reader({number: Recorder(seen, number) for number in (0, *CHANNELS)})
    for size in (*cuts, len(data)):
        rest = min(size, len(data))
        while rest:
            room = reader.room()
            assert len(room) >= ROOM
            count = min(rest, len(room))
            room[:count] = data[:count]
            data, rest = data[count:], rest - count
            reader.received(count)
    return seen


@st.composite
def properties(draw: st.DrawFn) -> commands.Basic.Properties:
    optional = st.none() | st.text(max_size=20)
    return commands.Basic.Properties(
        content_type=draw(optional),
        content_encoding=draw(optional),
        headers=draw(st.none() | HEADERS),
        delivery_mode=draw(st.none() | st.sampled_from([1, 2])),
        priority=draw(st.none() | st.integers(0, 9)),
        correlation_id=draw(optional),
        reply_to=draw(optional),
        expiration=draw(optional),
        message_id=draw(st.none() | st.from_regex(r"[ -~]{1,20}", fullmatch=True)),
        app_id=draw(optional),
    )


@st.composite
def happening(draw: st.DrawFn) -> tuple[bytes, object | None]:
    """Something that a broker may send, and what a channel is to be told of it."""
    number = draw(st.sampled_from(CHANNELS))
    kind = draw(st.sampled_from(["deliver", "deliver", "return", "confirm", "method", "heartbeat"]))
    match kind:
        case "deliver" | "return":
            body, props = draw(BODIES), draw(properties())
            largest = draw(st.integers(1, 60))
            tag, again = draw(TAGS), draw(st.booleans())
            exchange, key = draw(NAMES), draw(NAMES)
            method = (
                commands.Basic.Deliver(draw(NAMES), tag, again, exchange, key)
                if kind == "deliver"
                else commands.Basic.Return(312, "NO_ROUTE", exchange, key)
            )
            parts = [body[start : start + largest] for start in range(0, len(body), largest)]
            content = [ContentHeader(body_size=len(body), properties=props), *map(ContentBody, parts)]
            data = b"".join(pamqp.frame.marshal(frame, number) for frame in (method, *content))
            if kind == "return":
                return data, ("returned", number, props.message_id or "")
            return data, ("delivered", number, tag, body, again, dict(props.headers or {}))
        case "confirm":
            tag, multiple, refused = draw(TAGS), draw(st.booleans()), draw(st.booleans())
            frame = commands.Basic.Nack(tag, multiple, False) if refused else commands.Basic.Ack(tag, multiple)
            return pamqp.frame.marshal(frame, number), ("confirmed", number, tag, multiple, refused)
        case "method":
            number = draw(st.sampled_from((0, *CHANNELS)))
            data = pamqp.frame.marshal(commands.Queue.DeclareOk(draw(NAMES), 1, 2), number)
            return data, ("method", number, data)
        case _:
            return Heartbeat().marshal(), None


@given(st.lists(happening(), max_size=12), st.lists(st.integers(1, 90), max_size=60))
def test_what_the_library_writes_is_read_the_same_however_it_is_cut(
    happenings: list[tuple[bytes, object | None]], cuts: list[int]
) -> None:
    data = b"".join(data for data, _ in happenings)

    assert read(data, cuts) == [told for _, told in happenings if told is not None]


def test_cut_at_every_byte_it_is_the_same() -> None:
    frames = [
        (commands.Basic.Deliver("c", 7, True, "ex", "key"), 1),
        (ContentHeader(body_size=5, properties=commands.Basic.Properties(headers={"x-delivery-count": 2})), 1),
        (ContentBody(b"he"), 1),
        (commands.Basic.Ack(9, True), 2),
        (ContentBody(b"llo"), 1),
        (Heartbeat(), 0),
        (commands.Basic.Deliver("c", 8, False, "ex", "key"), 1),
        (ContentHeader(body_size=0, properties=commands.Basic.Properties()), 1),
    ]
    data = b"".join(pamqp.frame.marshal(frame, number) for frame, number in frames)
    expected = [
        ("confirmed", 2, 9, True, False),
        ("delivered", 1, 7, b"hello", True, {"x-delivery-count": 2}),
        ("delivered", 1, 8, b"", False, {}),
    ]

    assert read(data) == expected
    assert read(data, [1] * len(data)) == expected
    for at in range(1, len(data)):
        assert read(data, [at]) == expected


def test_large_bodies_in_frames_of_the_largest_size_come_through_a_buffer_that_does_not_grow() -> None:
    body = bytes(range(256)) * 4096
    parts = [body[start : start + 131_064] for start in range(0, len(body), 131_064)]
    frames = [
        commands.Basic.Deliver("c", 1, False, "ex", "key"),
        ContentHeader(body_size=len(body), properties=commands.Basic.Properties()),
        *map(ContentBody, parts),
    ]
    data = b"".join(pamqp.frame.marshal(frame, 1) for frame in frames)

    for size in (50_001, 65_536, 1_000_000):
        assert read(data * 2, [size] * (2 * len(data) // size)) == [("delivered", 1, 1, body, False, {})] * 2


@given(st.binary(max_size=300), st.lists(st.integers(1, 90), max_size=9))
def test_garbage_is_a_protocol_error_or_nothing_yet(data: bytes, cuts: list[int]) -> None:
    with contextlib.suppress(ProtocolError):
        read(data, cuts)


@given(st.lists(happening(), min_size=1, max_size=4), st.data())
def test_a_broken_stream_is_a_protocol_error_or_something_else_that_is_allowed(
    happenings: list[tuple[bytes, object | None]], data: st.DataObject
) -> None:
    stream = bytearray(b"".join(each for each, _ in happenings))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(stream) - 1))
        if data.draw(st.booleans()):
            stream[at] = data.draw(st.integers(0, 255))
        else:
            del stream[at]
        if not stream:
            return
    cuts = data.draw(st.lists(st.integers(1, 90), max_size=9))
    with contextlib.suppress(ProtocolError):
        read(bytes(stream), cuts)


def frame(kind: int, channel: int, payload: bytes, end: bytes = b"\xce") -> bytes:
    return bytes((kind,)) + channel.to_bytes(2) + len(payload).to_bytes(4) + payload + end


DELIVER = pamqp.frame.marshal(commands.Basic.Deliver("c", 1, False, "ex", "key"), 1)
HEADER = pamqp.frame.marshal(ContentHeader(body_size=3, properties=commands.Basic.Properties()), 1)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"AMQP\x00\x00\x09\x02", r"speaks AMQP 0\.9\.2"),
        (b"HTTP/1.1 400 Bad Request", "agreed on"),
        (frame(1, 0, b"x" * 131_065), "131073 bytes; 131072 were agreed on"),
        (frame(8, 0, b"", end=b"\xcf"), "0xCE"),
        (frame(7, 0, b""), "kind 7"),
        (frame(8, 3, b""), "heartbeat on channel 3"),
        (pamqp.frame.marshal(commands.Basic.Ack(1), 9), "channel 9, which is not open"),
        (frame(1, 1, b"\x00\x3c\x00\x50\x00"), "confirmation ends too early"),
        (frame(1, 1, b"\x00\x3c\x00\x3c\xff"), "delivery ends too early"),
        (HEADER, "nothing has announced"),
        (frame(3, 1, b"x"), "nothing has announced"),
        (DELIVER + DELIVER + HEADER, "before the last one has ended"),
        (DELIVER + HEADER + frame(3, 1, b"four"), "longer than that"),
        (DELIVER + frame(2, 1, b"\x00\x3c\x00\x00"), "header of a message ends too early"),
        (DELIVER + frame(2, 1, b"\x00\x0a" + HEADER[9:-1]), "class 10"),
        (DELIVER + frame(2, 1, HEADER[7:11] + b"\xff" * 8 + b"\x00\x00"), "is announced"),
        (DELIVER + frame(2, 1, HEADER[7:11] + b"\x00" * 8 + b"\x20\x00\x00\x00\x00\x05"), "headers of a message"),
        (DELIVER + frame(2, 1, HEADER[7:11] + b"\x00" * 8 + b"\xa0\x00\x05"), "properties of a message end too early"),
    ],
)
def test_what_amqp_does_not_allow_is_named(data: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        read(data)


@given(
    channel=st.integers(1, 65535),
    exchange=NAMES,
    key=st.text(max_size=63),
    number=st.integers(1, 1 << 62),
    headers=st.none() | HEADERS,
    body=BODIES,
    largest=st.integers(1, 80),
)
def test_a_message_is_written_as_the_library_writes_it(
    channel: int, exchange: str, key: str, number: int, headers: dict[str, Any] | None, body: bytes, largest: int
) -> None:
    props = commands.Basic.Properties(delivery_mode=2, message_id=f"{number:016x}", headers=headers or None)
    expected = [
        commands.Basic.Publish(exchange=exchange, routing_key=key, mandatory=True),
        ContentHeader(body_size=len(body), properties=props),
        *(ContentBody(body[start : start + largest]) for start in range(0, len(body), largest)),
    ]
    messages = Messages(channel, largest)
    publication = Publication(Destination(exchange, key, "a", "q"), body, headers)

    written = [b"".join(messages.encode(publication, number)) for _ in range(2)]

    assert written == [b"".join(pamqp.frame.marshal(each, channel) for each in expected)] * 2
