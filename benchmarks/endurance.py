"""What shows only with time: memory over very many messages, file descriptors over many lost connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from pamqp import commands
from tests.support.processes import until

from benchmarks.alternatives import raw_amqp
from benchmarks.amqp import Arrived, Feeder
from benchmarks.hops import CountError
from benchmarks.payload import SIZE, text
from benchmarks.procfs import descriptors, resident_mib
from benchmarks.workers import Lane, Ours, PodSettings, our_environment

_AHEAD = 2000
"""Messages that are under way at most, so that the broker is not what is measured."""
_STALLED = 60.0
WARM = 0.1
"""Part of the messages after which memory is expected to stay where it is."""


@dataclass
class Memory:
    """Resident memory of the sidecar in MiB by messages done so far."""

    points: list[tuple[int, float]] = field(default_factory=list)

    @property
    def last(self) -> float:
        return self.points[-1][1]

    def drift(self, total: int) -> float:
        """The farthest from where it was after the warm-up."""
        settled = [mib for count, mib in self.points if count >= total * WARM]
        return max(abs(mib - settled[0]) for mib in settled)


async def memory(
    lane: Lane, queue_type: str, folder: Path, settings: PodSettings, total: int, progress: Callable[[float], None]
) -> Memory:
    """Send `total` messages through one pod, taking them out behind it, and look at the sidecar's memory meanwhile.

    Raises:
        CountError: A message is lost, came twice, or nothing moved for a minute.
    """
    worker = Ours(our_environment(lane.url, queue_type), folder, settings)
    arrived, expected = Arrived(), text(SIZE)
    publisher, consumer = await raw_amqp.connect(lane.url, confirm=True), await raw_amqp.connect(lane.url)
    feeder = Feeder(publisher, lane.way, SIZE)
    sent = came = 0
    moved = asyncio.Event()

    def on_delivery(_: int, body: bytes) -> None:
        nonlocal came
        came += 1
        arrived.add(body, expected)
        moved.set()

    consumer.on_delivery = on_delivery
    await consumer.call(commands.Basic.Consume(queue=lane.target, no_ack=True))
    found = Memory()
    await worker.start()
    try:
        pid = worker.pids()["sidecar"]
        step = max(1, total // 200)
        while came < total:
            while sent < total and sent - came < _AHEAD:
                feeder.send(sent)
                sent += 1
            moved.clear()
            async with asyncio.timeout(_STALLED):
                await moved.wait()
            if not found.points or came >= found.points[-1][0] + step or came >= total:
                found.points.append((came, resident_mib(pid)))
                progress(came / total)
    except (TimeoutError, ProcessLookupError) as error:
        raise CountError(f"{came} of {total} messages arrived: {error!r}\n{worker.tail()}") from None
    finally:
        await worker.stop()
    await publisher.close()
    await consumer.close()
    arrived.check(total)
    return found


class Proxy:
    """Passes bytes between whoever connects and the broker, until `cut` ends all of these connections at once."""

    def __init__(self, port: int) -> None:
        self._broker_port = port
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> int:
        """Listen; return the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def cut(self) -> int:
        """End every connection; return how many there were."""
        writers, self._writers = self._writers, set()
        for writer in writers:
            writer.transport.abort()
        return len(writers) // 2

    async def close(self) -> None:
        self.cut()
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, onward = await asyncio.open_connection("127.0.0.1", self._broker_port)
        self._writers |= {writer, onward}
        await asyncio.gather(self._pass(reader, onward), self._pass(back, writer), return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()


async def reconnects(
    lane: Lane, queue_type: str, folder: Path, settings: PodSettings, times: int, progress: Callable[[float], None]
) -> list[int]:
    """Cut the sidecar's connections `times` times; return its file descriptors at the beginning and after each.

    Each time one message must pass before the next cut: only then it has come back.
    """
    proxy = Proxy(urlsplit(lane.url).port or 0)
    port = await proxy.start()
    parts = urlsplit(lane.url)
    through = urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}"))
    worker = Ours(our_environment(through, queue_type), folder, settings)
    publisher, consumer = await raw_amqp.connect(lane.url, confirm=True), await raw_amqp.connect(lane.url)
    feeder = Feeder(publisher, lane.way, SIZE)
    arrived = Arrived()
    expected = text(SIZE)
    consumer.on_delivery = lambda _, body: arrived.add(body, expected)
    await consumer.call(commands.Basic.Consume(queue=lane.target, no_ack=True))
    counts: list[int] = []
    await worker.start()
    try:
        pid = worker.pids()["sidecar"]
        for number in range(times + 1):
            feeder.send(number)
            await until(
                lambda number=number: arrived.numbers[number] > 0,  # type: ignore[misc]  # bound in each turn
                within=30,
                what=lambda number=number: f"message {number} after a reconnect\n{worker.tail()}",  # type: ignore[misc]  # as above
            )
            counts.append(await _settled(pid))
            progress(number / times)
            if number < times and not proxy.cut():
                raise CountError("the sidecar had no connection that could be cut")
    except (AssertionError, ProcessLookupError) as error:
        raise CountError(str(error)) from None
    finally:
        await worker.stop()
        await proxy.close()
    await publisher.close()
    await consumer.close()
    return counts


async def _settled(pid: int) -> int:
    """How many there are once their number stays the same: closing takes a turn or two of the loop."""
    last, since = descriptors(pid), time.monotonic()
    while time.monotonic() - since < 0.1:
        await asyncio.sleep(0.02)
        if (now := descriptors(pid)) != last:
            last, since = now, time.monotonic()
    return last
