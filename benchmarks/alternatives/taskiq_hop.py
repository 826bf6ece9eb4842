"""One Taskiq worker process on aio-pika and uvloop: consume, publish confirmed, acknowledge when executed."""

import asyncio
import os
import sys
from pathlib import Path

import contract
from taskiq import TaskiqEvents
from taskiq_aio_pika import AioPikaBroker, Exchange, Queue, QueueType

EXCHANGE = "bench.taskiq"


def of(name: str) -> AioPikaBroker:
    """A broker of one queue, because a worker serves every queue that its broker knows."""
    kind = QueueType(contract.QUEUE_TYPE)
    return AioPikaBroker(
        contract.URL,
        qos=contract.PREFETCH,
        exchange=Exchange(name=EXCHANGE),
        task_queues=[Queue(name=name, type=kind, routing_key=name)],
        dead_letter_queue=Queue(name="bench.taskiq.dead", type=kind),
    )


broker, onward = of(contract.SOURCE), of(contract.TARGET)


@onward.task(task_name="receive")
async def receive(message: dict) -> None:
    """Never runs here: the target queue only collects."""


@broker.task(task_name="hop")
async def hop(message: dict) -> None:
    """Send the message on; the call returns when the broker has confirmed it."""
    await receive.kiq(message)


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def begin(_: object) -> None:
    await onward.startup()


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def end(_: object) -> None:
    await onward.shutdown()


async def describe() -> None:
    await broker.startup()
    await onward.startup()
    await broker.shutdown()
    await onward.shutdown()
    bodies = []
    for value in contract.payloads():
        task = hop.kicker().with_task_id(contract.MESSAGE_ID)._prepare_message(value)  # noqa: SLF001  no public way
        bodies.append(broker.formatter.dumps(task).message)
    headers = {"task_id": contract.MESSAGE_ID, "task_name": "hop"}
    contract.describe(bodies, exchange=EXCHANGE, properties={"headers": headers})


def work() -> None:
    """Become its own command: one worker process."""
    command = [sys.executable, "-m", "taskiq", "worker", "taskiq_hop:broker", "--workers", "1"]
    command += ["--max-async-tasks", str(contract.PREFETCH), "--ack-type", "when_executed", "--log-level", "WARNING"]
    os.chdir(Path(__file__).parent)
    os.execv(sys.executable, command)


if __name__ == "__main__":
    asyncio.run(describe()) if sys.argv[1] == "describe" else work()
