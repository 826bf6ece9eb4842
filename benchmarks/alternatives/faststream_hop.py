"""One FastStream worker: consume, publish confirmed, acknowledge after processing."""

import asyncio
import signal
import sys

import contract
import uvloop
from faststream.rabbit import Channel, RabbitBroker, RabbitQueue
from faststream.rabbit.schemas.queue import QueueType

KIND = QueueType(contract.QUEUE_TYPE)
# Its default checks arguments against the handler's types; "unchecked" is its documented way to do without.
CHECKED = contract.VARIANT != "unchecked"


async def describe() -> None:
    async with RabbitBroker(contract.URL, logger=None) as broker:
        for name in (contract.SOURCE, contract.TARGET):
            await broker.declare_queue(RabbitQueue(name, queue_type=KIND))
    contract.describe(contract.plain(contract.payloads()), properties={"content_type": "application/json"})


async def work() -> None:
    """Serve until SIGTERM."""
    broker = RabbitBroker(
        contract.URL,
        logger=None,
        apply_types=CHECKED,
        default_channel=Channel(prefetch_count=contract.PREFETCH, publisher_confirms=True),
    )

    @broker.subscriber(RabbitQueue(contract.SOURCE, queue_type=KIND))
    @broker.publisher(RabbitQueue(contract.TARGET, queue_type=KIND), persist=True)
    async def hop(message: dict) -> dict:
        return message

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await broker.start()
    await stop.wait()
    await broker.stop()


if __name__ == "__main__":
    uvloop.run(describe() if sys.argv[1] == "describe" else work())
