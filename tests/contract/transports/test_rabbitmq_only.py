"""What only RabbitMQ can do wrong, on a real broker."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiormq
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.support.host import free_port
from tests.support.rabbitmq import Broker, BrokerAddress, call_management, drop_vhost, new_vhost

from asya.errors import (
    ConnectionLostError,
    DeniedError,
    LeaseLostError,
    NoDestinationError,
    RefusedError,
    TooLargeError,
    TransportError,
)
from asya.transports.base import Consumer, Delivery, Outgoing, QueueSpec, Settle
from asya.transports.naming import QueueNames
from asya.transports.rabbitmq import RabbitmqTransport, admin, client
from asya.transports.rabbitmq.address import Address, addresses
from asya.transports.rabbitmq.fast import handshake
from asya.transports.rabbitmq.ladder import DUE_HEADER, Ladder
from asya.transports.settings import RabbitmqSettings

SOON = 20.0
"""Seconds within which anything awaited here has to happen."""
Open = Callable[..., Awaitable[RabbitmqTransport]]
_numbers = itertools.count()


class Inbox:
    """Deliveries in the order they came."""

    def __init__(self) -> None:
        self.all: list[Delivery] = []
        self._queue: asyncio.Queue[Delivery] = asyncio.Queue()

    def __call__(self, delivery: Delivery) -> None:
        self.all.append(delivery)
        self._queue.put_nowait(delivery)

    async def next(self) -> Delivery:
        async with asyncio.timeout(SOON):
            return await self._queue.get()


async def until(condition: Callable[[], Any], what: str) -> None:
    """Wait until a condition holds that nothing tells of."""
    deadline = time.monotonic() + SOON
    while not (found := condition()) or (asyncio.iscoroutine(found) and not await found):
        assert time.monotonic() < deadline, f"not within {SOON} s: {what}"
        await asyncio.sleep(0.02)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture(scope="module", params=["fast", "aio-pika"])
def engine(request: pytest.FixtureRequest) -> str:
    """The engine of every transport that a test opens."""
    return str(request.param)


@pytest.fixture(scope="module")
def rabbitmq_url(rabbitmq_broker: BrokerAddress, engine: str) -> Iterator[str]:
    """A virtual host for each engine, because the tests name their namespaces."""
    if rabbitmq_broker.management_url is None:
        yield rabbitmq_broker.url
        return
    url = new_vhost(rabbitmq_broker.url, rabbitmq_broker.management_url)
    yield url
    drop_vhost(url, rabbitmq_broker.management_url)


@pytest.fixture
def connect(stack: AsyncExitStack, engine: str) -> Open:
    """Open a transport that is closed when the test ends; each namespace is used by one test."""

    async def connect(
        url: str,
        *actors: str | QueueSpec,
        namespace: str | None = None,
        ladder: Ladder | None = None,
        **settings: object,
    ) -> RabbitmqTransport:
        names = QueueNames(namespace or f"ns{next(_numbers)}")
        transport = RabbitmqTransport(names, RabbitmqSettings(url=url, engine=engine, **settings), ladder)  # type: ignore[arg-type]
        stack.push_async_callback(transport.close)
        async with asyncio.timeout(SOON):
            await transport.open()
        if actors:
            await transport.declare([QueueSpec(actor) if isinstance(actor, str) else actor for actor in actors])
        return transport

    return connect


@pytest.fixture(scope="module")
def _own_broker(rabbitmq_installed: None) -> Iterator[Broker]:
    with Broker() as broker:
        yield broker


@pytest.fixture
def own_broker(_own_broker: Broker) -> Broker:
    """A node that a test may stop and kill; whatever the last one did, it serves again."""
    if not _own_broker.running:
        _own_broker.start()
    if _own_broker.alarmed:
        _own_broker.set_memory_alarm(on=False)
    return _own_broker


class TestPublishing:
    async def test_the_unroutable_is_told_from_hundreds_in_flight(self, rabbitmq_url: str, connect: Open) -> None:
        transport = await connect(rabbitmq_url, "a")
        actors = ["a" if number % 7 else "gone" for number in range(300)]

        futures = [transport.publish([Outgoing(actor, b"%d" % number)]) for number, actor in enumerate(actors)]
        results = await asyncio.wait_for(asyncio.gather(*futures, return_exceptions=True), SOON)

        assert [isinstance(result, NoDestinationError) for result in results] == [actor == "gone" for actor in actors]
        assert all(result is None or isinstance(result, NoDestinationError) for result in results)
        assert (await transport.depth(["a"]))["a"].ready == actors.count("a")

    async def test_before_anything_is_declared_there_is_no_destination_and_later_there_is(
        self, rabbitmq_url: str, connect: Open
    ) -> None:
        transport = await connect(rabbitmq_url)
        many = [transport.publish([Outgoing("a", b"")]) for _ in range(20)]

        results = await asyncio.wait_for(asyncio.gather(*many, return_exceptions=True), SOON)
        await transport.declare([QueueSpec("a")])
        await transport.publish([Outgoing("a", b"now")])

        # The broker closes the channel; what it had not looked at by then is in doubt.
        assert isinstance(results[0], NoDestinationError)
        assert {type(result) for result in results} <= {NoDestinationError, ConnectionLostError}
        assert (await transport.depth(["a"]))["a"].ready == 1

    async def test_a_full_queue_refuses(self, rabbitmq_url: str, rabbitmq_management_url: str, connect: Open) -> None:
        transport = await connect(rabbitmq_url, "a", namespace="full")
        vhost = urlsplit(rabbitmq_url).path
        policy = {"pattern": "^asya_full_a$", "definition": {"max-length": 1}, "apply-to": "queues"}
        call_management(rabbitmq_management_url, "PUT", f"/api/policies{vhost}/full", policy)
        outcomes: list[BaseException | None] = []

        async def refused() -> bool:
            outcomes.extend(await asyncio.gather(transport.publish([Outgoing("a", b"x")]), return_exceptions=True))
            return outcomes[-1] is not None

        await until(refused, "the policy is in force")

        assert isinstance(outcomes[-1], RefusedError)
        assert transport.link.connected

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "x" * 64,
            "x" * 300,
            "é" * 128,
            "\ud800",
            "nul\0",
            "a.dlq",
            "a_dlq",
            "*",
            "#",
            "a b\r\n",
            "A",
            "-a",
            "\N{MICROSCOPE}",
        ],
        ids=ascii,
    )
    async def test_a_name_that_no_actor_can_have_harms_nobody(
        self, rabbitmq_url: str, connect: Open, name: str
    ) -> None:
        transport = await connect(rabbitmq_url, "a", namespace="names")
        lost: list[bool] = []
        transport.link.on_change.append(lost.append)

        for delay in (0.0, 5.0):
            with pytest.raises(NoDestinationError) as caught:
                await transport.publish([Outgoing(name, b"lost", delay)])
            assert caught.value.actor == name
        with pytest.raises(NoDestinationError):
            await transport.consume(name, 1, Inbox())
        with pytest.raises(TransportError, match="no name of an actor"):
            await transport.declare([QueueSpec(name)])
        await transport.drop([name])
        assert await transport.dead_letters(name, 1) == []

        depths = await transport.depth(["a", name])
        assert list(depths) == ["a"]
        assert (depths["a"].ready, depths["a"].dead) == (0, 0)
        assert lost == []

    async def test_over_the_own_limit_nothing_is_sent(self, rabbitmq_url: str, connect: Open) -> None:
        transport = await connect(rabbitmq_url, "a", message_bytes=1024)

        with pytest.raises(TooLargeError) as caught:
            await transport.publish([Outgoing("a", b"x"), Outgoing("a", b"x" * 1025)])

        assert (caught.value.actor, caught.value.size, caught.value.limit) == ("a", 1025, 1024)
        assert (await transport.depth(["a"]))["a"].ready == 0

    @pytest.mark.parametrize("size", [0, 131_063, 131_064, 131_065, 5_000_000])
    async def test_bodies_of_any_size_arrive_unchanged(self, rabbitmq_url: str, connect: Open, size: int) -> None:
        transport = await connect(rabbitmq_url, "a")
        body = (bytes(range(256)) * (size // 256 + 1))[:size]
        inbox = Inbox()
        await transport.consume("a", 1, inbox)

        await transport.publish([Outgoing("a", body)])

        assert (await inbox.next()).body == body


class TestDelay:
    async def test_short_ones_do_not_wait_behind_long_ones(self, rabbitmq_url: str, connect: Open) -> None:
        transport = await connect(rabbitmq_url, "a")
        inbox = Inbox()
        await transport.consume("a", 10, inbox)
        delays = {b"long": 30.0, b"c": 1.5, b"b": 0.7, b"a": 0.2}
        began = time.monotonic()

        for body, delay in delays.items():
            await transport.publish([Outgoing("a", body, delay)])
        for body in (b"a", b"b", b"c"):
            delivery = await inbox.next()
            late = time.monotonic() - began - delays[body]
            assert delivery.body == body
            assert 0 <= late < 1.0
            await transport.complete(delivery)

        assert (await transport.depth(["a"]))["a"].delayed is None, "one is still waiting"

    async def test_longer_than_the_ladder_goes_round(self, rabbitmq_broker: BrokerAddress, connect: Open) -> None:
        # A ladder of its own in a virtual host of its own: 2 levels of 50 ms reach 150 ms.
        if rabbitmq_broker.management_url is None:
            pytest.skip("needs the management API for a virtual host of its own")
        url = new_vhost(rabbitmq_broker.url, rabbitmq_broker.management_url)
        transport = await connect(url, "a", ladder=Ladder(levels=2, unit_ms=50))
        inbox = Inbox()
        await transport.consume("a", 1, inbox)
        began = time.monotonic()

        await transport.publish([Outgoing("a", b"late", 1.0)])
        delivery = await inbox.next()

        assert delivery.body == b"late"
        assert 0.99 <= time.monotonic() - began < 2.0, "never early, beyond what two clocks differ by"
        assert len(inbox.all) == 1

    async def test_what_waited_for_a_deleted_actor_is_kept_and_others_go_on(
        self, rabbitmq_url: str, connect: Open
    ) -> None:
        transport = await connect(rabbitmq_url, "gone", "a", namespace="orphans")
        await transport.publish([Outgoing("gone", b"")])
        # Deleted by somebody else: this transport has just seen it and takes its word for a while.
        await (await connect(rabbitmq_url, namespace="orphans")).drop(["gone"])
        await transport.publish([Outgoing("gone", b"orphan", 0.3)] * 50)
        inbox = Inbox()
        await transport.consume("a", 1, inbox)

        await transport.publish([Outgoing("a", b"after", 0.3)])

        assert (await inbox.next()).body == b"after"
        connection = await aiormq.connect(rabbitmq_url)
        channel = await connection.channel()

        async def kept() -> bool:
            return (await channel.queue_declare("asya.delay.lost", passive=True)).message_count == 50

        await until(kept, "orphans are in the queue of the lost")
        await connection.close()

    async def test_a_delay_to_nobody_is_refused_at_once(self, rabbitmq_url: str, connect: Open) -> None:
        transport = await connect(rabbitmq_url, "a")

        with pytest.raises(NoDestinationError):
            await transport.publish([Outgoing("nobody", b"", 60.0)])

    async def test_the_due_time_travels_only_with_the_very_long(self, rabbitmq_url: str, connect: Open) -> None:
        transport = await connect(rabbitmq_url, "a")
        await transport.publish([Outgoing("a", b"", 30 * 24 * 3600.0)])
        await transport.publish([Outgoing("a", b"", 7 * 3600.0)])
        connection = await aiormq.connect(rabbitmq_url)
        channel = await connection.channel()

        long = await channel.basic_get("asya.delay.17")
        longer = await channel.basic_get("asya.delay.17")
        headers = [message.header.properties.headers or {} for message in (long, longer)]
        await connection.close()

        due = headers[0][DUE_HEADER]
        assert DUE_HEADER not in headers[1]
        assert isinstance(due, int)
        assert abs(due / 1000 - time.time() - 30 * 24 * 3600) < 5


class TestSettling:
    async def test_attempts_count_returns_and_the_limit_dead_letters(self, rabbitmq_url: str, connect: Open) -> None:
        transport = await connect(rabbitmq_url, QueueSpec("a", delivery_limit=3))
        inbox = Inbox()
        await transport.consume("a", 1, inbox)
        await transport.publish([Outgoing("a", b"poison")])

        for attempt in (1, 2, 3, 4):
            delivery = await inbox.next()
            assert delivery.attempts == attempt
            await transport.complete(delivery, settle=Settle.RELEASE)

        async def dead() -> bool:
            return await transport.dead_letters("a", 10) == [b"poison"]

        await until(dead, "the broker dead-letters it")

    async def test_a_dead_letter_is_there_when_the_future_is_done(self, rabbitmq_url: str, connect: Open) -> None:
        transport = await connect(rabbitmq_url, "a")
        inbox = Inbox()
        await transport.consume("a", 5, inbox)
        await transport.publish([Outgoing("a", body) for body in (b"1", b"2", b"3")])

        for _ in range(3):
            await transport.complete(await inbox.next(), settle=Settle.DEAD_LETTER)

        assert await transport.dead_letters("a", 2) == [b"1", b"2"]
        assert await transport.dead_letters("a", 9) == [b"1", b"2", b"3"], "looking takes nothing out"

    async def test_a_dead_letter_without_a_queue_for_it_stays_with_the_actor(
        self, rabbitmq_url: str, connect: Open
    ) -> None:
        transport = await connect(rabbitmq_url, "a", namespace="nodlq")
        inbox = Inbox()
        await transport.consume("a", 1, inbox)
        await transport.publish([Outgoing("a", b"precious")])
        delivery = await inbox.next()
        connection = await aiormq.connect(rabbitmq_url)
        await (await connection.channel()).queue_delete("asya_nodlq_a_dlq")
        await connection.close()

        with pytest.raises(NoDestinationError):
            await transport.complete(delivery, settle=Settle.DEAD_LETTER)
        await transport.complete(delivery, settle=Settle.RELEASE)

        assert (await inbox.next()).body == b"precious"

    async def test_closing_gives_back_everything_at_once(self, rabbitmq_url: str, connect: Open) -> None:
        first = await connect(rabbitmq_url, "a", namespace="handover")
        inbox = Inbox()
        await first.consume("a", 5, inbox)
        await first.publish([Outgoing("a", b"%d" % number) for number in range(8)])
        held = [await inbox.next() for _ in range(5)]
        done = first.complete(held[0])

        await first.close()
        await done
        second = await connect(rabbitmq_url, namespace="handover")
        other = Inbox()
        await second.consume("a", 10, other)

        bodies = {(await other.next()).body for _ in range(7)}
        assert bodies == {b"%d" % number for number in range(8)} - {held[0].body}
        with pytest.raises(LeaseLostError):
            await first.complete(held[1])

    async def test_credit_holds_through_pauses(self, rabbitmq_url: str, connect: Open) -> None:
        transport = await connect(rabbitmq_url, "a")
        await transport.publish([Outgoing("a", b"%d" % number) for number in range(12)])
        inbox = Inbox()
        consumer: Consumer = await transport.consume("a", 3, inbox)
        held = [await inbox.next() for _ in range(3)]
        for credit in (0, 3, 0, 4):
            consumer.set_credit(credit)

        held.append(await inbox.next())
        # Whatever the broker pushed by then lies in the transport: settling one lets exactly one follow.
        for settled in range(8):
            assert len(inbox.all) - settled == 4
            await transport.complete(held.pop(0))
            held.append(await inbox.next())

        assert sorted(int(delivery.body) for delivery in inbox.all) == list(range(12))

    async def test_a_credit_that_changes_often_does_not_empty_the_queue_into_memory(
        self, rabbitmq_url: str, connect: Open
    ) -> None:
        transport = await connect(rabbitmq_url, "a", namespace="often")
        await transport.publish([Outgoing("a", b"%d" % number) for number in range(300)])
        inbox = Inbox()
        consumer = await transport.consume("a", 5, inbox)
        held = [await inbox.next() for _ in range(5)]
        for credit in range(6, 16):
            consumer.set_credit(credit)
            held.append(await inbox.next())
        for credit in (14, 15) * 10:
            consumer.set_credit(credit)
            await asyncio.sleep(0.01)
        assert len(inbox.all) == 15
        assert (await transport.depth(["a"]))["a"].ready >= 300 - 2 * 15
        for _ in range(300 - 15):
            await transport.complete(held.pop(0))
            held.append(await inbox.next())
        assert sorted(int(delivery.body) for delivery in inbox.all) == list(range(300))

    async def test_paused_it_takes_nothing_and_keeps_nothing_unseen(self, rabbitmq_url: str, connect: Open) -> None:
        transport = await connect(rabbitmq_url, "a", namespace="paused")
        inbox, other = Inbox(), Inbox()
        consumer = await transport.consume("a", 4, inbox)
        consumer.set_credit(0)

        await transport.publish([Outgoing("a", b"%d" % number) for number in range(4)])
        second = await connect(rabbitmq_url, namespace="paused")
        await second.consume("a", 4, other)

        assert {(await other.next()).body for _ in range(4)} == {b"0", b"1", b"2", b"3"}
        assert inbox.all == []


class TestDeclaring:
    async def test_other_properties_are_reported_and_the_rest_is_declared(
        self, rabbitmq_url: str, connect: Open
    ) -> None:
        transport = await connect(rabbitmq_url, QueueSpec("a", delivery_limit=5))

        with pytest.raises(TransportError, match=r"x-delivery-limit.*_a'"):
            await transport.declare([QueueSpec("a", delivery_limit=6), QueueSpec("b")])

        assert set(await transport.depth(["a", "b"])) == {"a", "b"}

    async def test_a_call_too_long_for_this_broker_is_refused(self, rabbitmq_url: str, connect: Open) -> None:
        connection = await aiormq.connect(rabbitmq_url)
        version = tuple(map(int, str(connection.server_properties["version"]).split(".")[:2]))
        await connection.close()
        transport = await connect(rabbitmq_url)
        slow = QueueSpec("slow", call_seconds=2 * 3600)

        if version >= (3, 12):
            await transport.declare([slow])
        else:
            with pytest.raises(TransportError, match="takes a delivery back after 1800 s"):
                await transport.declare([slow])

    async def test_again_is_quick(self, rabbitmq_url: str, connect: Open) -> None:
        actors = [QueueSpec(f"a{number}") for number in range(10)]
        transport = await connect(rabbitmq_url, *actors)
        began = time.monotonic()

        await transport.declare(actors)

        assert time.monotonic() - began < 1.0, "20 ms on an idle machine"

    async def test_in_flight_from_the_management_api(
        self, rabbitmq_url: str, rabbitmq_management_url: str, connect: Open
    ) -> None:
        transport = await connect(rabbitmq_url, "a", management_url=rabbitmq_management_url)
        inbox = Inbox()
        await transport.consume("a", 2, inbox)
        await transport.publish([Outgoing("a", b"")] * 3)
        await inbox.next()

        async def counted() -> bool:
            depth = (await transport.depth(["a"]))["a"]
            return (depth.ready, depth.in_flight, depth.delayed, depth.dead) == (1, 2, depth.delayed, 0)

        await until(counted, "the broker has counted")

    async def test_a_queue_deleted_and_made_again_is_received_from_again(
        self, rabbitmq_url: str, connect: Open, caplog: pytest.LogCaptureFixture
    ) -> None:
        transport = await connect(rabbitmq_url, "a")
        inbox = Inbox()
        await transport.consume("a", 1, inbox)

        await transport.drop(["a"])
        await until(lambda: "has no queue" in caplog.text, "the consumer looks for its queue")
        await transport.declare([QueueSpec("a")])
        await transport.publish([Outgoing("a", b"again")])

        assert (await inbox.next()).body == b"again"


class TestDenied:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda url: url.replace("guest:guest", "guest:wrong"), "ACCESS_REFUSED"),
            (lambda url: url.rpartition("/")[0] + "/no-such-place", "virtual host"),
        ],
    )
    async def test_open_says_so_at_once(
        self, rabbitmq_url: str, connect: Open, change: Callable[[str], str], words: str
    ) -> None:
        with pytest.raises(DeniedError, match=words) as caught:
            await connect(change(rabbitmq_url))

        assert "wrong" not in str(caught.value)

    @pytest.mark.parametrize(
        "connector",
        [partial(handshake.connect, purpose="test"), partial(client.connect, purpose="test"), admin.connect],
        ids=["fast", "aio-pika", "admin"],
    )
    async def test_cancelled_in_the_middle_of_a_refusal_it_is_cancelled(
        self, rabbitmq_broker: BrokerAddress, connector: Callable[[Address], Coroutine[Any, Any, object]]
    ) -> None:
        (address,) = addresses(RabbitmqSettings(url=rabbitmq_broker.url.replace("guest:guest", "guest:wrong")))
        whole = SOON
        for _ in range(5):
            began = time.monotonic()
            with pytest.raises(DeniedError):
                await connector(address)
            whole = min(whole, time.monotonic() - began)
        ends = Counter[str]()

        for moment in range(100):
            connecting = asyncio.create_task(connector(address))
            await asyncio.sleep(whole * moment / 80)
            ends["too late" if connecting.done() else "in time"] += 1
            in_time = connecting.cancel()
            (outcome,) = await asyncio.gather(connecting, return_exceptions=True)
            assert isinstance(outcome, asyncio.CancelledError if in_time else DeniedError)

        assert ends["in time"] > 20, "most of the way was tried"

    async def test_the_next_host_is_tried_when_one_is_away(self, rabbitmq_url: str, connect: Open) -> None:
        parts = urlsplit(rabbitmq_url)
        url = f"amqp://guest:guest@127.0.0.1:{free_port()},{parts.hostname}:{parts.port}{parts.path}"

        transport = await connect(url, "a")

        assert transport.link.connected


@dataclass(frozen=True)
class Scene:
    """A namespace with an actor and its neighbour, and what the actor's own user can reach."""

    platform: RabbitmqTransport
    url: str
    """The actor's."""
    namespace: str


@pytest.fixture
async def scene(rabbitmq_url: str, rabbitmq_management_url: str, connect: Open, stack: AsyncExitStack) -> Scene:
    """A user that may configure nothing, write to the namespace's exchange and to delays, read its own queue."""
    # Users are the broker's, which several processes of tests share.
    namespace = f"least{secrets.token_hex(4)}"
    platform = await connect(rabbitmq_url, "a", "neighbour", namespace=namespace)
    user, parts = f"u-{namespace}", urlsplit(rabbitmq_url)
    call_management(rabbitmq_management_url, "PUT", f"/api/users/{user}", {"password": "secret", "tags": ""})
    rights = {
        "configure": "^$",
        "write": rf"^asya_{namespace}$|^asya\.delay\.",
        "read": rf"^asya_{namespace}_a$",
    }
    call_management(rabbitmq_management_url, "PUT", f"/api/permissions{parts.path}/{user}", rights)
    # After the user's connections, which are opened later.
    stack.callback(call_management, rabbitmq_management_url, "DELETE", f"/api/users/{user}")
    return Scene(platform, f"amqp://{user}:secret@{parts.hostname}:{parts.port}{parts.path}", namespace)


class TestLeastPrivilege:
    async def test_the_work_of_an_actor_needs_no_more(self, scene: Scene, connect: Open) -> None:
        transport = await connect(scene.url, namespace=scene.namespace)
        inbox, others = Inbox(), Inbox()
        await transport.consume("a", 1, inbox)
        await scene.platform.consume("neighbour", 10, others)

        await scene.platform.publish([Outgoing("a", b"in")])
        await transport.complete(await inbox.next(), [Outgoing("neighbour", b"out"), Outgoing("a", b"again", 0.1)])
        again = await inbox.next()
        await transport.complete(again, [Outgoing("neighbour", b"out later", 0.1)])
        await scene.platform.publish([Outgoing("a", b"bad")])
        await transport.complete(await inbox.next(), settle=Settle.DEAD_LETTER)

        assert [(await others.next()).body for _ in range(2)] == [b"out", b"out later"]
        assert again.body == b"again"
        assert await scene.platform.dead_letters("a", 2) == [b"bad"]
        with pytest.raises(NoDestinationError):
            await transport.publish([Outgoing("nobody", b"")])
        with pytest.raises(NoDestinationError):
            await transport.publish([Outgoing("nobody", b"", 5.0)])
        assert transport.link.connected

    async def test_everything_else_is_denied_and_harms_nothing(self, scene: Scene, connect: Open) -> None:
        transport = await connect(scene.url, namespace=scene.namespace)
        default = await connect(scene.url, namespace=scene.namespace, exchange="amq.default")
        inbox = Inbox()
        await transport.consume("a", 1, inbox)

        async with asyncio.timeout(SOON):
            with pytest.raises(DeniedError, match="neighbour"):
                await transport.consume("neighbour", 1, Inbox())
            with pytest.raises(DeniedError, match="neighbour"):
                await transport.dead_letters("neighbour", 1)
            with pytest.raises(DeniedError):
                await transport.declare([QueueSpec("a"), QueueSpec("b")])
            with pytest.raises(DeniedError):
                await transport.drop(["a"])
            for _ in range(2):
                with pytest.raises(DeniedError):
                    await default.publish([Outgoing("a", b"")])

        await transport.publish([Outgoing("a", b"still works")])
        assert (await inbox.next()).body == b"still works"
        assert set(await scene.platform.depth(["a", "b"])) == {"a"}

    async def test_the_default_exchange_is_closed_to_it(self, scene: Scene) -> None:
        connection = await aiormq.connect(scene.url)
        channel = await connection.channel()

        with pytest.raises(aiormq.exceptions.ChannelAccessRefused):
            await channel.basic_publish(b"", routing_key=f"asya_{scene.namespace}_neighbour", mandatory=True)

        await connection.close()

    async def test_where_asking_for_a_queue_is_denied_work_goes_on(
        self, scene: Scene, connect: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As 4.2.6 does it; this broker is made to by asking it for something that it does deny."""
        declare = aiormq.Channel.queue_declare

        async def denied(channel: aiormq.Channel, queue: str, *, passive: bool = False, **_: object) -> None:
            assert passive, f"{queue} is asked for, not made"
            await declare(channel, f"{queue}.denied", durable=True)

        monkeypatch.setattr(aiormq.Channel, "queue_declare", denied)
        transport = await connect(scene.url, namespace=scene.namespace)
        inbox = Inbox()
        await transport.consume("a", 1, inbox)
        await transport.publish([Outgoing("neighbour", b"later", 0.1)])
        await transport.publish([Outgoing("a", b"now")])

        assert (await inbox.next()).body == b"now"
        with pytest.raises(DeniedError, match="neighbour"):
            await transport.consume("neighbour", 1, Inbox())
        monkeypatch.undo()
        others = Inbox()
        await scene.platform.consume("neighbour", 1, others)
        assert (await others.next()).body == b"later"


class Flow:
    """A producer, a relay and a sink on one transport, which try again as a sidecar does."""

    def __init__(self, transport: RabbitmqTransport, total: int) -> None:
        self.transport, self.total = transport, total
        self.relayed, self.arrived, self.voided = Counter[bytes](), Counter[bytes](), 0
        self._all_there = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Let messages flow."""
        await self.transport.consume("relay", 20, lambda delivery: self._run(self._relay(delivery)))
        await self.transport.consume("sink", 20, lambda delivery: self._run(self._sink(delivery)))
        self._run(self._produce())

    def passed(self, count: int) -> bool:
        """Tell whether so many different messages have come to the sink."""
        return len(self.arrived) >= count

    async def end(self) -> None:
        """Wait until every message has come to the sink and nothing is under way."""
        await self._all_there.wait()
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _produce(self) -> None:
        for number in range(self.total):
            await self._until_done(partial(self.transport.publish, [Outgoing("relay", b"%d" % number)]))

    async def _relay(self, delivery: Delivery) -> None:
        self.relayed[delivery.body] += 1
        await self._until_done(lambda: self.transport.complete(delivery, [Outgoing("sink", delivery.body)]))

    async def _sink(self, delivery: Delivery) -> None:
        self.arrived[delivery.body] += 1
        if len(self.arrived) == self.total:
            self._all_there.set()
        await self._until_done(lambda: self.transport.complete(delivery))

    async def _until_done(self, attempt: Callable[[], asyncio.Future[None]]) -> None:
        while True:
            try:
                return await attempt()
            except LeaseLostError:
                self.voided += 1
                return None
            except (ConnectionLostError, RefusedError):
                await asyncio.sleep(0.05)


class TestBrokerTrouble:
    @pytest.mark.slow
    @pytest.mark.timeout(180)
    async def test_nothing_is_lost_through_restarts(self, own_broker: Broker, connect: Open) -> None:
        """A producer, a relay and a sink run through an ordered restart and a ``kill -9``."""
        transport = await connect(own_broker.url, "relay", "sink")
        links: list[bool] = []
        transport.link.on_change.append(links.append)
        flow = Flow(transport, total=3000)
        await flow.start()
        for number, end in enumerate((own_broker.stop, own_broker.kill), start=1):
            await until(partial(flow.passed, number * 300), f"{number * 300} messages have passed")
            await asyncio.to_thread(end)
            await until(lambda: not transport.link.connected, "the loss is noticed")
            await asyncio.to_thread(own_broker.start)
        async with asyncio.timeout(90):
            await flow.end()

        assert set(flow.arrived) == {b"%d" % number for number in range(flow.total)}
        assert links == [False, True, False, True]
        depths = await transport.depth(["relay", "sink"])
        assert {(depth.ready, depth.dead) for depth in depths.values()} == {(0, 0)}
        print(f"twice at the relay: {sum(flow.relayed.values()) - flow.total}, void settlements: {flow.voided}")
        print(f"twice at the end: {sum(flow.arrived.values()) - flow.total}")

    @pytest.mark.slow
    async def test_what_is_on_the_way_when_the_broker_dies(self, own_broker: Broker, connect: Open) -> None:
        transport = await connect(own_broker.url, "a")
        inbox = Inbox()
        await transport.consume("a", 1, inbox)
        await transport.publish([Outgoing("a", b"held")])
        delivery = await inbox.next()
        many = [transport.publish([Outgoing("a", b"x" * 100_000)]) for _ in range(200)]

        await asyncio.to_thread(own_broker.kill)
        results = await asyncio.wait_for(asyncio.gather(*many, return_exceptions=True), SOON)

        assert {type(result) for result in results} <= {type(None), ConnectionLostError}
        assert ConnectionLostError in {type(result) for result in results}
        with pytest.raises(LeaseLostError):
            await transport.complete(delivery)
        with pytest.raises(ConnectionLostError):
            await transport.publish([Outgoing("a", b"")])
        assert not transport.link.connected
        assert transport.link.reason
        async with asyncio.timeout(SOON):
            await transport.close()

    @pytest.mark.slow
    async def test_open_waits_for_a_broker_that_starts_later(self, own_broker: Broker, connect: Open) -> None:
        await asyncio.to_thread(own_broker.kill)
        opening = asyncio.ensure_future(connect(own_broker.url))
        await asyncio.sleep(0)

        await asyncio.to_thread(own_broker.start)

        assert (await asyncio.wait_for(opening, SOON)).link.connected

    @pytest.mark.slow
    async def test_blocked_it_refuses_says_so_and_goes_on(self, own_broker: Broker, connect: Open) -> None:
        transport = await connect(own_broker.url, "a")
        inbox = Inbox()
        await transport.consume("a", 1, inbox)
        await transport.publish([Outgoing("a", b"before")])
        delivery = await inbox.next()
        nudges: list[asyncio.Future[None]] = []

        await asyncio.to_thread(own_broker.set_memory_alarm, on=True)
        # The broker blocks a connection when it next publishes.
        nudges.append(transport.publish([Outgoing("a", b"nudge")]))
        await until(lambda: not transport.link.connected, "the broker says that it is blocked")
        assert "memory" in transport.link.reason
        with pytest.raises(RefusedError):
            await transport.publish([Outgoing("a", b"refused")])
        await transport.complete(delivery)
        await asyncio.to_thread(own_broker.set_memory_alarm, on=False)
        await until(lambda: transport.link.connected, "the broker goes on")
        await asyncio.wait_for(asyncio.gather(*nudges), SOON)
        await transport.publish([Outgoing("a", b"after")])

        bodies = []
        for _ in range(2):
            delivery = await inbox.next()
            bodies.append(delivery.body)
            await transport.complete(delivery)
        assert bodies == [b"nudge", b"after"]

    @pytest.mark.slow
    async def test_blocked_with_full_buffers_it_can_still_be_closed(self, own_broker: Broker, connect: Open) -> None:
        transport = await connect(own_broker.url, "a")
        await asyncio.to_thread(own_broker.set_memory_alarm, on=True)
        stuck = [transport.publish([Outgoing("a", b"x" * 1_000_000)]) for _ in range(20)]
        await until(lambda: not transport.link.connected, "the broker says that it is blocked")

        async with asyncio.timeout(SOON):
            await transport.close()
            results = await asyncio.gather(*stuck, return_exceptions=True)

        assert {type(result) for result in results} <= {type(None), ConnectionLostError, RefusedError}
        assert any(results)


Key = ec.EllipticCurvePrivateKey


def make_certificates(folder: Path) -> dict[str, Path]:
    """Make an authority and a certificate by it, good for 127.0.0.1 as server and as client."""
    now = datetime.now(UTC)

    def build(name: str, issuer: x509.Name, key: Key, signer: Key, *extensions: x509.ExtensionType) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(signer, hashes.SHA256())

    root_key, leaf_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    identifier = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())
    root = build(
        "test authority",
        root_name,
        root_key,
        root_key,
        x509.BasicConstraints(ca=True, path_length=0),
        identifier,
        x509.KeyUsage(True, False, False, False, False, True, True, False, False),
    )
    leaf = build(
        "broker",
        root_name,
        leaf_key,
        root_key,
        x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]),
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
    )
    files = {"cacertfile": folder / "ca.pem", "certfile": folder / "cert.pem", "keyfile": folder / "key.pem"}
    files["cacertfile"].write_bytes(root.public_bytes(serialization.Encoding.PEM))
    files["certfile"].write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    files["keyfile"].write_bytes(
        leaf_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return files


@pytest.mark.slow
async def test_tls_with_an_authority_of_ones_own(rabbitmq_installed: None, connect: Open, tmp_path: Path) -> None:
    files = make_certificates(tmp_path)
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    with Broker(tls=files) as broker:
        url = f"amqps://guest:guest@127.0.0.1:{broker.tls_port}/"
        client = {"cert_file": files["certfile"], "key_file": files["keyfile"]}
        transport = await connect(url, "a", ca_file=files["cacertfile"], **client)
        inbox = Inbox()
        await transport.consume("a", 1, inbox)
        await transport.publish([Outgoing("a", b"sealed")])

        assert (await inbox.next()).body == b"sealed"
        with pytest.raises(DeniedError, match="not trusted"):
            await connect(url, ca_file=make_certificates(stranger)["cacertfile"], **client)
        await transport.close()
