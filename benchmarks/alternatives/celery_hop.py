"""One Celery worker: consume, publish confirmed, acknowledge late; nothing is stored and no events are sent."""

import json
import sys

import contract
from celery import Celery
from kombu import Exchange, Queue

POOL, _, SIZE = contract.VARIANT.partition(" ")
CONCURRENCY = int(SIZE or 1)


def queue(name: str) -> Queue:
    arguments = {"x-queue-type": "quorum"} if contract.QUEUE_TYPE == "quorum" else None
    return Queue(name, Exchange("bench.celery", type="direct"), routing_key=name, queue_arguments=arguments)


app = Celery("bench", broker=contract.URL)
app.conf.update(
    broker_transport_options={"confirm_publish": True},
    # An idle worker sends its last acknowledgements, and sees SIGTERM, at the next turn of its loop: let it turn.
    broker_heartbeat=4,
    broker_heartbeat_checkrate=4,
    broker_connection_retry_on_startup=True,
    task_acks_late=True,
    task_ignore_result=True,
    task_queues=[queue(contract.SOURCE), queue(contract.TARGET)],
    task_default_queue=contract.SOURCE,
    task_default_exchange="bench.celery",
    task_default_routing_key=contract.SOURCE,
    task_routes={"hop": {"queue": contract.SOURCE}, "receive": {"queue": contract.TARGET}},
    # Its prefetch is this many times the number of processes or threads.
    worker_prefetch_multiplier=max(1, contract.PREFETCH // CONCURRENCY),
    worker_send_task_events=False,
    worker_hijack_root_logger=False,
)


@app.task(name="receive")
def receive(message: dict) -> None:
    """Never runs here: the target queue only collects."""


@app.task(name="hop")
def hop(message: dict) -> None:
    """Send the message on; with confirm_publish the call returns when the broker has it."""
    receive.delay(message)


def describe() -> None:
    with app.connection_for_write() as connection:
        for each in app.conf.task_queues:
            each(connection.default_channel).declare()
    found = [app.amqp.as_task_v2(contract.MESSAGE_ID, "hop", args=(value,)) for value in contract.payloads()]
    bodies = [json.dumps(message.body).encode() for message in found]
    # The headers of the smallest do for all: of the payload they hold a shortened text, for logs.
    headers = {name: value for name, value in found[0].headers.items() if value is not None}
    properties = {"content_type": "application/json", "content_encoding": "utf-8", "priority": 0, "headers": headers}
    properties["correlation_id"] = contract.MESSAGE_ID
    contract.describe(bodies, exchange="bench.celery", properties=properties)


def work() -> None:
    """Serve the source queue until SIGTERM."""
    words = ["worker", "--pool", POOL, "--concurrency", str(CONCURRENCY), "--queues", contract.SOURCE]
    words += ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"]
    app.worker_main(words)


if __name__ == "__main__":
    describe() if sys.argv[1] == "describe" else work()
