"""A topic with its subscription, twice, on Google's emulator: for one round of one kind of worker."""

from __future__ import annotations

import itertools
import uuid
from pathlib import Path
from typing import Any

from asya.transports.base import Link
from asya.transports.pubsub.connection import Connection
from asya.transports.pubsub.endpoint import endpoint
from asya.transports.pubsub.messages import CLASSES
from asya.transports.pubsub.refusals import Call
from benchmarks.alternatives.contract_id import MESSAGE_ID
from benchmarks.amqp import Arrived, Way
from benchmarks.kinds import OURS, Kind
from benchmarks.payload import SIZE, numbered, text
from benchmarks.workers import ACTOR, NEXT, QUEUES, Lane, Ours, PodSettings, Theirs, Worker, envelope, open_ours

PROJECT = "bench"
_BATCH = 500
_numbers = itertools.count()


def environment(address: str, namespace: str) -> dict[str, str]:
    """Settings that lead a sidecar to the emulator, receiving as it does from Google: by a stream."""
    return {
        "ASYA_TRANSPORT": "pubsub",
        "ASYA_NAMESPACE": namespace,
        "ASYA_PUBSUB_PROJECT_ID": PROJECT,
        "ASYA_PUBSUB_ENDPOINT": address,
        "ASYA_PUBSUB_RECEIVE": "stream",
    }


class PubsubPlace:
    """New topics for each round: the emulator goes on sending to streams that are gone."""

    def __init__(self, address: str, kind: Kind, python: Path, folder: Path, pods: PodSettings) -> None:
        self._address, self._kind, self._python, self._folder, self._pods = address, kind, python, folder, pods
        number = next(_numbers)
        self._namespace = f"bench{number}"
        ours = kind.name == OURS
        self._source = f"asya_{self._namespace}_{ACTOR}" if ours else f"bench-in-{number}"
        self._target = f"asya_{self._namespace}_{NEXT}" if ours else f"bench-out-{number}"
        self._connection = Connection(endpoint(address), Link())
        self._arrived = Arrived()

    async def prepare(self, total: int) -> None:
        """Make topics and subscriptions and publish `total` messages to the source."""
        await self._connection.open()
        if self._kind.name == OURS:
            transport = await open_ours(environment(self._address, self._namespace), QUEUES)
            await transport.close()
        else:
            for name in (self._source, self._target):
                await self._call("CreateTopic", name=_topic(name))
                await self._subscribe(name, name)
        # What is left in the source is counted in a copy of its state, so that counting takes nothing.
        await self._subscribe(self._source, f"{self._source}-copy")
        body = envelope(SIZE)
        for start in range(0, total, _BATCH):
            messages = [
                CLASSES["Message"](data=_fresh(body, number)) for number in range(start, min(start + _BATCH, total))
            ]
            await self._call("Publish", topic=_topic(self._source), messages=messages)

    def worker(self, variant: str) -> Worker:
        """Return a worker that is not started."""
        if self._kind.name == OURS:
            return Ours(environment(self._address, self._namespace), self._folder / "pubsub", self._pods)
        source, target = _subscription(self._source), _topic(self._target)
        lane = Lane(self._address, source, target, Way("", source, {}, {}))
        more = {"BENCH_SOURCE": source, "BENCH_TARGET": target, "PUBSUB_EMULATOR_HOST": self._address}
        return Theirs(self._kind, lane, "", variant, self._python, self._folder, **more)

    def calls(self) -> float:
        """They are not counted here."""
        return 0.0

    async def arrived(self) -> int:
        """Take what has come to the target, and tell how many that are so far."""
        expected = text(SIZE)
        while found := await self._pull(_subscription(self._target)):
            for received in found:
                self._arrived.add(received.message.data, expected)
            ids = [received.ack_id for received in found]
            await self._call("Acknowledge", subscription=_subscription(self._target), ack_ids=ids)
        return self._arrived.numbers.total() + self._arrived.damaged

    async def left(self) -> int:
        """How many are not acknowledged in the source, handed out or not."""
        name, copy = (
            f"projects/{PROJECT}/snapshots/bench-{uuid.uuid4().hex[:12]}",
            _subscription(f"{self._source}-copy"),
        )
        await self._call("CreateSnapshot", name=name, subscription=_subscription(self._source))
        await self._call("Seek", subscription=copy, snapshot=name)
        await self._call("DeleteSnapshot", snapshot=name)
        count = 0
        while found := await self._pull(copy):
            count += len(found)
        return count

    async def drain(self) -> Arrived:
        """Everything that came."""
        await self.arrived()
        await self._connection.close()
        return self._arrived

    async def _pull(self, subscription: str) -> list[Any]:
        answer = await self._call("Pull", subscription=subscription, max_messages=1000, return_immediately=True)
        return list(answer.received_messages)

    async def _subscribe(self, topic: str, name: str) -> None:
        await self._call("CreateSubscription", name=_subscription(name), topic=_topic(topic), ack_deadline_seconds=60)

    async def _call(self, method: str, **fields: Any) -> Any:
        return await self._connection.call(method, Call("bench", self._source, "roles/pubsub.editor"), **fields)


def _fresh(body: bytes, number: int) -> bytes:
    return numbered(body.replace(MESSAGE_ID.encode(), str(uuid.uuid4()).encode()), number)


def _topic(name: str) -> str:
    return f"projects/{PROJECT}/topics/{name}"


def _subscription(name: str) -> str:
    return f"projects/{PROJECT}/subscriptions/{name}"
