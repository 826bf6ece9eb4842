"""Making, counting and deleting queues: what operators and `asya up` do, not sidecars."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from typing import Final

from asya.errors import DeniedError, NoDestinationError, TransportError
from asya.transports.base import Depth, QueueSpec
from asya.transports.sqs.places import Place, dead_letters_name, queue_name
from asya.transports.sqs.session import Session
from asya.transports.sqs.settling import LONGEST_HOLD

VISIBILITY_MARGIN: Final = 60
"""Seconds for publishing the results after the longest call."""
HOLD_SECONDS: Final = LONGEST_HOLD - VISIBILITY_MARGIN
_RETENTION: Final = 1_209_600
_LONG_POLL: Final = 20
_READY, _HELD, _DELAYED = (f"ApproximateNumberOfMessages{which}" for which in ("", "NotVisible", "Delayed"))
_MADE_WITH: Final = ["RedrivePolicy", "QueueArn"]


class Control:
    """Queues as things."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def declare(self, queues: Sequence[QueueSpec]) -> None:
        """See `Transport.declare`."""
        self._session.names.refuse_collisions(queue.actor for queue in queues)
        for queue in queues:
            if queue.call_seconds > HOLD_SECONDS:
                raise TransportError(
                    f"actor {queue.actor!r} may take {queue.call_seconds:g} s; SQS lets a message be held for "
                    f"12 hours, so at most {HOLD_SECONDS:g} s"
                )
        await asyncio.gather(*map(self._declare, queues))

    async def depth(self, actors: Sequence[str]) -> dict[str, Depth]:
        """See `Transport.depth`. SQS's numbers are approximate; it does not tell the age of the oldest."""
        found = await asyncio.gather(*map(self._depth, actors))
        return {actor: depth for actor, depth in zip(actors, found, strict=True) if depth is not None}

    async def delivery_limit(self, place: Place) -> int | None:
        """Return how often SQS hands out a message of a queue before it dead-letters it; None where it never does."""
        found = await self.attributes(place, ["RedrivePolicy"])
        limit = json.loads(found.get("RedrivePolicy") or "{}").get("maxReceiveCount")
        return None if limit is None else int(limit)

    async def drop(self, actors: Sequence[str]) -> None:
        """See `Transport.drop`."""
        await asyncio.gather(*map(self._drop, actors))
        self._session.forget()

    async def attributes(self, place: Place, names: Sequence[str]) -> dict[str, str]:
        """Return attributes of a queue; raises `NoDestinationError` where there is none."""
        answer = await self._session.call("get_queue_attributes", place, AttributeNames=list(names))
        found: dict[str, str] = answer.get("Attributes", {})
        return found

    async def _declare(self, queue: QueueSpec) -> None:
        names, fifo = self._session.names, self._session.settings.fifo
        own, dead = queue_name(names, queue.actor, fifo=fifo), dead_letters_name(names, queue.actor, fifo=fifo)
        try:
            found = await self.attributes(await self._session.queue(queue.actor), _MADE_WITH)
        except NoDestinationError:
            found = None
        if found is not None:
            self._compare(own, found, queue)
            return
        await self._create(dead, queue, {})
        place = await self._session.dead_letters(queue.actor)
        arn = (await self.attributes(place, ["QueueArn"]))["QueueArn"]
        redrive = {"deadLetterTargetArn": arn, "maxReceiveCount": queue.delivery_limit}
        visibility = min(math.ceil(queue.call_seconds) + VISIBILITY_MARGIN, int(LONGEST_HOLD))
        attributes = {
            "RedrivePolicy": json.dumps(redrive),
            "VisibilityTimeout": str(visibility),
            "ReceiveMessageWaitTimeSeconds": str(_LONG_POLL),
        }
        await self._create(own, queue, attributes)

    def _compare(self, name: str, found: dict[str, str], queue: QueueSpec) -> None:
        policy = json.loads(found.get("RedrivePolicy") or "{}")
        limit = policy.get("maxReceiveCount")
        if limit is None or int(limit) != queue.delivery_limit:
            raise TransportError(
                f"queue {name} exists with delivery limit {limit}, expected {queue.delivery_limit}; it is left as it is"
            )

    async def _create(self, name: str, queue: QueueSpec, attributes: dict[str, str]) -> None:
        made = {
            "MessageRetentionPeriod": str(_RETENTION),
            "MaximumMessageSize": str(max(1024, self._session.settings.message_bytes)),
            **attributes,
        }
        if self._session.settings.fifo:
            # By group, both are: otherwise a queue is limited to 300 calls a second.
            made |= {
                "FifoQueue": "true",
                "DeduplicationScope": "messageGroup",
                "FifoThroughputLimit": "perMessageGroupId",
            }
        tags = {"asya.sh/namespace": self._session.names.namespace, "asya.sh/actor": queue.actor}
        await self._session.call("create_queue", None, QueueName=name, Attributes=made, tags=tags)

    async def _depth(self, actor: str) -> Depth | None:
        try:
            own = await self.attributes(await self._session.queue(actor), [_READY, _HELD, _DELAYED])
        except NoDestinationError:
            return None
        try:
            dead = await self.attributes(await self._session.dead_letters(actor), [_READY])
        except (NoDestinationError, DeniedError):
            dead = {}
        return Depth(
            ready=int(own[_READY]),
            in_flight=int(own[_HELD]),
            delayed=int(own[_DELAYED]),
            dead=int(dead[_READY]) if _READY in dead else None,
        )

    async def _drop(self, actor: str) -> None:
        for find in (self._session.queue, self._session.dead_letters):
            try:
                await self._session.call("delete_queue", await find(actor))
            except NoDestinationError:
                continue
