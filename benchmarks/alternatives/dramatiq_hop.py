"""One Dramatiq worker process: consume, publish confirmed, acknowledge. Runs in the environment of the alternatives."""

import json
import os
import signal
import sys
import threading

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

URL, SOURCE, TARGET = os.environ["BENCH_URL"], os.environ["BENCH_SOURCE"], os.environ["BENCH_TARGET"]
# How many messages are held at once, dramatiq reads from dramatiq_queue_prefetch when it is imported.
THREADS = int(os.environ["BENCH_THREADS"])


class QuorumBroker(RabbitmqBroker):
    """Dramatiq declares classic queues; the arguments are all that differs."""

    def _build_queue_arguments(self, queue_name: str) -> dict:
        return {**super()._build_queue_arguments(queue_name), "x-queue-type": "quorum"}


broker = QuorumBroker(url=URL, confirm_delivery=True)  # with its default middleware: retries, time limit
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name=TARGET)
def receive(message: dict) -> None:
    """Never runs here: the target queue only collects."""


@dramatiq.actor(queue_name=SOURCE)
def hop(message: dict) -> None:
    """Send the message on; with confirm_delivery the call returns when the broker has it."""
    receive.send(message)


def fill(total: int, body: bytes) -> None:
    """Put `total` messages into the source queue."""
    message = json.loads(body)
    for name in (SOURCE, TARGET):
        broker.declare_queue(name, ensure=True)
    broker.confirm_delivery = False  # preparation only; the count is checked before the measurement
    del broker.channel
    for _ in range(total):
        hop.send(message)
    broker.close()


def work() -> None:
    """Serve the source queue until SIGTERM, as ``dramatiq --processes 1 --queues SOURCE`` does."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    worker = dramatiq.Worker(broker, queues={SOURCE}, worker_threads=THREADS)
    worker.start()
    stop.wait()
    worker.stop()


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        fill(int(sys.argv[2]), sys.stdin.buffer.read())
    else:
        work()
