"""Redis by redis-py: calls in pipelines, its errors in our words."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from redis import exceptions as theirs
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from asya.errors import ConnectionLostError, DeniedError, NoDestinationError, RefusedError, TransportError
from asya.transports.naming import QueueNames
from asya.transports.parts import Gathering, LinkKeeper
from asya.transports.settings import RedisSettings

log = logging.getLogger(__name__)
REPLICA_MS, ANSWER_SECONDS, CALLS = 2000, 10.0, 128
_SCRIPT: Final = Path(__file__).with_name("queue.lua").read_bytes()
# By code, where the code is kept, or by redis-py's class; before Redis 7 what a script ran into stands inside the text.
_DENIED, _FULL = ("NOPERM", "NoPermission", "Authentication"), ("OOM", "OutOfMemory", "MISCONF", "NOREPLICAS")
_GONE: Final = ("READONLY", "ReadOnly", "NOSCRIPT", "NoScript", "MASTERDOWN")

T = TypeVar("T")


class Server:
    """One namespace's keys. `keeper` hears when the server is gone."""

    def __init__(self, names: QueueNames, settings: RedisSettings, keeper: LinkKeeper) -> None:
        self.names, self.settings, self._keeper = names, settings, keeper
        self._client, self._script = self.client(), b""
        self._calls: Gathering[tuple[Any, ...], Any] = Gathering(self._pipeline, CALLS)

    def client(self) -> Redis:
        """Return a client of its own; it tries nothing twice, as a call may have been carried out."""
        given: dict[str, Any] = {"username": self.settings.username, "password": self.settings.password}
        given |= {"protocol": 2, "retry": Retry(NoBackoff(), 0), "socket_timeout": ANSWER_SECONDS}
        client: Redis = Redis.from_url(self.settings.url or "", **given)
        return client

    async def connect(self) -> None:
        """Connect anew, as the name may lead elsewhere by now, and see that the server is what was asked for."""
        await self._client.connection_pool.disconnect(inuse_connections=False)
        info = await self.alone(self._client, "INFO")
        try:
            fsync = (await self.alone(self._client, "CONFIG GET", "appendfsync"))["appendfsync"]
        except ConnectionLostError:
            raise
        except TransportError:  # managed servers do not let one ask
            fsync = None
        if problem := _problem(info, fsync, self.settings.appendfsync):
            await self._client.connection_pool.disconnect()
            raise TransportError(f"Redis is refused: {problem}")
        self._script = await self.alone(self._client, "SCRIPT LOAD", _SCRIPT)

    async def close(self) -> None:
        """Wait for the answers that are under way, for some time, and disconnect. Idempotent."""
        await self._calls.flush(ANSWER_SECONDS / 2)
        await self._client.aclose()

    def keys(self, actor: str) -> tuple[str, str, str, str]:
        """Return an actor's keys: messages, delayed ones, dead letters, settings."""
        queue = self.names.queue(actor)
        return queue, f"{queue}.delay", self.names.dead_letters(actor), f"{queue}.settings"

    def missing(self, actor: str) -> NoDestinationError:
        """Return what is said of an actor without a queue."""
        return NoDestinationError(actor=actor, queue=self.names.queue(actor))

    def run(self, then: Callable[[Any], T], operation: str, actors: Sequence[str], *words: object) -> asyncio.Future[T]:
        """Have the script do something with the queues of `actors`; `then` makes of the answer what is returned."""
        keys = [key for actor in actors for key in self.keys(actor)]
        return self.ask(then, "EVALSHA", self._script, len(keys), *keys, operation, *words)

    def ask(self, then: Callable[[Any], T], *words: object) -> asyncio.Future[T]:
        """Send a command, together with what is asked for meanwhile."""
        return self._calls.submit(words, lambda answer: then(self._checked(answer)))

    async def alone(self, client: Redis, *words: object) -> Any:  # noqa: ANN401  whatever Redis answers
        """Send a command by a client of its own."""
        try:
            return await client.execute_command(*words)  # type: ignore[no-untyped-call]
        except (theirs.RedisError, OSError, TypeError) as error:  # TypeError: an unknown word in the URL
            await client.connection_pool.disconnect()
            return self._checked(error)

    def _checked(self, answer: Any) -> Any:  # noqa: ANN401  whatever Redis answers
        if not isinstance(answer, Exception):
            return answer
        if isinstance(answer, TransportError):
            raise answer
        kind, text = type(answer).__name__, f"Redis: {answer}"
        if any(word in f"{kind} {text}" for word in _DENIED):
            raise DeniedError(text) from answer
        broken = isinstance(answer, OSError | theirs.ConnectionError | theirs.TimeoutError)
        if broken or any(word in f"{kind} {text}" for word in _GONE):
            self._keeper.lost(text)
            raise ConnectionLostError(text) from answer
        raise (RefusedError if any(word in f"{kind} {text}" for word in _FULL) else TransportError)(text) from answer

    async def _pipeline(self, calls: Sequence[tuple[Any, ...]]) -> Sequence[Any]:
        try:
            self._keeper.check()
            pipeline, replicas = self._client.pipeline(transaction=False), self.settings.replicas
            for words in [*calls, ("WAIT", replicas, REPLICA_MS)] if replicas else calls:
                pipeline.execute_command(*words)
            answers: list[Any] = await pipeline.execute(raise_on_error=False)
            if replicas and self._checked(answers.pop()) < replicas:
                raise ConnectionLostError(f"not all of {replicas} replicas have it after {REPLICA_MS} ms")
        except (theirs.RedisError, OSError, TransportError) as error:
            return [error] * len(calls)
        return answers


def _problem(info: dict[str, Any], fsync: str | None, wanted: str) -> str:
    """Return what is wrong with a server that does not keep what it has confirmed."""
    fsyncs, has = ("no", "everysec", "always"), fsync if info["aof_enabled"] else "no"
    if tuple(map(int, info["redis_version"].split(".")[:2])) < (6, 2):
        return f"it is version {info['redis_version']}, expected 6.2 or later"
    if info.get("cluster_enabled"):
        return "it is a cluster, which cannot publish and settle in one step"
    if info["maxmemory_policy"] != "noeviction":
        return f"its maxmemory-policy is {info['maxmemory_policy']}, by which it drops messages; expected noeviction"
    if has is None:
        log.warning("Redis does not tell its appendfsync; that it is at least %s is taken on trust", wanted)
    elif fsyncs.index(has) < fsyncs.index(wanted):
        own = f"appendonly is {'yes' if info['aof_enabled'] else 'no'}, its appendfsync {fsync}"
        return f"its {own}, ASYA_REDIS_APPENDFSYNC asks for {wanted}: a crash would lose what it has confirmed"
    return ""
