"""The raw loop: what Python can do at most. One process, no features: decode, encode, publish, confirm, acknowledge."""

import json
import os
from collections.abc import Callable

import contract
import msgspec
import raw_amqp
import uvloop
from pamqp import commands

FAN_OUT = int(os.environ.get("BENCH_FAN_OUT", "1"))


def codec() -> tuple[Callable[[bytes], object], Callable[[object], bytes]]:
    """How JSON is read and written: as fast as Python can, or as the standard library does."""
    if contract.VARIANT != "json":
        return msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
    write = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
    return json.loads, lambda value: write(value).encode()


async def describe() -> None:
    connection = await raw_amqp.connect(contract.URL)
    arguments = {"x-queue-type": contract.QUEUE_TYPE}
    for name in (contract.SOURCE, contract.TARGET):
        await connection.call(commands.Queue.Declare(queue=name, durable=True, arguments=arguments))
    await connection.close()
    contract.describe(contract.plain(contract.payloads()))


async def work() -> None:
    """Serve until SIGTERM ends the process: what is not acknowledged then goes back into the queue."""
    consumer = await raw_amqp.connect(contract.URL, prefetch=contract.PREFETCH)
    publisher = await raw_amqp.connect(contract.URL, confirm=True)
    properties = {"delivery_mode": raw_amqp.PERSISTENT}
    message = raw_amqp.Template("", contract.TARGET, properties, publisher.frame_max).message
    decode, encode = codec()
    tags: dict[int, int] = {}
    published = confirmed = 0

    def on_delivery(tag: int, body: bytes) -> None:
        nonlocal published
        value = decode(body)
        for _ in range(FAN_OUT):
            published += 1
            publisher.write(message(encode(value)))
        # The last of several stands for all: the ones before it are waited for by the order below.
        tags[published] = tag

    def on_confirm(number: int, multiple: bool) -> None:
        nonlocal confirmed
        if multiple:
            for each in range(confirmed + 1, number + 1):
                if tag := tags.pop(each, None):
                    consumer.ack(tag)
            confirmed = number
        elif tag := tags.pop(number, None):
            consumer.ack(tag)

    consumer.on_delivery, publisher.on_confirm = on_delivery, on_confirm
    await consumer.call(commands.Basic.Consume(queue=contract.SOURCE))
    await consumer.closed


if __name__ == "__main__":
    import sys

    uvloop.run(describe() if sys.argv[1] == "describe" else work())
