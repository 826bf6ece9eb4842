"""Where rows run one after the other: a folder, and brokers of their own, which they may kill."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.moto_server import MotoServer
from tests.support.pubsub import Emulator
from tests.support.rabbitmq import Broker
from tests.torture import clouds
from tests.torture.model import PUBSUB, RABBITMQ, SQS

# Numbers of messages are asserted at the end of each row; the default would have each wait for five seconds.
TICK_SECONDS = 0.2


class Lane:
    """An async context manager. What moves messages is started when the first row asks for it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="asya-torture-"))
        self._broker: Broker | None = None
        self._moto: MotoServer | None = None
        self._emulator: Emulator | None = None
        self._numbers = itertools.count()

    async def broker(self) -> Broker:
        """The lane's node, running."""
        if self._broker is None:
            self._broker = Broker(tick=TICK_SECONDS)
        if not self._broker.running:
            await asyncio.to_thread(self._broker.start)
        return self._broker

    async def sqs(self) -> MotoServer:
        """The lane's SQS, running."""
        if self._moto is None:
            self._moto = await asyncio.to_thread(clouds.start_sqs)
        return self._moto

    async def pubsub(self) -> Emulator:
        """The lane's Pub/Sub, running; raises `NotInstalledError` where there is none."""
        if self._emulator is None:
            self._emulator = await asyncio.to_thread(clouds.start_pubsub)
        return self._emulator

    def row_folder(self) -> Path:
        """A fresh folder."""
        made = self.folder / str(next(self._numbers))
        made.mkdir()
        return made

    async def drop(self, transport: str) -> None:
        """Throw a broker away, so that a row that went wrong leaves nothing to the next one."""
        broker, moto, emulator = self._broker, self._moto, self._emulator
        if transport == RABBITMQ and broker is not None:
            self._broker = None
            await asyncio.to_thread(broker.remove)
        elif transport == SQS and moto is not None:
            self._moto = None
            await asyncio.to_thread(moto.__exit__, None, None, None)
        elif transport == PUBSUB and emulator is not None:
            self._emulator = None
            await asyncio.to_thread(emulator.remove)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for transport in (RABBITMQ, SQS, PUBSUB):
            await self.drop(transport)
        shutil.rmtree(self.folder, ignore_errors=True)
