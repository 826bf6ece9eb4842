"""Messages are told apart by the number in their payload, and frames are those that AMQP clients read."""

from __future__ import annotations

import pytest
from benchmarks.alternatives.raw_amqp import Connection, Template
from benchmarks.amqp import Arrived
from benchmarks.hops import CountError
from benchmarks.payload import MIB, SIZE, numbered, payload, text
from pamqp import frame


@pytest.mark.parametrize("size", [SIZE, 4096, MIB])
def test_every_payload_has_its_size_and_its_number(size: int) -> None:
    body = numbered(payload(size), 42)
    assert len(body) == size
    arrived = Arrived()
    arrived.add(b'{"payload":' + body + b"}", text(size))
    assert arrived.numbers == {42: 1}
    assert arrived.damaged == 0


def arrived(*numbers: int) -> Arrived:
    found = Arrived()
    for number in numbers:
        found.add(numbered(payload(), number), text(SIZE))
    return found


def test_all_that_were_sent_once_is_right() -> None:
    arrived(2, 0, 1).check(3)
    arrived(0, 1, 0, 1).check(2, times=2)


@pytest.mark.parametrize(
    ("found", "total", "told"),
    [
        (arrived(0, 2), 3, "of 3 messages 1 are lost, 0 came too often, 0 are foreign and 0 damaged"),
        (arrived(0, 0, 1), 2, "0 are lost, 1 came too often"),
        (arrived(0, 1, 7), 2, "0 came too often, 1 are foreign"),
    ],
)
def test_lost_repeated_and_foreign_messages_are_told(found: Arrived, total: int, told: str) -> None:
    with pytest.raises(CountError, match=told):
        found.check(total)


def test_a_message_without_its_whole_payload_is_damaged_and_lost() -> None:
    found = arrived(0)
    found.add(numbered(payload(), 1)[:-20], text(SIZE))
    with pytest.raises(CountError, match="1 are lost, 0 came too often, 0 are foreign and 1 damaged"):
        found.check(2)


def test_template_makes_frames_that_an_amqp_client_reads() -> None:
    body = payload(5000)
    properties = {"delivery_mode": 2, "headers": {"task_id": "0000"}}
    data = Template("exchange", "key", properties, frame_max=4096).message(body, replace=(b"0000", b"1234"))
    frames = []
    while data:
        size, _, each = frame.unmarshal(data)
        frames.append(each)
        data = data[size:]
    method, header, *pieces = frames
    assert (method.exchange, method.routing_key) == ("exchange", "key")
    assert header.body_size == 5000
    assert header.properties.headers == {"task_id": "1234"}
    assert b"".join(piece.value for piece in pieces) == body
    assert len(pieces) == 2


async def test_connection_reads_deliveries_however_they_are_cut() -> None:
    from pamqp import body as content
    from pamqp import commands, header

    sent = [b"first", b"", b"x" * 300]
    wire = b""
    for tag, each in enumerate(sent, start=1):
        wire += frame.marshal(commands.Basic.Deliver("consumer", tag, False, "", "key"), 1)
        wire += frame.marshal(header.ContentHeader(0, len(each), commands.Basic.Properties()), 1)
        wire += b"".join(frame.marshal(content.ContentBody(each[at : at + 128]), 1) for at in range(0, len(each), 128))
    wire += frame.marshal(commands.Basic.Ack(7, True), 1)
    connection = Connection()
    got: list[tuple[int, bytes]] = []
    confirmed: list[tuple[int, bool]] = []
    connection.on_delivery = lambda tag, body: got.append((tag, body))
    connection.on_confirm = lambda tag, multiple: confirmed.append((tag, multiple))
    for at in range(0, len(wire), 11):
        connection.data_received(wire[at : at + 11])
    assert got == list(enumerate(sent, start=1))
    assert confirmed == [(7, True)]
