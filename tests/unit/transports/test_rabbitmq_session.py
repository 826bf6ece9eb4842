"""Coming back and handing out, with an engine that does what the test says and no broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from asya.errors import ConnectionLostError, DeniedError, LeaseLostError, NoDestinationError
from asya.transports.base import Delivery, Link
from asya.transports.parts import Backoff
from asya.transports.rabbitmq.consumer import ActorConsumer, Token
from asya.transports.rabbitmq.engine import OnArrival, OnBlocked, OnPublished, Publication
from asya.transports.rabbitmq.session import Session


class FakeSubscription:
    """Notes what it is told; the test makes messages arrive."""

    def __init__(self, on_arrival: OnArrival, on_end: Callable[[], None]) -> None:
        self.told: list[object] = []
        self.alive = True
        self.prefetch = 0
        self._on_arrival, self._on_end = on_arrival, on_end
        self._tag = 0

    @property
    def running(self) -> bool:
        return self.prefetch > 0

    async def start(self, prefetch: int) -> None:
        await asyncio.sleep(0)
        self.prefetch = prefetch
        self.told.append(("start", prefetch))

    async def stop(self) -> None:
        await asyncio.sleep(0)
        self.prefetch = 0
        self.told.append("stop")

    def ack(self, tag: int) -> None:
        self._check()
        self.told.append(("ack", tag))

    def nack(self, tag: int) -> None:
        self._check()
        self.told.append(("nack", tag))

    async def close(self) -> None:
        self.alive = False
        self.told.append("close")
        self._on_end()

    def arrive(self, **headers: int) -> int:
        self._tag += 1
        self._on_arrival(self._tag, b"%d" % self._tag, False, headers)
        return self._tag

    def cancel(self) -> None:
        """As when the queue is deleted."""
        self.prefetch = 0
        self._on_end()

    def _check(self) -> None:
        if not self.alive:
            raise ConnectionLostError("gone")


class FakeEngine:
    """Lives until `lose`."""

    def __init__(self) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.subscriptions: list[FakeSubscription] = []
        self.closed = False
        self.missing = False

    def publish(self, publication: Publication, on_published: OnPublished) -> None:
        raise NotImplementedError

    async def subscribe(
        self, queue: str, actor: str, on_arrival: OnArrival, on_end: Callable[[], None]
    ) -> FakeSubscription:
        if self.missing:
            raise NoDestinationError(actor=actor, queue=queue)
        self.subscriptions.append(FakeSubscription(on_arrival, on_end))
        return self.subscriptions[-1]

    async def close(self) -> None:
        self.closed = True

    def lose(self, reason: str) -> None:
        self.lost.set_result(reason)
        for subscription in self.subscriptions:
            subscription.alive = False
            subscription.cancel()


class FakeBroker:
    """Gives an engine, or the error that is next in line."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.engines: list[FakeEngine] = []
        self.attempts = 0
        self.on_blocked: OnBlocked = lambda _: None

    async def connect(self, on_blocked: OnBlocked) -> FakeEngine:
        self.attempts += 1
        self.on_blocked = on_blocked
        if self.errors:
            raise self.errors.pop(0)
        self.engines.append(FakeEngine())
        return self.engines[-1]


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> FakeBroker:
    monkeypatch.setattr("asya.transports.parts.backoff.FIRST_WAIT", 0.001)
    monkeypatch.setattr("asya.transports.parts.backoff.LONGEST_WAIT", 0.002)
    return FakeBroker()


@pytest.fixture
def link() -> Link:
    return Link()


@pytest.fixture
async def session(broker: FakeBroker, link: Link) -> AsyncIterator[Session]:
    session = Session(broker.connect, link)
    yield session
    await session.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


class TestSession:
    async def test_open_goes_on_until_the_broker_is_there(
        self, session: Session, broker: FakeBroker, link: Link
    ) -> None:
        broker.errors = [ConnectionLostError("refused")] * 3

        await session.open()
        await session.open()

        assert broker.attempts == 4
        assert link.connected
        assert session.now is broker.engines[0]

    async def test_open_does_not_go_on_against_a_denial(self, session: Session, broker: FakeBroker) -> None:
        broker.errors = [ConnectionLostError("refused"), DeniedError("password")]

        with pytest.raises(DeniedError):
            await session.open()

        assert broker.attempts == 2
        with pytest.raises(ConnectionLostError):
            _ = session.now

    async def test_a_lost_engine_is_replaced_whatever_goes_wrong_meanwhile(
        self, session: Session, broker: FakeBroker, link: Link
    ) -> None:
        await session.open()
        heard: list[bool] = []
        link.on_change.append(heard.append)
        # The last is no error that any engine may raise; whoever reconnects must outlive it all the same.
        broker.errors = [DeniedError("password is being changed"), ConnectionLostError("refused"), OSError("a bug")]

        broker.engines[0].lose("reset")
        with pytest.raises(ConnectionLostError):
            _ = session.now
        await until(lambda: len(broker.engines) == 2)
        engine = await session.engine()

        assert engine is broker.engines[1]
        assert broker.engines[0].closed
        assert heard == [False, True]

    async def test_blocked_is_told_with_its_reason(self, session: Session, broker: FakeBroker, link: Link) -> None:
        await session.open()

        broker.on_blocked("low on memory")
        assert (link.connected, "low on memory" in link.reason) == (False, True)
        broker.on_blocked(None)
        assert (link.connected, link.reason) == (True, "")

    async def test_what_is_refused_is_told_until_it_is_given_whatever_else_ends(
        self, session: Session, broker: FakeBroker, link: Link
    ) -> None:
        await session.open()
        session.receiving("asya_test_a", "may not read")
        session.receiving("asya_test_b", "may not read either")
        session.receiving("asya_test_b")
        broker.on_blocked("low on memory")
        broker.on_blocked(None)
        assert (link.connected, link.reason) == (False, "may not read")

        session.receiving("asya_test_a")
        assert (link.connected, link.reason) == (True, "")

    async def test_a_refusal_ends_with_its_connection(self, session: Session, broker: FakeBroker, link: Link) -> None:
        await session.open()
        session.receiving("asya_test_a", "may not read")
        broker.engines[0].lose("reset")
        session.receiving("asya_test_a", "may still not read")
        await until(lambda: len(broker.engines) == 2)
        await session.engine()
        assert (link.connected, link.reason) == (True, "")

    async def test_close_ends_a_reconnect_that_is_under_way(
        self, session: Session, broker: FakeBroker, link: Link
    ) -> None:
        await session.open()
        broker.errors = [ConnectionLostError("refused")] * 1000
        broker.engines[0].lose("reset")
        await until(lambda: broker.attempts > 3)

        await asyncio.wait_for(session.close(), 5)

        assert not link.connected
        attempts = broker.attempts
        await asyncio.sleep(0.01)
        assert broker.attempts == attempts


class TestBackoff:
    async def test_waits_grow_to_the_cap_and_vary(self, monkeypatch: pytest.MonkeyPatch) -> None:
        waits: list[float] = []

        async def sleep(seconds: float) -> None:
            waits.append(seconds)

        monkeypatch.setattr(asyncio, "sleep", sleep)
        backoff = Backoff()
        for _ in range(12):
            await backoff.wait()

        full = [min(0.2 * 2**number, 5.0) for number in range(12)]
        assert all(whole / 2 <= wait <= whole for wait, whole in zip(waits, full, strict=True))
        assert len(set(waits)) == 12


class Box:
    """A consumer and what it handed out."""

    def __init__(self, session: Session, credit: int) -> None:
        self.deliveries: list[Delivery] = []
        self.consumer = ActorConsumer(session, "a", "asya_ns_a", credit, self.deliveries.append, lambda *_: False)

    def token(self, index: int) -> Token:
        token = self.deliveries[index].token
        assert isinstance(token, Token)
        return token


@pytest.fixture
async def opened(session: Session, broker: FakeBroker) -> AsyncIterator[tuple[Box, FakeSubscription]]:
    await session.open()
    box = Box(session, credit=2)
    await box.consumer.open()
    yield box, broker.engines[0].subscriptions[0]
    await box.consumer.close()


class TestConsumer:
    async def test_more_than_the_credit_waits_until_one_is_settled(self, opened: tuple[Box, FakeSubscription]) -> None:
        box, subscription = opened
        for _ in range(4):
            subscription.arrive()

        assert len(box.deliveries) == 2
        box.token(0).settle()
        assert [delivery.body for delivery in box.deliveries] == [b"1", b"2", b"3"]
        assert subscription.told == [("start", 2), ("ack", 1)]

    async def test_attempts_come_from_the_brokers_count(self, opened: tuple[Box, FakeSubscription]) -> None:
        box, subscription = opened
        subscription.arrive()
        subscription.arrive(**{"x-delivery-count": 3})

        assert [delivery.attempts for delivery in box.deliveries] == [1, 4]

    async def test_paused_what_came_meanwhile_goes_back_and_what_is_out_stays(
        self, opened: tuple[Box, FakeSubscription]
    ) -> None:
        box, subscription = opened
        subscription.arrive()
        box.consumer.set_credit(0)
        subscription.arrive()
        await until(lambda: ("nack", 2) in subscription.told)

        assert len(box.deliveries) == 1
        box.token(0).settle()
        box.consumer.set_credit(7)
        await until(lambda: subscription.prefetch == 7)
        assert subscription.told == [("start", 2), "stop", ("nack", 2), ("ack", 1), ("start", 7)]

    async def test_credit_set_many_times_ends_at_the_last(self, opened: tuple[Box, FakeSubscription]) -> None:
        box, subscription = opened
        for credit in (5, 0, 3, 0, 9):
            box.consumer.set_credit(credit)
        await until(lambda: subscription.prefetch == 9)

        assert subscription.told[-1] == ("start", 9)

    async def test_settled_once_only(self, opened: tuple[Box, FakeSubscription]) -> None:
        box, subscription = opened
        subscription.arrive()
        box.token(0).settle()

        with pytest.raises(LeaseLostError):
            box.token(0).settle(release=True)
        assert ("nack", 1) not in subscription.told

    async def test_a_lost_connection_voids_what_is_out_and_the_consumer_returns(
        self, opened: tuple[Box, FakeSubscription], broker: FakeBroker
    ) -> None:
        box, subscription = opened
        for _ in range(3):
            subscription.arrive()
        broker.engines[0].lose("reset")
        await until(lambda: len(broker.engines) == 2 and broker.engines[1].subscriptions)
        again = broker.engines[1].subscriptions[0]
        await until(lambda: again.prefetch == 2)

        with pytest.raises(LeaseLostError):
            box.token(0).settle()
        for _ in range(2):
            again.arrive()
        assert len(box.deliveries) == 4, "what waited in the old life is not handed out, and the credit is whole again"
        box.token(2).settle()
        assert again.told == [("start", 2), ("ack", 1)]

    async def test_a_deleted_queue_gets_a_new_channel_when_it_is_there_again(
        self, opened: tuple[Box, FakeSubscription], broker: FakeBroker
    ) -> None:
        _, subscription = opened
        engine = broker.engines[0]
        engine.missing = True
        subscription.cancel()
        await until(lambda: "close" in subscription.told)
        engine.missing = False
        await until(lambda: len(engine.subscriptions) == 2 and engine.subscriptions[1].prefetch == 2)

    async def test_no_queue_at_first_is_an_error(self, session: Session, broker: FakeBroker) -> None:
        await session.open()
        broker.engines[0].missing = True

        with pytest.raises(NoDestinationError):
            await Box(session, 1).consumer.open()

    async def test_a_lost_channel_is_told_to_those_who_hold_its_deliveries(
        self, opened: tuple[Box, FakeSubscription], broker: FakeBroker, link: Link
    ) -> None:
        box, subscription = opened
        heard: list[bool] = []
        link.on_change.append(heard.append)
        subscription.arrive()

        await subscription.close()  # as the broker does when a delivery was held for too long
        await until(lambda: len(broker.engines[0].subscriptions) == 2)

        assert heard == [False, True]
        assert link.connected
        assert box.token(0).void

    @pytest.mark.parametrize("error", [ConnectionLostError("no answer"), RuntimeError("a bug")])
    async def test_a_step_that_fails_leaves_no_channel_behind_and_the_consumer_returns(
        self,
        opened: tuple[Box, FakeSubscription],
        broker: FakeBroker,
        monkeypatch: pytest.MonkeyPatch,
        error: Exception,
    ) -> None:
        box, subscription = opened
        subscription.arrive()

        async def fail() -> None:
            raise error

        monkeypatch.setattr(subscription, "stop", fail)
        box.consumer.set_credit(3)
        await until(lambda: len(broker.engines[0].subscriptions) == 2)
        again = broker.engines[0].subscriptions[1]
        await until(lambda: again.prefetch == 3)

        assert not subscription.alive, "what it had out is given out again"
        assert again.arrive() == 1
        assert len(box.deliveries) == 2

    async def test_closed_it_gives_back_the_unseen_and_the_seen_can_still_be_settled(
        self, opened: tuple[Box, FakeSubscription]
    ) -> None:
        box, subscription = opened
        for _ in range(3):
            subscription.arrive()

        await box.consumer.close()
        assert subscription.told == [("start", 2), "stop", ("nack", 3)]
        assert subscription.alive
        box.token(1).settle()
        await box.consumer.release()

        assert subscription.told[3:] == [("ack", 2), ("nack", 1), "close"]

    async def test_closed_it_is_no_reason_any_more_not_to_be_ready(
        self, opened: tuple[Box, FakeSubscription], broker: FakeBroker, link: Link
    ) -> None:
        box, subscription = opened
        broker.engines[0].missing = True
        subscription.alive = False
        subscription.cancel()
        await until(lambda: not link.connected)
        assert "not receiving from" in link.reason

        await box.consumer.close()
        assert (link.connected, link.reason) == (True, "")

    async def test_close_while_there_is_no_connection_returns(
        self, opened: tuple[Box, FakeSubscription], broker: FakeBroker
    ) -> None:
        box, _ = opened
        broker.errors = [ConnectionLostError("refused")] * 100_000
        broker.engines[0].lose("reset")
        await until(lambda: broker.attempts > 2)

        await asyncio.wait_for(box.consumer.close(), 5)
