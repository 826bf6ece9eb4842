"""CPU time per hop of the ways to use Pub/Sub from Python, against an emulator.

Run as `python benchmarks/pubsub_clients.py KIND ENDPOINT [BYTES] [CREDIT]`. A hop receives a message, publishes another
of the same size, waits for the confirmation and acknowledges, with at most `CREDIT` messages under way. The kinds:
`google`, google-cloud-pubsub's own subscriber and publisher; `async`, the generated client on grpc.aio with batches
made by hand; `transport` and `pull`, ours by its two ways to receive. The emulator's time does not count.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
import uuid
from pathlib import Path

HOPS, PROJECT = 5000, "bench"
kind, endpoint = sys.argv[1:3]
body = b"x" * int((sys.argv[3:4] or ["1000"])[0])
credit = int((sys.argv[4:5] or ["50"])[0])
os.environ["PUBSUB_EMULATOR_HOST"] = endpoint
started = time.process_time(), time.perf_counter()


def memory():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def report(ready, before, wall):
    cpu = time.process_time() - before
    print(
        f"{kind:9} {cpu / HOPS * 1e6:6.0f} us CPU/hop, {HOPS / (time.perf_counter() - wall):6.0f} hops/s, "
        f"{memory():4.0f} MiB, ready after {ready[0] * 1e3:.0f} ms of CPU, {ready[1] * 1e3:.0f} ms"
    )


def since_start():
    return time.process_time() - started[0], time.perf_counter() - started[1]


async def transport(receive="stream"):
    from asya.transports import Outgoing, QueueNames, QueueSpec
    from asya.transports.pubsub import PubsubTransport
    from asya.transports.settings import PubsubSettings

    settings = PubsubSettings(project=PROJECT, endpoint=endpoint, receive=receive)
    ours = PubsubTransport(QueueNames(f"n{uuid.uuid4().hex[:8]}"), settings)
    await ours.open()
    ready = since_start()
    await ours.declare([QueueSpec("a"), QueueSpec("b")])
    for _ in range(HOPS // 500):
        await ours.publish([Outgoing("a", body)] * 500)
    left, finished = HOPS, asyncio.Event()

    def settled(done):
        nonlocal left
        done.result()
        left -= 1
        if not left:
            finished.set()

    before, wall = time.process_time(), time.perf_counter()
    await ours.consume("a", credit, lambda d: ours.complete(d, [Outgoing("b", d.body)]).add_done_callback(settled))
    await finished.wait()
    report(ready, before, wall)
    await ours.close()


def names():
    name = uuid.uuid4().hex[:8]
    return [f"projects/{PROJECT}/topics/bench{end}{name}" for end in "ab"]


def google():
    import threading

    from google.cloud import pubsub_v1

    publisher, subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()
    ready = since_start()
    source, sink = names()
    subscription = source.replace("/topics/", "/subscriptions/")
    for topic in (source, sink):
        publisher.create_topic(name=topic)
        subscriber.create_subscription(
            name=topic.replace("/topics/", "/subscriptions/"), topic=topic, ack_deadline_seconds=60
        )
    for done in [publisher.publish(source, body) for _ in range(HOPS)]:
        done.result()
    left, lock, finished = HOPS, threading.Lock(), threading.Event()

    def receive(message):
        def confirmed(done):
            nonlocal left
            done.result()
            message.ack()
            with lock:
                left -= 1
                if not left:
                    finished.set()

        publisher.publish(sink, message.data).add_done_callback(confirmed)

    before, wall = time.process_time(), time.perf_counter()
    flow = pubsub_v1.types.FlowControl(max_messages=credit)
    pulling = subscriber.subscribe(subscription, receive, flow_control=flow)
    finished.wait()
    report(ready, before, wall)
    pulling.cancel()
    pulling.result()


async def generated():
    import grpc.aio
    from google.pubsub_v1 import PublisherAsyncClient, SubscriberAsyncClient, types
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
    from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport

    channel = grpc.aio.insecure_channel(endpoint, options=[("grpc.max_receive_message_length", -1)])
    publisher = PublisherAsyncClient(transport=PublisherGrpcAsyncIOTransport(channel=channel))
    subscriber = SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=channel))
    await channel.channel_ready()
    ready = since_start()
    source, sink = names()
    subscription = source.replace("/topics/", "/subscriptions/")
    for topic in (source, sink):
        await publisher.create_topic(name=topic)
        name = topic.replace("/topics/", "/subscriptions/")
        await subscriber.create_subscription(name=name, topic=topic, ack_deadline_seconds=60)
    for _ in range(HOPS // 500):
        await publisher.publish(topic=source, messages=[types.PubsubMessage(data=body)] * 500)
    left = HOPS

    async def requests():
        yield types.StreamingPullRequest(
            subscription=subscription, stream_ack_deadline_seconds=60, max_outstanding_messages=credit
        )
        await asyncio.Event().wait()

    before, wall = time.process_time(), time.perf_counter()
    async for response in await subscriber.streaming_pull(requests()):
        received = list(response.received_messages)
        for start in range(0, len(received), credit):
            part = received[start : start + credit]
            await publisher.publish(topic=sink, messages=[types.PubsubMessage(data=one.message.data) for one in part])
            await subscriber.acknowledge(subscription=subscription, ack_ids=[one.ack_id for one in part])
        left -= len(received)
        if left <= 0:
            break
    report(ready, before, wall)
    os._exit(0)


if __name__ == "__main__":
    match kind:
        case "transport":
            asyncio.run(transport())
        case "pull":
            asyncio.run(transport("pull"))
        case "google":
            google()
        case "async":
            asyncio.run(generated())
