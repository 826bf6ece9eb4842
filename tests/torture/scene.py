"""One row under way: two actors, their pods, the messages, and whoever stops and kills them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.support import mesh
from tests.support.mesh import Mesh, Pod
from tests.support.moto_server import MotoServer
from tests.support.pubsub import Emulator
from tests.support.rabbitmq import Broker
from tests.torture import clouds, pods
from tests.torture.account import Found
from tests.torture.aws_proxy import AwsProxy
from tests.torture.clouds import CloudProxy
from tests.torture.control import Control
from tests.torture.google_proxy import GoogleProxy
from tests.torture.lane import Lane
from tests.torture.line import LOOPBACK, Line
from tests.torture.model import CLOUDS, PUBSUB, PULL, SQLITE, SQS, STREAM, Message
from tests.torture.proxy import Proxy

from asya.errors import TransportError
from asya.settings import load
from asya.transports import Depth, Outgoing, QueueSpec, Transport, open_transport
from asya.transports.settings import TransportSettings
from asya.wire import encode, new_envelope, raw

T = TypeVar("T")
FIRST, SECOND = "first", "second"
ACTORS = (FIRST, SECOND)
SINK, SUMP = "x-sink", "x-sump"
ENDS = (SINK, SUMP)
BATCH = 100


class Scene:
    """An async context manager. A story adds what is special, and calls `flow`."""

    def __init__(self, lane: Lane, transport: str, engine: str | None, total: int, seconds: float) -> None:
        self.lane, self.kind, self.engine, self.total = lane, transport, engine, total
        self.seconds = seconds
        """How long nothing may move before the row has failed."""
        self.folder = lane.row_folder()
        self.namespace = f"t{self.folder.name}"
        self.record = self.folder / "calls"
        self.control = Control(self.folder / "stops", self.every)
        self.settings: dict[str, str] = {}
        """More settings of the sidecars, for all pods of the row."""
        self.messages: list[Message] = []
        self.queues: dict[str, QueueSpec] = {name: QueueSpec(name) for name in (*ACTORS, *ENDS)}
        self.records_ends = False
        """Whether x-sink and x-sump have pods, so that messages end in their record and not in their queues."""
        self.taken: list[Found] = []
        """Dead letters that were taken out on the way."""
        self.later: set[asyncio.Task[None]] = set()
        self._seen: dict[str, Depth] = {}
        self._looking = asyncio.Lock()
        """On Pub/Sub's emulator two looks at once take from each other what they count."""
        self._stack = AsyncExitStack()
        self._machine = ExitStack()
        self._server: Broker | MotoServer | Emulator | None = None
        self._database = self.folder / "queue.sqlite"
        self._doubts = self.folder / "doubts"
        self._line: Line | None = None
        """The way of pods that have none of their own."""

    # -- size

    @property
    def every(self) -> int:
        """One of how many arrivals at a step counts; on a cloud's wire several messages arrive at once."""
        return max(self.total // (100 if self.kind in CLOUDS else 50), 1)

    @property
    def times(self) -> int:
        """How often a failure comes in one row, for each pod."""
        return 2 if self.total < 2000 else 4 if self.kind in CLOUDS else 8

    @property
    def pause(self) -> float:
        """Seconds between two looks at all queues, which costs most where numbers have to be found by counting."""
        return {SQS: 0.5, PUBSUB: 0.5}.get(self.kind, 0.1)

    # -- parts

    @property
    def transport(self) -> Transport:
        """The matrix's own way to the queues."""
        return self._transport

    @property
    def broker(self) -> Broker:
        """The node, on RabbitMQ."""
        assert isinstance(self._server, Broker)
        return self._server

    @property
    def moto(self) -> MotoServer:
        """The server, on SQS."""
        assert isinstance(self._server, MotoServer)
        return self._server

    @property
    def database(self) -> Path:
        """The file, on SQLite; a row may move it before `prepare`."""
        return self._database

    @database.setter
    def database(self, path: Path) -> None:
        self._database = path

    def environ(self, line: Line | None = None) -> dict[str, str]:
        """Settings of the transport; `line`: what lies between it and the broker."""
        if self.kind == SQLITE:
            return mesh.sqlite(self._database, self.namespace)
        assert self._server is not None
        host, port = (line.host, line.port) if line is not None else (LOOPBACK, self._server.port)
        if self.kind == SQS:
            return clouds.sqs(self.namespace, port, host)
        if self.kind == PUBSUB:
            assert self.engine is not None
            return clouds.pubsub(self.namespace, port, host, self.engine)
        assert self.engine is not None
        own = {"ASYA_RABBITMQ_ENGINE": self.engine, "ASYA_RABBITMQ_MANAGEMENT_URL": self.broker.management_url}
        return mesh.rabbitmq(f"amqp://guest:guest@{host}:{port}/", self.namespace, **own)

    async def proxy(self, actor: str, host: str = LOOPBACK) -> Line:
        """Put a proxy between the broker and the pods of `actor`."""
        assert self._server is not None
        kind = {SQS: AwsProxy, PUBSUB: GoogleProxy}.get(self.kind, Proxy)
        made = kind(self._server.port, lambda step: self.control.passes(actor, step), host)
        await made.open()
        self._stack.push_async_callback(made.close)
        return made

    async def cloud_proxy(self, actor: str) -> CloudProxy:
        """Put a proxy before a cloud, which can answer in its place."""
        made = await self.proxy(actor)
        assert isinstance(made, AwsProxy | GoogleProxy)
        return made

    def pod(
        self,
        actor: str,
        *,
        who: str | None = None,
        handler: str = "handlers.handle",
        proxy: Line | None = None,
        sidecar: Mapping[str, str] | None = None,
        runtime: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> Pod:
        """Make a pod of `actor`.

        `who`: its name at the steps, where one of several pods of an actor is meant; `before`: words before the
        sidecar's command line.
        """
        stops = {
            "TEST_STOPS": str(self.control.path),
            "TEST_STOPS_WHO": who or actor,
            "TEST_ACTOR": actor,
            "TEST_STOPS_EVERY": str(self.every),
            "TEST_RECORD": str(self.record),
        }
        doubts = {"TEST_DOUBTS": str(self._doubts)} if self.kind in CLOUDS else {}
        way = self.environ(proxy or self._line)
        return pods.add(
            self.mesh,
            actor,
            handler,
            sidecar={**way, **self.settings, **stops, **doubts, **(sidecar or {})},
            runtime={**stops, **(runtime or {})},
            before=before,
        )

    def pods(self, actor: str) -> list[Pod]:
        """The pods of an actor."""
        return [pod for pod in self.mesh.pods if pod.actor == actor]

    def add(self, payload: dict[str, Any] | None = None, route: Sequence[str] = ACTORS, **more: Any) -> Message:
        """Make a message; `more`: what `Message` takes, or `deadline`. The payload gets its number as `n`."""
        deadline = more.pop("deadline", None)
        number = {"n": len(self.messages)}
        envelope = new_envelope(list(route), raw({**number, **(payload or {})}), now=time.time(), deadline_at=deadline)
        message = Message(envelope.id, encode(envelope), **more)
        self.messages.append(message)
        return message

    # -- life

    def on(self, part: AbstractContextManager[T]) -> T:
        """Have a part of the machine (a disk, a network) until every process of the row has ended."""
        return self._machine.enter_context(part)

    async def prepare(self) -> None:
        """Connect and declare the queues; done by `flow` unless it has been done."""
        if hasattr(self, "_transport"):
            return
        # Whatever the pods do: of a stream an emulator does not say when it has sent all.
        own = {"ASYA_PUBSUB_RECEIVE": PULL}
        # The lease of a subscription is that of whoever has declared it.
        lease = {name: value for name, value in self.settings.items() if name in pods.SHORT_LEASE}
        self._transport = open_transport(load(TransportSettings, self.environ() | own | lease))
        await self._transport.open()
        self._stack.push_async_callback(self._transport.close)
        await self._transport.declare(list(self.queues.values()))
        if self.engine == STREAM:
            # The emulator goes on sending to the streams of processes that died, if nobody in between ends them.
            self._line = await self.proxy("nobody")

    async def publish(self, messages: Sequence[Message], actor: str = FIRST) -> None:
        """Send messages to an actor."""
        for start in range(0, len(messages), BATCH):
            batch = messages[start : start + BATCH]
            await self.transport.publish([Outgoing(actor, message.body) for message in batch])

    async def start(self) -> None:
        """Everything that `flow` does before it waits: pods and messages where none were made, all sent and started."""
        await self.prepare()
        while len(self.messages) < self.total:
            self.add()
        await self.publish([message for message in self.messages if message.sent])
        for actor in ACTORS:
            if not self.pods(actor):
                self.pod(actor)
        await asyncio.gather(*(pod.start() for pod in self.mesh.pods))

    async def flow(self) -> None:
        """Send everything through, with all that is planned; return when nothing moves any more."""
        await self.start()
        await self.settled()

    async def settled(self) -> None:
        """Wait until every planned failure has happened and every message is where it stays."""
        await self._until(self._is_over, "everything has come to its end", self.pause)
        await asyncio.gather(*self.later)

    def soon(self, work: Awaitable[None]) -> None:
        """Do something beside the flow; `settled` waits for it."""

        async def run() -> None:
            await work

        self.later.add(asyncio.create_task(run()))

    async def happened(self, condition: Callable[[], bool | Awaitable[bool]], what: str) -> None:
        """Wait for something that the row needs to go on."""

        def looked() -> bool | Awaitable[bool]:
            self._check()
            return condition()

        await self._until(looked, what, self.pause / 5)

    async def depths(self, *actors: str) -> dict[str, Depth]:
        """What these queues hold, or all; empty while the broker is away."""
        async with self._looking:
            try:
                seen = await self.transport.depth(actors or list(self.queues))
            except TransportError:
                seen = {}
        if self.kind == PUBSUB:
            # It cannot tell what is handed out from what waits: `ready` is both.
            seen = {actor: replace(depth, in_flight=0) for actor, depth in seen.items()}
        self._seen |= seen
        return seen

    # -- results

    def lines(self) -> list[list[str]]:
        """What the handlers wrote down."""
        text = self.record.read_text() if self.record.exists() else ""
        return [line.split() for line in text.splitlines()]

    def calls(self) -> Counter[tuple[str, str]]:
        """How often each message was given to each handler, by the message's number."""
        return Counter((actor, number) for actor, number, *_ in self.lines() if actor not in ENDS)

    def in_doubt(self) -> int:
        """How many messages were sent or held when an answer or a lease's extension came too late, planned or not."""
        text = self._doubts.read_text() if self._doubts.exists() else ""
        return sum(map(int, text.split()))

    def explain(self) -> str:
        """What a row that does not end looks like."""
        stages = Counter(actor for actor, *_ in self.lines())
        return (
            f"calls so far: {dict(stages)}; not done: {self.control.outstanding}; depths: {self._seen}\n"
            f"{self.mesh.tails()}"
        )

    async def __aenter__(self) -> Self:
        await self.control.open()
        self._stack.push_async_callback(self.control.close)
        match self.kind:
            case "rabbitmq":
                self._server = await self.lane.broker()
            case "sqs":
                self._server = await self.lane.sqs()
            case "pubsub":
                self._server = await self.lane.pubsub()
        self.mesh = await self._stack.enter_async_context(Mesh(self.folder / "logs", {}))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self.later:
            task.cancel()
        await asyncio.gather(*self.later, return_exceptions=True)
        if kind is None and hasattr(self, "_transport"):
            await self._transport.drop(list(self.queues))
        with self._machine:
            await self._stack.aclose()

    # -- inside

    async def _until(self, condition: Callable[[], bool | Awaitable[bool]], what: str, every: float) -> None:
        """Wait for as long as messages move: a busy machine is slow, what is lost stands still.

        Raises:
            AssertionError: Nothing has moved for `self.seconds`.
        """
        moved, since = self._moved(), time.monotonic()
        while True:
            held = condition()
            if await held if isinstance(held, Awaitable) else held:
                return
            now = time.monotonic()
            if (latest := self._moved()) != moved:
                moved, since = latest, now
            elif now - since > self.seconds:
                await self.depths()
                raise AssertionError(f"nothing has moved for {self.seconds:g} s; waited for: {what}\n{self.explain()}")
            await asyncio.sleep(every)

    def _moved(self) -> tuple[object, ...]:
        """Something that is another when a message has moved or a failure has happened."""
        written = self.record.stat().st_size if self.record.exists() else 0
        depths = [(each.ready, each.in_flight, each.delayed, each.dead) for each in self._seen.values()]
        return written, self.control.done, depths

    def _check(self) -> None:
        self.mesh.check()
        if self.control.failure is not None:
            raise self.control.failure
        for task in self.later:
            if task.done() and (error := task.exception()) is not None:
                raise error

    async def _is_over(self) -> bool:
        self._check()
        if self.control.outstanding:
            return False
        # In the order of their way, and no further than something is found: on clouds each look costs many calls.
        depths: dict[str, Depth] = {}
        for actor in self.queues:
            found = await self.depths(actor)
            if actor not in found or ((actor not in ENDS or self.records_ends) and not is_empty(found[actor])):
                return False
            depths |= found
        if self.records_ends:
            at_ends = len({name for actor, name, *_ in self.lines() if actor in ENDS})
        else:
            at_ends = sum(depths[actor].ready for actor in ENDS)
        dead = len(self.taken) + sum(depth.dead or 0 for depth in depths.values())
        return at_ends + dead >= self._expected

    @property
    def _expected(self) -> int:
        return sum(message.place is not None for message in self.messages)


def is_empty(depth: Depth) -> bool:
    """Whether nothing is in a queue or on its way back to it; what is unknown counts as something."""
    return (depth.ready, depth.in_flight, depth.delayed) == (0, 0, 0)
