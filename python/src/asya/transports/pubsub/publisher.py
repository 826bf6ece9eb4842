"""Messages to topics, batched for each topic, confirmed by the broker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from asya.errors import DeniedError, NoDestinationError
from asya.transports.pubsub.batches import Batches, Then
from asya.transports.pubsub.connection import Connection
from asya.transports.pubsub.messages import CLASSES
from asya.transports.pubsub.order import key
from asya.transports.pubsub.refusals import Call

log = logging.getLogger(__name__)

MESSAGES_PER_CALL: Final = 1000
CALL_BYTES: Final = 9_500_000
"""Pub/Sub takes 10 MB per call; a message above this goes alone."""
CALLS: Final = 2
OVERHEAD: Final = 200
"""Bytes that a message takes besides its data, more or less."""
KNOWN_TOPICS: Final = 1024
PUBLISHER: Final = "roles/pubsub.publisher"
EMPTY: Final = "asya-empty"
"""Attribute of a message without data: Pub/Sub takes none without either."""


@dataclass(frozen=True, slots=True)
class Topic:
    """Where to: full name, and the actor it is about."""

    name: str
    actor: str


@dataclass(frozen=True, slots=True)
class Publication:
    """One message on its way."""

    topic: Topic
    body: bytes
    attributes: Mapping[str, str]


class Publisher:
    """Publishes. `ordered`: with ordering keys, and in the order of the calls."""

    def __init__(self, connection: Connection, *, ordered: bool = False) -> None:
        self._connection, self._ordered = connection, ordered
        self._topics: dict[Topic, Batches[Publication]] = {}
        self._missing: set[Topic] = set()

    def send(self, publication: Publication, then: Then) -> None:
        """Publish; `then` hears when it is confirmed, or why not."""
        topic = publication.topic
        batches = self._topics.get(topic)
        if batches is None:
            self._forget_idle()
            calls = 1 if self._ordered else CALLS
            batches = Batches(partial(self._publish, topic), items=MESSAGES_PER_CALL, size=CALL_BYTES, calls=calls)
            self._topics[topic] = batches
        batches.add(publication, len(publication.body) + OVERHEAD, then)

    async def flush(self) -> None:
        """Wait until everything was answered."""
        await asyncio.gather(*(batches.flush() for batches in self._topics.values()))

    def _forget_idle(self) -> None:
        if len(self._topics) >= KNOWN_TOPICS:
            for topic in [topic for topic, batches in self._topics.items() if not batches.busy]:
                del self._topics[topic]

    async def _publish(self, topic: Topic, publications: Sequence[Publication]) -> Sequence[None]:
        if topic in self._missing:
            await self._find(topic)
        try:
            return await self._send(topic, publications)
        except NoDestinationError:
            if len(self._missing) < KNOWN_TOPICS:
                self._missing.add(topic)
            raise

    async def _find(self, topic: Topic) -> None:
        """See that a topic that was missing has its subscription too.

        It is made after the topic, and what is published in between is confirmed and gone.
        """
        name = topic.name.replace("/topics/", "/subscriptions/")
        try:
            await self._connection.call(
                "GetSubscription", Call("look at", name, "roles/pubsub.viewer", topic.actor), subscription=name
            )
        except DeniedError as error:
            log.warning("cannot tell whether %s has its subscription, publishing to it: %s", topic.name, error)
        self._missing.discard(topic)

    async def _send(self, topic: Topic, publications: Sequence[Publication]) -> Sequence[None]:
        message, attribute = CLASSES["Message"], CLASSES["Attribute"]
        await self._connection.call(
            "Publish",
            Call("publish to", topic.name, PUBLISHER, topic.actor),
            topic=topic.name,
            messages=[
                message(
                    data=one.body,
                    attributes=[attribute(key=name, value=value) for name, value in _attributes(one).items()],
                    ordering_key=key(one.body) if self._ordered else None,
                )
                for one in publications
            ],
        )
        return [None] * len(publications)


def _attributes(publication: Publication) -> Mapping[str, str]:
    return publication.attributes if publication.body else {**publication.attributes, EMPTY: "1"}
