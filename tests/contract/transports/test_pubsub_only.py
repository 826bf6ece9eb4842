"""What only Pub/Sub has: delays held by the broker, exactly-once and ordered subscriptions, faults by their names."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import grpc
import pytest
import pytest_asyncio
from tests.contract.transports.fake_pubsub_server import FakePubsubServer
from tests.contract.transports.harness import Inbox, PubsubHarness, depth_becomes, until
from tests.support.pubsub import Emulator, EmulatorUnavailableError

from asya.errors import (
    ConnectionLostError,
    DeniedError,
    LeaseLostError,
    NoDestinationError,
    RefusedError,
    TooLargeError,
    TransportError,
)
from asya.transports import Outgoing, QueueNames, QueueSpec, Settle
from asya.transports.pubsub import PubsubTransport, delays
from asya.transports.pubsub.consumer import SHORTEST_STREAM_LEASE
from asya.transports.pubsub.control import WATCH
from asya.transports.pubsub.messages import CLASSES
from asya.transports.pubsub.refusals import Call
from asya.transports.settings import PubsubSettings

RECEIVE = ("pull", pytest.param("stream", marks=pytest.mark.variant))


@pytest_asyncio.fixture(params=RECEIVE)
async def harness(request: pytest.FixtureRequest, pubsub_endpoint: str) -> AsyncIterator[PubsubHarness]:
    harness = PubsubHarness(pubsub_endpoint, request.param)
    yield harness
    await harness.end()


async def connect(harness: PubsubHarness, *actors: str) -> PubsubTransport:
    transport = await harness.connect(*actors)
    assert isinstance(transport, PubsubTransport)
    return transport


async def make_subscription(transport: PubsubTransport, actor: str, **fields: Any) -> None:
    """Put another subscription in the place of an actor's."""
    addresses = transport._addresses
    name = addresses.subscription(addresses.queue(actor))
    about = Call("create", name, "roles/pubsub.editor", actor)
    await transport._connection.call("DeleteSubscription", about, subscription=name)
    topic = addresses.topic(addresses.queue(actor))
    await transport._connection.call("CreateSubscription", about, name=name, topic=topic, **fields)


# --- delays ---------------------------------------------------------------------------------------------------------


async def test_a_delayed_message_outlives_whoever_looks_after_it(harness: PubsubHarness) -> None:
    dying = await connect(harness, "a")
    await dying.consume("a", 1, Inbox())
    start = time.monotonic()
    await dying.publish([Outgoing("a", b"later", 4.0)])
    [(_, looks_after)] = dying._consumers

    async def seen() -> bool:
        return looks_after._leases._changes.busy or await _delayed_is_out(dying)

    await until(seen, "it was looked at")
    await harness.crash(dying)
    living, inbox = await connect(harness), Inbox()
    await living.consume("a", 1, inbox)
    delivery = await inbox.take(bound=20)
    assert time.monotonic() - start >= 4.0
    assert (delivery.body, delivery.attempts) == (b"later", 1)
    await living.complete(delivery)
    await depth_becomes(harness, living, "a", ready=0, in_flight=0, delayed=0, dead=0)


async def _delayed_is_out(transport: PubsubTransport) -> bool:
    """Whether the delayed message is in nobody's reach, being under a lease."""
    addresses = transport._addresses
    name = addresses.subscription(addresses.delayed("a"))
    about = Call("receive from", name, "", "a")
    found = await transport._connection.call("Pull", about, subscription=name, max_messages=1, return_immediately=True)
    return not found.received_messages


async def test_delays_take_no_credit(harness: PubsubHarness) -> None:
    transport, inbox = await connect(harness, "a"), Inbox()
    await transport.consume("a", 1, inbox)
    await transport.publish([Outgoing("a", b"later %d" % number, 3600.0) for number in range(30)])
    await transport.publish([Outgoing("a", b"soon %d" % number, 1.0) for number in range(5)])
    for number in range(10):
        await transport.publish([Outgoing("a", b"%d" % number)])
        delivery = await inbox.take()
        await transport.complete(delivery)
    for _ in range(5):
        await transport.complete(await inbox.take())
    assert {body for body in inbox.bodies if body.startswith(b"soon")} == {b"soon %d" % number for number in range(5)}
    assert len(inbox.bodies) == 15
    await depth_becomes(harness, transport, "a", ready=0, in_flight=0, delayed=30, dead=0)


async def test_a_delay_of_many_leases_is_no_failed_delivery(
    harness: PubsubHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than a lease can be, so that it is handed out more often than the delivery limit allows an actor."""
    monkeypatch.setattr(delays, "LONGEST", 1)
    monkeypatch.setattr(delays, "NEAR_SECONDS", 0.5)
    transport, inbox = await connect(harness), Inbox()
    await transport.declare([QueueSpec("a", delivery_limit=5)])
    harness._declared.add("a")
    await transport.consume("a", 1, inbox)
    start = time.monotonic()
    await transport.publish([Outgoing("a", b"much later", 8.0)])
    delivery = await inbox.take(bound=25)
    assert time.monotonic() - start >= 8.0
    assert delivery.attempts == 1
    await transport.complete(delivery)
    await depth_becomes(harness, transport, "a", ready=0, in_flight=0, delayed=0, dead=0)


async def test_delayed_messages_wait_for_a_topic_that_is_missing(
    harness: PubsubHarness, caplog: pytest.LogCaptureFixture
) -> None:
    """The actor's topic is deleted while a message waits: it stays where it is, and comes when the topic is back."""
    transport, inbox = await connect(harness, "a"), Inbox()
    await transport.consume("a", 1, inbox)
    addresses = transport._addresses
    topic = addresses.topic(addresses.queue("a"))
    await transport.publish([Outgoing("a", b"later", 0.3)])
    await transport._connection.call("DeleteTopic", Call("delete", topic, ""), topic=topic)
    with caplog.at_level(logging.WARNING):

        async def tried() -> bool:
            return "could not be sent on, it is tried again" in caplog.text

        await until(tried, "it was tried")
    for short in (addresses.queue("a"), WATCH + addresses.queue("a")):  # they belong to the topic that is gone
        name = addresses.subscription(short)
        await transport._connection.call("DeleteSubscription", Call("delete", name, ""), subscription=name)
    await transport.declare([QueueSpec("a")])
    assert (await inbox.take(bound=30)).body == b"later"


# --- kinds of subscriptions -----------------------------------------------------------------------------------------


async def test_an_exactly_once_subscription_confirms(harness: PubsubHarness) -> None:
    """The broker, not our clock, says that a lease was lost."""
    transport, inbox = await connect(harness, "a", "b"), Inbox()
    await make_subscription(transport, "a", ack_deadline_seconds=10, enable_exactly_once_delivery=True)
    await transport.consume("a", 1, inbox)
    await transport.publish([Outgoing("a", b"in")])
    first = await inbox.take()
    [(consumer, _)] = transport._consumers
    assert consumer.leases.exactly_once
    await transport.extend(first, 1.0)
    first.token.until += 60  # as a clock that went wrong would see it
    inbox_two = Inbox()
    other = await connect(harness)
    if harness.keeps_to_credit:
        await other.consume("a", 1, inbox_two)
        again = await inbox_two.take()
    else:  # the emulator hands it to the same stream, beyond its credit
        await until(_waits(consumer), "it comes again")
        again = consumer._waiting[0]
    assert again.body == b"in"
    with pytest.raises(LeaseLostError):
        await transport.complete(first)
    if harness.keeps_to_credit:
        await other.complete(again)
        await depth_becomes(harness, transport, "a", ready=0, in_flight=0)


def _waits(consumer: Any) -> Callable[[], Any]:
    async def waits() -> bool:
        return bool(consumer._waiting)

    return waits


async def test_ordered_messages_come_in_order(pubsub_endpoint: str) -> None:
    """By the header x-asya-group; what has none is in no order with anything."""
    names = QueueNames("ordered")
    transport = PubsubTransport(names, PubsubSettings(project="asya-test", endpoint=pubsub_endpoint, ordered=True))
    await transport.open()
    await transport.declare([QueueSpec("a")])
    bodies = [
        b'{"id":"%d","route":{"prev":[],"curr":"a","next":[]},"headers":{"x-asya-group":"g"},"payload":{}}' % number
        for number in range(20)
    ]
    try:
        await asyncio.gather(*(transport.publish([Outgoing("a", body)]) for body in bodies))
        addresses = transport._addresses
        name = addresses.subscription(addresses.queue("a"))
        found = await transport._connection.call(
            "Pull", Call("receive from", name, ""), subscription=name, max_messages=100
        )
        received = [one.message for one in found.received_messages]
        assert {message.ordering_key for message in received} == {"g"}
        assert [message.data for message in received] == bodies[: len(received)]
        await transport.publish([Outgoing("a", b"no envelope")])
    finally:
        await transport.drop(["a"])
        await transport.close()


async def test_a_topic_without_its_subscription_is_no_destination(harness: PubsubHarness) -> None:
    """While an actor's queue is made again, there is a moment in which Pub/Sub confirms what it does not keep."""
    transport = await connect(harness, "a")
    await transport.drop(["a"])
    with pytest.raises(NoDestinationError):
        await transport.publish([Outgoing("a", b"1")])
    topic = f"projects/asya-test/topics/{harness.queue('a')}"
    about = Call("create", topic, "", "a")
    await transport._connection.call("CreateTopic", about, name=topic)
    with pytest.raises(NoDestinationError):
        await transport.publish([Outgoing("a", b"2")])
    await transport.declare([QueueSpec("a")])
    await transport.publish([Outgoing("a", b"3")])
    inbox = Inbox()
    await transport.consume("a", 1, inbox)
    assert (await inbox.take()).body == b"3"


async def test_a_dead_letter_says_how_often_it_was_delivered(harness: PubsubHarness) -> None:
    transport, inbox = await connect(harness, "a"), Inbox()
    await transport.consume("a", 1, inbox)
    await transport.publish([Outgoing("a", b"bad")])
    await transport.complete(await inbox.take(), settle=Settle.RELEASE)
    again = await inbox.take()
    await transport.complete(again, settle=Settle.DEAD_LETTER)
    addresses = transport._addresses
    name = addresses.subscription(addresses.dead_letters("a"))
    found = await transport._connection.call("Pull", Call("receive from", name, ""), subscription=name, max_messages=1)
    [received] = found.received_messages
    assert {one.key: one.value for one in received.message.attributes} == {"asya-attempts": "2"}


async def test_limits_that_pubsub_does_not_have(harness: PubsubHarness) -> None:
    transport = await connect(harness)
    with pytest.raises(TransportError, match="delivery limit of 'a' is 3; Pub/Sub allows 5 to 100"):
        await transport.declare([QueueSpec("a", delivery_limit=3)])


# --- faults ---------------------------------------------------------------------------------------------------------


REFUSALS = [
    pytest.param(
        grpc.StatusCode.PERMISSION_DENIED,
        "User not authorized to perform this action.",
        DeniedError,
        "may not publish to projects/p/topics/asya_n_a: it takes roles/pubsub.publisher there: User not authorized",
        id="permission denied",
    ),
    pytest.param(
        grpc.StatusCode.NOT_FOUND,
        "Requested project not found or user does not have access to it (project=p).",
        DeniedError,
        "the project 'p' is not there or may not be used; check ASYA_PUBSUB_PROJECT_ID",
        id="wrong project",
    ),
    pytest.param(
        grpc.StatusCode.NOT_FOUND,
        "Resource not found (resource=asya_n_a).",
        NoDestinationError,
        "actor 'a' has no queue (projects/p/topics/asya_n_a)",
        id="missing topic",
    ),
    pytest.param(
        grpc.StatusCode.UNAUTHENTICATED,
        "Request had invalid authentication credentials.",
        DeniedError,
        "the credentials are not valid or have expired, cannot publish to asya_n_a",
        id="expired credentials",
    ),
    pytest.param(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "Quota exceeded",
        RefusedError,
        "Pub/Sub refuses for now to publish to asya_n_a: Quota exceeded",
        id="quota",
    ),
    pytest.param(
        grpc.StatusCode.UNAVAILABLE,
        "The service was unable to fulfill your request.",
        ConnectionLostError,
        "could not publish to asya_n_a: The service was unable",
        id="unavailable",
    ),
    pytest.param(
        grpc.StatusCode.DATA_LOSS,
        "what?",
        TransportError,
        "could not publish to asya_n_a: DATA_LOSS: what?",
        id="other",
    ),
]


@pytest_asyncio.fixture
async def fake_server() -> AsyncIterator[FakePubsubServer]:
    """Google's refusals, which the emulator does not know."""
    server = FakePubsubServer()
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture
async def to_fake(fake_server: FakePubsubServer) -> AsyncIterator[PubsubTransport]:
    settings = PubsubSettings(project="p", endpoint=fake_server.endpoint, receive="stream")
    transport = PubsubTransport(QueueNames("n"), settings)
    await transport.open()
    yield transport
    await transport.close()


@pytest.mark.parametrize(("code", "text", "error", "sentence"), REFUSALS)
async def test_a_refused_publish_says_why_and_settles_nothing(
    fake_server: FakePubsubServer,
    to_fake: PubsubTransport,
    code: grpc.StatusCode,
    text: str,
    error: type[TransportError],
    sentence: str,
) -> None:
    inbox = Inbox()
    await to_fake.consume("a", 1, inbox)
    fake_server.deliver(b"in")
    delivery = await inbox.take()
    fake_server.refuse("Publish", code, text)
    with pytest.raises(TransportError) as caught:
        await to_fake.complete(delivery, [Outgoing("a", b"out")])
    assert type(caught.value) is error
    assert str(caught.value).startswith(sentence)
    assert fake_server.acknowledged == []
    fake_server.refuse("Publish", None)
    await to_fake.complete(delivery, [Outgoing("a", b"out")])
    await until(fake_server.has_acknowledged(1), "it is acknowledged")
    assert fake_server.published == [b"out"]


@pytest.mark.parametrize(
    ("code", "text", "error", "sentence"),
    [
        (
            grpc.StatusCode.PERMISSION_DENIED,
            "User not authorized.",
            DeniedError,
            "may not receive from projects/p/subscriptions/asya_n_a: it takes roles/pubsub.subscriber there",
        ),
        (
            grpc.StatusCode.NOT_FOUND,
            "Resource not found (resource=asya_n_a).",
            NoDestinationError,
            "actor 'a' has no queue (asya_n_a)",
        ),
        (
            grpc.StatusCode.NOT_FOUND,
            "Requested project not found or user does not have access to it (project=p).",
            DeniedError,
            "the project 'p' is not there",
        ),
    ],
)
async def test_who_may_not_receive_hears_it_at_once(
    fake_server: FakePubsubServer,
    to_fake: PubsubTransport,
    code: grpc.StatusCode,
    text: str,
    error: type[TransportError],
    sentence: str,
) -> None:
    fake_server.refuse("ModifyAckDeadline", code, text)
    with pytest.raises(TransportError) as caught:
        await to_fake.consume("a", 1, Inbox())
    assert type(caught.value) is error
    assert str(caught.value).startswith(sentence)


async def test_receiving_goes_on_when_the_stream_was_refused(
    fake_server: FakePubsubServer, to_fake: PubsubTransport, caplog: pytest.LogCaptureFixture
) -> None:
    """Credentials that expire in mid-run: a line, and messages again once they are good."""
    inbox = Inbox()
    await to_fake.consume("a", 3, inbox)
    fake_server.deliver(b"1")
    await inbox.take()
    with caplog.at_level(logging.WARNING):
        fake_server.refuse("StreamingPull", grpc.StatusCode.UNAUTHENTICATED, "expired")
        fake_server.end_streams(grpc.StatusCode.UNAUTHENTICATED, "expired")
        await until(fake_server.has_refused(2), "it was tried again")
    assert "the credentials are not valid or have expired, cannot receive from asya_n_a: expired" in caplog.text
    fake_server.refuse("StreamingPull", None)
    fake_server.deliver(b"2")
    assert (await inbox.take()).body == b"2"


async def test_a_stream_that_google_ends_is_opened_again_without_a_word(
    fake_server: FakePubsubServer, to_fake: PubsubTransport, caplog: pytest.LogCaptureFixture
) -> None:
    inbox = Inbox()
    with caplog.at_level(logging.WARNING):
        await to_fake.consume("a", 7, inbox)
        fake_server.deliver(b"1")
        await inbox.take()
        fake_server.end_streams(grpc.StatusCode.UNAVAILABLE, "The service was unable to fulfill your request.")

        async def again() -> bool:
            return fake_server.flow_control == [7, 7]

        await until(again, "a second stream")
        fake_server.deliver(b"2")
        assert (await inbox.take()).body == b"2"
    assert caplog.text == ""


@pytest.mark.slow
async def test_what_came_while_the_loop_stood_still_is_not_held_for_ours(
    pubsub_endpoint: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It waited in the socket while its lease ran, so it might be handled by two."""
    harness, inbox = PubsubHarness(pubsub_endpoint, "stream"), Inbox()
    harness.lease_seconds = 4.0
    transport = await connect(harness, "a")
    await transport.consume("a", 5, inbox)
    await transport.publish([Outgoing("a", b"before")])
    await transport.complete(await inbox.take())

    topic = transport._addresses.topic(transport._addresses.queue("a"))
    request = CLASSES["PublishRequest"](topic=topic, messages=[CLASSES["Message"](data=b"meanwhile")])
    with grpc.insecure_channel(pubsub_endpoint) as channel:  # not asyncio's: the loop stands still from here
        publish = channel.unary_unary(
            "/google.pubsub.v1.Publisher/Publish", request_serializer=CLASSES["PublishRequest"].SerializeToString
        )
        publish(request)
    began = time.monotonic()
    time.sleep(harness.lease * 0.75)

    delivery = await inbox.take(bound=30.0)
    assert delivery.body == b"meanwhile"
    assert time.monotonic() - began > SHORTEST_STREAM_LEASE * 0.9, "the first copy was let go"
    assert "stood still for more than half a lease; what Pub/Sub sent a meanwhile comes again" in caplog.text
    await transport.complete(delivery)
    await depth_becomes(harness, transport, "a", ready=0, in_flight=0, dead=0)
    await harness.end()


async def test_the_flow_control_of_a_stream_is_the_credit(
    fake_server: FakePubsubServer, to_fake: PubsubTransport
) -> None:
    consumer = await to_fake.consume("a", 4, Inbox())
    await until(fake_server.has_streams([4]), "a stream of 4")
    consumer.set_credit(0)
    await until(fake_server.has_streams([]), "no stream")
    consumer.set_credit(9)
    await until(fake_server.has_streams([9]), "a stream of 9")


async def test_acknowledgements_are_tried_again_while_the_lease_lasts(
    fake_server: FakePubsubServer, to_fake: PubsubTransport
) -> None:
    """Those that failed for now on an exactly-once subscription, and only those; what failed for good is lost."""
    fake_server.exactly_once = True
    inbox = Inbox()
    await to_fake.consume("a", 3, inbox)
    for body in (b"good", b"later", b"gone"):
        fake_server.deliver(body)
    good, later, gone = await inbox.take_many(3)
    fake_server.fail_ids(
        {
            later.token.ack_id: "TRANSIENT_FAILURE_UNORDERED_ACK_ID",
            gone.token.ack_id: "PERMANENT_FAILURE_INVALID_ACK_ID",
        }
    )
    done = await asyncio.gather(*(to_fake.complete(one) for one in (good, later, gone)), return_exceptions=True)
    assert done[:2] == [None, None]
    assert isinstance(done[2], LeaseLostError)
    assert fake_server.acknowledged == [good.token.ack_id, later.token.ack_id]


async def test_what_is_being_settled_has_lost_no_lease(fake_server: FakePubsubServer, to_fake: PubsubTransport) -> None:
    """The heartbeat comes at any time; also while an acknowledgement waits for its confirmation."""
    fake_server.exactly_once = True
    inbox = Inbox()
    await to_fake.consume("a", 1, inbox)
    fake_server.deliver(b"in")
    delivery = await inbox.take()
    done = to_fake.complete(delivery)
    await to_fake.extend(delivery, 60.0)
    assert not done.done()
    await done
    assert fake_server.acknowledged == [delivery.token.ack_id]


async def test_many_leases_are_extended_in_few_calls(fake_server: FakePubsubServer, to_fake: PubsubTransport) -> None:
    inbox = Inbox()
    await to_fake.consume("a", 6000, inbox)
    for number in range(6000):
        fake_server.deliver(b"%d" % number)
    held = await inbox.take_many(6000)
    before = len(fake_server.extended)
    await asyncio.gather(*(to_fake.extend(delivery, 60.0) for delivery in held))
    calls = fake_server.extended[before:]
    assert sum(len(ids) for _, ids in calls) == 6000
    assert {seconds for seconds, _ in calls} == {60}
    assert max(len(ids) for _, ids in calls) <= 2500
    assert len(calls) <= 4


async def test_publishes_fill_batches_under_load(fake_server: FakePubsubServer, to_fake: PubsubTransport) -> None:
    """One alone goes at once; a thousand callers at a time share calls."""
    await to_fake.publish([Outgoing("a", b"alone")])
    assert fake_server.publish_calls == 1
    await asyncio.gather(*(to_fake.publish([Outgoing("a", b"%d" % number)]) for number in range(2500)))
    assert len(fake_server.published) == 2501
    assert fake_server.publish_calls <= 5


async def test_a_message_above_the_limit_is_not_sent(fake_server: FakePubsubServer, to_fake: PubsubTransport) -> None:
    limit = to_fake.limits.message_bytes
    assert limit < 10_000_000
    with pytest.raises(TooLargeError):
        await to_fake.publish([Outgoing("a", b"fits"), Outgoing("a", b"x" * (limit + 1))])
    assert fake_server.published == []


async def test_what_is_just_below_the_limit_goes_alone(pubsub_endpoint: str) -> None:
    transport = PubsubTransport(QueueNames("large"), PubsubSettings(project="asya-test", endpoint=pubsub_endpoint))
    await transport.open()
    await transport.declare([QueueSpec("a")])
    body = b"x" * transport.limits.message_bytes
    request = CLASSES["PublishRequest"](topic="t" * 200, messages=[CLASSES["Message"](data=body)])
    assert request.ByteSize() < 10_000_000
    inbox = Inbox()
    try:
        await transport.publish([Outgoing("a", body), Outgoing("a", b"small")])
        await transport.consume("a", 2, inbox)
        assert sorted(len(delivery.body) for delivery in await inbox.take_many(2)) == [5, len(body)]
    finally:
        await transport.drop(["a"])
        await transport.close()


class Line:
    """Passes bytes on to the emulator; can be cut and mended."""

    def __init__(self, endpoint: str) -> None:
        host, _, port = endpoint.rpartition(":")
        self._target = (host, int(port))
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._target)
        self._writers |= {writer, back}
        await asyncio.gather(_copy(reader, back), _copy(there, writer))
        self._writers -= {writer, back}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.mark.variant
async def test_a_line_that_is_cut_again_and_again_loses_nothing(harness: PubsubHarness) -> None:
    """Each message is passed on at least once, whatever was under way when the line broke."""
    total, cuts = 120, 3
    harness.lease_seconds = 10.0  # of what is handed out while the line breaks
    watching = await connect(harness, "a", "b")
    line = Line(harness._endpoint)
    await line.mend()
    behind = PubsubHarness(f"127.0.0.1:{line.port}", harness._receive)
    behind.names = harness.names
    # An emulator goes on sending to streams that are dead, so on streams no lease may end while the line is cut.
    behind.lease_seconds = 2.0 if harness.keeps_to_credit else 30.0
    working = behind.make()
    await working.open()
    await watching.publish([Outgoing("a", b"%d" % number) for number in range(total)])
    passed: set[bytes] = set()
    failed = 0
    going: set[asyncio.Task[None]] = set()

    async def work(delivery: Any) -> None:
        nonlocal failed
        await asyncio.sleep(0.02)
        while True:
            try:
                await working.complete(delivery, [Outgoing("b", delivery.body)])
                passed.add(delivery.body)
            except LeaseLostError:
                failed += 1
            except ConnectionLostError:
                failed += 1
                await asyncio.sleep(0.1)
                continue
            return

    def receive(delivery: Any) -> None:
        going.add(task := asyncio.create_task(work(delivery)))
        task.add_done_callback(going.discard)

    await working.consume("a", 4, receive)
    for number in range(1, cuts + 1):

        async def far(number: int = number) -> bool:
            return len(passed) >= number * total // (cuts + 2)

        await until(far, f"part {number} is done", bound=40)
        await line.cut()
        await until(_link_is(working, connected=False), "the link is down")
        await line.mend()
        await until(_link_is(working, connected=True), "the link is up")
    assert failed
    depth = None

    async def empty() -> bool:
        nonlocal depth
        depth = await watching.depth(["a", "b"])
        return depth["a"].ready == 0 and not going

    await until(empty, "a is empty", bound=60)
    inbox = Inbox()
    assert depth is not None
    await watching.consume("b", 1000, inbox)
    await inbox.take_many(depth["b"].ready)
    assert set(inbox.bodies) == {b"%d" % number for number in range(total)}
    await working.close()
    await line.cut()


def _link_is(transport: Any, *, connected: bool) -> Callable[[], Any]:
    async def holds() -> bool:
        return transport.link.connected is connected

    return holds


@pytest.mark.variant
async def test_an_emulator_that_is_gone_and_comes_back() -> None:
    """Publishes fail while it is gone, the link says so, and consumers go on by themselves."""
    try:
        emulator = await asyncio.to_thread(Emulator().__enter__)
    except EmulatorUnavailableError as error:
        pytest.skip(str(error))
    try:
        transport = PubsubTransport(QueueNames("back"), PubsubSettings(project="p", endpoint=emulator.endpoint))
        await transport.open()
        await transport.declare([QueueSpec("a")])
        inbox = Inbox()
        await transport.consume("a", 1, inbox)
        await transport.publish([Outgoing("a", b"1")])
        held = await inbox.take()
        links = asyncio.Queue[bool]()
        transport.link.on_change.append(links.put_nowait)
        await asyncio.to_thread(emulator.stop)
        async with asyncio.timeout(20):
            assert await links.get() is False
        assert emulator.endpoint in transport.link.reason
        with pytest.raises(ConnectionLostError):
            await transport.complete(held, [Outgoing("a", b"out")])
        await asyncio.to_thread(emulator.start)
        async with asyncio.timeout(30):
            assert await links.get() is True
        await transport.declare([QueueSpec("a")])  # an emulator begins empty
        await transport.publish([Outgoing("a", b"2")])
        with contextlib.suppress(LeaseLostError):
            await transport.complete(held)  # frees the credit; the new emulator has never heard of it
        assert (await inbox.take(bound=20)).body == b"2"
        await transport.close()
    finally:
        await asyncio.to_thread(emulator.remove)


async def test_a_pull_that_waits_at_google_does_not_hold_up_the_end(fake_server: FakePubsubServer) -> None:
    """Google keeps a pull open while there is nothing; an emulator answers at once."""
    settings = PubsubSettings(project="p", endpoint=fake_server.endpoint, receive="pull")
    transport = PubsubTransport(QueueNames("n"), settings)
    await transport.open()
    fake_server.pulls_wait = True
    transport._connection._endpoint = replace(transport._connection._endpoint, plain=False)
    consumer = await transport.consume("a", 1, Inbox())
    await until(fake_server.has_pulls(2), "the actor's pull and that of its delays wait")
    async with asyncio.timeout(5):
        await consumer.close()
        await transport.close()
