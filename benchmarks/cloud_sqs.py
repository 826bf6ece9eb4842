"""Two queues on SQS for one round of one kind of worker: filled, looked at, and emptied from outside of it."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from tests.support.moto_server import ACCOUNT, ENVIRONMENT, REGION

from benchmarks.alternatives.contract_id import MESSAGE_ID
from benchmarks.amqp import Arrived, Way
from benchmarks.kinds import OURS, Kind
from benchmarks.payload import SIZE, numbered, payload, text
from benchmarks.sqs_server import SqsServer
from benchmarks.workers import (
    ACTOR,
    NEXT,
    QUEUES,
    Lane,
    Ours,
    PodSettings,
    Theirs,
    Worker,
    describe,
    envelope,
    open_ours,
    script_environment,
)

CREDENTIALS = {**ENVIRONMENT, "AWS_DEFAULT_REGION": REGION}
HOLD = 600
_BATCH = 10
_numbers = itertools.count()


def environment(server: SqsServer, namespace: str, wait: str = "1s") -> dict[str, str]:
    """Settings that lead a sidecar to the server. `wait`: a pod that is stopped waits so long for its last question."""
    return {
        "ASYA_TRANSPORT": "sqs",
        "ASYA_NAMESPACE": namespace,
        "ASYA_AWS_REGION": REGION,
        "ASYA_SQS_ACCOUNT_ID": ACCOUNT,
        "ASYA_SQS_ENDPOINT": server.url,
        "ASYA_SQS_WAIT": wait,
        **ENVIRONMENT,
    }


class SqsPlace:
    """New queues for each round: a worker that was killed may have left a question behind at the old ones."""

    _templates: ClassVar[dict[str, Any]] = {}
    """How a framework's message looks, by the framework's name."""

    def __init__(self, server: SqsServer, kind: Kind, python: Path, folder: Path, pods: PodSettings) -> None:
        self._server, self._kind, self._python, self._folder, self._pods = server, kind, python, folder, pods
        number = next(_numbers)
        self._namespace = f"bench{number}"
        ours = kind.name == OURS
        self._source = f"asya_{self._namespace}_{ACTOR}" if ours else f"bench-in-{number}"
        self._target = f"asya_{self._namespace}_{NEXT}" if ours else f"bench-out-{number}"
        self._client = server.client("sqs")
        self._urls: dict[str, str] = {}
        self._before = Counter[str]()

    async def prepare(self, total: int) -> None:
        """Make the queues and put `total` messages into the source."""
        if self._kind.name == OURS:
            transport = await open_ours(environment(self._server, self._namespace), QUEUES)
            await transport.close()
        await asyncio.to_thread(self._make)
        make = await self._maker()
        await asyncio.to_thread(self._fill, total, make)
        self._before = self._server.calls()

    def worker(self, variant: str) -> Worker:
        """Return a worker that is not started."""
        if self._kind.name == OURS:
            return Ours(environment(self._server, self._namespace), self._folder / "sqs", self._pods)
        return Theirs(self._kind, self._lane(), "", variant, self._python, self._folder, **self._more())

    def calls(self) -> float:
        """How many calls workers have made since the queues were filled."""
        return (self._server.calls() - self._before).total()

    async def arrived(self) -> int:
        return await asyncio.to_thread(self._count, self._target)

    async def left(self) -> int:
        return await asyncio.to_thread(self._count, self._source)

    async def drain(self) -> Arrived:
        """Look at everything in the target queue."""
        return await asyncio.to_thread(self._drain)

    # -- blocking

    def _make(self) -> None:
        for name in (self._source, self._target):
            # Exists already where the platform has made it.
            attributes = {} if self._kind.name == OURS else {"Attributes": {"VisibilityTimeout": str(HOLD)}}
            call = self._client.get_queue_url if self._kind.name == OURS else self._client.create_queue
            self._urls[name] = call(QueueName=name, **attributes)["QueueUrl"]

    async def _maker(self) -> Callable[[int], str]:
        if self._kind.name != "Celery":
            # A plain loop moves our message, so that SQS has the same to do.
            body = envelope(SIZE)
            return lambda number: _fresh(numbered(body, number).decode())
        if self._kind.name not in self._templates:
            environ = script_environment(self._server.url, "", self._kind.variants[0], **self._more())
            found = await describe(self._kind, environ, b"[" + payload(SIZE) + b"]", self._python)
            self._templates[self._kind.name] = json.loads(base64.b64decode(found["bodies"][0]))
        outer = self._templates[self._kind.name]
        inner = base64.b64decode(outer["body"])

        def make(number: int) -> str:
            route = {**outer["properties"]["delivery_info"], "routing_key": self._source}
            tagged = {**outer["properties"], "delivery_info": route, "delivery_tag": str(uuid.uuid4())}
            found = {**outer, "body": base64.b64encode(numbered(inner, number)).decode(), "properties": tagged}
            return base64.b64encode(_fresh(json.dumps(found)).encode()).decode()

        return make

    def _fill(self, total: int, make: Callable[[int], str]) -> None:
        for start in range(0, total, _BATCH):
            entries = [
                {"Id": str(number), "MessageBody": make(number)} for number in range(start, min(start + _BATCH, total))
            ]
            answer = self._client.send_message_batch(QueueUrl=self._urls[self._source], Entries=entries)
            if failed := answer.get("Failed"):
                raise RuntimeError(f"the source queue was not filled: {failed}")

    def _count(self, name: str) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self._client.get_queue_attributes(QueueUrl=self._urls[name], AttributeNames=names)["Attributes"]
        return sum(int(found[each]) for each in names)

    def _drain(self) -> Arrived:
        arrived, expected = Arrived(), text(SIZE)
        while found := self._client.receive_message(
            QueueUrl=self._urls[self._target], MaxNumberOfMessages=_BATCH, VisibilityTimeout=HOLD, WaitTimeSeconds=0
        ).get("Messages"):
            for message in found:
                arrived.add(_plain(message["Body"]), expected)
        for url in self._urls.values():
            self._client.purge_queue(QueueUrl=url)
        return arrived

    def _lane(self) -> Lane:
        return Lane(self._server.url, self._source, self._target, Way("", self._source, {}, {}))

    def _more(self) -> Mapping[str, str]:
        return {"BENCH_SOURCE": self._source, "BENCH_TARGET": self._target, **CREDENTIALS}


def _fresh(body: str) -> str:
    return body.replace(MESSAGE_ID, str(uuid.uuid4()))


def _plain(body: str) -> bytes:
    """Return a message as JSON; Celery's is wrapped in base64 twice."""
    if body.startswith("{"):
        return body.encode()
    outer: Any = json.loads(base64.b64decode(body))
    return base64.b64decode(outer["body"])
