"""What only SQS has: calls and batches, hops of long delays, groups, claim checks, and every way it refuses."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from tests.contract.transports.harness import Inbox, depth_becomes, until
from tests.contract.transports.sqs_harness import SqsHarness
from tests.support.fake_refusals import Answer, FakeRefusals, refusal
from tests.support.moto_server import ACCOUNT, REGION, MotoServer

from asya.errors import (
    ConnectionLostError,
    DeniedError,
    LeaseLostError,
    NoDestinationError,
    TooLargeError,
    TransportError,
)
from asya.transports import Delivery, Outgoing, QueueNames, QueueSpec, Settle, Transport
from asya.transports.sqs import SqsTransport, sending


@pytest_asyncio.fixture
async def sqs(moto_server: MotoServer) -> AsyncIterator[SqsHarness]:
    harness = SqsHarness(moto_server)
    yield harness
    await harness.end()


@pytest_asyncio.fixture
async def fifo(moto_server: MotoServer) -> AsyncIterator[SqsHarness]:
    harness = SqsHarness(moto_server, fifo=True)
    yield harness
    await harness.end()


@pytest.fixture
def aws(moto_server: MotoServer) -> Iterator[FakeRefusals]:
    with FakeRefusals(moto_server.port) as fake:
        yield fake


@asynccontextmanager
async def through(harness: SqsHarness, aws: FakeRefusals, **settings: Any) -> AsyncIterator[SqsTransport]:
    """A transport whose calls go through the server in front of moto; tried once each unless said."""
    given = {"endpoint": aws.url, "max_attempts": 1, **settings}
    transport = SqsTransport(harness.names, replace(harness.settings(), **given))
    await transport.open()
    try:
        yield transport
    finally:
        aws.allow()
        await transport.close()


def envelope(name: str, group: str | None = None) -> bytes:
    headers = {} if group is None else {"x-asya-group": group}
    route = {"prev": [], "curr": "a", "next": []}
    return json.dumps({"id": name, "route": route, "headers": headers, "payload": {}}).encode()


class TestCalls:
    async def test_few_calls_under_load_and_every_message_once(self, sqs: SqsHarness, aws: FakeRefusals) -> None:
        count = 300
        watcher = await sqs.connect("a", "b")
        async with through(sqs, aws) as transport:
            await transport.publish([Outgoing("a", b"%d" % number) for number in range(count)])
            sent = aws.calls["SendMessageBatch"]
            assert sent <= count / 10 + 4
            done, settling = asyncio.Event(), set[asyncio.Future[None]]()
            seen: list[bytes] = []

            def receive(delivery: Delivery) -> None:
                seen.append(delivery.body)
                settling.add(transport.complete(delivery, [Outgoing("b", delivery.body)]))
                if len(seen) >= count:
                    done.set()

            consumer = await transport.consume("a", 60, receive)
            async with asyncio.timeout(60):
                await done.wait()
                await asyncio.gather(*settling)
            consumer.set_credit(0)
            calls = aws.calls.total() - sent
        assert sorted(seen) == sorted(b"%d" % number for number in range(count))
        await depth_becomes(sqs, watcher, "a", ready=0, in_flight=0, dead=0)
        await depth_becomes(sqs, watcher, "b", ready=count, in_flight=0)
        assert calls / count <= 0.5, aws.calls  # 0.3 where batches are full; the server here is slow and shared

    async def test_an_idle_consumer_asks_once_at_a_time(self, sqs: SqsHarness, aws: FakeRefusals) -> None:
        await sqs.connect("a")
        async with through(sqs, aws) as transport:
            await transport.consume("a", 100, Inbox())
            await until(lambda: _holds(aws.calls["ReceiveMessage"] >= 3), "three questions")
        assert aws.most_polls == 1

    async def test_receivers_follow_the_flow(self, sqs: SqsHarness, aws: FakeRefusals) -> None:
        watcher = await sqs.connect("a")
        await watcher.publish([Outgoing("a", b"x")] * 80)
        inbox = Inbox()
        async with through(sqs, aws) as transport:
            await transport.consume("a", 80, inbox)
            await inbox.take_many(80)
        assert aws.most_polls > 1

    async def test_one_heartbeat_for_all_that_is_held(self, sqs: SqsHarness, aws: FakeRefusals) -> None:
        watcher = await sqs.connect("a")
        await watcher.publish([Outgoing("a", b"x")] * 25)
        inbox = Inbox()
        async with through(sqs, aws) as transport:
            consumer = await transport.consume("a", 25, inbox)
            held = await inbox.take_many(25)
            consumer.set_credit(0)
            aws.calls.clear()
            await asyncio.gather(*(transport.extend(delivery, 30.0) for delivery in held))
            assert aws.calls["ChangeMessageVisibilityBatch"] == 3
            assert aws.calls["ChangeMessageVisibility"] == 0
            await depth_becomes(sqs, watcher, "a", ready=0, in_flight=25)

    async def test_without_an_account_each_queue_is_asked_for_once(self, sqs: SqsHarness, aws: FakeRefusals) -> None:
        await sqs.connect("a")
        async with through(sqs, aws, account_id=None) as transport:
            aws.calls.clear()
            for number in range(3):
                await transport.publish([Outgoing("a", b"%d" % number)])
            assert aws.calls["GetQueueUrl"] == 1


class TestDelays:
    async def test_a_long_delay_goes_in_hops_that_are_no_attempts(
        self, sqs: SqsHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sending, "LONGEST_DELAY", 1)
        transport = await sqs.connect("a", delivery_limit=2)
        inbox = Inbox()
        await transport.consume("a", 1, inbox)
        start = time.time()
        await transport.publish([Outgoing("a", b"later \xff", 4.0)])
        delivery = await inbox.take(20)
        assert time.time() - start >= 4.0
        assert (delivery.body, delivery.attempts) == (b"later \xff", 1)
        await transport.complete(delivery)
        await depth_becomes(sqs, transport, "a", ready=0, in_flight=0, delayed=0, dead=0)

    async def test_the_hop_of_a_long_delay_waits_as_long_as_it_can(self, sqs: SqsHarness) -> None:
        transport = await sqs.connect("a")
        await transport.publish([Outgoing("a", b"later", 3600.0)])
        await depth_becomes(sqs, transport, "a", ready=0, in_flight=0, delayed=1)

    async def test_a_delayed_message_holds_up_no_group(self, fifo: SqsHarness) -> None:
        transport = await fifo.connect("a")
        inbox = Inbox()
        await transport.consume("a", 5, inbox)
        late, now = envelope("late", "g"), envelope("now", "g")
        start = time.time()
        await transport.publish([Outgoing("a", late, 3.0)])
        await transport.publish([Outgoing("a", now)])
        first = await inbox.take()
        await transport.complete(first)
        second = await inbox.take()
        assert [first.body, second.body] == [now, late]
        assert time.time() - start >= 3.0
        assert second.attempts == 1


class TestFifo:
    async def test_a_group_is_in_order_and_another_does_not_wait(self, fifo: SqsHarness) -> None:
        transport = await fifo.connect("a")
        bodies = [envelope(f"{group}{number}", group) for number in range(6) for group in "xy"]
        for body in bodies:
            await transport.publish([Outgoing("a", body)])
        inbox = Inbox()
        await transport.consume("a", 1, inbox)
        for _ in bodies:
            await transport.complete(await inbox.take())
        for group in "xy":
            ids = [json.loads(body)["id"] for body in inbox.bodies]
            assert [name for name in ids if name.startswith(group)] == [f"{group}{number}" for number in range(6)]
        assert len(inbox.bodies) == 12

    async def test_the_same_step_of_a_message_comes_once(self, fifo: SqsHarness) -> None:
        transport = await fifo.connect("a")
        body = envelope("same")
        for _ in range(3):
            await transport.publish([Outgoing("a", body)])
        await transport.publish([Outgoing("a", body.replace(b'"payload"', b'"status": {"attempt": 2}, "payload"'))])
        found = (await transport.depth(["a"]))["a"]
        assert found.ready == 2

    async def test_queues_say_what_they_are(self, fifo: SqsHarness) -> None:
        await fifo.connect("a")
        client = fifo.server.client("sqs")
        for name in (fifo.queue("a"), fifo.names.dead_letters("a") + ".fifo"):
            url = client.get_queue_url(QueueName=name)["QueueUrl"]
            assert client.get_queue_attributes(QueueUrl=url, AttributeNames=["FifoQueue"])["Attributes"] == {
                "FifoQueue": "true"
            }


class TestClaimChecks:
    def objects(self, harness: SqsHarness) -> list[str]:
        found = harness.server.client("s3").list_objects_v2(
            Bucket=harness.server.bucket, Prefix=f"asya/{harness.names.namespace}/"
        )
        return [each["Key"] for each in found.get("Contents", [])]

    async def test_a_large_body_goes_by_the_bucket_and_leaves_nothing(self, sqs: SqsHarness) -> None:
        transport = await sqs.connect("a", "b")
        inbox, onward = Inbox(), Inbox()
        await transport.consume("a", 1, inbox)
        await transport.consume("b", 1, onward)
        body = b"y" * (1024 * 1024 + 1)
        await transport.publish([Outgoing("a", body), Outgoing("a", b"small")])
        assert len(self.objects(sqs)) == 1
        for _ in range(2):
            delivery = await inbox.take()
            await transport.complete(delivery, [Outgoing("b", delivery.body)])
        for _ in range(2):
            await transport.complete(await onward.take())
        assert sorted(onward.bodies, key=len) == [b"small", body]
        await until(lambda: _holds(not self.objects(sqs)), "no object is left")

    async def test_a_crew_in_another_namespace_gets_its_messages_and_large_ones_too(self, sqs: SqsHarness) -> None:
        mine = sqs.names
        here = SqsTransport(replace(mine, crew=f"{mine.namespace}c"), replace(sqs.settings(), message_bytes=1024))
        sqs._transports.append(here)
        await here.open()
        sqs.names, inbox = QueueNames(f"{mine.namespace}c"), Inbox()
        crew = await sqs.connect("x-sink")
        await crew.consume("x-sink", 10, inbox)
        await here.publish([Outgoing("x-sink", b"small"), Outgoing("x-sink", b"l" * 2000)])
        for delivery in await inbox.take_many(2):
            await crew.complete(delivery)
        assert sorted(inbox.bodies) == [b"l" * 2000, b"small"]
        await until(lambda: _holds(not self.objects(sqs)), "no object is left")

    async def test_a_dead_letter_keeps_its_body(self, sqs: SqsHarness) -> None:
        sqs.message_bytes = 2000
        transport = await sqs.connect("a")
        transport = SqsTransport(sqs.names, replace(sqs.settings(), message_bytes=1024, claim_bytes=4096))
        sqs._transports.append(transport)
        await transport.open()
        inbox = Inbox()
        await transport.consume("a", 1, inbox)
        await transport.publish([Outgoing("a", b"z" * 3000)])
        await transport.complete(await inbox.take(), settle=Settle.DEAD_LETTER)
        assert await transport.dead_letters("a", 1) == [b"z" * 3000]
        assert len(self.objects(sqs)) == 1

    @pytest.mark.parametrize("key", ["gone", "../other", "asya/elsewhere/a/secret"])
    async def test_what_is_not_there_or_not_ours_is_dead_lettered(
        self, sqs: SqsHarness, key: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        transport = await sqs.connect("a")
        named = f"asya/{sqs.names.namespace}/a/gone" if key == "gone" else key
        client = sqs.server.client("sqs")
        url = client.get_queue_url(QueueName=sqs.queue("a"))["QueueUrl"]
        attributes = {"asya.claim": {"DataType": "String", "StringValue": named}}
        client.send_message(QueueUrl=url, MessageBody="{}", MessageAttributes=attributes)
        inbox = Inbox()
        await transport.consume("a", 1, inbox)
        await depth_becomes(sqs, transport, "a", ready=0, in_flight=0, dead=1)
        assert inbox.deliveries == []
        assert named in caplog.text
        dead = client.get_queue_url(QueueName=sqs.names.dead_letters("a"))["QueueUrl"]
        found = client.receive_message(QueueUrl=dead, MessageAttributeNames=["All"])["Messages"][0]
        said = {name: value["StringValue"] for name, value in found["MessageAttributes"].items()}
        assert said == {"asya.claim": named, "asya.reason": "claim-gone", "asya.attempts": "1"}

    async def test_without_a_bucket_it_is_refused_with_both_sizes(self, sqs: SqsHarness) -> None:
        await sqs.connect("a")
        transport = SqsTransport(sqs.names, replace(sqs.settings(), claim_bucket=None))
        sqs._transports.append(transport)
        await transport.open()
        assert transport.limits.message_bytes == 1024 * 1024
        with pytest.raises(TooLargeError, match="1048577 bytes, the transport takes 1048576"):
            await transport.publish([Outgoing("a", b"x" * (1024 * 1024 + 1))])
        with pytest.raises(TooLargeError, match="1398"):  # what SQS would count: base64, and the attribute that says so
            await transport.publish([Outgoing("a", b"\xff" * (1024 * 1024))])
        await transport.publish([Outgoing("a", b"x" * (1024 * 1024))])
        await depth_becomes(sqs, transport, "a", ready=1)

    async def test_a_queue_that_takes_less_than_the_setting_says(self, sqs: SqsHarness) -> None:
        transport = await sqs.connect("a")
        client = sqs.server.client("sqs")
        url = client.get_queue_url(QueueName=sqs.queue("a"))["QueueUrl"]
        client.set_queue_attributes(QueueUrl=url, Attributes={"MaximumMessageSize": "2048"})
        outcomes = await asyncio.gather(
            *(transport.publish([Outgoing("a", b"x" * size)]) for size in (10, 3000, 20)), return_exceptions=True
        )
        assert outcomes[0] is None
        assert outcomes[2] is None
        assert isinstance(outcomes[1], TooLargeError)
        assert (outcomes[1].size, outcomes[1].limit) == (3000, 2048)
        await depth_becomes(sqs, transport, "a", ready=2)


async def _publish(transport: Transport, held: Delivery) -> None:
    await transport.publish([Outgoing("a", b"more")])


async def _acknowledge(transport: Transport, held: Delivery) -> None:
    await transport.complete(held)


async def _extend(transport: Transport, held: Delivery) -> None:
    await transport.extend(held, 30.0)


async def _consume(transport: Transport, held: Delivery) -> None:
    await transport.consume("a", 1, Inbox())


ACTIONS: list[tuple[str, Callable[..., Any]]] = [
    ("sqs:SendMessage", _publish),
    ("sqs:DeleteMessage", _acknowledge),
    ("sqs:ChangeMessageVisibility", _extend),
    ("sqs:GetQueueAttributes", _consume),
]


class TestRefusals:
    @pytest.mark.parametrize(("action", "ask"), ACTIONS, ids=[action for action, _ in ACTIONS])
    async def test_a_denied_action_is_named_with_its_statement(
        self, sqs: SqsHarness, monkeypatch: pytest.MonkeyPatch, action: str, ask: Callable[..., Any]
    ) -> None:
        """With moto's own authorisation; it checks batches by their own names, which AWS does not."""
        watcher = await sqs.connect("a")
        await watcher.publish([Outgoing("a", b"held")])
        kinds = ["SendMessage", "DeleteMessage", "ChangeMessageVisibility", "ReceiveMessage", "GetQueueAttributes"]
        everything = [f"sqs:{kind}{batch}" for kind in (*kinds, "GetQueueUrl") for batch in ("", "Batch")]
        denied = [action, f"{action}Batch"]
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{sqs.queue('a')}"
        user = f"{sqs.names.namespace}-{action.partition(':')[2]}"
        keys = sqs.server.user(user, {"Effect": "Allow", "Action": everything, "Resource": "*"})
        for name, value in keys.items():
            monkeypatch.setenv(name, value)
        transport = SqsTransport(sqs.names, replace(sqs.settings(), lease_seconds=30.0))
        inbox = Inbox()
        await transport.open()
        consumer = await transport.consume("a", 1, inbox)
        held = await inbox.take()
        consumer.set_credit(0)
        policy = {"Effect": "Deny", "Action": denied, "Resource": arn}
        sqs.server.client("iam").put_user_policy(
            UserName=user,
            PolicyName="denied",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [policy]}),
        )
        sqs.server.authorise(on=True)
        try:
            with pytest.raises(DeniedError) as caught:
                await ask(transport, held)
        finally:
            sqs.server.authorise(on=False)
        statement = {"Effect": "Allow", "Action": action, "Resource": arn}
        assert f"{action} is denied; the IAM statement {json.dumps(statement)} is missing" in str(caught.value)
        await depth_becomes(sqs, watcher, "a", ready=0, in_flight=1, dead=0)
        await transport.close()

    async def test_a_denied_receive_is_said_once_and_heals(
        self, sqs: SqsHarness, aws: FakeRefusals, caplog: pytest.LogCaptureFixture
    ) -> None:
        watcher = await sqs.connect("a")
        async with through(sqs, aws) as transport:
            aws.refuse("ReceiveMessage", refusal("AccessDeniedException", "not authorized"))
            inbox = Inbox()
            await transport.consume("a", 1, inbox)
            await watcher.publish([Outgoing("a", b"waits")])
            await until(lambda: _holds(aws.calls["ReceiveMessage"] >= 3), "it is tried again")
            assert caplog.text.count('"Action": "sqs:ReceiveMessage"') == 1
            aws.allow()
            await transport.complete(await inbox.take())
        await depth_becomes(sqs, watcher, "a", ready=0, in_flight=0, dead=0)

    async def test_a_missing_queue_and_a_wrong_region_are_told_by_where_it_was_looked_for(
        self, sqs: SqsHarness
    ) -> None:
        await sqs.connect("a")
        for account in (ACCOUNT, None):
            elsewhere = SqsTransport(
                sqs.names, replace(sqs.settings(), region="us-west-2", account_id=account, endpoint=sqs.server.url)
            )
            sqs._transports.append(elsewhere)
            await elsewhere.open()
            for ask in (elsewhere.publish([Outgoing("a", b"lost")]), elsewhere.consume("a", 1, Inbox())):
                with pytest.raises(NoDestinationError) as caught:
                    await ask
                assert f"has no queue ({sqs.queue('a')} in region us-west-2" in str(caught.value)

    @pytest.mark.parametrize(
        ("code", "message", "said"),
        [
            ("InvalidClientTokenId", "The security token included in the request is invalid", "does not accept"),
            ("SignatureDoesNotMatch", "The request signature we calculated does not match", "does not accept"),
            ("UnrecognizedClientException", "", "does not accept"),
        ],
    )
    async def test_wrong_credentials_end_the_start(
        self, sqs: SqsHarness, aws: FakeRefusals, code: str, message: str, said: str
    ) -> None:
        aws.refuse("GetQueueUrl", refusal(code, message, 403))
        with pytest.raises(DeniedError, match=said):
            async with through(sqs, aws):
                pass

    async def test_no_credentials_at_all_end_the_start(
        self, sqs: SqsHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
    ) -> None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
        with pytest.raises(DeniedError, match="no AWS credentials were found"):
            await sqs.make().open()
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")

    @pytest.mark.parametrize(
        ("answer", "said"),
        [
            (refusal("ExpiredToken", "The security token included in the request is expired", 403), "have expired"),
            (refusal("SignatureDoesNotMatch", "Signature expired: 20261121", 403), "this machine's clock"),
            (refusal("RequestExpired", "", 400), "this machine's clock"),
        ],
        ids=["expired", "clock by signature", "clock"],
    )
    async def test_what_heals_by_itself_is_waited_for(
        self,
        sqs: SqsHarness,
        aws: FakeRefusals,
        answer: Answer,
        said: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """In mid-run: the link is down, a delivery in hand is kept, and all is counted in the end."""
        watcher = await sqs.connect("a", "b")
        await watcher.publish([Outgoing("a", b"%d" % number) for number in range(3)])
        async with through(sqs, aws, lease_seconds=30.0) as transport:
            inbox = Inbox()
            await transport.consume("a", 1, inbox)
            held = await inbox.take()
            changes: list[bool] = []
            transport.link.on_change.append(changes.append)
            aws.refuse("*", answer)
            with pytest.raises(ConnectionLostError, match=said):
                await transport.complete(held, [Outgoing("b", held.body)])
            assert changes == [False]
            assert said in transport.link.reason
            assert caplog.text.count(said) == 1
            aws.allow()
            await until(lambda: _holds(transport.link.connected), "the link is back")
            await transport.complete(held, [Outgoing("b", held.body)])
            for _ in range(2):
                delivery = await inbox.take()
                await transport.complete(delivery, [Outgoing("b", delivery.body)])
        await depth_becomes(sqs, watcher, "a", ready=0, in_flight=0, dead=0)
        await depth_becomes(sqs, watcher, "b", ready=3)

    async def test_an_endpoint_that_goes_and_comes_back(
        self, sqs: SqsHarness, aws: FakeRefusals, caplog: pytest.LogCaptureFixture
    ) -> None:
        watcher = await sqs.connect("a", "b")
        await watcher.publish([Outgoing("a", b"%d" % number) for number in range(20)])
        async with through(sqs, aws, lease_seconds=30.0) as transport:
            inbox = Inbox()
            await transport.consume("a", 5, inbox)
            held = await inbox.take_many(5)
            aws.stop()
            with pytest.raises(ConnectionLostError, match="cannot be reached"):
                await transport.publish([Outgoing("b", b"not now")])
            settling = transport.complete(held[0])  # asked for while nobody is there; done when somebody is
            await until(lambda: _holds(not transport.link.connected), "the link is down")
            assert not settling.done()
            aws.start()
            await until(lambda: _holds(transport.link.connected), "the link is back")
            await settling
            for delivery in held[1:]:
                await transport.complete(delivery)
            for _ in range(15):
                await transport.complete(await inbox.take())
        assert sorted(inbox.bodies) == sorted(b"%d" % number for number in range(20))
        await depth_becomes(sqs, watcher, "a", ready=0, in_flight=0, dead=0)
        assert "cannot be reached" in caplog.text

    async def test_an_endpoint_that_is_not_there_yet_is_waited_for(self, sqs: SqsHarness, aws: FakeRefusals) -> None:
        watcher = await sqs.connect("a")
        aws.stop()
        transport = SqsTransport(sqs.names, replace(sqs.settings(), endpoint=aws.url, max_attempts=1))
        opening = asyncio.ensure_future(transport.open())
        await until(lambda: _holds("cannot be reached" in transport.link.reason), "the reason is told")
        assert not opening.done()
        aws.start()
        async with asyncio.timeout(20):
            await opening
        await transport.publish([Outgoing("a", b"x")])
        await depth_becomes(sqs, watcher, "a", ready=1)
        await transport.close()

    async def test_a_throttling_storm_is_sat_out(self, sqs: SqsHarness, aws: FakeRefusals) -> None:
        watcher = await sqs.connect("a", "b")
        await watcher.publish([Outgoing("a", b"%d" % number) for number in range(10)])
        async with through(sqs, aws, max_attempts=4, lease_seconds=30.0) as transport:
            for operation in ("ReceiveMessage", "SendMessageBatch", "DeleteMessageBatch"):
                aws.refuse(operation, refusal("RequestThrottled", "Rate exceeded", 403), times=2)
            inbox = Inbox()
            await transport.consume("a", 10, inbox)
            for _ in range(10):
                delivery = await inbox.take(30)
                await transport.complete(delivery, [Outgoing("b", delivery.body)])
        await depth_becomes(sqs, watcher, "a", ready=0, in_flight=0, dead=0)
        await depth_becomes(sqs, watcher, "b", ready=10)

    async def test_each_entry_of_a_batch_has_a_fate_of_its_own(self, sqs: SqsHarness, aws: FakeRefusals) -> None:
        watcher = await sqs.connect("a")
        async with through(sqs, aws) as transport:

            def fail_second(request: Any) -> Answer | None:
                if len(request["Entries"]) < 3:
                    return None
                failed = {"Id": "1", "Code": "InternalError", "Message": "try again", "SenderFault": False}
                done = [{"Id": each["Id"], "MessageId": "m", "MD5OfMessageBody": ""} for each in request["Entries"]]
                return Answer(200, {"Successful": [done[0], done[2]], "Failed": [failed]})

            aws.answers["SendMessageBatch"] = fail_second
            outcomes = await asyncio.gather(
                *(transport.publish([Outgoing("a", b"%d" % number)]) for number in range(3)), return_exceptions=True
            )
            assert [type(each).__name__ for each in outcomes] == ["NoneType", "RefusedError", "NoneType"]
            aws.allow()
            await watcher.publish([Outgoing("a", b"%d" % number) for number in range(3)])
            inbox = Inbox()
            await transport.consume("a", 3, inbox)
            held = await inbox.take_many(3)
            first: list[bool] = []

            def fail_once(request: Any) -> Answer | None:
                if first:
                    return None
                first.append(True)
                failed = {"Id": "0", "Code": "InternalError", "Message": "try again", "SenderFault": False}
                return Answer(200, {"Successful": [], "Failed": [failed | {"Id": e["Id"]} for e in request["Entries"]]})

            aws.answers["DeleteMessageBatch"] = fail_once
            await asyncio.gather(*(transport.complete(delivery) for delivery in held))
            assert first
        await depth_becomes(sqs, watcher, "a", ready=0, in_flight=0, dead=0)

    async def test_what_is_over_by_our_clock_is_not_acknowledged(self, sqs: SqsHarness, aws: FakeRefusals) -> None:
        """SQS would delete by an old receipt; so the question is not even asked."""
        watcher = await sqs.connect("a", "b")
        await watcher.publish([Outgoing("a", b"slow")])
        async with through(sqs, aws, lease_seconds=2.0) as transport:
            inbox = Inbox()
            consumer = await transport.consume("a", 1, inbox)
            held = await inbox.take()
            consumer.set_credit(0)
            await depth_becomes(sqs, watcher, "a", ready=1, in_flight=0)
            with pytest.raises(LeaseLostError):
                await transport.complete(held, [Outgoing("b", b"too late")])
            assert aws.calls["DeleteMessageBatch"] == aws.calls["SendMessageBatch"] == 0
        await depth_becomes(sqs, watcher, "a", ready=1, dead=0)
        await depth_becomes(sqs, watcher, "b", ready=0)

    async def test_a_call_of_more_than_12_hours_is_refused(self, sqs: SqsHarness) -> None:
        transport = await sqs.connect()
        assert transport.limits.hold_seconds == 43_140
        with pytest.raises(TransportError, match="held for 12 hours, so at most 43140 s"):
            await transport.declare([QueueSpec("a", call_seconds=43_141.0)])
        assert await transport.depth(["a"]) == {}

    async def test_a_queue_without_dead_letters_is_said(
        self, sqs: SqsHarness, caplog: pytest.LogCaptureFixture
    ) -> None:
        transport = await sqs.connect()
        sqs.server.client("sqs").create_queue(QueueName=sqs.queue("bare"))
        sqs._declared.add("bare")
        with caplog.at_level(logging.WARNING):
            await transport.consume("bare", 1, Inbox())
        assert "has no redrive policy" in caplog.text

    async def test_what_the_queue_takes_is_what_is_sent(self, sqs: SqsHarness) -> None:
        declaring = SqsTransport(sqs.names, replace(sqs.settings(), message_bytes=2048, claim_bucket=None))
        await declaring.open()
        await declaring.declare([QueueSpec("a")])
        sqs._declared.add("a")
        await declaring.close()
        transport, inbox = SqsTransport(sqs.names, replace(sqs.settings(), claim_bucket=None)), Inbox()
        await transport.open()
        try:
            assert transport.limits.message_bytes > 2048
            await transport.consume("a", 1, inbox)
            assert transport.limits.message_bytes == 2048
            with pytest.raises(TooLargeError) as caught:
                await transport.publish([Outgoing("a", b"x" * 2049)])
            assert (caught.value.size, caught.value.limit) == (2049, 2048)
            # A dead letter of that size has room for nothing that could be said of it.
            await transport.publish([Outgoing("a", b"x" * 2048)])
            await transport.complete(await inbox.take(), (), Settle.DEAD_LETTER)
            client, name = sqs.server.client("sqs"), sqs.names.dead_letters("a")
            url = client.get_queue_url(QueueName=name)["QueueUrl"]
            (message,) = client.receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
            assert message["Body"] == "x" * 2048
            assert "MessageAttributes" not in message
        finally:
            await transport.close()


async def _holds(value: bool) -> bool:
    return value
