"""CPU time per message of the ways to call SQS from asyncio, against an endpoint that is given.

Run as `python benchmarks/sqs_clients.py threads|aiobotocore ENDPOINT`, by an interpreter that has the library. Each
message is sent, received and deleted; calls carry one message or ten. The server's time does not count.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import partial

MESSAGES, TASKS = 600, 4
REGION = "eu-west-1"
BODY = json.dumps({"id": "x" * 36, "route": {"prev": [], "curr": "a", "next": []}, "payload": "y" * 800})


async def work(call, queue, size):
    """Send, receive and delete `MESSAGES` in calls of `size`; returns how many calls that took."""
    left, calls = MESSAGES, 0

    async def one():
        nonlocal left, calls
        while left > 0:
            left -= size
            entries = [{"Id": str(number), "MessageBody": BODY} for number in range(size)]
            await call("send_message_batch", QueueUrl=queue, Entries=entries)
            found = await call("receive_message", QueueUrl=queue, MaxNumberOfMessages=size, WaitTimeSeconds=1)
            got = found.get("Messages", [])
            calls += 2
            if got:
                handles = [{"Id": str(n), "ReceiptHandle": each["ReceiptHandle"]} for n, each in enumerate(got)]
                await call("delete_message_batch", QueueUrl=queue, Entries=handles)
                calls += 1

    await asyncio.gather(*(one() for _ in range(TASKS)))
    return calls


async def measure(call):
    """Print CPU time per message, for calls of one and of ten."""
    url = (await call("create_queue", QueueName=f"bench{uuid.uuid4().hex[:8]}"))["QueueUrl"]
    await work(call, url, 10)
    for size in (1, 10):
        before, wall = time.process_time(), time.perf_counter()
        calls = await work(call, url, size)
        cpu = time.process_time() - before
        print(
            f"{size:2} per call: {cpu / MESSAGES * 1e6:6.0f} us CPU/message, {cpu / calls * 1e6:6.0f} us/call, "
            f"{calls / MESSAGES:.2f} calls/message, {MESSAGES / (time.perf_counter() - wall):5.0f} messages/s"
        )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


async def threads(endpoint):
    """Botocore, each call in a thread."""
    import botocore.session

    session = botocore.session.get_session()
    client = session.create_client(
        "sqs", REGION, endpoint_url=endpoint, aws_access_key_id="a", aws_secret_access_key="b"
    )
    pool = ThreadPoolExecutor(TASKS)
    loop = asyncio.get_running_loop()
    await measure(lambda name, **kwargs: loop.run_in_executor(pool, partial(getattr(client, name), **kwargs)))


async def aiobotocore(endpoint):
    """Aiobotocore, on the loop."""
    from aiobotocore.session import get_session

    session = get_session()
    async with session.create_client(
        "sqs", REGION, endpoint_url=endpoint, aws_access_key_id="a", aws_secret_access_key="b"
    ) as client:
        await measure(lambda name, **kwargs: getattr(client, name)(**kwargs))


if __name__ == "__main__":
    asyncio.run({"threads": threads, "aiobotocore": aiobotocore}[sys.argv[1]](sys.argv[2]))
