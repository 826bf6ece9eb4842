"""The own engine against a broker that misbehaves to the byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pamqp.frame
import pytest
from pamqp import base, commands
from pamqp.body import ContentBody
from pamqp.header import ContentHeader
from tests.unit.transports.rabbitmq_fast.fake_amqp_broker import SOON, FakeBroker, FakePeer

from asya.errors import (
    ConnectionLostError,
    DeniedError,
    NoDestinationError,
    RefusedError,
    TooLargeError,
    TransportError,
)
from asya.transports.rabbitmq.address import Address, Trust
from asya.transports.rabbitmq.engine import Destination, Publication
from asya.transports.rabbitmq.fast import calls, confirms, connect, handshake
from asya.transports.rabbitmq.fast.engine import FastEngine
from asya.transports.rabbitmq.fast.subscription import FastSubscription

DESTINATION = Destination("ex", "key", "actor", "queue")
OK = object()
UNKNOWN_METHOD = b"\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x63\xce"


@pytest.fixture
async def broker() -> AsyncIterator[FakeBroker]:
    async with FakeBroker() as broker:
        yield broker


class Scene:
    """An engine, the broker's side of its two connections, and what became of each message."""

    def __init__(self, engine: FastEngine, broker: FakeBroker, blocked: list[str | None]) -> None:
        self.engine, self.broker, self.blocked = engine, broker, blocked
        self.outcomes: dict[int, object] = {}
        self._published = 0
        self._news = asyncio.Event()

    @property
    def publish_peer(self) -> FakePeer:
        return self.broker.peer("publish")

    @property
    def consume_peer(self) -> FakePeer:
        return self.broker.peer("consume")

    def publish(self, *bodies: bytes, destination: Destination = DESTINATION) -> None:
        """Publish; the outcome is noted by the number of the message, from 1."""
        for body in bodies:
            self._published += 1
            self.engine.publish(Publication(destination, body), lambda error, n=self._published: self._note(n, error))  # type: ignore[misc]

    async def arrived(self, count: int) -> None:
        """Wait until so many messages are with the broker."""
        await self.publish_peer.until(lambda: len(self.publish_peer.of(bytes)) >= count, "messages")

    async def told(self, *numbers: int) -> list[object]:
        """Wait for the outcome of these messages; errors as their types."""
        async with asyncio.timeout(SOON):
            while not all(number in self.outcomes for number in numbers):
                self._news.clear()
                await self._news.wait()
        return [OK if self.outcomes[n] is None else type(self.outcomes[n]) for n in numbers]

    async def lost(self) -> str:
        async with asyncio.timeout(SOON):
            return await asyncio.shield(self.engine.lost)

    def _note(self, number: int, error: TransportError | None) -> None:
        assert number not in self.outcomes, "told once"
        self.outcomes[number] = error
        self._news.set()


@pytest.fixture
async def scene(broker: FakeBroker) -> AsyncIterator[Scene]:
    blocked: list[str | None] = []
    engine = await connect(broker.address(), blocked.append)
    assert isinstance(engine, FastEngine)
    yield Scene(engine, broker, blocked)
    async with asyncio.timeout(SOON):
        await engine.close()


def closing(code: int, text: str) -> commands.Connection.Close:
    return commands.Connection.Close(code, text, 0, 0)


class TestHandshake:
    async def test_who_we_are_and_what_is_agreed_on(self, scene: Scene) -> None:
        start = scene.publish_peer.of(commands.Connection.StartOk)[0]
        tune = scene.publish_peer.of(commands.Connection.TuneOk)[0]

        assert (start.mechanism, start.response) == ("PLAIN", "\0guest\0secret")
        assert start.client_properties["capabilities"]["connection.blocked"] is True
        assert (tune.channel_max, tune.frame_max, tune.heartbeat) == (2047, 131072, 30)
        assert scene.publish_peer.of(commands.Connection.Open)[0].virtual_host == "/"

    @pytest.mark.parametrize(
        ("name", "answer", "kind", "words"),
        [
            ("Connection.StartOk", closing(403, "ACCESS_REFUSED - login"), DeniedError, "ACCESS_REFUSED"),
            (
                "Connection.Open",
                closing(530, "NOT_ALLOWED - vhost x not found"),
                DeniedError,
                "virtual host.*not found",
            ),
            ("Connection.Open", closing(541, "INTERNAL_ERROR"), ConnectionLostError, "INTERNAL_ERROR"),
            ("Connection.StartOk", closing(320, "CONNECTION_FORCED"), ConnectionLostError, "CONNECTION_FORCED"),
            ("Connection.StartOk", commands.Connection.OpenOk(), ConnectionLostError, "OpenOk, for which nobody waits"),
            ("Connection.Open", commands.Basic.QosOk(), ConnectionLostError, "nobody waits"),
            (
                "Connection.Open",
                b"\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x63\xce",
                ConnectionLostError,
                "cannot be read",
            ),
            ("Connection.Open", b"complete nonsense", ConnectionLostError, "agreed on"),
        ],
    )
    async def test_a_refusal_is_named(
        self, broker: FakeBroker, name: str, answer: base.Frame | bytes, kind: type[Exception], words: str
    ) -> None:
        broker.answers[name] = lambda _: answer

        with pytest.raises(kind, match=words) as caught:
            await handshake.connect(broker.address(), "publish")

        assert type(caught.value) is kind
        assert "secret" not in str(caught.value)

    async def test_another_version_is_named(self, broker: FakeBroker) -> None:
        broker.first = b"AMQP\x00\x01\x00\x00"

        with pytest.raises(ConnectionLostError, match=r"speaks AMQP 1\.0\.0"):
            await handshake.connect(broker.address(), "publish")

    @pytest.mark.parametrize("step", ["Connection.StartOk", "Connection.Open"])
    async def test_a_broker_that_hangs_up_is_lost(self, broker: FakeBroker, step: str) -> None:
        broker.answers[step] = lambda _: broker.peers[-1].close()

        with pytest.raises(ConnectionLostError):
            await handshake.connect(broker.address(), "publish")

    @pytest.mark.parametrize("step", ["Connection.StartOk", "Connection.Open"])
    async def test_a_broker_that_says_nothing_is_given_up(
        self, broker: FakeBroker, step: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(handshake, "CONNECT_SECONDS", 0.2)
        broker.answers[step] = lambda _: None

        with pytest.raises(ConnectionLostError, match="no answer in time"):
            await handshake.connect(broker.address(), "publish")
        await broker.peers[-1].until(lambda: broker.peers[-1].gone, "the connection is cut")

    async def test_a_login_that_cannot_be_given_is_denied(self, broker: FakeBroker) -> None:
        broker.mechanisms = "GSSAPI EXTERNAL"

        with pytest.raises(DeniedError, match="GSSAPI, EXTERNAL"):
            await handshake.connect(broker.address(), "publish")

    def test_a_certificate_is_a_login_where_no_other_is_taken(self) -> None:
        address = Address("host", 5671, "guest", "secret", "/", 30, Trust(cert_file=Path("cert.pem")))

        assert handshake._login(address, ["EXTERNAL"]) == ("EXTERNAL", "")
        assert handshake._login(address, ["EXTERNAL", "PLAIN"]) == ("PLAIN", "\0guest\0secret")

    async def test_limits_of_the_broker_hold(self, broker: FakeBroker) -> None:
        broker.answers["Connection.StartOk"] = lambda _: commands.Connection.Tune(1, 4096, 7)
        engine = await connect(broker.address(), lambda _: None)
        assert isinstance(engine, FastEngine)
        scene = Scene(engine, broker, [])
        tune = scene.publish_peer.of(commands.Connection.TuneOk)[0]

        scene.publish(b"x" * 10_000)
        await scene.publish_peer.until(lambda: sum(map(len, scene.publish_peer.of(bytes))) == 10_000, "the body")
        subscription = await engine.subscribe("q", "a", lambda *_: None, lambda: None)
        with pytest.raises(ConnectionLostError, match="1 channels"):
            await engine.subscribe("q", "a", lambda *_: None, lambda: None)

        assert (tune.channel_max, tune.frame_max, tune.heartbeat) == (1, 4096, 7)
        assert scene.publish_peer.largest == 4096
        await subscription.close()
        await engine.subscribe("q", "a", lambda *_: None, lambda: None)
        scene.consume_peer.send(b"\x01\x00\x01\x00\x00\x0f\xf9\x00")
        assert "4097 bytes; 4096 were agreed on" in await scene.lost()
        await engine.close()


class TestConfirms:
    async def test_one_by_one_and_many_at_once_in_any_order(self, scene: Scene) -> None:
        scene.publish(*(b"%d" % number for number in range(1, 9)))
        await scene.arrived(8)

        scene.publish_peer.send(commands.Basic.Ack(2), commands.Basic.Ack(4))
        assert await scene.told(2, 4) == [OK, OK]
        assert set(scene.outcomes) == {2, 4}
        scene.publish_peer.send(commands.Basic.Ack(5, True), commands.Basic.Nack(7, True, False), commands.Basic.Ack(8))

        assert await scene.told(*range(1, 9)) == [OK] * 5 + [RefusedError] * 2 + [OK]
        assert not scene.engine.lost.done()

    async def test_what_comes_back_is_told_from_its_neighbours(self, scene: Scene) -> None:
        scene.publish(b"1", b"2", b"3", b"4")
        await scene.arrived(4)

        scene.publish_peer.give_back(2)
        scene.publish_peer.give_back(4)
        scene.publish_peer.send(commands.Basic.Ack(4, True))

        assert await scene.told(1, 2, 3, 4) == [OK, NoDestinationError, OK, NoDestinationError]

    @pytest.mark.parametrize(
        ("frame", "words"),
        [
            (commands.Basic.Ack(3), "3 is confirmed; 2 were sent"),
            (commands.Basic.Ack(0, True), "0 is confirmed"),
            (commands.Basic.QosOk(), "nobody waits"),
            (b"\x01\x00\x01\x00\x00\x00\x04\x00\x3c\x00\x47\xcd", "0xCE"),
        ],
    )
    async def test_what_cannot_be_ends_the_connection_with_a_reason(
        self, scene: Scene, frame: base.Frame | bytes, words: str
    ) -> None:
        scene.publish(b"1", b"2")
        await scene.arrived(2)

        scene.publish_peer.send(frame)

        assert words in await scene.lost()
        assert await scene.told(1, 2) == [ConnectionLostError] * 2
        await scene.publish_peer.until(lambda: scene.publish_peer.gone, "the connection is cut")
        assert scene.publish_peer.of(commands.Connection.Close)[0].reply_code in {501, 503}
        scene.publish(b"late")
        assert await scene.told(3) == [ConnectionLostError]

    async def test_twice_confirmed_and_unknown_returns_are_refused(self, broker: FakeBroker, scene: Scene) -> None:
        scene.publish(b"1")
        await scene.arrived(1)
        scene.publish_peer.send(commands.Basic.Ack(1))
        await scene.told(1)

        scene.publish_peer.give_back(1)

        assert "not on its way" in await scene.lost()

    async def test_the_window_bounds_what_is_on_its_way(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(confirms, "WINDOW_MESSAGES", 3)
        scene.publish(*(b"%d" % number for number in range(1, 8)))
        await scene.arrived(3)

        for confirmed in (1, 2, 3, 4):
            scene.publish_peer.send(commands.Basic.Ack(confirmed))
            await scene.told(confirmed)
            await scene.arrived(confirmed + 3)
            assert scene.publish_peer.of(bytes) == [b"%d" % number for number in range(1, confirmed + 4)]
        scene.publish_peer.send(commands.Basic.Ack(7, True))

        assert await scene.told(*range(1, 8)) == [OK] * 7

    async def test_the_window_bounds_bytes_too_and_lets_one_message_of_any_size_go(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(confirms, "WINDOW_BYTES", 100)
        scene.publish(b"a" * 500, b"b" * 60, b"c" * 40, b"d")
        await scene.arrived(1)
        sizes = [500, 560, 600, 601]

        for confirmed, size in ((1, 600), (2, 601)):
            assert sum(map(len, scene.publish_peer.of(bytes))) in sizes[: confirmed + 1]
            scene.publish_peer.send(commands.Basic.Ack(confirmed))
            await scene.publish_peer.until(lambda size=size: sum(map(len, scene.publish_peer.of(bytes))) == size, "")  # type: ignore[misc]

        scene.publish_peer.send(commands.Basic.Ack(4, True))
        assert await scene.told(1, 2, 3, 4) == [OK] * 4

    async def test_a_broker_that_does_not_read_makes_publishing_wait(self, scene: Scene) -> None:
        scene.publish(b"first")
        await scene.arrived(1)
        scene.publish_peer.reading.clear()
        body = b"x" * 100_000

        scene.publish(*[body] * 150)
        await asyncio.sleep(0)
        transport = scene.engine._publishing._transport
        assert transport is not None
        unsent = 0
        for _ in range(100):
            await asyncio.sleep(0.001)
            unsent = max(unsent, transport.get_write_buffer_size())

        assert unsent < 3_000_000, "15 MB are to be sent"
        scene.publish_peer.reading.set()
        await scene.arrived(151)
        scene.publish_peer.send(commands.Basic.Ack(151, True))
        assert set(await scene.told(*range(1, 152))) == {OK}


class TestClosedMidway:
    @pytest.mark.parametrize(
        ("code", "text", "kind"),
        [
            (404, "NOT_FOUND - no exchange 'ex' in vhost '/'", NoDestinationError),
            (404, "NOT_FOUND - no exchange 'other' in vhost '/'", ConnectionLostError),
            (403, "ACCESS_REFUSED - write access to exchange 'ex' refused", DeniedError),
            (406, "PRECONDITION_FAILED - message size 5 is larger than configured max size 3", TooLargeError),
            (406, "PRECONDITION_FAILED - message size 6 is larger than configured max size 3", ConnectionLostError),
            (540, "NOT_IMPLEMENTED", ConnectionLostError),
        ],
    )
    async def test_a_closed_channel_means_something_to_each_and_the_next_opens_another(
        self, scene: Scene, code: int, text: str, kind: type[Exception]
    ) -> None:
        scene.publish(b"12345")
        await scene.arrived(1)

        scene.publish_peer.send(commands.Channel.Close(code, text, 60, 40))
        assert await scene.told(1) == [kind]
        scene.publish(b"again")
        await scene.arrived(2)
        scene.publish_peer.send(commands.Basic.Ack(1))

        assert await scene.told(2) == [OK]
        assert len(scene.publish_peer.of(commands.Channel.CloseOk)) == 1
        assert len(scene.publish_peer.of(commands.Channel.Open)) == 2
        assert not scene.engine.lost.done()

    async def test_what_waits_for_the_window_goes_by_the_next_channel(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(confirms, "WINDOW_MESSAGES", 1)
        scene.publish(b"1", b"2")
        await scene.arrived(1)

        scene.publish_peer.send(commands.Channel.Close(403, "ACCESS_REFUSED", 60, 40))
        await scene.arrived(2)
        scene.publish_peer.send(commands.Basic.Ack(1))

        assert await scene.told(1, 2) == [DeniedError, OK]

    @pytest.mark.parametrize(
        ("code", "kind"),
        [(320, ConnectionLostError), (501, ConnectionLostError), (541, ConnectionLostError), (530, DeniedError)],
    )
    @pytest.mark.parametrize("purpose", ["publish", "consume"])
    async def test_a_closed_connection_ends_the_engine(
        self, scene: Scene, code: int, kind: type[Exception], purpose: str
    ) -> None:
        ended: list[bool] = []
        subscription = await scene.engine.subscribe("q", "a", lambda *_: None, lambda: ended.append(True))
        await subscription.start(5)
        scene.publish(b"1")
        await scene.arrived(1)
        peer = scene.broker.peer(purpose)

        peer.send(commands.Connection.Close(code, "the broker's words", 0, 0), channel=0)

        assert "the broker's words" in await scene.lost()
        if purpose == "publish":
            assert await scene.told(1) == [kind]
        else:
            assert ended
            assert (subscription.alive, subscription.running) == (False, False)
            with pytest.raises(ConnectionLostError):
                subscription.ack(1)
            with pytest.raises(TransportError):
                await subscription.start(1)
        await peer.until(lambda: peer.of(commands.Connection.CloseOk), "CloseOk")

    @pytest.mark.parametrize("cut", [True, False], ids=["reset", "in the middle of a frame"])
    async def test_a_cut_connection_leaves_what_was_on_its_way_in_doubt(self, scene: Scene, cut: bool) -> None:
        scene.publish(b"1")
        await scene.arrived(1)
        if not cut:
            scene.publish_peer.send(b"\x01\x00\x01\x00\x00")
        scene.publish_peer._writer.close() if not cut else scene.publish_peer.close()

        assert await scene.told(1) == [ConnectionLostError]
        assert await scene.lost()

    async def test_while_the_channel_opens_the_connection_ends(self, scene: Scene) -> None:
        scene.broker.answers["Confirm.Select"] = lambda _: scene.publish_peer.close()

        scene.publish(b"1", b"2")

        assert await scene.told(1, 2) == [ConnectionLostError] * 2

    async def test_an_answer_that_never_comes_ends_the_connection(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(calls, "ANSWER_SECONDS", 0.1)
        scene.broker.answers["Queue.Declare"] = lambda _: None

        with pytest.raises(ConnectionLostError, match=r"no answer to Queue\.Declare"):
            await scene.engine.subscribe("q", "a", lambda *_: None, lambda: None)
        assert "no answer" in await scene.lost()

    async def test_the_buffers_of_a_life_end_with_it(self, broker: FakeBroker) -> None:
        engine = await connect(broker.address(), lambda _: None)
        assert isinstance(engine, FastEngine)
        readers = [connection._reader for connection in (engine._publishing, engine._consuming)]
        assert all(len(reader._data) > 200_000 for reader in readers)

        broker.peer("publish").close()
        await engine.close()

        assert [len(reader._data) for reader in readers] == [0, 0]


class TestBlocked:
    async def test_blocked_it_refuses_what_the_broker_has_not_got_and_later_goes_on(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(confirms, "WINDOW_MESSAGES", 1)
        scene.publish(b"1", b"2")
        await scene.arrived(1)

        scene.publish_peer.send(commands.Connection.Blocked("low on memory"), channel=0)
        assert await scene.told(2) == [RefusedError]
        scene.publish(b"3")
        assert "low on memory" in str(scene.outcomes[3])
        scene.publish_peer.send(commands.Basic.Ack(1))
        assert await scene.told(1) == [OK]
        scene.publish_peer.send(commands.Connection.Unblocked(), channel=0)
        async with asyncio.timeout(SOON):
            while scene.blocked != ["low on memory", None]:
                await asyncio.sleep(0)
        scene.publish(b"4")
        await scene.arrived(2)
        scene.publish_peer.send(commands.Basic.Ack(2))

        assert await scene.told(4) == [OK]

    async def test_a_channel_that_is_told_to_stop_stops(self, scene: Scene) -> None:
        scene.publish(b"1")
        await scene.arrived(1)
        peer = scene.publish_peer

        peer.send(commands.Channel.Flow(False))
        await peer.until(lambda: peer.of(commands.Channel.FlowOk), "the answer")
        scene.publish(b"2")
        peer.send(commands.Basic.Ack(1))
        await scene.told(1)
        assert peer.of(bytes) == [b"1"]
        peer.send(commands.Channel.Flow(True))
        await scene.arrived(2)

        assert [frame.active for frame in peer.of(commands.Channel.FlowOk)] == [False, True]


class TestHeartbeat:
    async def test_both_ways(self, scene: Scene) -> None:
        connection = scene.engine._publishing
        connection.agree(131072, 10, 0)
        connection._beat(0.02, 0)
        peer = scene.publish_peer
        await peer.until(lambda: peer.heartbeats >= 2, "heartbeats")

        async def alive() -> None:
            while True:
                peer.send(b"\x08\x00\x00\x00\x00\x00\x00\xce")
                await asyncio.sleep(0.01)

        living = asyncio.create_task(alive())
        before = peer.heartbeats
        await peer.until(lambda: peer.heartbeats >= before + 10, "longer than silence is allowed")
        assert not scene.engine.lost.done()
        living.cancel()

        assert "nothing was heard" in await scene.lost()

    async def test_a_dead_broker_is_noticed_while_publishing_waits(self, scene: Scene) -> None:
        scene.publish(b"1")
        await scene.arrived(1)
        scene.publish_peer.reading.clear()

        scene.engine._publishing._beat(0.01, 0)

        assert await scene.told(1) == [ConnectionLostError]
        assert "nothing was heard" in await scene.lost()


class TestSubscription:
    @pytest.fixture
    async def inbox(self) -> SimpleNamespace:
        return SimpleNamespace(arrived=[], ended=0, news=asyncio.Event())

    @pytest.fixture
    async def subscription(self, scene: Scene, inbox: Any) -> FastSubscription:
        def arrived(tag: int, body: bytes, *_: object) -> None:
            inbox.arrived.append((tag, body))
            inbox.news.set()
            if body == b"raise":
                raise RuntimeError("an error of ours")

        def ended() -> None:
            inbox.ended += 1
            inbox.news.set()

        subscription = await scene.engine.subscribe("q", "actor", arrived, ended)
        await subscription.start(5)
        return subscription

    @staticmethod
    async def until(inbox: Any, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(SOON):
            while not condition():
                inbox.news.clear()
                await inbox.news.wait()

    async def test_received_and_settled_in_one_frame(
        self, scene: Scene, subscription: FastSubscription, inbox: Any
    ) -> None:
        peer = scene.consume_peer
        for tag in (1, 2, 3, 4):
            peer.deliver(tag, b"%d" % tag)
        await self.until(inbox, lambda: len(inbox.arrived) == 4)

        for tag in (2, 1, 3):
            subscription.ack(tag)
        subscription.nack(4)
        await peer.until(lambda: peer.of(commands.Basic.Ack), "settled")

        assert [(ack.delivery_tag, ack.multiple) for ack in peer.of(commands.Basic.Ack)] == [(3, True)]
        assert [(nack.delivery_tag, nack.requeue) for nack in peer.of(commands.Basic.Nack)] == [(4, True)]
        assert peer.of(commands.Basic.Qos)[0].prefetch_count == 5

    async def test_what_was_settled_goes_out_before_the_goodbye(
        self, scene: Scene, subscription: FastSubscription, inbox: Any
    ) -> None:
        peer = scene.consume_peer
        peer.deliver(1, b"1")
        await self.until(inbox, lambda: inbox.arrived)

        subscription.ack(1)
        await scene.engine.close()

        names = [frame.name for _, frame in peer.received if isinstance(frame, base.Frame)]
        assert names[-2:] == ["Basic.Ack", "Connection.Close"]

    async def test_an_error_of_ours_costs_one_message_only(
        self, scene: Scene, subscription: FastSubscription, inbox: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        scene.consume_peer.deliver(1, b"raise")
        scene.consume_peer.deliver(2, b"fine")

        await self.until(inbox, lambda: len(inbox.arrived) == 2)

        assert inbox.arrived == [(1, b"raise"), (2, b"fine")]
        assert "an error of ours" in caplog.text
        assert subscription.running

    @pytest.mark.parametrize("whole", [True, False])
    @pytest.mark.parametrize(
        "field",
        [
            b"\x01tT" + (1_764_000_000_000_000).to_bytes(8),  # a time in microseconds: no year there is
            b"\x02\xff\xfet\x01",  # a name that is not UTF-8
            b"\x01?\x07",  # a type that nobody knows
        ],
    )
    async def test_headers_that_cannot_be_understood_harm_nobody(
        self, scene: Scene, subscription: FastSubscription, inbox: Any, field: bytes, whole: bool
    ) -> None:
        properties = b"\x20\x00" + len(field).to_bytes(4) + field
        header = b"\x00\x3c\x00\x00" + (4).to_bytes(8) + properties
        start = b"\x02\x00\x01" + len(header).to_bytes(4) + header + b"\xce"
        body = [ContentBody(b"odd!")] if whole else [ContentBody(b"od"), ContentBody(b"d!")]
        scene.consume_peer.send(commands.Basic.Deliver("1", 1, False, "ex", "key"), start, *body)
        scene.consume_peer.deliver(2, b"fine")

        await self.until(inbox, lambda: len(inbox.arrived) == 2 or inbox.ended)

        assert inbox.arrived == [(1, b"odd!"), (2, b"fine")]
        assert subscription.running

    async def test_ended_by_the_broker(self, scene: Scene, subscription: FastSubscription, inbox: Any) -> None:
        scene.consume_peer.send(commands.Basic.Cancel("1", True))
        await self.until(inbox, lambda: inbox.ended)

        assert (subscription.alive, subscription.running) == (True, False)
        assert scene.consume_peer.of(commands.Basic.CancelOk) == []

    async def test_nothing_arrives_after_it_was_stopped_or_closed(
        self, scene: Scene, subscription: FastSubscription, inbox: Any
    ) -> None:
        peer = scene.consume_peer

        def cancel(frame: commands.Basic.Cancel) -> base.Frame:
            peer.deliver(1, b"in time")
            return commands.Basic.CancelOk(frame.consumer_tag)

        def close(_: object) -> base.Frame:
            peer.deliver(2, b"too late")
            return commands.Channel.CloseOk()

        scene.broker.answers |= {"Basic.Cancel": cancel, "Channel.Close": close}
        await subscription.stop()
        assert inbox.arrived == [(1, b"in time")]
        subscription.ack(1)
        await subscription.close()
        await subscription.close()

        assert inbox.arrived == [(1, b"in time")]
        names = [frame.name for _, frame in peer.received if isinstance(frame, base.Frame)]
        assert names[-2:] == ["Basic.Ack", "Channel.Close"], "what was settled goes out first"
        assert not scene.engine.lost.done()

    async def test_what_was_settled_goes_out_before_the_broker_may_think_the_channel_closed(
        self, scene: Scene, inbox: Any
    ) -> None:
        subscription: FastSubscription

        def settled(tag: int, *_: object) -> None:
            subscription.ack(tag)

        def ended() -> None:
            inbox.ended += 1

        subscription = await scene.engine.subscribe("q", "actor", settled, ended)
        await subscription.start(5)
        peer = scene.consume_peer
        # In one packet, so that both come in the same turn of the loop.
        whole = b"".join(
            pamqp.frame.marshal(frame, 1)
            for frame in (
                commands.Basic.Deliver("1", 1, False, "ex", "key"),
                ContentHeader(body_size=1, properties=commands.Basic.Properties()),
                ContentBody(b"1"),
                commands.Channel.Close(406, "PRECONDITION_FAILED - delivery acknowledgement timed out", 0, 0),
            )
        )
        peer.send(whole)
        await peer.until(lambda: peer.of(commands.Channel.CloseOk) and peer.of(commands.Basic.Ack), "both")

        names = [frame.name for _, frame in peer.received if isinstance(frame, base.Frame)]
        assert names[-2:] == ["Basic.Ack", "Channel.CloseOk"], "on a closed channel it is an error of the connection"
        assert inbox.ended == 1

    async def test_both_sides_close_at_once(self, scene: Scene, subscription: FastSubscription) -> None:
        peer = scene.consume_peer
        crossing = commands.Channel.Close(406, "PRECONDITION_FAILED - timeout", 0, 0)

        def close(_: object) -> base.Frame:
            peer.send(crossing)
            return commands.Channel.CloseOk()

        scene.broker.answers["Channel.Close"] = close
        await subscription.close()
        again = await scene.engine.subscribe("q", "actor", lambda *_: None, lambda: None)

        assert again.alive
        assert len(peer.of(commands.Channel.CloseOk)) == 1

    @pytest.mark.parametrize(
        ("step", "code", "kind"),
        [
            ("Queue.Declare", 404, NoDestinationError),
            ("Basic.Consume", 404, NoDestinationError),
            ("Basic.Consume", 403, DeniedError),
            ("Queue.Declare", 405, ConnectionLostError),
            ("Channel.Open", 504, ConnectionLostError),
        ],
    )
    async def test_a_refused_step_is_told(self, scene: Scene, step: str, code: int, kind: type[Exception]) -> None:
        scene.broker.answers[step] = lambda _: commands.Channel.Close(code, "words", 0, 0)

        with pytest.raises(kind):
            await (await scene.engine.subscribe("q", "actor", lambda *_: None, lambda: None)).start(1)
        assert not scene.engine.lost.done()

    async def test_where_asking_for_the_queue_is_denied_it_is_consumed_from_all_the_same(self, scene: Scene) -> None:
        scene.broker.answers["Queue.Declare"] = lambda _: commands.Channel.Close(403, "ACCESS_REFUSED", 0, 0)

        subscription = await scene.engine.subscribe("q", "actor", lambda *_: None, lambda: None)
        await subscription.start(1)

        assert subscription.running

    @pytest.mark.parametrize("step", ["Channel.Open", "Queue.Declare"])
    async def test_subscribing_that_is_given_up_harms_no_other(
        self, scene: Scene, subscription: FastSubscription, inbox: Any, step: str
    ) -> None:
        peer, late = scene.consume_peer, scene.broker.answers[step]
        kind = getattr(getattr(commands, step.partition(".")[0]), step.partition(".")[2])
        before = len(peer.of(kind))
        scene.broker.answers[step] = lambda _: None
        given_up = asyncio.ensure_future(scene.engine.subscribe("q", "actor", lambda *_: None, lambda: None))
        await peer.until(lambda: len(peer.of(kind)) > before, "the question")
        given_up.cancel()
        await asyncio.wait({given_up})
        assert given_up.cancelled()

        peer.send(late(peer.of(kind)[-1]), channel=2)
        scene.broker.answers[step] = late
        peer.deliver(1, b"still here")
        await self.until(inbox, lambda: inbox.arrived or inbox.ended)
        again = await scene.engine.subscribe("q", "actor", lambda *_: None, lambda: None)
        await again.close()

        assert subscription.running
        assert not scene.engine.lost.done()
        assert len(peer.of(commands.Channel.Close)) == 2, "the one that was given up is closed too"

    async def test_a_delivery_nobody_asked_for_ends_the_connection(self, scene: Scene) -> None:
        scene.publish(b"1")
        await scene.arrived(1)

        scene.publish_peer.deliver(1, b"what for")

        assert "does not receive" in await scene.lost()
