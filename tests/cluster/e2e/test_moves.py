"""A namespace moves to another broker while messages are under way, and back again: none is lost.

Some messages wait for a retry meanwhile, at each actor, longer than an idle actor keeps its pods. On RabbitMQ such a
message is in no queue of its actor.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pytest
from tests.cluster.e2e.cloud_mail import SqsMail
from tests.cluster.e2e.clouds import Clouds, gone
from tests.cluster.e2e.flow import Flow
from tests.cluster.e2e.mail import Mail
from tests.cluster.e2e.report import Report
from tests.cluster.e2e.stage import Stage
from tests.cluster.e2e.target import Own
from tests.cluster.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(3000), pytest.mark.xdist_group("e2e")]
NAMESPACE = "moving"
ROUTE = ("cut", "paint", "glue")
CREW = ("x-sink", "x-sump")
MESSAGES, MILLISECONDS = int(os.environ.get("ASYA_E2E_MESSAGES", "1000")), 10
MORE = MESSAGES // 5
"""Messages that are under way when the move begins, and those that are sent to the new broker meanwhile."""
DELAY, EVERY = 25, 10
"""Seconds between two attempts, and which messages need two at each actor."""
SCALING = {"minReplicaCount": 0, "maxReplicaCount": 1, "pollingInterval": 1, "cooldownPeriod": 5}
POLICY = {"maxAttempts": 3, "backoff": "constant", "initialDelay": f"{DELAY}s", "jitter": False}
SECONDS = 900


@pytest.fixture
def moving(own: Own, clouds: Clouds) -> Iterator[Stage]:
    """Three actors in a row on RabbitMQ."""
    made = Stage(own, NAMESPACE)
    made.mail.forget()
    spec = {"handler": "work.later", "scaling": SCALING, "resiliency": {"policies": {"default": POLICY}}}
    made.kubectl.apply(*(made.actor(name, transport="rabbitmq", **spec) for name in ROUTE))
    made.ready(*ROUTE, *CREW, seconds=300)
    # The operator goes on saying everything else of its crew, the transport too.
    quick = f'{{"spec": {{"scaling": {{"cooldownPeriod": {SCALING["cooldownPeriod"]}}}}}}}'
    for name in CREW:
        made.kubectl("patch", f"asyncactor/{name}", f"--namespace={NAMESPACE}", "--type=merge", f"--patch={quick}")
    yield made
    gone(own, NAMESPACE)


def payloads(count: int) -> list[dict[str, Any]]:
    return [{"n": n, "ms": MILLISECONDS, "refusals": int(n % EVERY == 0)} for n in range(count)]


def move(stage: Stage, transport: str) -> None:
    """Change the field of all actors; return when all have begun to move, and the new queues can be sent to."""
    for name in ROUTE:
        change = f'{{"spec": {{"transport": "{transport}"}}}}'
        stage.kubectl("patch", f"asyncactor/{name}", f"--namespace={NAMESPACE}", "--type=merge", f"--patch={change}")
    on = partial(all_say, stage, transport)
    wait_until("the beginning of the move", lambda: on("TransportMoved", "False"), 180, lambda: _told(stage))
    wait_until(f"the queues on {transport}", lambda: on("QueueReady", "True"), 300, lambda: _told(stage))


def all_say(stage: Stage, transport: str, condition: str, status: str) -> bool:
    """Whether all actors, the crew's too, are on a transport by their own word, and have a condition.

    `kubectl wait` does not take a condition's word while Crossplane writes references into the actor's spec.
    """
    found = [each["status"] for each in stage.get("asyncactors")["items"] if "status" in each]
    said = [
        {each["type"]: each["status"] for each in actor["conditions"]}.get(condition)
        for actor in found
        if actor.get("transport") == transport
    ]
    return said == [status] * len(ROUTE + CREW)


def carried(flow: Flow, row: str, old: Mail, new: Mail, transport: str) -> None:
    """Send, move while messages are under way, send to the new broker as well, and count."""
    stage = flow.stage
    sent = old.send(ROUTE, payloads(MESSAGES))
    arrived = old.wait(sent, SECONDS, least=MESSAGES // 20)
    assert arrived < MESSAGES, "nothing is under way any more that could be lost"
    began = time.monotonic()
    move(stage, transport)
    sent += new.send(ROUTE, payloads(MORE))
    try:
        wait_until(
            "the end of the move",
            lambda: all_say(stage, transport, "TransportMoved", "True"),
            SECONDS,
            lambda: _told(stage),
        )
        wait_until("no message on the old broker", lambda: _left(old) == {}, 60, lambda: str(_left(old)))
        new.wait(sent, SECONDS)
        wait_until("empty queues", new.empty, 120, lambda: str(new.depths()))
    finally:
        flow.count(row, sent, time.monotonic() - began)


def _left(mail: Mail) -> dict[str, int]:
    return {name: count for name, count in mail.depths().items() if count}


def _told(stage: Stage) -> str:
    actors: Sequence[Any] = stage.get("asyncactors")["items"]
    return "\n".join(str(each["status"].get("conditions")) for each in actors)


def test_a_namespace_moves_from_rabbitmq_to_sqs_and_back(moving: Stage, clouds: Clouds, report: Report) -> None:
    flow, rabbitmq, sqs = Flow(moving, report), moving.mail, SqsMail(clouds, NAMESPACE)
    lost = rabbitmq.lost_delays()
    carried(flow, "namespace moved from RabbitMQ to SQS", rabbitmq, sqs, "sqs")
    wait_until("no queue on RabbitMQ", lambda: rabbitmq.depths() == {}, 60, lambda: str(rabbitmq.depths()))
    carried(flow, "namespace moved from SQS to RabbitMQ", sqs, rabbitmq, "rabbitmq")
    assert rabbitmq.lost_delays() == lost, "no retry came back to an actor that had gone"
