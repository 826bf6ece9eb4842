"""Making, counting, looking at and deleting topics and subscriptions; nothing that a running actor needs."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any, Final

from asya.errors import NoDestinationError, TransportError
from asya.transports.base import Depth, QueueSpec
from asya.transports.pubsub.addresses import Addresses
from asya.transports.pubsub.connection import Connection
from asya.transports.pubsub.messages import CLASSES
from asya.transports.pubsub.refusals import Call, ExistsError

EDITOR: Final = "roles/pubsub.editor"
DELIVERY_LIMITS: Final = (5, 100)
"""What Pub/Sub takes; its number is approximate."""
SHORTEST_DEADLINE: Final = 10
RETENTION: Final = 7 * 24 * 3600
DEAD_RETENTION: Final = 31 * 24 * 3600
DELAYED_LEASE: Final = 10
PER_PULL: Final = 1000
WATCH: Final = "asya.watch-"
"""First part of the names of what counts on an emulator."""


class Control:
    """The administrator's part."""

    def __init__(
        self, connection: Connection, addresses: Addresses, *, lease_seconds: int, ordered: bool = False
    ) -> None:
        self._connection, self._addresses = connection, addresses
        self._lease_seconds, self._ordered = lease_seconds, ordered

    async def declare(self, queues: Sequence[QueueSpec]) -> None:
        """See `Transport.declare`."""
        self._addresses.names.refuse_collisions(spec.actor for spec in queues)
        least, most = DELIVERY_LIMITS
        for spec in queues:
            if not least <= spec.delivery_limit <= most:
                raise TransportError(
                    f"the delivery limit of {spec.actor!r} is {spec.delivery_limit}; Pub/Sub allows {least} to {most}"
                )
        for spec in queues:
            await self._declare_one(spec)

    async def drop(self, actors: Sequence[str]) -> None:
        """See `Transport.drop`."""
        for actor in actors:
            for name in self._all(actor):
                watch = [self._addresses.subscription(WATCH + name)] if self._connection.emulated else []
                for subscription in (self._addresses.subscription(name), *watch):
                    await self._delete("DeleteSubscription", subscription=subscription)
                await self._delete("DeleteTopic", topic=self._addresses.topic(name))

    async def depth(self, actors: Sequence[str]) -> dict[str, Depth]:
        """See `Transport.depth`. Waiting and handed out cannot be told apart: `ready` is both, `in_flight` is None."""
        if not self._connection.emulated:
            raise TransportError(
                "Pub/Sub itself does not count; Cloud Monitoring has "
                "pubsub.googleapis.com/subscription/num_undelivered_messages"
            )
        found: dict[str, Depth] = {}
        for actor in dict.fromkeys(actors):
            try:
                waiting, delayed, dead = [await self._count(actor, name) for name in self._all(actor)]
            except NoDestinationError:
                continue
            oldest = None if not waiting else max(0.0, time.time() - min(waiting))
            found[actor] = Depth(
                ready=len(waiting), in_flight=None, delayed=len(delayed), dead=len(dead), oldest_seconds=oldest
            )
        return found

    def _all(self, actor: str) -> tuple[str, str, str]:
        addresses = self._addresses
        return addresses.queue(actor), addresses.delayed(actor), addresses.dead_letters(actor)

    async def _declare_one(self, spec: QueueSpec) -> None:
        addresses = self._addresses
        queue, delayed, dead = self._all(spec.actor)
        # Topics that are published to last: what is published without a subscription is gone.
        await self._subscribe(spec.actor, dead, {"ack_deadline_seconds": 60}, keep=DEAD_RETENTION)
        await self._subscribe(spec.actor, delayed, {"ack_deadline_seconds": DELAYED_LEASE})
        wanted = {
            # What a process takes and dies with before it can say how long it wants it; not as long as a call may last.
            "ack_deadline_seconds": max(self._lease_seconds, SHORTEST_DEADLINE),
            "enable_message_ordering": self._ordered,
            "dead_letter_policy": CLASSES["DeadLetterPolicy"](
                dead_letter_topic=addresses.topic(dead), max_delivery_attempts=spec.delivery_limit
            ),
        }
        if not await self._subscribe(spec.actor, queue, wanted):
            await self._compare(spec, wanted)

    async def _subscribe(self, actor: str, name: str, fields: dict[str, Any], *, keep: int = RETENTION) -> bool:
        """Make a topic and its subscription; tell whether the subscription is new."""
        topic = self._addresses.topic(name)
        await self._create("CreateTopic", topic, actor, name=topic)
        if self._connection.emulated:
            keep = min(keep, RETENTION)  # its longest
        common = {
            "topic": topic,
            "message_retention_duration": CLASSES["Duration"](seconds=keep),
            # Without it, what nobody receives from for 31 days is gone.
            "expiration_policy": CLASSES["ExpirationPolicy"](),
        }
        if self._connection.emulated:
            watch = self._addresses.subscription(WATCH + name)
            await self._create("CreateSubscription", watch, actor, name=watch, **common)
        subscription = self._addresses.subscription(name)
        return await self._create("CreateSubscription", subscription, actor, name=subscription, **common, **fields)

    async def _compare(self, spec: QueueSpec, wanted: dict[str, Any]) -> None:
        name = self._addresses.subscription(self._addresses.queue(spec.actor))
        found = await self._connection.call(
            "GetSubscription", Call("look at", name, EDITOR, spec.actor), subscription=name
        )
        policy = found.dead_letter_policy
        if policy != wanted["dead_letter_policy"]:
            raise TransportError(
                f"the subscription {name!r} exists with delivery limit {policy.max_delivery_attempts} and dead letters "
                f"in {policy.dead_letter_topic!r}, not {spec.delivery_limit} and "
                f"{wanted['dead_letter_policy'].dead_letter_topic!r}"
            )

    async def _create(self, method: str, resource: str, actor: str, **fields: Any) -> bool:  # noqa: ANN401  of a message
        try:
            await self._connection.call(method, Call("create", resource, EDITOR, actor), **fields)
        except ExistsError:
            return False
        return True

    async def _delete(self, method: str, **resource: Any) -> None:  # noqa: ANN401  of a message
        (name,) = resource.values()
        try:
            await self._connection.call(method, Call("delete", name, EDITOR), **resource)
        except NoDestinationError:
            return

    async def _count(self, actor: str, name: str) -> list[float]:
        """Return when each unacknowledged message was published: a second subscription is put to the first's state.

        Nothing is handed out of the first, so counting changes nothing.
        """
        addresses = self._addresses
        own, watch = addresses.subscription(name), addresses.subscription(WATCH + name)
        snapshot = addresses.snapshot(f"asya-{secrets.token_hex(8)}")
        about = Call("look at", own, EDITOR, actor)
        await self._connection.call("CreateSnapshot", about, name=snapshot, subscription=own)
        try:
            await self._connection.call("Seek", about, subscription=watch, snapshot=snapshot)
            found: list[float] = []
            while more := await self._pull(watch, about, PER_PULL):
                found += [published(received.message) for received in more]
        finally:
            await self._connection.call("DeleteSnapshot", about, snapshot=snapshot)
        return found

    async def _pull(self, subscription: str, about: Call, count: int) -> list[Any]:
        # Not waiting for more is what the field is for; Google advises against it for receiving, not for looking.
        answer = await self._connection.call(
            "Pull", about, subscription=subscription, max_messages=min(count, PER_PULL), return_immediately=True
        )
        return list(answer.received_messages)


def published(message: Any) -> float:  # noqa: ANN401  a message
    """Return when a message was published, in Unix seconds."""
    return float(message.publish_time.seconds + message.publish_time.nanos / 1e9)
