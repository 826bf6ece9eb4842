"""Keeps an engine alive: connects, waits until it is lost, backs off with jitter, connects again."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from asya.errors import ConnectionLostError, TransportError
from asya.transports.base import Link
from asya.transports.parts import Backoff
from asya.transports.rabbitmq.engine import Connect, Engine

log = logging.getLogger(__name__)


class Session:
    """The engine that is alive now, if any; a new one is made when it is lost."""

    def __init__(self, connect: Connect, link: Link) -> None:
        self._connect = connect
        self._link = link
        self._engine: Engine | None = None
        self._blocked = ""
        self._refusals: dict[str, str] = {}
        self._there = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    @property
    def now(self) -> Engine:
        """The engine that is alive.

        Raises:
            ConnectionLostError: There is none at the moment.
        """
        if self._engine is None or self._engine.lost.done():
            raise ConnectionLostError(f"not connected: {self._link.reason or 'not opened'}")
        return self._engine

    async def engine(self) -> Engine:
        """Wait for an engine that is alive."""
        await self._there.wait()
        return self.now

    async def open(self) -> None:
        """Connect, however long it takes. Idempotent.

        Raises:
            DeniedError: Credentials, virtual host or certificate.
        """
        async with self._lock:
            if self._keeper is None:
                self._take(await self._persist(denial_is_final=True))
                self._keeper = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Disconnect, for good. Idempotent."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
        engine, self._engine = self._engine, None
        self._there.clear()
        self._link.set(False, "closed")
        if engine is not None:
            await engine.close()

    def interrupted(self, reason: str) -> None:
        """Tell those who hold deliveries that they may be void, although the connection lives."""
        if self._link.connected and self._engine is not None and not self._engine.lost.done():
            self._link.set(False, reason)
            self._tell()

    def receiving(self, queue: str, problem: str = "") -> None:
        """Tell why nothing comes from a queue although the connection lives; empty when it does."""
        self._refusals[queue] = problem
        self._tell()

    async def _keep(self) -> None:
        while self._engine is not None:
            # Shielded: this task may be cancelled, the engine's own future must not be.
            reason = await asyncio.shield(self._engine.lost)
            lost, self._engine = self._engine, None
            self._there.clear()
            self._link.set(False, reason)
            log.warning("connection to the broker lost: %s", reason)
            await lost.close()
            # What is wrong with the credentials may be put right meanwhile, and the link says what is the matter.
            self._take(await self._persist(denial_is_final=False))
            log.info("connected to the broker again")

    async def _persist(self, *, denial_is_final: bool) -> Engine:
        backoff = Backoff()
        while True:
            try:
                return await self._connect(self._on_blocked)
            except ConnectionLostError as error:
                self._note(error)
            except Exception as error:
                if denial_is_final:
                    raise
                if not isinstance(error, TransportError):
                    # Nobody else would ever connect again, so this goes on whatever happens.
                    log.exception("an error of ours while connecting")
                self._note(error)
            await backoff.wait()

    def _take(self, engine: Engine) -> None:
        self._engine = engine
        self._blocked = ""
        self._refusals.clear()
        self._there.set()
        self._tell()

    def _note(self, error: Exception) -> None:
        if self._link.reason != str(error):
            log.warning("no connection to the broker: %s", error)
        self._link.set(False, str(error))

    def _on_blocked(self, reason: str | None) -> None:
        if self._engine is not None:
            self._blocked = "" if reason is None else f"the broker takes no messages: {reason}"
            self._tell()

    def _tell(self) -> None:
        """Say what is wrong while the connection lives; when it does not, that is said by whoever noticed."""
        if self._engine is not None and not self._engine.lost.done():
            problem = self._blocked or next(filter(None, self._refusals.values()), "")
            self._link.set(not problem, problem)
