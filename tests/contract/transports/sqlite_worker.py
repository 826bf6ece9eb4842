"""A process that moves messages from one queue to the next until it is killed. Run by `test_sqlite_only.py`.

Arguments: database, actor to take from, actor to send to. A message is held for 20 ms, as by a handler at work.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from asya.transports import Delivery, Outgoing, QueueNames
from asya.transports.settings import SqliteSettings
from asya.transports.sqlite import SqliteTransport


async def work(database: Path, source: str, destination: str) -> None:
    transport = SqliteTransport(
        QueueNames("t"), SqliteSettings(path=database, lease_seconds=0.5, message_bytes=1024 * 1024)
    )
    await transport.open()
    loop = asyncio.get_running_loop()
    going: set[asyncio.Future[None]] = set()

    def receive(delivery: Delivery) -> None:
        loop.call_later(0.02, pass_on, delivery)

    def pass_on(delivery: Delivery) -> None:
        done = transport.complete(delivery, [Outgoing(destination, delivery.body)])
        going.add(done)
        done.add_done_callback(settled)

    def settled(done: asyncio.Future[None]) -> None:
        going.discard(done)
        done.exception()  # a lost lease is what a slow process gets; the message is somebody else's then

    await transport.consume(source, 20, receive)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
