"""The face: `asya.transports.base.Transport` over Redis Streams."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Collection, Hashable, Mapping, Sequence
from functools import partial
from typing import Any

from asya.errors import RefusedError, TransportError
from asya.transports.base import DeadLetter, Depth, Limits, Outgoing, QueueSpec, Settle
from asya.transports.naming import QueueNames
from asya.transports.parts import Held, LeasedTransport, LinkKeeper, ListedDeadLetters, Received, lost
from asya.transports.redis.server import Server
from asya.transports.settings import RedisSettings

BLOCK_MS, AT_ONCE = 5000, 100


class RedisTransport(LeasedTransport):
    """One namespace's queues at one Redis; leases are `settings.lease_seconds`, for all processes of the namespace."""

    name = "redis"

    def __init__(self, names: QueueNames, settings: RedisSettings) -> None:
        super().__init__(Limits(message_bytes=settings.message_bytes, atomic=True))
        self._server = Server(names, settings, self.keeper)

    async def declare(self, queues: Sequence[QueueSpec]) -> None:
        """See `Transport.declare`."""
        self._server.names.refuse_collisions(queue.actor for queue in queues)
        for queue in queues:
            name, limit = self._server.names.queue(queue.actor), queue.delivery_limit
            found = await self._server.run(int, "declare", [queue.actor], limit)
            if found != limit:
                raise TransportError(f"queue {name} exists with delivery limit {found}, not {limit}; it is left so")

    async def depth(self, actors: Sequence[str]) -> dict[str, Depth]:
        """See `Transport.depth`. What is due and what the dead held is ready, though nobody has moved it yet."""
        lease = round(self._server.settings.lease_seconds * 1000)
        found = await asyncio.gather(*(self._server.run(_depth, "depth", [actor], lease) for actor in actors))
        return {actor: depth for actor, depth in zip(actors, found, strict=True) if depth is not None}

    @contextlib.asynccontextmanager
    async def open_dead_letters(self, actor: str) -> AsyncIterator[ListedDeadLetters]:
        """See `Transport.open_dead_letters`."""
        await self._source(actor)
        yield ListedDeadLetters(actor, self.limits, partial(self._page, actor), partial(self._take, actor))

    async def drop(self, actors: Sequence[str]) -> None:
        """See `Transport.drop`."""
        for actor in actors:
            await self._server.ask(int, "DEL", *self._server.keys(actor))

    async def _connect(self) -> None:
        await self._server.connect()

    async def _disconnect(self) -> None:
        await self._server.close()

    async def _source(self, actor: str) -> Stream:
        if actor not in await self.depth([actor]):
            raise self._server.missing(actor)
        return Stream(self._server, self.keeper, actor)

    def _carry_out(
        self, messages: Sequence[Outgoing], held: Held | None, settle: Settle, reason: str
    ) -> asyncio.Future[None]:
        own = [] if held is None else [held.consumer.actor]
        actors = list(dict.fromkeys([*own, *(each.actor for each in messages)]))

        def then(answer: list[Any]) -> None:
            if answer[0] == b"lost":
                raise lost()
            if answer[0] == b"missing":
                raise self._server.missing(actors[answer[1] - 1])
            if answer[0] == b"full":
                actor = actors[answer[1] - 1]
                raise RefusedError(f"the queue of {actor!r} is full (ASYA_REDIS_MAX_LENGTH)", actor=actor)

        if held is not None and settle is not Settle.ACK:
            more = [] if settle is Settle.RELEASE else [reason]
            return self._server.run(then, "put", actors, held.id, *more)
        words: list[Any] = [b"" if held is None else held.id, self._server.settings.max_length]
        for each in messages:
            words += (actors.index(each.actor) + 1, math.ceil(each.delay * 1000), each.body)
        return self._server.run(then, "send", actors, *words)

    async def _page(self, actor: str, after: DeadLetter | None) -> Sequence[DeadLetter]:
        start, stream = "-" if after is None else b"(" + after.token, self._server.keys(actor)[2]
        letters = []
        for id_, each in await self._server.ask(list, "XRANGE", stream, start, "+", "COUNT", AT_ONCE):
            reason, since = each[b"reason"].decode() or None, int(id_.partition(b"-")[0]) / 1000
            letters.append(DeadLetter(each[b"body"], actor, id_, reason, int(each[b"attempts"]), since))
        return letters

    async def _take(self, actor: str, letter: DeadLetter, body: bytes | None, publish: bool) -> bool:  # noqa: FBT001
        if not publish:
            return await self._server.ask(bool, "XDEL", self._server.keys(actor)[2], letter.token)
        return await self._server.run(bool, "redrive", [actor], letter.token, *([] if body is None else [body]))


class Stream:
    """An actor's stream, as a `Source`; read by a connection of its own."""

    def __init__(self, server: Server, keeper: LinkKeeper, actor: str) -> None:
        self.lease_seconds = server.settings.lease_seconds
        self._server, self._keeper, self._actor = server, keeper, actor
        self._client, self._client_id, self._made, self._key = server.client(), 0, 0, server.keys(actor)[0]

    async def receive(self, count: int) -> Sequence[Received]:
        """See `Source.receive`."""
        await self._keeper.there()
        read = ("XREADGROUP", "GROUP", "asya", "asya", "COUNT", count, "BLOCK", BLOCK_MS, "STREAMS", self._key, ">")
        if self._made != self._keeper.made:  # what was connected before has another number by now
            self._made, self._client_id = self._keeper.made, await self._server.alone(self._client, "CLIENT ID")
        found = await self._server.alone(self._client, *read)
        return [Received(id_, each[b"body"], int(each[b"n"]) + 1) for id_, each in (found[0][1] if found else ())]

    def interrupt(self) -> None:
        """See `Source.interrupt`."""
        asked = self._server.ask(bool, "CLIENT UNBLOCK", self._client_id)
        asked.add_done_callback(lambda done: done.cancelled() or done.exception())  # else the wait ends by itself

    async def release(self, id_: Hashable) -> None:
        """See `Source.release`."""
        await self._server.run(bool, "put", [self._actor], id_)

    async def extend(self, leases: Mapping[Hashable, float]) -> Collection[Hashable]:
        """See `Source.extend`; a lease is over when its entry was idle for that long."""
        begun = {id_: round(max(0.0, self.lease_seconds - seconds) * 1000) for id_, seconds in leases.items()}
        words = [word for pair in begun.items() for word in pair]
        return await self._server.run(list, "extend", [self._actor], *words)

    async def tend(self) -> float:
        """See `Source.tend`; what is due becomes ready, and so does what is held for longer than its lease."""
        words = (round(self.lease_seconds * 1000), AT_ONCE)
        return await self._server.run(float, "tend", [self._actor], *words) / 1000

    async def close(self) -> None:
        """See `Source.close`."""
        await self._client.aclose()


def _depth(answer: list[int] | None) -> Depth | None:
    if not answer:
        return None
    ready, held, delayed, dead, age = answer
    return Depth(ready, held, delayed, dead, age / 1000 if age >= 0 else None)
