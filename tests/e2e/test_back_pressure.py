"""A real pod in front of a destination that does not take messages: its memory, and what becomes of every message."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sqlite3
import urllib.parse
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from tests.support.mesh import Mesh, Pod, rabbitmq, sqlite
from tests.support.rabbitmq import Broker, call_management

from asya.settings import load
from asya.transports import Delivery, Outgoing, QueueSpec, Transport, open_transport
from asya.transports.settings import TransportSettings
from asya.wire import encode, new_envelope, raw

pytestmark = pytest.mark.slow

KIB, MIB = 1024, 1024 * 1024
QUEUES = ("me", "b", "c", "x-sink", "x-sump")
NOW = 1_800_000_000.0


@pytest.fixture
def own_broker(rabbitmq_installed: None) -> Iterator[Broker]:
    """A node that nobody else uses: an alarm is the whole node's."""
    with Broker() as started:
        yield started


@contextlib.asynccontextmanager
async def broker(settings: dict[str, str]) -> AsyncIterator[Transport]:
    transport = open_transport(load(TransportSettings, settings))
    await transport.open()
    await transport.declare([QueueSpec(queue) for queue in QUEUES])
    yield transport
    await transport.close()


def echo(folder: Path) -> Path:
    home = folder / "modules"
    home.mkdir()
    (home / "echo.py").write_text(
        "def handle(payload):\n    return payload\n\n\n"
        "def many(payload):\n    for number in range(payload['count']):\n"
        "        yield {'n': number, 'x': 'x' * payload['size']}\n"
    )
    return home


def message(number: int, size: int, to: str) -> Outgoing:
    return Outgoing("me", encode(new_envelope(["me", to], raw({"n": number, "x": "x" * size}), now=NOW)))


async def until(condition: Callable[[], bool], mesh: Mesh, within: float = 30.0) -> None:
    async with asyncio.timeout(within):
        while not condition():
            mesh.check()
            await asyncio.sleep(0.02)


async def depth(transport: Transport, actor: str) -> int:
    return (await transport.depth([actor]))[actor].ready


async def until_depth(transport: Transport, actor: str, count: int, within: float = 30.0) -> None:
    async with asyncio.timeout(within):
        while await depth(transport, actor) < count:
            await asyncio.sleep(0.05)


async def until_still(transport: Transport, within: float = 30.0) -> int:
    """Wait until no more is taken from the actor's queue for a second; return what is left in it."""
    left, same = -1, 0
    async with asyncio.timeout(within):
        while same < 5:
            now = await depth(transport, "me")
            left, same = now, same + 1 if now == left else 0
            await asyncio.sleep(0.2)
    return left


async def take_all(transport: Transport, actor: str, count: int, within: float = 60.0) -> Counter[int]:
    """Receive and acknowledge until `count` different messages have come; return how often each came."""
    seen: Counter[int] = Counter()
    done = asyncio.Event()

    def take(delivery: Delivery) -> None:
        seen[json.loads(delivery.body)["payload"]["n"]] += 1
        transport.complete(delivery)
        if len(seen) >= count:
            done.set()

    consumer = await transport.consume(actor, 10, take)
    try:
        async with asyncio.timeout(within):
            await done.wait()
    finally:
        await consumer.close()
    return seen


def peak(pod: Pod) -> int:
    """The most that the sidecar has had resident, in bytes (VmHWM of proc(5))."""
    for line in Path(f"/proc/{pod.sidecar.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * KIB
    raise AssertionError("no VmHWM")


def limit_length(management: str, url: str, queue: str, length: int) -> None:
    """Have the broker refuse what comes to a queue that holds `length` messages.

    A limit is raised and never taken away: quorum queues of 3.10 go on refusing when there is none any more.
    """
    vhost = urllib.parse.urlsplit(url).path.removeprefix("/")
    definition = {"max-length": length, "overflow": "reject-publish"}
    policy = {"pattern": f"^{queue}$", "definition": definition, "priority": 1, "apply-to": "queues"}
    path = f"/api/policies/{urllib.parse.quote(vhost, safe='')}/length-{queue}"
    call_management(management, "PUT", path, policy)


@pytest.mark.parametrize("engine", ["fast", "aio-pika"])
@pytest.mark.parametrize("kind", ["classic", "quorum"])
async def test_a_full_queue_holds_the_sidecar_up_in_bounded_memory(
    tmp_path: Path, rabbitmq_url: str, rabbitmq_management_url: str, kind: str, engine: str
) -> None:
    namespace = f"{kind}-{engine}"
    settings = rabbitmq(
        rabbitmq_url, namespace, ASYA_RABBITMQ_QUEUE_TYPE=kind, ASYA_RABBITMQ_ENGINE=engine,
        ASYA_RABBITMQ_MANAGEMENT_URL=rabbitmq_management_url,
    )  # fmt: skip
    full = f"asya_{namespace}_b"
    async with broker(settings) as transport, Mesh(tmp_path / "pods", settings) as mesh:
        pod = mesh.pod(
            "me", "echo.handle", modules=[echo(tmp_path)],
            sidecar={"ASYA_PARKED_BYTES": str(8 * MIB), "ASYA_PREFETCH": "10"},
        )  # fmt: skip
        await pod.start()
        await transport.publish([message(-1, 200 * KIB, "c")])
        await take_all(transport, "c", 1)
        before = peak(pod)
        limit_length(rabbitmq_management_url, rabbitmq_url, full, 2)
        for number in range(300):  # 59 MiB, every tenth for a queue that takes it
            await transport.publish([message(number, 200 * KIB, "c" if number % 10 == 5 else "b")])
        await until_depth(transport, "c", 1)
        left = await until_still(transport)
        assert left >= 200, "most stay in the queue"
        assert await depth(transport, "c") >= 2, "what goes elsewhere was not held up"
        grown = peak(pod) - before
        assert grown < 40 * MIB, f"grown by {grown / MIB:.0f} MiB"
        limit_length(rabbitmq_management_url, rabbitmq_url, full, 100_000)
        to_b = await take_all(transport, "b", 270)
        to_c = await take_all(transport, "c", 30)
        assert set(to_b) | set(to_c) == set(range(300)), "nothing is lost"
        assert max((to_b + to_c).values()) == 1, "nothing came twice"
        assert peak(pod) - before < 40 * MIB
        for queue in ("me", "x-sink", "x-sump"):
            assert await depth(transport, queue) == 0
        print(f"{kind} {engine}: grown by {(peak(pod) - before) / MIB:.1f} MiB, {left} left in the queue")


@pytest.mark.parametrize("engine", ["fast", "aio-pika"])
async def test_one_call_with_many_results_waits_for_a_full_queue(
    tmp_path: Path, rabbitmq_url: str, rabbitmq_management_url: str, engine: str
) -> None:
    namespace = f"stream-{engine}"
    settings = rabbitmq(rabbitmq_url, namespace, ASYA_RABBITMQ_QUEUE_TYPE="classic", ASYA_RABBITMQ_ENGINE=engine)
    async with broker(settings) as transport, Mesh(tmp_path / "pods", settings) as mesh:
        pod = mesh.pod("me", "echo.many", modules=[echo(tmp_path)])
        await pod.start()
        first = encode(new_envelope(["me", "c"], raw({"count": 1, "size": 1000}), now=NOW))
        await transport.publish([Outgoing("me", first)])
        await take_all(transport, "c", 1)
        before = peak(pod)
        limit_length(rabbitmq_management_url, rabbitmq_url, f"asya_{namespace}_b", 2)
        body = encode(new_envelope(["me", "b"], raw({"count": 100, "size": MIB}), now=NOW))
        await transport.publish([Outgoing("me", body)])
        await until_depth(transport, "b", 2)
        await asyncio.sleep(1.0)
        grown = peak(pod) - before
        assert grown < 80 * MIB, f"of 100 MiB of results, {grown / MIB:.0f} MiB are in memory"
        limit_length(rabbitmq_management_url, rabbitmq_url, f"asya_{namespace}_b", 100_000)
        assert set(await take_all(transport, "b", 100)) == set(range(100))
        assert peak(pod) - before < 80 * MIB
        print(f"{engine}: grown by {(peak(pod) - before) / MIB:.1f} MiB")


@pytest.mark.parametrize("engine", ["fast", "aio-pika"])
async def test_a_broker_that_is_short_of_memory_stops_the_sidecar_until_it_is_not(
    tmp_path: Path, own_broker: Broker, engine: str
) -> None:
    settings = rabbitmq(
        own_broker.new_vhost(), f"alarm-{engine}", ASYA_RABBITMQ_ENGINE=engine,
        ASYA_RABBITMQ_MANAGEMENT_URL=own_broker.management_url,
    )  # fmt: skip
    async with broker(settings) as transport, Mesh(tmp_path / "pods", settings) as mesh:
        pod = mesh.pod("me", "echo.handle", modules=[echo(tmp_path)], sidecar={"ASYA_PREFETCH": "10"})
        await pod.start()
        await transport.publish([message(-1, 200 * KIB, "c")])
        await take_all(transport, "c", 1)
        before = peak(pod)
        pod.sidecar.signal(signal.SIGSTOP)
        for number in range(150):
            await transport.publish([message(number, 200 * KIB, "b")])
        own_broker.set_memory_alarm(on=True)
        try:
            pod.sidecar.signal(signal.SIGCONT)
            left = await until_still(transport)
        finally:
            own_broker.set_memory_alarm(on=False)
        assert left >= 100, "it has stopped receiving"
        assert set(await take_all(transport, "b", 150)) == set(range(150))
        grown = peak(pod) - before
        assert grown < 40 * MIB, f"grown by {grown / MIB:.0f} MiB"
        print(f"alarm {engine}: grown by {grown / MIB:.1f} MiB, {left} left in the queue")


@pytest.mark.parametrize("engine", ["fast", "aio-pika"])
async def test_a_rate_limit_leaves_messages_in_the_brokers_queue(
    tmp_path: Path, rabbitmq_url: str, engine: str
) -> None:
    settings = rabbitmq(rabbitmq_url, f"rate-{engine}", ASYA_RABBITMQ_ENGINE=engine)
    limit = '{"rateLimit": {"rate": "2/s"}}'
    async with broker(settings) as transport, Mesh(tmp_path / "pods", settings) as mesh:
        await transport.publish([message(number, 100, "b") for number in range(300)])
        pod = mesh.pod(
            "me", "echo.handle", modules=[echo(tmp_path)],
            sidecar={"ASYA_PREFETCH": "100", "ASYA_RESILIENCY_PROTECTION": limit},
        )  # fmt: skip
        await pod.start()
        await until_depth(transport, "b", 1)
        began = asyncio.get_running_loop().time()
        await until_depth(transport, "b", 9)
        assert asyncio.get_running_loop().time() - began >= 3.0
        # Ten seconds' worth, and as much again while the credit changes.
        assert await depth(transport, "me") >= 300 - 9 - 2 * (20 + 1)
        await pod.stop()
        # The broker puts back what was held when it has seen the end of the connection.
        await until_depth(transport, "me", 300 - await depth(transport, "b"))
        assert await depth(transport, "me") + await depth(transport, "b") == 300, "what was held is back, once"


async def test_a_locked_database_holds_the_sidecar_up_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    settings = sqlite(path)
    async with broker(settings) as transport, Mesh(tmp_path / "pods", settings) as mesh:
        pod = mesh.pod("me", "echo.handle", modules=[echo(tmp_path)], sidecar={"ASYA_PREFETCH": "10"})
        await pod.start()
        await transport.publish([message(-1, 200 * KIB, "c")])
        await take_all(transport, "c", 1)
        before = peak(pod)
        for number in range(200):
            await transport.publish([message(number, 200 * KIB, "b")])
            if number == 20:
                other = sqlite3.connect(path, isolation_level=None)
                other.execute("BEGIN IMMEDIATE")
                asyncio.get_running_loop().call_later(7.0, other.execute, "COMMIT")
                await asyncio.sleep(7.1)
                other.close()
        assert set(await take_all(transport, "b", 200)) == set(range(200))
        grown = peak(pod) - before
        assert grown < 40 * MIB, f"grown by {grown / MIB:.0f} MiB"
