"""Where rows run one after the other: a folder, and a RabbitMQ node that they may kill."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.rabbitmq import Broker

# Numbers of messages are asserted at the end of each row; the default would have each wait for five seconds.
TICK_SECONDS = 0.2


class Lane:
    """An async context manager. The node is started when the first row asks for it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="asya-torture-"))
        self._broker: Broker | None = None
        self._numbers = itertools.count()

    async def broker(self) -> Broker:
        """The lane's node, running."""
        if self._broker is None:
            self._broker = Broker(tick=TICK_SECONDS)
        if not self._broker.running:
            await asyncio.to_thread(self._broker.start)
        return self._broker

    def row_folder(self) -> Path:
        """A fresh folder."""
        made = self.folder / str(next(self._numbers))
        made.mkdir()
        return made

    async def drop_broker(self) -> None:
        """Throw the node away, so that a row that went wrong leaves nothing to the next one."""
        broker, self._broker = self._broker, None
        if broker is not None:
            await asyncio.to_thread(broker.remove)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.drop_broker()
        shutil.rmtree(self.folder, ignore_errors=True)
