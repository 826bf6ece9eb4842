"""One Celery worker on SQS, set up as its page on SQS advises: queues that exist, long polls, acknowledged late."""

import base64
import os
import sys

import boto3
import contract
from celery import Celery

POOL, _, SIZE = contract.VARIANT.partition(" ")
CONCURRENCY = int(SIZE or 1)
REGION = os.environ["AWS_DEFAULT_REGION"]

sqs = boto3.client("sqs", endpoint_url=contract.URL)


def url(name: str) -> str:
    return sqs.get_queue_url(QueueName=name)["QueueUrl"]


queues = {name: {"url": url(name), "region": REGION} for name in (contract.SOURCE, contract.TARGET)}
for queue in queues.values():
    queue["access_key_id"], queue["secret_access_key"] = (
        os.environ["AWS_ACCESS_KEY_ID"],
        os.environ["AWS_SECRET_ACCESS_KEY"],
    )
app = Celery("bench", broker=contract.URL.replace("http://", "sqs://"))
app.conf.update(
    broker_transport_options={
        "predefined_queues": queues,
        "wait_time_seconds": 20,
        "visibility_timeout": 600,
        "is_secure": False,
        "region": REGION,
    },
    broker_connection_retry_on_startup=True,
    task_acks_late=True,
    task_ignore_result=True,
    task_default_queue=contract.SOURCE,
    task_routes={"hop": {"queue": contract.SOURCE}, "receive": {"queue": contract.TARGET}},
    worker_prefetch_multiplier=max(1, contract.PREFETCH // CONCURRENCY),
    worker_send_task_events=False,
    worker_enable_remote_control=False,
    worker_hijack_root_logger=False,
)


@app.task(name="receive")
def receive(message: dict) -> None:
    """Never runs here: the target queue only collects."""


@app.task(name="hop")
def hop(message: dict) -> None:
    """Send the message on; the call returns when SQS has it."""
    receive.delay(message)


def describe() -> None:
    """Have Celery send each payload, and take what lies in the queue then."""
    bodies = []
    for value in contract.payloads():
        hop.apply_async(args=(value,), task_id=contract.MESSAGE_ID)
        (found,) = sqs.receive_message(QueueUrl=queues[contract.SOURCE]["url"], WaitTimeSeconds=20)["Messages"]
        sqs.delete_message(QueueUrl=queues[contract.SOURCE]["url"], ReceiptHandle=found["ReceiptHandle"])
        bodies.append(base64.b64decode(found["Body"]))
    contract.describe(bodies)


def work() -> None:
    """Serve the source queue until SIGTERM."""
    words = ["worker", "--pool", POOL, "--concurrency", str(CONCURRENCY), "--queues", contract.SOURCE]
    words += ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"]
    app.worker_main(words)


if __name__ == "__main__":
    describe() if sys.argv[1] == "describe" else work()
