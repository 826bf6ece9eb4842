"""Frames by hand are what the library writes, and nothing is settled that nobody settled."""

from __future__ import annotations

import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands
from pamqp.body import ContentBody
from pamqp.common import FieldTable
from pamqp.frame import FrameTypes
from pamqp.header import ContentHeader

from asya.transports.rabbitmq import client, frames
from asya.transports.rabbitmq.settlements import Settlements

NAMES = st.from_regex(r"[A-Za-z0-9_.:-]{0,60}", fullmatch=True)
"""The library takes no other exchange."""


@given(
    channel=st.integers(1, 65535),
    exchange=NAMES,
    key=st.text(max_size=63),
    number=st.integers(1, 1 << 62),
    due=st.none() | st.integers(1 << 40, 1 << 42),
    body=st.binary(max_size=64),
    largest=st.integers(1, 32),
)
def test_a_message_is_written_as_the_library_writes_it(
    channel: int, exchange: str, key: str, number: int, due: int | None, body: bytes, largest: int
) -> None:
    headers: FieldTable | None = None if due is None else {"x-due": due}
    parts = [body[start : start + largest] for start in range(0, len(body), largest)]
    expected: list[FrameTypes] = [
        commands.Basic.Publish(exchange=exchange, routing_key=key, mandatory=True),
        ContentHeader(
            body_size=len(body),
            properties=commands.Basic.Properties(delivery_mode=2, message_id=str(number), headers=headers),
        ),
        *map(ContentBody, parts),
    ]

    written = frames.publish(
        channel, exchange, key, str(number), None if headers is None else client.table(headers), body, largest
    )

    assert b"".join(written) == b"".join(pamqp.frame.marshal(frame, channel) for frame in expected)


@given(channel=st.integers(1, 65535), tag=st.integers(1, (1 << 63) - 1))
def test_settling_is_written_as_the_library_writes_it(channel: int, tag: int) -> None:
    assert frames.ack(channel, tag) == pamqp.frame.marshal(commands.Basic.Ack(tag), channel)
    assert frames.ack(channel, tag, multiple=True) == pamqp.frame.marshal(commands.Basic.Ack(tag, True), channel)
    assert frames.give_back(channel, tag) == pamqp.frame.marshal(commands.Basic.Nack(tag, False, True), channel)


@pytest.mark.parametrize("text", ["x" * 256, "é" * 128, "\ud800"])
def test_what_no_name_can_be_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"bytes|surrogates"):
        frames.short(text)


class FakeChannel:
    """The broker's side of one channel: what it counts as unsettled, and what became of each delivery."""

    def __init__(self) -> None:
        self.unsettled: dict[int, None] = {}
        self.fate: dict[int, str] = {}

    def receive(self, data: bytes) -> int:
        """Do as the frames say; return how many there were."""
        count = 0
        while data:
            size, _, frame = pamqp.frame.unmarshal(data)
            data, count = data[size:], count + 1
            assert isinstance(frame, commands.Basic.Ack | commands.Basic.Nack)
            assert frame.delivery_tag in self.unsettled, "the broker closes the channel for an unknown tag"
            fate = "acked" if isinstance(frame, commands.Basic.Ack) else "given back"
            upto = [tag for tag in self.unsettled if tag <= frame.delivery_tag] if frame.multiple else []
            for tag in upto or [frame.delivery_tag]:
                del self.unsettled[tag]
                self.fate[tag] = fate
        return count


@given(st.data())
def test_exactly_what_was_asked_for_is_settled(data: st.DataObject) -> None:
    broker, ours = FakeChannel(), Settlements(1)
    asked: dict[int, str] = {}
    seen: list[int] = []
    last = 0
    for step in data.draw(st.lists(st.sampled_from(["arrive", "unseen", "ack", "give back", "send"]), max_size=40)):
        held = [tag for tag in seen if tag not in asked]
        if step in {"arrive", "unseen"}:
            last += 1
            broker.unsettled[last] = None
            if step == "arrive":
                ours.arrived(last)
                seen.append(last)
        elif step == "send":
            broker.receive(ours.take())
            assert broker.fate == asked
        elif held:
            tag = data.draw(st.sampled_from(held))
            if step == "ack":
                ours.ack(tag)
            else:
                ours.give_back(tag)
            asked[tag] = "acked" if step == "ack" else "given back"

    broker.receive(ours.take())

    assert broker.fate == asked
    assert ours.take() == b""


def test_one_frame_for_all_up_to_the_oldest_that_is_held() -> None:
    broker, ours = FakeChannel(), Settlements(1)
    for tag in range(1, 11):
        broker.unsettled[tag] = None
        ours.arrived(tag)

    waiting = [ours.ack(tag) for tag in (4, 3, 2, 1, 6)]

    assert waiting == [1, 2, 3, 4, 5], "who is first has the frames sent"
    assert broker.receive(ours.take()) == 2
    assert set(broker.fate) == {1, 2, 3, 4, 6}


@pytest.mark.parametrize("first", ["ack", "give back"])
def test_what_is_given_back_is_not_acknowledged_with_its_neighbours(first: str) -> None:
    broker, ours = FakeChannel(), Settlements(1)
    for tag in (1, 2, 3):
        broker.unsettled[tag] = None
        ours.arrived(tag)

    for step in ("ack", "give back") if first == "ack" else ("give back", "ack"):
        if step == "ack":
            ours.ack(1)
            ours.ack(3)
        else:
            ours.give_back(2)
    broker.receive(ours.take())

    assert broker.fate == {1: "acked", 2: "given back", 3: "acked"}
