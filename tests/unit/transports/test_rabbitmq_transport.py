"""Publishing and settling without a task for each message, with an engine that confirms when the test says."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import pytest

from asya.errors import ConnectionLostError, LeaseLostError, NoDestinationError, RefusedError, TransportError
from asya.transports.base import Delivery, Outgoing, Settle
from asya.transports.naming import QueueNames
from asya.transports.rabbitmq import RabbitmqTransport
from asya.transports.rabbitmq import transport as transport_module
from asya.transports.rabbitmq.consumer import Token
from asya.transports.rabbitmq.engine import OnPublished, Publication
from asya.transports.rabbitmq.outcomes import Several
from asya.transports.settings import RabbitmqSettings


class FakeEngine:
    """Keeps what is published until the test confirms it."""

    def __init__(self) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.sent: list[tuple[Publication, OnPublished]] = []

    def publish(self, publication: Publication, on_published: OnPublished) -> None:
        self.sent.append((publication, on_published))

    def confirm(self, index: int, error: TransportError | None = None) -> None:
        self.sent[index][1](error)

    async def close(self) -> None:
        for _, on_published in self.sent:
            on_published(ConnectionLostError("closed"))


class FakeSubscription:
    """Notes what is settled."""

    def __init__(self) -> None:
        self.alive = True
        self.told: list[tuple[str, int]] = []

    def ack(self, tag: int) -> None:
        self.told.append(("ack", tag))

    def nack(self, tag: int) -> None:
        self.told.append(("nack", tag))


class FakeConsumer:
    """Whose the deliveries are."""

    def settled(self, token: Token) -> None:
        assert token.settled


class Scene:
    def __init__(self) -> None:
        self.transport = RabbitmqTransport(QueueNames("ns"), RabbitmqSettings())
        self.engine, self.subscription = FakeEngine(), FakeSubscription()
        self.transport._session._engine = self.engine  # type: ignore[assignment]
        self._tags = itertools.count(1)

    def delivery(self) -> Delivery:
        token = Token(self.subscription, next(self._tags), FakeConsumer())  # type: ignore[arg-type]
        return Delivery(b"in", "a", token)


@pytest.fixture
async def scene() -> Scene:
    return Scene()


async def test_settled_only_when_everything_is_confirmed(scene: Scene) -> None:
    done = scene.transport.complete(scene.delivery(), [Outgoing("b", b"1"), Outgoing("c", b"2")])
    scene.engine.confirm(1)
    assert (done.done(), scene.subscription.told) == (False, [])

    scene.engine.confirm(0)

    assert done.done()
    assert scene.subscription.told == [("ack", 1)]
    assert [each.destination.key for each, _ in scene.engine.sent] == ["b", "c"]


async def test_no_task_is_made(scene: Scene) -> None:
    before = asyncio.all_tasks()
    first = scene.transport.complete(scene.delivery(), [Outgoing("b", b"1")])
    scene.engine.confirm(0)
    second = scene.transport.complete(scene.delivery(), [Outgoing("b", b"2", 0.5)])
    scene.engine.confirm(1)

    assert asyncio.all_tasks() == before
    await asyncio.gather(first, second)
    assert scene.subscription.told == [("ack", 1), ("ack", 2)]


async def test_the_first_failure_in_their_order_is_told_when_all_are_known(scene: Scene) -> None:
    done = scene.transport.publish([Outgoing(actor, b"") for actor in ("a", "b", "c")])

    scene.engine.confirm(2, RefusedError("later in order"))
    scene.engine.confirm(1, NoDestinationError(actor="b", queue="q"))
    assert not done.done()
    scene.engine.confirm(0)

    with pytest.raises(NoDestinationError):
        await done


async def test_a_failed_publish_leaves_the_delivery_as_it_was(scene: Scene) -> None:
    delivery = scene.delivery()
    done = scene.transport.complete(delivery, [Outgoing("b", b"")])
    scene.engine.confirm(0, RefusedError("full"))

    with pytest.raises(RefusedError):
        await done
    assert scene.subscription.told == []
    await scene.transport.complete(delivery, settle=Settle.RELEASE)
    assert scene.subscription.told == [("nack", 1)]


async def test_canceled_it_does_not_settle_what_is_confirmed_later(scene: Scene) -> None:
    delivery = scene.delivery()
    done = scene.transport.complete(delivery, [Outgoing("b", b"")])
    done.cancel()

    scene.engine.confirm(0)

    assert scene.subscription.told == []
    await scene.transport.complete(delivery, settle=Settle.RELEASE)
    assert scene.subscription.told == [("nack", 1)]


async def test_void_before_it_publishes_nothing_and_void_meanwhile_it_says_so(scene: Scene) -> None:
    delivery = scene.delivery()
    done = scene.transport.complete(delivery, [Outgoing("b", b"")])
    scene.subscription.alive = False
    scene.engine.confirm(0)
    with pytest.raises(LeaseLostError):
        await done

    with pytest.raises(LeaseLostError):
        await scene.transport.complete(delivery, [Outgoing("b", b"")])
    assert len(scene.engine.sent) == 1
    assert scene.subscription.told == []


@pytest.mark.parametrize(
    "work",
    [
        lambda scene: scene.transport.publish([Outgoing("b", b"")]),
        lambda scene: scene.transport.publish([Outgoing("b", b"", 5.0)]),
        lambda scene: scene.transport.complete(scene.delivery(), settle=Settle.DEAD_LETTER),
    ],
)
async def test_without_a_connection_it_fails_at_once(scene: Scene, work: Callable[[Scene], Awaitable[None]]) -> None:
    scene.engine.lost.set_result("reset")

    with pytest.raises(ConnectionLostError, match="not connected"):
        await asyncio.wait_for(work(scene), 5)


async def test_nothing_to_publish_is_done_at_once(scene: Scene) -> None:
    assert scene.transport.publish([]).done()


async def test_a_dead_letter_goes_to_its_queue_before_the_delivery_is_settled(scene: Scene) -> None:
    done = scene.transport.complete(scene.delivery(), settle=Settle.DEAD_LETTER)
    ((publication, _),) = scene.engine.sent
    assert (publication.destination.key, publication.destination.queue) == ("a.dlq", "asya_ns_a_dlq")
    assert (publication.body, scene.subscription.told) == (b"in", [])

    scene.engine.confirm(0)

    assert done.done()
    assert scene.subscription.told == [("ack", 1)]


async def test_any_number_of_destinations_is_not_kept(scene: Scene) -> None:
    for number in range(3000):
        scene.transport.publish([Outgoing(f"a{number}", b"")])

    assert len(scene.transport._destinations) <= transport_module.KNOWN_DESTINATIONS
    assert [each.destination.key for each, _ in scene.engine.sent] == [f"a{number}" for number in range(3000)]


async def test_closing_waits_for_confirmations_but_not_for_ever(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "FLUSH_SECONDS", 0.05)
    confirmed = scene.transport.complete(scene.delivery(), [Outgoing("b", b"")])
    stuck = scene.transport.complete(scene.delivery(), [Outgoing("b", b"")])

    closing = asyncio.create_task(scene.transport.close())
    await asyncio.sleep(0)
    assert not closing.done()
    scene.engine.confirm(0)
    await asyncio.wait_for(closing, 5)

    assert confirmed.done()
    assert isinstance(stuck.exception(), ConnectionLostError)
    assert scene.subscription.told == [("ack", 1)]


def test_several_hand_on_once() -> None:
    heard: list[BaseException | None] = []
    several = Several(2, heard.append)

    several.part(0)(None)
    assert heard == []
    several.part(1)(None)

    assert heard == [None]
