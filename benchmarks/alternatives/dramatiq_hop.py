"""One Dramatiq worker process: consume, publish confirmed, acknowledge after processing."""

import os
import signal
import sys
import threading

import contract

if contract.VARIANT.endswith("greenlets"):
    from gevent import monkey

    monkey.patch_all()

# Dramatiq reads it when it is imported.
os.environ["dramatiq_queue_prefetch"] = str(contract.PREFETCH)  # noqa: SIM112  its spelling

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker


class Broker(RabbitmqBroker):
    """Dramatiq declares classic queues; for quorum queues the arguments are all that differs."""

    def _build_queue_arguments(self, queue_name: str) -> dict:
        arguments = super()._build_queue_arguments(queue_name)
        return {**arguments, "x-queue-type": "quorum"} if contract.QUEUE_TYPE == "quorum" else arguments


broker = Broker(url=contract.URL, confirm_delivery=True)  # with its default middleware: retries, time limit
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name=contract.TARGET)
def receive(message: dict) -> None:
    """Never runs here: the target queue only collects."""


@dramatiq.actor(queue_name=contract.SOURCE)
def hop(message: dict) -> None:
    """Send the message on; with confirm_delivery the call returns when the broker has it."""
    receive.send(message)


def describe() -> None:
    for name in (contract.SOURCE, contract.TARGET):
        broker.declare_queue(name, ensure=True)
    broker.close()
    messages = [hop.message(value).copy(message_id=contract.MESSAGE_ID) for value in contract.payloads()]
    contract.describe([message.encode() for message in messages], properties={"priority": 0})


def work() -> None:
    """Serve the source queue until SIGTERM, as ``dramatiq --processes 1 --queues SOURCE`` does."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    worker = dramatiq.Worker(broker, queues={contract.SOURCE}, worker_threads=int(contract.VARIANT.split()[0]))
    worker.start()
    stop.wait()
    worker.stop()


if __name__ == "__main__":
    describe() if sys.argv[1] == "describe" else work()
