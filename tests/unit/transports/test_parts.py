"""What transports are built from, without a broker."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Hashable, Mapping, Sequence

import pytest

from asya.errors import ConnectionLostError, DeniedError, LeaseLostError, RefusedError
from asya.transports import Delivery
from asya.transports.base import Link
from asya.transports.parts import Backoff, Gathering, LeasedConsumer, LinkKeeper, Received


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asya.transports.parts.backoff.FIRST_WAIT", 0.001)
    monkeypatch.setattr("asya.transports.parts.backoff.LONGEST_WAIT", 0.004)


class TestBackoff:
    def test_it_doubles_up_to_a_cap_and_is_shortened_by_half_at_most(self) -> None:
        backoff = Backoff()
        for longest in (0.001, 0.002, 0.004, 0.004):
            assert longest / 2 <= backoff.next() <= longest
        backoff.reset()
        assert backoff.next() <= 0.001


class TestGathering:
    def setup_method(self) -> None:
        self.calls: list[list[int]] = []
        self.gate = asyncio.Event()

    async def send(self, entries: Sequence[int]) -> Sequence[int]:
        self.calls.append(list(entries))
        await self.gate.wait()
        return [entry * 10 for entry in entries]

    async def test_what_is_asked_for_in_one_turn_and_while_a_call_is_under_way_goes_together(self) -> None:
        gathering = Gathering(self.send, most=3)
        first = [gathering.submit(number, str) for number in (1, 2)]
        await asyncio.sleep(0)
        later = [gathering.submit(number, str) for number in (3, 4, 5, 6)]
        self.gate.set()
        assert await asyncio.gather(*first, *later) == ["10", "20", "30", "40", "50", "60"]
        assert self.calls == [[1, 2], [3, 4, 5], [6]]

    async def test_one_answer_that_is_an_error_is_nobody_elses(self) -> None:
        def then(answer: int) -> int:
            if answer == 20:
                raise RefusedError("not this one")
            return answer

        self.gate.set()
        gathering = Gathering(self.send, most=9)
        done = [gathering.submit(number, then) for number in (1, 2, 3)]
        one, two, three = await asyncio.gather(*done, return_exceptions=True)
        assert (one, three) == (10, 30)
        assert isinstance(two, RefusedError)

    async def test_a_call_that_fails_fails_for_all_of_it_and_the_next_is_made(self) -> None:
        async def send(entries: Sequence[int]) -> Sequence[int]:
            self.calls.append(list(entries))
            if len(self.calls) == 1:
                raise ConnectionLostError("gone")
            return entries

        gathering = Gathering(send, most=2)
        found = await asyncio.gather(*(gathering.submit(n, int) for n in (1, 2, 3)), return_exceptions=True)
        assert [type(each) for each in found] == [ConnectionLostError, ConnectionLostError, int]

    async def test_who_gives_up_waiting_does_not_stop_it(self) -> None:
        gathering = Gathering(self.send, most=9)
        seen: list[int] = []
        done = gathering.submit(1, seen.append)
        other = gathering.submit(2, seen.append)
        await asyncio.sleep(0)
        done.cancel()
        self.gate.set()
        await other
        assert seen == [10, 20]

    async def test_flushing_waits_and_then_gives_up(self) -> None:
        gathering = Gathering(self.send, most=1)
        stuck = [gathering.submit(number, int) for number in (1, 2)]
        await gathering.flush(0.01)
        assert [done.cancelled() for done in stuck] == [True, True]
        self.gate.set()
        answered = gathering.submit(3, int)
        await gathering.flush(5)
        assert answered.result() == 30


class TestLinkKeeper:
    def setup_method(self) -> None:
        self.link, self.errors, self.connects = Link(), list[Exception](), 0

    async def connect(self) -> None:
        self.connects += 1
        if self.errors:
            raise self.errors.pop(0)

    async def test_what_may_heal_is_tried_again_and_what_may_not_is_raised(self) -> None:
        keeper = LinkKeeper(self.link, self.connect)
        self.errors = [ConnectionLostError("away"), ConnectionLostError("away"), DeniedError("no")]
        with pytest.raises(DeniedError):
            await keeper.open()
        assert (self.connects, self.link.connected, self.link.reason) == (3, False, "away")
        await keeper.open()
        await keeper.open()
        assert (self.connects, self.link.connected) == (4, True)
        await keeper.close()

    async def test_a_lost_link_is_made_again_whatever_goes_wrong(self) -> None:
        keeper = LinkKeeper(self.link, self.connect)
        await keeper.open()
        self.errors = [ConnectionLostError("away"), DeniedError("not yet")]
        keeper.lost("broken")
        keeper.lost("broken, says another")
        with pytest.raises(ConnectionLostError, match="broken"):
            keeper.check()
        async with asyncio.timeout(5):
            await keeper.there()
        keeper.check()
        assert (self.connects, keeper.made, self.link.connected) == (4, 2, True)
        await keeper.close()
        keeper.lost("after the end")
        assert (self.link.connected, self.link.reason) == (False, "closed")


class FakeSource:
    """A queue in memory that answers with more than was asked for, if told to."""

    lease_seconds = 30.0

    def __init__(self) -> None:
        self.given = asyncio.Queue[list[Received]]()
        self.released: list[Hashable] = []
        self.extended: list[dict[Hashable, float]] = []
        self.gone: set[Hashable] = set()

    async def receive(self, count: int) -> Sequence[Received]:
        return await self.given.get()

    def interrupt(self) -> None:
        self.given.put_nowait([])

    async def release(self, id_: Hashable) -> None:
        self.released.append(id_)

    async def extend(self, leases: Mapping[Hashable, float]) -> Collection[Hashable]:
        self.extended.append(dict(leases))
        return self.gone

    async def tend(self) -> float:
        return 60.0

    async def close(self) -> None:
        pass


class TestLeasedConsumer:
    def setup_method(self) -> None:
        self.source, self.seen = FakeSource(), list[Delivery]()
        self.arrived = asyncio.Event()

    def receive(self, delivery: Delivery) -> None:
        self.seen.append(delivery)
        self.arrived.set()

    def consumer(self, credit: int) -> LeasedConsumer:
        return LeasedConsumer(self.source, Link(connected=True), "a", credit, self.receive)

    async def deliver(self, *ids: int) -> None:
        self.arrived.clear()
        self.source.given.put_nowait([Received(id_, b"%d" % id_, 1) for id_ in ids])
        async with asyncio.timeout(5):
            await self.arrived.wait()

    async def test_what_is_above_the_credit_goes_back(self) -> None:
        consumer = self.consumer(2)
        await self.deliver(1, 2, 3)
        await consumer.stop()
        assert [delivery.body for delivery in self.seen] == [b"1", b"2"]
        assert self.source.released == [3]

    async def test_what_comes_while_it_is_closed_goes_back(self) -> None:
        consumer = self.consumer(2)
        await self.deliver(1)
        closing = asyncio.ensure_future(consumer.close())
        self.source.given.put_nowait([Received(2, b"2", 1)])
        await closing
        assert [delivery.body for delivery in self.seen] == [b"1"]
        assert self.source.released == [2]
        assert list(consumer.out) == [1]
        await consumer.stop()

    async def test_leases_asked_for_at_once_are_one_call_and_a_lost_one_is_told_to_its_holder(self) -> None:
        consumer = self.consumer(3)
        await self.deliver(1, 2, 3)
        self.source.gone = {2}
        found = await asyncio.gather(
            *(consumer.extend(delivery.token, 60.0) for delivery in self.seen), return_exceptions=True
        )
        assert [type(each) for each in found] == [type(None), LeaseLostError, type(None)]
        (leases,) = self.source.extended
        assert leases == {1: pytest.approx(60, abs=1), 2: pytest.approx(60, abs=1), 3: pytest.approx(60, abs=1)}
        assert self.seen[1].token.lost
        await consumer.stop()

    async def test_a_handler_that_fails_does_not_stop_the_others(self) -> None:
        problems: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))

        def receive(delivery: Delivery) -> None:
            self.receive(delivery)
            if delivery.body == b"1":
                raise ValueError("a mistake")

        consumer = LeasedConsumer(self.source, Link(connected=True), "a", 2, receive)
        await self.deliver(1, 2)
        assert [delivery.body for delivery in self.seen] == [b"1", b"2"]
        assert [str(problem["exception"]) for problem in problems] == ["a mistake"]
        await consumer.stop()

    async def test_without_a_link_nobody_waits_for_the_end_of_a_question(self) -> None:
        class Stuck(FakeSource):
            def interrupt(self) -> None:
                pass

        consumer = LeasedConsumer(Stuck(), Link(connected=False), "a", 1, self.receive)
        await asyncio.sleep(0)
        async with asyncio.timeout(2):
            await consumer.stop()
