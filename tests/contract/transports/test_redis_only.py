"""What only Redis has: servers that are refused, full queues and memory, replicas, users, and its way of waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import trustme
from tests.contract.transports.harness import Inbox, depth_becomes, depth_of, until
from tests.contract.transports.redis_harness import RedisHarness
from tests.support.host import free_port
from tests.support.redis import Server

from asya.errors import ConnectionLostError, DeniedError, LeaseLostError, RefusedError, TransportError
from asya.transports import Outgoing, QueueSpec, Settle
from asya.transports.redis import RedisTransport

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "redis.md"


@pytest_asyncio.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisHarness]:
    harness = RedisHarness(redis_url)
    yield harness
    await harness.end()


@pytest.fixture
def server(redis_installed: None) -> Iterator[Server]:
    """One that nobody else uses."""
    with Server() as own:
        yield own


@asynccontextmanager
async def opened(url: str, harness: RedisHarness | None = None, **settings: Any) -> AsyncIterator[RedisTransport]:
    harness = harness or RedisHarness(url)
    transport = RedisTransport(harness.names, replace(harness.settings(), url=url, **settings))
    async with asyncio.timeout(20):
        await transport.open()
    try:
        yield transport
    finally:
        await transport.close()


class TestServersThatLoseMessages:
    @pytest.mark.parametrize(
        ("name", "value", "said"),
        [
            ("maxmemory-policy", "allkeys-lru", "maxmemory-policy is allkeys-lru"),
            ("maxmemory-policy", "volatile-ttl", "expected noeviction"),
            ("appendonly", "no", "appendonly is no, .* asks for always"),
            ("appendfsync", "everysec", "appendfsync everysec, .* asks for always"),
            ("appendfsync", "no", "appendfsync no, .* asks for always"),
        ],
    )
    async def test_are_refused(self, server: Server, name: str, value: str, said: str) -> None:
        server.client().config_set(name, value)
        with pytest.raises(TransportError, match=said):
            async with opened(server.url):
                pass

    async def test_are_taken_when_that_much_is_asked_for_and_no_more(self, server: Server) -> None:
        server.client().config_set("appendfsync", "everysec")
        async with opened(server.url, appendfsync="everysec") as transport:
            assert transport.link.connected
        server.client().config_set("appendonly", "no")
        with pytest.raises(TransportError, match="asks for everysec"):
            async with opened(server.url, appendfsync="everysec"):
                pass
        async with opened(server.url, appendfsync="no") as transport:
            assert transport.link.connected

    async def test_a_cluster_is_refused(self, redis_installed: None) -> None:
        with Server(options=_cluster()) as cluster, pytest.raises(TransportError, match="a cluster"):
            async with opened(cluster.url):
                pass


class TestTrouble:
    async def test_a_server_that_is_killed_and_comes_back_has_lost_nothing(self, server: Server) -> None:
        async with opened(server.url) as transport:
            changes: list[bool] = []
            transport.link.on_change.append(changes.append)
            await transport.declare([QueueSpec("a"), QueueSpec("b")])
            await transport.publish([Outgoing("a", b"%d" % number) for number in range(20)])
            await transport.publish([Outgoing("a", b"later", 1.0)])
            inbox = Inbox()
            await transport.consume("a", 3, inbox)
            held = await inbox.take_many(3)
            server.kill()
            await until(lambda: _holds(not transport.link.connected), "the loss is noticed")
            with pytest.raises(ConnectionLostError):
                await transport.publish([Outgoing("a", b"refused")])
            server.start()
            await until(lambda: _holds(transport.link.connected), "connected again")
            assert changes == [False, True]
            for delivery in held:  # a lease is no connection's
                await transport.complete(delivery, [Outgoing("b", delivery.body)])
            for _ in range(18):
                delivery = await inbox.take()
                await transport.complete(delivery, [Outgoing("b", delivery.body)])
            assert sorted(inbox.bodies) == sorted([*(b"%d" % number for number in range(20)), b"later"])
            assert (await depth_of(transport, "b")).ready == 21

    async def test_a_script_that_the_server_has_forgotten_is_loaded_again(self, server: Server) -> None:
        async with opened(server.url) as transport:
            await transport.declare([QueueSpec("a")])
            server.client().script_flush()
            with pytest.raises(ConnectionLostError):
                await transport.publish([Outgoing("a", b"1")])
            await until(lambda: _holds(transport.link.connected), "connected again")
            await transport.publish([Outgoing("a", b"1")])
            assert (await depth_of(transport, "a")).ready == 1

    async def test_without_memory_it_takes_nothing_and_settles_all_the_same(self, server: Server) -> None:
        async with opened(server.url) as transport:
            await transport.declare([QueueSpec("a"), QueueSpec("b")])
            inbox = Inbox()
            await transport.consume("a", 3, inbox)
            await transport.publish([Outgoing("a", b"1"), Outgoing("a", b"2"), Outgoing("a", b"3")])
            first, second, third = await inbox.take_many(3)
            await transport.complete(third, settle=Settle.DEAD_LETTER, reason="sump-failed")
            server.client().config_set("maxmemory", "1")
            with pytest.raises(RefusedError) as caught:
                await transport.publish([Outgoing("b", b"out")])
            assert caught.value.actor is None
            with pytest.raises(RefusedError):
                await transport.complete(first, [Outgoing("b", b"out")])
            async with transport.open_dead_letters("a") as letters:
                (letter,) = [letter async for letter in letters.browse()]
                with pytest.raises(RefusedError):
                    await letters.redrive(letter)
            await transport.complete(second)
            found = await depth_of(transport, "a")
            assert (found.ready, found.in_flight, found.dead) == (0, 1, 1)
            server.client().config_set("maxmemory", "0")
            await transport.complete(first, [Outgoing("b", b"out")])
            assert (await depth_of(transport, "b")).ready == 1

    async def test_an_unknown_password_is_denied_at_once(self, server: Server) -> None:
        server.client().config_set("requirepass", "right")
        with pytest.raises(DeniedError, match="Redis"):
            async with opened(server.url, password="wrong"):
                pass
        async with opened(server.url, password="right") as transport:
            assert transport.link.connected

    async def test_a_change_counts_when_the_replicas_have_it(self, server: Server) -> None:
        async with opened(server.url, replicas=1) as transport:
            with pytest.raises(ConnectionLostError, match="replicas"):
                await transport.declare([QueueSpec("a")])
            with Server(options=["--replicaof", f"127.0.0.1 {server.port}"]) as replica:
                await until(lambda: _holds(_is_replica(replica)), "the replica is in step")
                await transport.declare([QueueSpec("a")])
                await transport.publish([Outgoing("a", b"1")])
                queue = transport._server.names.queue("a")
                assert replica.client().xlen(queue) == 1
                assert (await depth_of(transport, "a")).ready == 1


class TestFullQueues:
    async def test_refuse_with_their_name_and_take_a_retry(self, redis: RedisHarness) -> None:
        await redis.connect("a", "b")
        async with opened(redis.url, redis, max_length=2) as transport:
            await transport.publish([Outgoing("a", b"1"), Outgoing("a", b"2", 3600.0)])
            with pytest.raises(RefusedError) as caught:
                await transport.publish([Outgoing("b", b"x"), Outgoing("a", b"3")])
            assert caught.value.actor == "a"
            assert (await depth_of(transport, "b")).ready == 0
            inbox = Inbox()
            await transport.consume("a", 1, inbox)
            held = await inbox.take()
            await transport.complete(held, [Outgoing("a", b"again", 3600.0)])
            await transport.publish([Outgoing("b", b"1"), Outgoing("b", b"2")])
            found = await depth_of(transport, "a")
            assert (found.ready, found.in_flight, found.delayed) == (0, 0, 2)

    async def test_leave_what_is_to_be_settled_with_its_holder(self, redis: RedisHarness) -> None:
        await redis.connect("a", "b")
        async with opened(redis.url, redis, max_length=1) as transport:
            await transport.publish([Outgoing("a", b"in"), Outgoing("b", b"1")])
            inbox, onward = Inbox(), Inbox()
            await transport.consume("a", 1, inbox)
            held = await inbox.take()
            with pytest.raises(RefusedError):
                await transport.complete(held, [Outgoing("b", b"2")])
            await depth_becomes(redis, transport, "a", ready=0, in_flight=1)
            await transport.consume("b", 1, onward)
            await transport.complete(await onward.take())
            await transport.complete(held, [Outgoing("b", b"2")])
            assert (await onward.take()).body == b"2"


class TestWaiting:
    async def test_an_idle_consumer_is_closed_at_once(self, redis: RedisHarness) -> None:
        """Though its question would stay open for five seconds."""
        transport = await redis.connect("a")
        consumer = await transport.consume("a", 1, Inbox())
        assert isinstance(transport, RedisTransport)
        await until(lambda: _is_waiting(transport), "the question is at the server")
        start = time.monotonic()
        await consumer.close()
        assert time.monotonic() - start < 2

    async def test_credit_that_is_taken_away_while_it_waits_is_not_used(self, redis: RedisHarness) -> None:
        transport = await redis.connect("a")
        inbox = Inbox()
        consumer = await transport.consume("a", 1, inbox)
        assert isinstance(transport, RedisTransport)
        await until(lambda: _is_waiting(transport), "the question is at the server")
        consumer.set_credit(0)
        await transport.publish([Outgoing("a", b"1")])
        await depth_becomes(redis, transport, "a", ready=1, in_flight=0)
        assert inbox.deliveries == []
        consumer.set_credit(1)
        assert (await inbox.take()).attempts == 1

    async def test_what_somebody_else_has_delayed_comes_within_a_second_of_its_time(self, redis: RedisHarness) -> None:
        transport, other = await redis.connect("a"), await redis.connect()
        inbox = Inbox()
        await transport.consume("a", 1, inbox)
        start = time.monotonic()
        await other.publish([Outgoing("a", b"later", 0.3)])
        await inbox.take()
        assert 0.3 <= time.monotonic() - start < 3.0

    async def test_ones_own_retry_comes_without_anybody_looking_for_it(
        self, redis: RedisHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("asya.transports.parts.leased_consumer.LOOK_SECONDS", 3600.0)
        redis.lease_seconds = 3600.0
        transport = await redis.connect("a")
        inbox = Inbox()
        await transport.consume("a", 1, inbox)
        await transport.publish([Outgoing("a", b"in")])
        await transport.complete(await inbox.take(), [Outgoing("a", b"again", 0.2)])
        assert (await inbox.take()).body == b"again"

    async def test_one_call_prolongs_everything_that_is_held(self, server: Server) -> None:
        async with opened(server.url) as transport:
            await transport.declare([QueueSpec("a")])
            await transport.publish([Outgoing("a", b"%d" % number) for number in range(100)])
            inbox = Inbox()
            await transport.consume("a", 100, inbox)
            held = await inbox.take_many(100)
            client = server.client()
            before = client.info("commandstats")["cmdstat_evalsha"]["calls"]
            await asyncio.gather(*(transport.extend(delivery, 30.0) for delivery in held))
            calls = client.info("commandstats")["cmdstat_evalsha"]["calls"] - before
            assert calls <= 3, calls  # the consumer may look for what is due meanwhile

    async def test_an_old_delivery_is_worth_nothing_though_the_same_process_has_the_new_one(
        self, redis: RedisHarness
    ) -> None:
        redis.lease_seconds = 0.3
        transport = await redis.connect("a", "b")
        inbox = Inbox()
        await transport.consume("a", 2, inbox)
        await transport.publish([Outgoing("a", b"in")])
        old, new = await inbox.take_many(2)
        await transport.extend(new, 30.0)
        assert (old.body, old.attempts, new.attempts) == (new.body, 1, 2)
        with pytest.raises(LeaseLostError):
            await transport.complete(old, [Outgoing("b", b"twice")])
        await transport.complete(new, [Outgoing("b", b"once")])
        await depth_becomes(redis, transport, "a", ready=0, in_flight=0, dead=0)
        await depth_becomes(redis, transport, "b", ready=1)


class TestSettling:
    async def test_of_two_settlements_at_once_one_counts(self, redis: RedisHarness) -> None:
        transport = await redis.connect("a", "b")
        inbox = Inbox()
        await transport.consume("a", 1, inbox)
        await transport.publish([Outgoing("a", b"in")])
        held = await inbox.take()
        done = [transport.complete(held, [Outgoing("b", b"out")]) for _ in range(2)]
        first, second = await asyncio.gather(*done, return_exceptions=True)
        assert first is None
        assert isinstance(second, LeaseLostError)
        await depth_becomes(redis, transport, "b", ready=1)

    async def test_a_process_that_slept_through_its_lease_does_nothing(self, redis: RedisHarness) -> None:
        """Its clock slept as well, so that it does not know that the message is somebody else's."""
        redis.lease_seconds = 0.3
        asleep, awake = await redis.connect("a", "b"), await redis.connect()
        inbox, other = Inbox(), Inbox()
        consumer = await asleep.consume("a", 1, inbox)
        assert isinstance(asleep, RedisTransport)
        asleep._consumers[0]._keeper.cancel()
        await asleep.publish([Outgoing("a", b"in")])
        held = await inbox.take()
        consumer.set_credit(0)
        await awake.consume("a", 1, other)
        await awake.extend(await other.take(), 30.0)
        held.token.leased += 3600
        assert not held.token.lost
        with pytest.raises(LeaseLostError):
            await asleep.complete(held, [Outgoing("b", b"twice")])
        await depth_becomes(redis, awake, "a", ready=0, in_flight=1)
        await depth_becomes(redis, awake, "b", ready=0)

    async def test_giving_back_leaves_the_number_of_deliveries(self, redis: RedisHarness) -> None:
        transport = await redis.connect("a")
        inbox = Inbox()
        await transport.consume("a", 1, inbox)
        await transport.publish([Outgoing("a", b"in")])
        for _ in range(3):
            delivery = await inbox.take()
            assert delivery.attempts == 1
            await transport.complete(delivery, settle=Settle.RELEASE)
        await transport.complete(await inbox.take())

    async def test_a_retry_that_is_due_counts_as_ready_though_nobody_consumes(self, redis: RedisHarness) -> None:
        """An actor at zero replicas is woken by it."""
        transport = await redis.connect("a")
        await transport.publish([Outgoing("a", b"again", 0.3)])
        await depth_becomes(redis, transport, "a", ready=0, delayed=1)
        await depth_becomes(redis, transport, "a", ready=1, delayed=0)


class TestAddresses:
    async def test_a_user_may_do_what_the_guide_lists_and_needs_no_more(self, server: Server) -> None:
        """The line of the guide, as it stands there."""
        line = next(
            line for line in GUIDE.read_text(encoding="utf-8").splitlines() if line.startswith("user asya-shop")
        )
        server.client().execute_command("ACL SETUSER", *line.replace("PASSWORD", "secret").split()[1:])
        harness = RedisHarness(server.url)
        harness.names = type(harness.names)("shop")
        async with opened(server.url, harness, username="asya-shop", password="secret") as transport:
            await transport.declare([QueueSpec("a"), QueueSpec("b")])
            inbox = Inbox()
            consumer = await transport.consume("a", 2, inbox)
            await transport.publish([Outgoing("a", b"1"), Outgoing("a", b"2"), Outgoing("a", b"3", 0.1)])
            one, two = await inbox.take_many(2)
            await transport.extend(one, 30.0)
            await transport.complete(one, [Outgoing("b", b"out")])
            await transport.complete(two, settle=Settle.RELEASE)
            for _ in range(2):
                await transport.complete(await inbox.take(), settle=Settle.DEAD_LETTER, reason="sump-failed")
            await consumer.close()
            async with transport.open_dead_letters("a") as letters:
                first, second = [letter async for letter in letters.browse()]
                await letters.redrive(first)
                await letters.drop(second)
            found = await transport.depth(["a", "b"])
            assert (found["a"].ready, found["b"].ready, found["a"].dead) == (1, 1, 0)
            await transport.drop(["a", "b"])
            stranger = RedisTransport(
                type(harness.names)("other"), replace(harness.settings(), username="asya-shop", password="secret")
            )
            await stranger.open()
            with pytest.raises(DeniedError):
                await stranger.declare([QueueSpec("a")])
            await stranger.close()
        refused = server.client().execute_command("ACL LOG")
        assert all("asya_other_a" in str(entry) for entry in refused), refused

    async def test_tls_by_the_url(self, redis_installed: None, tmp_path: Path) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        issued.private_key_pem.write_to_path(tmp_path / "key.pem")
        issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
        port = free_port()
        files = ["--tls-ca-cert-file", "ca.pem", "--tls-key-file", "key.pem", "--tls-cert-file", "cert.pem"]
        words = [str(tmp_path / word) if word.endswith(".pem") else word for word in files]
        with Server(options=["--tls-port", str(port), "--tls-auth-clients", "no", *words]):
            url = f"rediss://127.0.0.1:{port}/0"
            async with opened(f"{url}?ssl_ca_certs={tmp_path / 'ca.pem'}") as transport:
                await transport.declare([QueueSpec("a")])
                await transport.publish([Outgoing("a", b"1")])
            stranger = RedisTransport(RedisHarness(url).names, RedisHarness(url).settings())
            opening = asyncio.ensure_future(stranger.open())
            await until(lambda: _holds("certificate" in stranger.link.reason), "the certificate is not trusted")
            opening.cancel()
            await asyncio.wait({opening})
            await stranger.close()

    async def test_a_socket_by_the_url(self, server: Server) -> None:
        async with opened(f"unix://{server.folder / 'redis.sock'}") as transport:
            await transport.declare([QueueSpec("a")])
            assert (await depth_of(transport, "a")).ready == 0


def _cluster() -> list[str]:
    return ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]


async def _holds(condition: bool) -> bool:
    return condition


async def _is_waiting(transport: RedisTransport) -> bool:
    clients = await transport._server.ask(list, "CLIENT LIST")
    source = transport._consumers[0]._source
    return any(each["id"] == str(source._client_id) and "b" in each["flags"] for each in clients)  # type: ignore[attr-defined]


def _is_replica(server: Server) -> bool:
    found = server.client().info("replication")
    return bool(found["role"] == "slave" and found["master_link_status"] == "up")
