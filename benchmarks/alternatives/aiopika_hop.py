"""A bare aio-pika loop, as somebody would write it who wants nothing but speed."""

import asyncio
import signal
import sys

import aio_pika
import contract
import msgspec
import uvloop


async def describe() -> None:
    async with await aio_pika.connect(contract.URL) as connection:
        channel = await connection.channel()
        for name in (contract.SOURCE, contract.TARGET):
            await channel.declare_queue(name, durable=True, arguments={"x-queue-type": contract.QUEUE_TYPE})
    contract.describe(contract.plain(contract.payloads()))


async def work() -> None:
    """Serve until SIGTERM."""
    consuming, publishing = await aio_pika.connect(contract.URL), await aio_pika.connect(contract.URL)
    channel = await consuming.channel()
    await channel.set_qos(prefetch_count=contract.PREFETCH)
    exchange = (await publishing.channel(publisher_confirms=True)).default_exchange
    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode

    async def hop(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        out = aio_pika.Message(encode(decode(message.body)), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await exchange.publish(out, contract.TARGET)
        await message.ack()

    await (await channel.get_queue(contract.SOURCE)).consume(hop)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await consuming.close()
    await publishing.close()


if __name__ == "__main__":
    uvloop.run(describe() if sys.argv[1] == "describe" else work())
