"""One FastStream worker: consume, publish confirmed, acknowledge. Runs in the environment of the alternatives."""

import asyncio
import os
import signal
import sys

import uvloop
from faststream.rabbit import Channel, RabbitBroker, RabbitQueue
from faststream.rabbit.schemas.queue import QueueType

URL, SOURCE, TARGET = os.environ["BENCH_URL"], os.environ["BENCH_SOURCE"], os.environ["BENCH_TARGET"]
PREFETCH = int(os.environ["BENCH_PREFETCH"])


async def fill(total: int, body: bytes) -> None:
    """Put `total` messages into the source queue, 100 unconfirmed at a time."""
    async with RabbitBroker(URL, logger=None) as broker:
        for name in (SOURCE, TARGET):
            await broker.declare_queue(RabbitQueue(name, queue_type=QueueType.QUORUM))
        for start in range(0, total, 100):
            await asyncio.gather(
                *(
                    broker.publish(body, SOURCE, persist=True, content_type="application/json")
                    for _ in range(min(100, total - start))
                )
            )


async def work() -> None:
    """Serve until SIGTERM."""
    broker = RabbitBroker(URL, logger=None, default_channel=Channel(prefetch_count=PREFETCH))
    target = RabbitQueue(TARGET, queue_type=QueueType.QUORUM)

    @broker.subscriber(RabbitQueue(SOURCE, queue_type=QueueType.QUORUM))
    @broker.publisher(target, persist=True)
    async def hop(message: dict) -> dict:
        return message

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await broker.start()
    await stop.wait()
    await broker.stop()


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        uvloop.run(fill(int(sys.argv[2]), sys.stdin.buffer.read()))
    else:
        uvloop.run(work())
